package image

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/fact"
)

func TestAChainOfLayersNamesTheBaseAndTheBasesBase(t *testing.T) {
	t.Parallel()
	one, two, three, four := tarOf(t, release, status("a 1")), tarOf(t, status("a 1", "b 1")), tarOf(t, status("a 1", "b 1", "c 1")), tarOf(t, status("a 1", "b 1", "c 1", "d 1"))
	debian, python := imageOf(t, one, two), imageOf(t, one, two, three)
	app := imageOf(t, one, two, three, four)
	bases := NewBases()
	bases.Add(Seen(debian, "debian:12", nil))
	bases.Add(Seen(python, "python:3.12", nil))
	bases.Add(Seen(python, "python:3", nil))
	bases.Add(Seen(app, "shop:1", nil))
	name := filepath.Join(t.TempDir(), "bases")
	if err := bases.Save(name); err != nil {
		t.Fatal(err)
	}
	bases, err := LoadBases(name)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, part := range FindBases(app, bases, nil) {
		got = append(got, strings.Join(part.Names, " ")+" "+string(part.Evidence.Strength)+" "+string(rune('0'+part.Layers)))
	}
	if diff := cmp.Diff([]string{"python:3 python:3.12 derived 3", "debian:12 derived 2"}, got); diff != "" {
		t.Error(diff)
	}
	if parts := FindBases(debian, bases, nil); len(parts) > 0 {
		t.Errorf("an image was named as its own base: %+v", parts)
	}
	// The OCI ChainID has no part for empty layers.
	chain := ChainIDs([]string{"sha256:a", "sha256:b"})
	if chain[1] != digestOf([]byte("sha256:a sha256:b")) {
		t.Errorf("chain %v", chain)
	}
}

func TestWithoutAChainLabelsDeclareAndPackagesLetGuess(t *testing.T) {
	t.Parallel()
	base := imageOf(t, tarOf(t, release, status("a 1", "b 1", "c 1", "d 1", "e 1", "f 1")))
	bases := NewBases()
	bases.Add(Seen(base, "debian:12", scanOne(t, base)))
	squashed := imageOf(t, tarOf(t, release, status("a 1", "b 1", "c 1", "d 1", "e 1", "f 1", "ours 1")))
	parts := FindBases(squashed, bases, scanOne(t, squashed))
	if len(parts) != 1 || parts[0].Evidence.Strength != fact.Guess || parts[0].Names[0] != "debian:12" {
		t.Errorf("guess: %+v", parts)
	}
	squashed.Config.Config.Labels = map[string]string{"org.opencontainers.image.base.name": "docker.io/library/debian:12"}
	parts = FindBases(squashed, bases, scanOne(t, squashed))
	if len(parts) != 1 || parts[0].Evidence.Strength != fact.Declared {
		t.Errorf("label: %+v", parts)
	}
}

func TestALabelThatTheBaseHasTooIsNotTheImagesOwn(t *testing.T) {
	t.Parallel()
	image := &Image{}
	image.Config.Config.Labels = map[string]string{"org.opencontainers.image.source": "https://github.com/acme/base", "own": "x"}
	parts := []BasePart{{Labels: map[string]string{"org.opencontainers.image.source": "https://github.com/acme/base"}}}
	if value, ok := OwnLabel(image, parts, "org.opencontainers.image.source"); ok {
		t.Errorf("the inherited %q was taken", value)
	}
	if _, ok := OwnLabel(image, parts, "own"); !ok {
		t.Error("an own label was refused")
	}
}

// repository makes a git repository of commits, each a set of files.
func repository(t *testing.T, remote string, commits ...map[string]string) (*Repository, []string) {
	t.Helper()
	dir := t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org",
			"GIT_AUTHOR_DATE=2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE=2026-01-01T00:00:00Z")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run("init", "-q", "-b", "main")
	run("remote", "add", "origin", remote)
	var ids []string
	for _, files := range commits {
		for name, content := range files {
			full := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		run("add", "-A")
		run("commit", "-q", "-m", "x")
		ids = append(ids, run("rev-parse", "HEAD"))
	}
	repo, err := git.Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { repo.Close() })
	read, err := ReadRepository(context.Background(), repo, ids[len(ids)-1])
	if err != nil {
		t.Fatal(err)
	}
	return read, ids
}

