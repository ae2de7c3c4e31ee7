package image

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/code/dockerfile"
)

func TestEveryDialectOfHistoryIsUnderstood(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ raw, kind, text string }{
		{"/bin/sh -c #(nop) ADD file:2e002305ccb9d8a4dcef52509c4c50b9a15e76c9 in / ", "ADD", "/"},
		{"/bin/sh -c #(nop) COPY --chown=app:app multi:2e002305ccb9d8a4dcef52509c4c50b9a15e76c9 in /srv/ ", "COPY", "/srv/"},
		{"/bin/sh -c #(nop)  CMD [\"/bin/bash\"]", "CMD", "/bin/bash"},
		{"/bin/sh -c #(nop)  EXPOSE 443/tcp 80", "EXPOSE", "443/tcp 80/tcp"},
		{"/bin/sh -c apt-get update \t&& apt-get install -y curl", "RUN", "apt-get update && apt-get install -y curl"},
		{"|2 A=x y B=1 /bin/sh -c make $A", "RUN", "make $A"},
		{"RUN |1 V=1 /bin/bash -o pipefail -c make | tee log # buildkit", "RUN", "make | tee log"},
		{"RUN /bin/sh -c echo \"# hi\" # buildkit", "RUN", "echo \"# hi\""},
		{"COPY /out/app /usr/bin/ # buildkit", "COPY", "/out/app /usr/bin/"},
		{"EXPOSE map[80/tcp:{} 443/tcp:{}]", "EXPOSE", "443/tcp 80/tcp"},
		{"HEALTHCHECK &{[\"CMD-SHELL\" \"curl -f http://x\"] \"30s\" \"3s\" \"0s\" '\\x03'}", "HEALTHCHECK", "curl -f http://x"},
		{"HEALTHCHECK {Test:[CMD-SHELL curl -f http://x] Interval:30s Timeout:3s StartPeriod:0s StartInterval:0s Retries:3}", "HEALTHCHECK", "curl -f http://x"},
		{"VOLUME [/a /b]", "VOLUME", "/a /b"},
		{"WORKDIR /srv/app/", "WORKDIR", "/srv/app"},
		{"powershell -Command $ErrorActionPreference = 'Stop'; Install-Thing", "RUN", "Install-Thing"},
		{"bazel build ...", "", "bazel build ..."},
		{"", "", ""},
	} {
		got := parseEntry(test.raw)
		if got.Kind != test.kind || got.Text != test.text {
			t.Errorf("%q: got %q %q, want %q %q", test.raw, got.Kind, got.Text, test.kind, test.text)
		}
	}
	args := parseEntry("|2 A=x y B=1 /bin/sh -c make").Args
	if diff := cmp.Diff([]string{"A=x y", "B=1"}, args); diff != "" {
		t.Error(diff)
	}
}

func TestLayersWithoutHistoryAreTheBases(t *testing.T) {
	t.Parallel()
	steps := ParseHistory([]HistoryEntry{{CreatedBy: "RUN a"}, {CreatedBy: "CMD x", EmptyLayer: true}, {CreatedBy: "RUN b"}}, 4)
	got := []int{steps[0].Layer, steps[1].Layer, steps[2].Layer}
	if diff := cmp.Diff([]int{2, -1, 3}, got); diff != "" {
		t.Error(diff)
	}
	for _, step := range ParseHistory([]HistoryEntry{{CreatedBy: "RUN a"}, {CreatedBy: "RUN b"}}, 1) {
		if step.Layer >= 0 {
			t.Errorf("a history of two layers for an image of one was believed: %+v", step)
		}
	}
}

func TestBuildersWithoutADockerfileAreNamed(t *testing.T) {
	t.Parallel()
	base := HistoryEntry{CreatedBy: "/bin/sh -c #(nop) ADD file:0123456789abcdef in / "}
	for raw, want := range map[string]string{
		"jib-maven-plugin:3.4.0": "jib", "ko build ko://example.org/app": "ko", "bazel build ...": "bazel", "apko": "apko",
		"Buildpacks Launcher Config": "buildpacks", "RUN /bin/sh -c x # buildkit": "buildkit", "/bin/sh -c x": "docker", "RUN x": "kaniko",
	} {
		got := RecogniseBuilder(ParseHistory([]HistoryEntry{base, {CreatedBy: raw}}, 2), nil)
		if got.Name != want {
			t.Errorf("%q: made by %q, want %q", raw, got.Name, want)
		}
		if got.Dockerfile == (got.Source != "") {
			t.Errorf("%q: %+v", raw, got)
		}
	}
}

