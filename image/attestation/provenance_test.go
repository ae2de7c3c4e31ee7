package attestation

import (
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/image"
)

// said gives what a predicate says of an image, unsigned.
func said(t testing.TB, predicateType, predicate string, of *image.Image) (image.Provenance, error) {
	t.Helper()
	r := readOne(t, statementOf(sumA, predicateType, predicate)).Verify(Policy{}, nil)
	if r.Err != nil {
		return image.Provenance{}, r.Err
	}
	p, ok, err := r.Provenance(of)
	if err == nil && !ok {
		t.Fatal("it is not taken for provenance")
	}
	return p, err
}

func TestProvenanceOfEachBuilderNamesItsSource(t *testing.T) {
	const github = "https://github.com/acme/shop"
	for name, c := range map[string]struct {
		predicateType, predicate, repository, commit, run string
	}{
		"GitHub's own action": {provenanceV1, workflowPredicate(github, sha1), "github.com/acme/shop", sha1, github + "/actions/runs/7/attempts/1"},
		"SLSA generator, 0.2": {provenanceV02, `{"builder":{"id":"https://github.com/slsa-framework/x"},"buildType":"https://github.com/slsa-framework/slsa-github-generator/go@v1",
			"invocation":{"configSource":{"uri":"git+https://github.com/acme/shop@refs/tags/v1","digest":{"sha1":"` + sha1 + `"},"entryPoint":".github/workflows/a.yml"},
			"parameters":{"version":1,"n":[1]},"environment":{"github_run_id":"77","github_run_attempt":"1","arch":"X64"}},
			"metadata":{"buildInvocationID":"77-1"},"materials":[{"uri":"git+https://github.com/acme/shop@refs/tags/v1","digest":{"sha1":"` + sha1 + `"}}]}`, "github.com/acme/shop", sha1, github + "/actions/runs/77"},
		"SLSA generator, delegated": {provenanceV1, `{"buildDefinition":{"buildType":"https://github.com/slsa-framework/slsa-github-generator/delegator-generic@v0","externalParameters":{"inputs":{},"vars":{}},
			"resolvedDependencies":[{"uri":"git+https://github.com/acme/shop@refs/tags/v1","digest":{"gitCommit":"` + sha1 + `"}}]},
			"runDetails":{"builder":{"id":"https://github.com/x/y"},"metadata":{"invocationId":"` + github + `/actions/runs/9"}}}`, "github.com/acme/shop", sha1, github + "/actions/runs/9"},
		"container-based, a builder among the dependencies": {provenanceV1, `{"buildDefinition":{"externalParameters":{"source":{"uri":"git+https://github.com/acme/shop@refs/tags/v1","digest":{"sha1":"` + sha1 + `"}}},
			"resolvedDependencies":[{"uri":"git+https://github.com/slsa-framework/slsa-github-generator@refs/tags/v2","digest":{"sha256":"` + sumB + `"}}]}}`, "github.com/acme/shop", sha1, ""},
		"GitLab, 0.2": {provenanceV02, `{"buildType":"https://gitlab.com/gitlab-org/gitlab-runner/-/blob/v15/PROVENANCE.md","builder":{"id":"https://gitlab.com/acme/shop/-/runners/1"},
			"invocation":{"configSource":{"uri":"https://gitlab.com/acme/shop","digest":{"sha256":"` + sha1 + `"},"entryPoint":"build"},"environment":{"name":"r"}},"metadata":{"buildInvocationID":"10"}}`, "gitlab.com/acme/shop", sha1, "10"},
		"GitLab, 1": {provenanceV1, `{"buildDefinition":{"buildType":"https://gitlab.com/gitlab-org/gitlab-runner/-/blob/v16/PROVENANCE.md","externalParameters":{"entryPoint":"build","source":"https://gitlab.com/acme/shop","variables":{}},
			"resolvedDependencies":[{"uri":"https://gitlab.com/acme/shop","digest":{"sha256":"` + sha1 + `"}}]},"runDetails":{"metadata":{"invocationId":"10"}}}`, "gitlab.com/acme/shop", sha1, "10"},
		"Google Cloud Build, 1": {provenanceV1, `{"buildDefinition":{"buildType":"https://cloud.google.com/build/gcb-buildtypes/google-worker/v1","externalParameters":{"buildConfigSource":{"path":"cloudbuild.yaml","ref":"refs/heads/main","repository":"git+https://github.com/acme/shop"}},
			"resolvedDependencies":[{"uri":"git+https://github.com/acme/shop@refs/heads/main","digest":{"gitCommit":"` + sha1 + `"}},{"uri":"gcr.io/cloud-builders/docker","digest":{"sha256":"` + sumB + `"}}]}}`, "github.com/acme/shop", sha1, ""},
		"no commit, but a branch": {provenanceV1, `{"buildDefinition":{"externalParameters":{"workflow":{"repository":"https://github.com/acme/shop"}},"resolvedDependencies":[{"uri":"git+https://github.com/acme/shop","digest":{"gitCommit":"main"}}]}}`, "github.com/acme/shop", "", ""},
	} {
		p, err := said(t, c.predicateType, c.predicate, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if p.Repository != c.repository || p.Commit != c.commit || p.Run != c.run || p.Signed {
			t.Errorf("%s: %s@%s by %s, want %s@%s by %s", name, p.Repository, p.Commit, p.Run, c.repository, c.commit, c.run)
		}
	}
	ambiguous, err := said(t, provenanceV1, `{"buildDefinition":{"resolvedDependencies":[{"uri":"git+https://github.com/a/b","digest":{"gitCommit":"`+sha1+`"}},{"uri":"git+https://github.com/c/d","digest":{"gitCommit":"`+sha1+`"}}]}}`, nil)
	if err != nil || ambiguous.Repository != "" {
		t.Errorf("of two repositories that nothing tells apart, %q is chosen (%v)", ambiguous.Repository, err)
	}
}

func TestProvenanceOfAnotherShapeIsRefused(t *testing.T) {
	for _, predicate := range []string{`{"buildDefinition":{"externalParameters":"none"}}`, `[]`, `{"runDetails":{"builder":{"id":7}}}`} {
		if p, err := said(t, provenanceV1, predicate, nil); err == nil {
			t.Errorf("%s is understood as %+v", predicate, p)
		}
	}
}

func TestWhatIsNoProvenanceGivesNone(t *testing.T) {
	r := readOne(t, statementOf(sumA, "https://spdx.dev/Document", `{}`)).Verify(Policy{}, nil)
	if _, ok, err := r.Provenance(nil); r.Err != nil || ok || err != nil {
		t.Errorf("%v, provenance %v, %v", r.Err, ok, err)
	}
}

func TestAWorkflowCannotClaimAnothersSource(t *testing.T) {
	ours := newAuthority(t)
	for name, c := range map[string]struct {
		repository, commit string
		want               bool
	}{
		"its own":        {"https://github.com/acme/shop", sha1, true},
		"its own, cased": {"https://github.com/Acme/Shop", sha1, true},
		"another":        {"https://github.com/acme/bank", sha1, false},
		"another commit": {"https://github.com/acme/shop", strings.Repeat("a", 40), false},
	} {
		payload := statementOf(sumA, provenanceV1, workflowPredicate(c.repository, c.commit))
		r := readOne(t, ours.bundle("0.3", workflow, payload, soon())).Verify(ours.policy(), nil)
		if (r.Err == nil) != c.want || !c.want && !errors.Is(r.Err, ErrClaim) {
			t.Errorf("%s: %v", name, r.Err)
		}
	}
}

const recipe = "FROM golang:1.26 AS build\nRUN go build -o /shop\n\nFROM alpine:3.22\nRUN apk add \\\n    curl\nCOPY --from=build /shop /shop\n"

// layerOf names a layer of a test by a letter.
func layerOf(letter string) string { return "sha256:" + strings.Repeat(letter, 64) }

// chain makes the layers of a step's output.
func chain(letters ...string) string {
	var list []string
	for _, letter := range letters {
		list = append(list, fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":%q,"size":1}`, layerOf(letter)))
	}
	return "[[" + strings.Join(list, ",") + "]]"
}

// metadata is what BuildKit adds in mode max for the recipe: two layers of
// golang (1, 2), one of alpine (3), and one of each step.
func metadata() string {
	at := func(start, end int) string {
		return fmt.Sprintf(`{"locations":[{"ranges":[{"start":{"line":%d},"end":{"line":%d}}]}]}`, start, end)
	}
	return `{"vcs":{"localdir:context":".","localdir:dockerfile":"deploy","revision":"` + sha1 + `","source":"git@github.com:acme/shop.git"},
		"source":{"locations":{"step0":` + at(4, 4) + `,"step1":` + at(5, 6) + `,"step2":` + at(1, 1) + `,"step3":` + at(2, 2) + `,"step4":` + at(7, 7) + `},
		"infos":[{"filename":"Dockerfile","language":"Dockerfile","data":"` + base64.StdEncoding.EncodeToString([]byte(recipe)) + `"}]},
		"layers":{"step0:0":` + chain("3") + `,"step1:0":` + chain("3", "4") + `,"step2:0":` + chain("1", "2") + `,"step3:0":` + chain("1", "2", "5") + `,"step4:0":` + chain("3", "4", "6") + `}}`
}

const steps = `{"llbDefinition":[
	{"id":"step0","op":{"Op":{"source":{"identifier":"docker-image://docker.io/library/alpine:3.22@sha256:` + sumB + `"}},"platform":{"Architecture":"amd64"}}},
	{"id":"step1","op":{"Op":{"exec":{"meta":{}}}},"inputs":["step0:0"]},
	{"id":"step2","op":{"Op":{"source":{"identifier":"docker-image://docker.io/library/golang:1.26@sha256:` + sumA + `"}}}},
	{"id":"step3","op":{"Op":{"exec":{"meta":{}}}},"inputs":["step2:0"]},
	{"id":"step4","op":{"Op":{"file":{}}},"inputs":["step1:0","step3:0"]}]}`

func buildKitV02Of(source, metadata string) string {
	return `{"builder":{"id":"https://github.com/acme/shop/actions/runs/5/attempts/1"},"buildType":"` + buildKitV02 + `",
		"materials":[{"uri":"pkg:docker/alpine@3.22?platform=linux%2Famd64","digest":{"sha256":"` + sumB + `"}},{"uri":"pkg:docker/golang@1.26?platform=linux%2Famd64","digest":{"sha256":"` + sumA + `"}}],
		"invocation":{"configSource":` + source + `,"parameters":{"frontend":"dockerfile.v0","args":{"target":""},"locals":[{"name":"context"}]},"environment":{"platform":"linux/amd64"}},
		"buildConfig":` + steps + `,"metadata":{"buildInvocationID":"q","buildStartedOn":"2030-01-01T00:00:00Z","https://mobyproject.org/buildkit@v1#metadata":` + metadata + `}}`
}

func built() *image.Image {
	return &image.Image{Layers: []image.Layer{{Digest: layerOf("3")}, {Digest: layerOf("4")}, {Digest: layerOf("6")}}}
}

func TestBuildKitLeadsEachLayerToItsLinesAndNamesTheBase(t *testing.T) {
	want := image.Provenance{Repository: "github.com/acme/shop", Commit: sha1, Path: "deploy/Dockerfile", Dockerfile: []byte(recipe), Run: "https://github.com/acme/shop/actions/runs/5/attempts/1",
		Layers: map[string]image.Lines{layerOf("4"): {Line: 5, EndLine: 6}, layerOf("5"): {Line: 2, EndLine: 2}, layerOf("6"): {Line: 7, EndLine: 7}},
		Bases:  []image.Descriptor{{Digest: "sha256:" + sumB, Annotations: map[string]string{"org.opencontainers.image.ref.name": "docker.io/library/alpine:3.22"}}}, BaseLayers: 1, Source: "attestation file"}
	got, err := said(t, provenanceV02, buildKitV02Of(`{"entryPoint":"Dockerfile"}`, metadata()), built())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("version 0.2 (-want +got):\n%s", diff)
	}
	v1 := `{"buildDefinition":{"buildType":"` + buildKitV1 + `","externalParameters":{"configSource":{"path":"Dockerfile"},"request":{"frontend":"dockerfile.v0"}},"internalParameters":{"buildConfig":` + steps + `,"builderPlatform":"linux/amd64"},
		"resolvedDependencies":[{"uri":"pkg:docker/alpine@3.22","digest":{"sha256":"` + sumB + `"}}]},
		"runDetails":{"builder":{"id":"https://github.com/acme/shop/actions/runs/5/attempts/1"},"metadata":{"invocationId":"q","buildkit_metadata":` + metadata() + `}}}`
	if got, err = said(t, provenanceV1, v1, built()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("version 1 (-want +got):\n%s", diff)
	}
}

func TestBuildKitFromARemoteRepositoryNamesFolderAndCommit(t *testing.T) {
	p, err := said(t, provenanceV02, buildKitV02Of(`{"uri":"https://github.com/acme/other.git#refs/heads/main:services/shop","digest":{"sha1":"`+strings.Repeat("b", 40)+`"},"entryPoint":"build/Dockerfile"}`, metadata()), nil)
	if err != nil {
		t.Fatal(err)
	}
	if p.Repository != "github.com/acme/other" || p.Commit != strings.Repeat("b", 40) || p.Path != "services/shop/build/Dockerfile" {
		t.Errorf("%s@%s %s", p.Repository, p.Commit, p.Path)
	}
	if p, err = said(t, provenanceV02, buildKitV02Of(`{"uri":"https://github.com/acme/other.git#main:..","digest":{},"entryPoint":"../Dockerfile"}`, metadata()), nil); err != nil || p.Path != "" {
		t.Errorf("a path outside of the repository is %q (%v)", p.Path, err)
	}
}

func TestLinesThatAreNotCertainAreLeftOut(t *testing.T) {
	twice := strings.Replace(metadata(), `"step4:0":`+chain("3", "4", "6"), `"step4:0":`+chain("3", "4", "5"), 1)
	p, err := said(t, provenanceV02, buildKitV02Of(`{"entryPoint":"Dockerfile"}`, twice), nil)
	if err != nil {
		t.Fatal(err)
	}
	// Step 4 ends with layer 5, which its input step 3 has: step 3 made it.
	if want := map[string]image.Lines{layerOf("4"): {Line: 5, EndLine: 6}, layerOf("5"): {Line: 2, EndLine: 2}}; !reflect.DeepEqual(p.Layers, want) {
		t.Errorf("layers %v, want %v", p.Layers, want)
	}
	tie := strings.Replace(metadata(), `"step1:0":`+chain("3", "4"), `"step1:0":`+chain("3", "5"), 1)
	if p, err = said(t, provenanceV02, buildKitV02Of(`{"entryPoint":"Dockerfile"}`, tie), nil); err != nil {
		t.Fatal(err)
	}
	if lines, ok := p.Layers[layerOf("5")]; ok {
		t.Errorf("a layer that two steps made is led to %v", lines)
	}
	for _, bad := range []string{`{"start":{"line":0},"end":{"line":6}}`, `{"start":{"line":-3},"end":{"line":6}}`, `{"start":{"line":6},"end":{"line":5}}`, `{"start":{"line":5},"end":{"line":600}}`} {
		odd := strings.Replace(metadata(), `{"start":{"line":5},"end":{"line":6}}`, bad, 1)
		if p, err = said(t, provenanceV02, buildKitV02Of(`{"entryPoint":"Dockerfile"}`, odd), nil); err != nil {
			t.Fatal(err)
		}
		if lines, ok := p.Layers[layerOf("4")]; ok {
			t.Errorf("%s gives lines %v", bad, lines)
		}
	}
}

func TestTheOnlyImageAmongTheMaterialsIsTheBaseAndTheFrontendIsNone(t *testing.T) {
	predicate := func(materials, source string) string {
		return `{"buildType":"` + buildKitV02 + `","invocation":{"configSource":{"entryPoint":"Dockerfile"},"parameters":{"frontend":"gateway.v0","args":{"source":"` + source + `"}}},"materials":[` + materials + `]}`
	}
	alpine, frontend := `{"uri":"pkg:docker/alpine@3.22","digest":{"sha256":"`+sumB+`"}}`, `{"uri":"pkg:docker/docker/dockerfile@1","digest":{"sha256":"`+sumA+`"}}`
	for name, c := range map[string]struct {
		materials, source string
		want              []string
	}{
		"one image":                    {alpine, "", []string{"alpine:3.22"}},
		"an image and the frontend":    {frontend + "," + alpine, "docker/dockerfile:1", []string{"alpine:3.22"}},
		"two images":                   {alpine + `,{"uri":"pkg:docker/golang@1.26","digest":{}}`, "", nil},
		"none":                         {`{"uri":"https://github.com/acme/shop","digest":{"sha1":"` + sha1 + `"}}`, "", nil},
		"one of a registry of its own": {`{"uri":"pkg:docker/registry.example%3A5000/base@v1?platform=linux%2Farm64","digest":{}}`, "", []string{"registry.example:5000/base:v1"}},
	} {
		p, err := said(t, provenanceV02, predicate(c.materials, c.source), built())
		var got []string
		for _, base := range p.Bases {
			got = append(got, base.Annotations["org.opencontainers.image.ref.name"])
		}
		if err != nil || !reflect.DeepEqual(got, c.want) || p.BaseLayers != 0 {
			t.Errorf("%s: bases %q of %d layers (%v), want %q", name, got, p.BaseLayers, err, c.want)
		}
	}
}