const shopDockerfile = `ARG TAG=12
FROM debian:${TAG}
RUN apt-get update && apt-get install -y curl
WORKDIR /app
COPY package-lock.json ./
RUN npm ci
`

func lockOf(version string) string {
	return `{"name":"shop","version":"1.0.0","lockfileVersion":3,"packages":{"":{"name":"shop","dependencies":{"x":"` + version + `"}},"node_modules/x":{"version":"` + version + `"}}}`
}

func TestAnImageWithoutProvenanceLeadsToRepositoryCommitsAndLine(t *testing.T) {
	t.Parallel()
	shop, commits := repository(t, "https://github.com/acme/shop.git",
		map[string]string{"package-lock.json": lockOf("1.0.0"), "Dockerfile": shopDockerfile},
		map[string]string{"package-lock.json": lockOf("2.0.0")},
		map[string]string{"README": "more words than a tiny file has, so that it could be compared with others\n"},
		map[string]string{"package-lock.json": lockOf("3.0.0")})
	twin, _ := repository(t, "https://github.com/acme/twin.git", map[string]string{"Dockerfile": shopDockerfile, "package-lock.json": lockOf("9.0.0")})
	layers := [][]byte{
		tarOf(t, release, status("libc6 1")),
		tarOf(t, status("libc6 1", "curl 1")),
		tarOf(t, entry{name: "app/package-lock.json", content: lockOf("2.0.0")}),
		tarOf(t, entry{name: "app/node_modules/x/package.json", content: `{"name":"x","version":"2.0.0"}`}),
	}
	history := []HistoryEntry{
		{CreatedBy: "/bin/sh -c #(nop) ADD file:0123456789abcdef in / "}, {CreatedBy: `/bin/sh -c #(nop)  CMD ["bash"]`, EmptyLayer: true},
		{CreatedBy: "/bin/sh -c apt-get update && apt-get install -y curl"}, {CreatedBy: "/bin/sh -c #(nop) WORKDIR /app", EmptyLayer: true},
		{CreatedBy: "/bin/sh -c #(nop) COPY file:00112233445566778899 in ./ "}, {CreatedBy: "/bin/sh -c npm ci"},
	}
	l := newLayout(t)
	l.add(configOf(layers, history, nil), layers...)
	trace, err := Investigate(context.Background(), openOne(t, l.write()), Inputs{Repositories: []*Repository{twin, shop}})
	if err != nil {
		t.Fatal(err)
	}
	if len(trace.Source.Best) != 1 {
		t.Fatalf("sources %+v", trace.Source)
	}
	source := trace.Source.Best[0]
	if source.Repository != "github.com/acme/shop" || source.Commit != commits[1] || source.Until != commits[2] || source.Strength != fact.Proven {
		t.Errorf("source %+v, want the commits %v", source, commits[1:3])
	}
	where := map[string]string{}
	for _, p := range trace.Inventory.Packages {
		traced := trace.Package(p)
		var lines []string
		for _, location := range traced.Cause.Locations {
			lines = append(lines, string(rune('0'+location.Line)))
		}
		where[p.Name] = string(traced.Part) + " " + string(traced.Cause.Status) + " " + strings.Join(lines, ",")
	}
	want := map[string]string{"libc6": "base found 1,2", "curl": "own found 3", "x": "own found 6"}
	if diff := cmp.Diff(want, where); diff != "" {
		t.Error(diff)
	}
	// Only its Dockerfile counts once the repository is proven, so the twin is no tie.
	if len(trace.Dockerfile.Best) != 1 {
		t.Errorf("Dockerfiles %+v", trace.Dockerfile.Best)
	}
	again, err := Investigate(context.Background(), trace.Image, Inputs{Repositories: []*Repository{twin}})
	if err != nil {
		t.Fatal(err)
	}
	if got := again.Source.Best; len(got) != 1 || got[0].Strength != fact.Derived || got[0].Dockerfile != "Dockerfile" {
		t.Errorf("by history alone: %+v", got)
	}
}