func candidate(t *testing.T, path, text string) Candidate {
	t.Helper()
	file, err := dockerfile.Parse(path, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return Candidate{Repository: "example.org/shop", Path: path, File: file}
}

// buildkit is the history that BuildKit writes for RUN commands on a base.
func buildkit(texts ...string) []Step {
	entries := []HistoryEntry{{CreatedBy: "/bin/sh -c #(nop) ADD file:0123456789abcdef in / "}, {CreatedBy: "/bin/sh -c #(nop)  CMD [\"sh\"]", EmptyLayer: true}}
	for _, text := range texts {
		entries = append(entries, HistoryEntry{CreatedBy: text + " # buildkit", Comment: "buildkit.dockerfile.v0"})
	}
	return ParseHistory(entries, len(texts)+1)
}

func TestEqualDockerfilesAreATieAndTheBaseDecidesIt(t *testing.T) {
	t.Parallel()
	body := "\nRUN apt-get update && apt-get install -y curl\nCOPY . /app\n"
	candidates := []Candidate{candidate(t, "a/Dockerfile", "FROM debian:12"+body), candidate(t, "b/Dockerfile", "FROM ubuntu:24.04"+body), candidate(t, "c/Dockerfile", "FROM debian:12\nRUN make all\n")}
	steps := buildkit("RUN /bin/sh -c apt-get update && apt-get install -y curl", "COPY . /app")
	ranking := Rank(steps, candidates, "")
	if !ranking.Answered || len(ranking.Best) != 2 {
		t.Fatalf("answered %v with %d, want a tie of 2", ranking.Answered, len(ranking.Best))
	}
	ranking = Rank(steps, candidates, "docker.io/library/ubuntu:24.04")
	if len(ranking.Best) != 1 || ranking.Best[0].Candidate != 1 {
		t.Errorf("the base did not decide: %+v", ranking.Best)
	}
}

func TestWhatFitsTooLittleIsNotNamed(t *testing.T) {
	t.Parallel()
	steps := buildkit("RUN /bin/sh -c apt-get update && apt-get install -y curl", "COPY . /app")
	for name, text := range map[string]string{
		"another file": "FROM a\nRUN npm ci\nRUN npm run build\nCOPY dist /srv\n",
		"one copy":     "FROM a\nCOPY . /app\n",
	} {
		if ranking := Rank(steps, []Candidate{candidate(t, "Dockerfile", text)}, ""); ranking.Answered || ranking.Reason == "" {
			t.Errorf("%s: named with %+v", name, ranking)
		}
	}
	if ranking := Rank(nil, []Candidate{candidate(t, "Dockerfile", "FROM a\nRUN x\n")}, ""); ranking.Answered {
		t.Error("an image without history was given a Dockerfile")
	}
}

func TestAnInstructionThatStandsTwiceIsATieOfLines(t *testing.T) {
	t.Parallel()
	file := candidate(t, "Dockerfile", "FROM a\nRUN make\nRUN make\n").File
	alignment := Align(buildkit("RUN /bin/sh -c make"), file.Chain(0))
	if len(alignment.Matches) != 1 || len(alignment.Matches[0].Instructions) != 2 {
		t.Errorf("%+v", alignment.Matches)
	}
}

func TestACopyFromAStageLeadsToWhatMadeTheFile(t *testing.T) {
	t.Parallel()
	file := candidate(t, "Dockerfile", strings.Join([]string{
		"FROM golang AS build",                   // 1
		"COPY go.mod ./",                         // 2
		"RUN go build -o /out/app ./cmd/app",     // 3
		"RUN echo done",                          // 4
		"FROM scratch AS bundle",                 // 5
		"COPY --from=build /out/app /bundle/app", // 6
		"FROM debian",                            // 7
		"COPY --from=bundle /bundle/app /bin/",   // 8
	}, "\n")).File
	var lines []int
	for _, step := range Producers(file, &file.Stages[2].Instructions[0]) {
		lines = append(lines, step.Line)
	}
	if diff := cmp.Diff([]int{3, 6}, lines); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseHistory(f *testing.F) {
	for _, raw := range []string{"|2 A=x y B=1 /bin/sh -c make $A", "/bin/sh -c #(nop) COPY file:0123456789 in /x ", "HEALTHCHECK &{[\"CMD\" \"\\x", "CMD [\"a\" \"b", "RUN |9999 /bin/sh -c # buildkit"} {
		f.Add(raw, "FROM a\nRUN make\nCOPY a b\n")
	}
	f.Fuzz(func(t *testing.T, raw, text string) {
		steps := ParseHistory([]HistoryEntry{{CreatedBy: raw}, {CreatedBy: "RUN make"}}, 2)
		for _, step := range steps {
			if step.Kind != "" && !keywords[step.Kind] {
				t.Fatalf("kind %q", step.Kind)
			}
			if len(step.Text) > 2*len(step.Raw)+64 {
				t.Fatalf("%d bytes became %d", len(step.Raw), len(step.Text))
			}
		}
		file, err := dockerfile.Parse("Dockerfile", []byte(text))
		if err != nil {
			return
		}
		alignment := Align(steps, file.Chain(len(file.Stages)-1))
		if alignment.Score < 0 || alignment.Score > 1+epsilon || alignment.Exact > 1+epsilon {
			t.Fatalf("score %v, exact %v", alignment.Score, alignment.Exact)
		}
		for _, match := range alignment.Matches {
			if match.Step >= len(steps) || len(match.Instructions) == 0 {
				t.Fatalf("%+v", match)
			}
		}
	})
}
