package image

import (
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/backstitch/backstitch/code/dockerfile"
)

// Dialect is how a builder writes an image's history.
type Dialect string

// Dialects of history.
const (
	DialectLegacy   Dialect = "legacy"   // docker before BuildKit, buildah: "/bin/sh -c #(nop) ..."
	DialectBuildKit Dialect = "buildkit" // "... # buildkit"
	DialectText     Dialect = "text"     // the instruction as written: kaniko and others
	DialectUnknown  Dialect = ""
)

// HistoryEntry is one entry of an image configuration's history.
type HistoryEntry struct {
	Created    time.Time `json:"created,omitzero"`
	CreatedBy  string    `json:"created_by,omitempty"`
	Author     string    `json:"author,omitempty"`
	Comment    string    `json:"comment,omitempty"`
	EmptyLayer bool      `json:"empty_layer,omitempty"`
}

// Step is one entry of a history, understood.
type Step struct {
	Index   int // in the history, from 0, empty layers counted
	Layer   int // index of the layer it made, -1 for none or unknown
	Kind    string
	Text    string   // canonical form, as dockerfile.Canonical gives it
	Args    []string // build arguments in force, NAME=value
	Dialect Dialect
	Hashed  bool   // the sources of a COPY or ADD stand there as a digest
	Dest    string // of COPY and ADD
	Raw     string
	Comment string
}

// buildkitComment begins the comment of every entry that BuildKit writes.
const buildkitComment = "buildkit."

const (
	maxHistory   = 10000
	maxCreatedBy = 256 << 10
)

// keywords are the instructions that a history may name.
var keywords = map[string]bool{
	"ADD": true, "ARG": true, "CMD": true, "COPY": true, "ENTRYPOINT": true, "ENV": true, "EXPOSE": true, "HEALTHCHECK": true,
	"LABEL": true, "MAINTAINER": true, "ONBUILD": true, "RUN": true, "SHELL": true, "STOPSIGNAL": true, "USER": true, "VOLUME": true, "WORKDIR": true,
}

var (
	argCount = regexp.MustCompile(`^\|([0-9]{1,4}) `)
	// shellForm is a shell with its options in front of a command.
	shellForm = regexp.MustCompile(`(?i)^\[?"?(?:/(?:usr/)?(?:local/)?bin/(?:ba|da|a|z|k)?sh|/bin/busybox sh|(?:c:\\windows\\system32\\)?cmd(?:\.exe)?|(?:pwsh|powershell)(?:\.exe)?|sh|bash)"?(?:[ ,]+"?(?:-[a-z-]+|/[sc]|pipefail|errexit|nounset|\$ErrorActionPreference = '[A-Za-z]+';|\$ProgressPreference = '[A-Za-z]+';)"?)*\]?(?: |$)`)
	// shellWithin finds the shell behind build arguments.
	shellWithin = regexp.MustCompile(` (/(?:usr/)?(?:local/)?bin/(?:ba|da|a|z|k)?sh (?:-[a-z]+ |pipefail )*-[a-z]*c )`)
	contentHash = regexp.MustCompile(`^(?:--[a-z]+=\S+ )*((?:file|dir|multi|archive):[0-9a-f]{6,128}|sha256:[0-9a-f]{64}|[a-z]+:[0-9a-f]{64})((?: [a-z]+:[0-9a-f]{64})*) in (.*)$`)
	flagForm    = regexp.MustCompile(`^(?:--[a-z-]+(?:=(?:"[^"]*"|\S+))? )+`)
	mountForm   = regexp.MustCompile(`^(?:--(?:mount|network|security|device)=\S+ )+`)
)