func TestASignedProvenanceIsExactAndWins(t *testing.T) {
	t.Parallel()
	layers := [][]byte{tarOf(t, release, status("libc6 1")), tarOf(t, status("libc6 1", "curl 1"))}
	l := newLayout(t)
	l.add(configOf(layers, nil, map[string]string{"org.opencontainers.image.source": "https://github.com/acme/other"}), layers...)
	image := openOne(t, l.write())
	provenance := Provenance{Repository: "https://github.com/acme/shop", Commit: strings.Repeat("a", 40), Path: "Dockerfile", Dockerfile: []byte(shopDockerfile), Signed: true,
		Layers: map[string]Lines{image.Layers[1].DiffID: {3, 3}}, Source: "attestation"}
	trace, err := Investigate(context.Background(), image, Inputs{Provenance: []Provenance{provenance}})
	if err != nil {
		t.Fatal(err)
	}
	if got := trace.Source.Best; len(got) != 1 || got[0].Repository != "github.com/acme/shop" || got[0].Strength != fact.Proven {
		t.Errorf("source %+v", got)
	}
	at := slices.IndexFunc(trace.Inventory.Packages, func(p Package) bool { return p.Name == "curl" })
	cause := trace.Package(trace.Inventory.Packages[at]).Cause
	if cause.Status != fact.CauseFound || len(cause.Locations) != 1 || cause.Locations[0].Line != 3 || cause.Chain[len(cause.Chain)-1].Evidence.Strength != fact.Proven {
		t.Errorf("cause %+v", cause)
	}
}

const libraryText = `# made by hand
Maintainers: A <a@example.org> (@a),
             B <b@example.org> (@b)
GitRepo: https://example.org/app.git
GitFetch: refs/heads/main

Tags: 2.0, 2, latest
SharedTags: all
Architectures: amd64, arm64v8
GitCommit: 1111111111111111111111111111111111111111
arm64v8-GitCommit: 2222222222222222222222222222222222222222
Directory: 2.0
arm64v8-Directory: 2.0/arm

# a comment between
Tags: 1.0
GitCommit: 3333333333333333333333333333333333333333

Tags: win
SharedTags: all
Architectures: windows-amd64
GitCommit: 4444444444444444444444444444444444444444
Directory: win
File: Dockerfile.win
`

func TestATagOfTheOfficialImagesLeadsToItsDockerfile(t *testing.T) {
	t.Parallel()
	library, err := ParseLibrary("app", []byte(libraryText))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ tag, arch, want string }{
		{"latest", "amd64", "1111 2.0 Dockerfile"}, {"2", "arm64v8", "2222 2.0/arm Dockerfile"}, {"1.0", "amd64", "3333 . Dockerfile"},
		{"all", "windows-amd64", "4444 win Dockerfile.win"}, {"all", "", "1111 2.0 Dockerfile,2222 2.0/arm Dockerfile,4444 win Dockerfile.win"}, {"3", "amd64", ""}, {"1.0", "arm64v8", ""},
	} {
		var got []string
		for _, s := range library.Find(test.tag, test.arch) {
			got = append(got, s.Commit[:4]+" "+s.Directory+" "+s.File)
		}
		if strings.Join(got, ",") != test.want {
			t.Errorf("%s for %s: got %q, want %q", test.tag, test.arch, got, test.want)
		}
	}
	for _, wrong := range []string{"no field here\n", " continuation of nothing\n"} {
		if _, err := ParseLibrary("app", []byte(wrong)); err == nil || !strings.Contains(err.Error(), "app:1") {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if got := LibraryArch("linux", "arm", "v6") + LibraryArch("linux", "arm64", "v8") + LibraryArch("windows", "amd64", "") + LibraryArch("linux", "386", ""); got != "arm32v6arm64v8windows-amd64i386" {
		t.Error(got)
	}
}

func FuzzParseLibrary(f *testing.F) {
	f.Add([]byte(libraryText), "latest", "amd64")
	f.Fuzz(func(t *testing.T, data []byte, tag, arch string) {
		library, err := ParseLibrary("x", data)
		if err != nil {
			return
		}
		for _, s := range library.Find(tag, arch) {
			if s.Directory == "" || s.File == "" {
				t.Fatalf("%+v", s)
			}
		}
	})
}