// ParseHistory understands a history. layers is the number of layers of the
// image; when the entries that made a layer are fewer than the layers, the last
// layers are theirs, since what lacks a history is the base.
func ParseHistory(entries []HistoryEntry, layers int) []Step {
	if len(entries) > maxHistory {
		entries = entries[:maxHistory]
	}
	made := 0
	for _, entry := range entries {
		if !entry.EmptyLayer {
			made++
		}
	}
	next := layers - made
	steps := make([]Step, 0, len(entries))
	for i, entry := range entries {
		step := parseEntry(entry.CreatedBy)
		if strings.HasPrefix(entry.Comment, buildkitComment) && step.Dialect == DialectText {
			step.Dialect = DialectBuildKit
		}
		step.Index, step.Layer, step.Comment = i, -1, entry.Comment
		if !entry.EmptyLayer {
			if next >= 0 && next < layers && made <= layers {
				step.Layer = next
			}
			next++
		}
		steps = append(steps, step)
	}
	return steps
}

// parseEntry understands one "created by".
func parseEntry(raw string) Step {
	if len(raw) > maxCreatedBy {
		raw = raw[:maxCreatedBy]
	}
	step := Step{Raw: raw}
	text := dockerfile.Space(raw)
	if stripped, ok := strings.CutSuffix(text, "# buildkit"); ok {
		step.Dialect, text = DialectBuildKit, strings.TrimSpace(stripped)
	}
	if before, after, ok := strings.Cut(text, "#(nop)"); ok && (shellForm.MatchString(before) || strings.HasPrefix(before, "|") || before == "") {
		step.Dialect, text = DialectLegacy, strings.TrimSpace(after)
		kind, rest, _ := strings.Cut(text, " ")
		if kind = strings.ToUpper(kind); !keywords[kind] {
			step.Text = text
			return step
		}
		step.set(kind, strings.TrimSpace(rest))
		return step
	}
	kind, rest, _ := strings.Cut(text, " ")
	upper := strings.ToUpper(kind)
	if keywords[upper] && (kind == upper || step.Dialect == DialectBuildKit) {
		if step.Dialect == DialectUnknown {
			step.Dialect = DialectText
		}
		step.set(upper, strings.TrimSpace(rest))
		return step
	}
	if argCount.MatchString(text) || shellForm.MatchString(text) {
		if step.Dialect == DialectUnknown {
			step.Dialect = DialectLegacy
		}
		step.set("RUN", text)
		return step
	}
	// A command in exec form stands there bare; whether it is one is for the
	// alignment to find out.
	step.Text = text
	return step
}

func (s *Step) set(kind, text string) {
	s.Kind = kind
	switch kind {
	case "RUN":
		s.run(text)
	case "COPY", "ADD":
		if hashed := contentHash.FindStringSubmatch(text); hashed != nil {
			s.Hashed, s.Dest = true, strings.TrimSpace(hashed[3])
			s.Text = s.Dest
			return
		}
		text = flagForm.ReplaceAllString(text, "")
		if words := dockerfile.Words(text); len(words) > 0 {
			s.Dest = words[len(words)-1]
			text = strings.Join(words, " ")
		}
		s.Text = dockerfile.Space(text)
	default:
		s.Text = dockerfile.Canonical(kind, text)
	}
}

// run takes build arguments and the shell off a command.
func (s *Step) run(text string) {
	text = mountForm.ReplaceAllString(text, "")
	if count := argCount.FindStringSubmatch(text); count != nil {
		n, _ := strconv.Atoi(count[1])
		rest := text[len(count[0]):]
		if at := shellWithin.FindStringSubmatchIndex(" " + rest); at != nil {
			// at counts a space put in front.
			s.Args = splitArgs(strings.TrimSpace((" " + rest)[:at[2]]), n)
			text = rest[at[2]-1:]
		} else {
			for range n {
				arg, after, ok := strings.Cut(rest, " ")
				if !ok || !strings.Contains(arg, "=") {
					break
				}
				s.Args = append(s.Args, arg)
				rest = after
			}
			text = rest
		}
	}
	if shell := shellForm.FindString(text); shell != "" && len(shell) < len(text) {
		text = text[len(shell):]
	}
	if strings.HasPrefix(text, "[") {
		if words := dockerfile.Words(text); len(words) > 0 {
			text = strings.Join(words, " ")
		}
	}
	s.Text = dockerfile.Space(text)
}

var argStart = regexp.MustCompile(`(?:^| )[A-Za-z_][A-Za-z0-9_.-]*=`)

// splitArgs splits "A=x y B=z" into at most n assignments.
func splitArgs(text string, n int) []string {
	starts := argStart.FindAllStringIndex(text, -1)
	var args []string
	for i, start := range starts {
		end := len(text)
		if i+1 < len(starts) && len(args) < n-1 {
			end = starts[i+1][0]
		}
		args = append(args, strings.TrimSpace(text[start[0]:end]))
		if len(args) == n {
			break
		}
	}
	return args
}

// builders are tools that make images without a Dockerfile, or that say who
// they are, by words in the history and in labels.
var builders = []struct{ name, history, label, source string }{
	{"jib", "jib-", "", "the Maven or Gradle build file (pom.xml, build.gradle)"},
	{"ko", "ko build ", "", "the Go main package and .ko.yaml"},
	{"ko", "ko publish ", "", "the Go main package and .ko.yaml"},
	{"apko", "apko", "", "the apko configuration (YAML)"},
	{"bazel", "bazel build ", "", "the BUILD file"},
	{"buildpacks", "buildpacks ", "io.buildpacks.build.metadata", "the application's source and project.toml"},
	{"nix", "store paths:", "", "the Nix expression"},
	{"chainguard", "", "dev.chainguard.package.main", "the apko configuration (YAML)"},
}

// Builder is what made an image.
type Builder struct {
	Name       string // docker, buildkit, kaniko, jib, ko, apko, bazel, buildpacks, nix, import, "" unknown
	Dockerfile bool   // whether it reads a Dockerfile
	Source     string // what to look at where there is no Dockerfile
}

// RecogniseBuilder says what made the part of an image that the steps tell of.
func RecogniseBuilder(steps []Step, labels map[string]string) Builder {
	legacy, buildkit, text := 0, 0, 0
	for _, step := range steps {
		switch step.Dialect {
		case DialectLegacy:
			legacy++
		case DialectBuildKit:
			buildkit++
		case DialectText:
			text++
		}
	}
	// The newest entries tell who built the image; older ones are the base's.
	for i := len(steps) - 1; i >= 0; i-- {
		if steps[i].Dialect != DialectUnknown {
			break
		}
		low := strings.ToLower(steps[i].Raw)
		for _, b := range builders {
			if b.history != "" && strings.HasPrefix(low, b.history) {
				return Builder{Name: b.name, Source: b.source}
			}
		}
		if strings.HasPrefix(steps[i].Comment, "Imported from") || strings.HasPrefix(low, "imported from") {
			return Builder{Name: "import", Source: "the archive that was imported"}
		}
	}
	for _, b := range builders {
		if _, ok := labels[b.label]; ok && b.label != "" {
			return Builder{Name: b.name, Source: b.source}
		}
	}
	switch {
	case buildkit > 0 && steps[len(steps)-1].Dialect == DialectBuildKit:
		return Builder{Name: "buildkit", Dockerfile: true}
	case legacy > 0 && steps[len(steps)-1].Dialect == DialectLegacy:
		return Builder{Name: "docker", Dockerfile: true}
	case text > 0 && steps[len(steps)-1].Dialect == DialectText:
		return Builder{Name: "kaniko", Dockerfile: true}
	}
	return Builder{Dockerfile: buildkit+legacy+text > 0}
}

// sameDest says whether a destination as one side writes it is the other's: one
// may be relative to the work folder.
func sameDest(a, b string) bool {
	if a == b {
		return true
	}
	a, b = path.Clean("/"+a), path.Clean("/"+b)
	return a == b || len(a) > 1 && strings.HasSuffix(b, a) || len(b) > 1 && strings.HasSuffix(a, b)
}
