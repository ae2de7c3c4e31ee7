package advice

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/code/dockerfile"
)

func TestATagIsTakenApart(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]string{
		"3.11.4-slim-bookworm":    "3.11.4 [3 11 4] [slim] debian[12]",
		"1.20.1-alpine3.16":       "1.20.1 [1 20 1] [] alpine[3 16]",
		"17.0.6_10-jre-focal":     "17.0.6_10 [17 0 6 10] [jre] ubuntu[20 4]",
		"v1.38.3":                 "1.38.3 [1 38 3] [] []",
		"slim-2.8.2-python3.11":   "2.8.2 [2 8 2] [python3.11 slim] []",
		"bullseye-20230411-slim":  " [11] [slim] debian[11] 20230411",
		"bookworm-slim":           " [12] [slim] debian[12]",
		"22.04":                   "22.04 [22 4] [] []",
		"8.7-1054":                "8.7 [8 7] [] [] 1054",
		"7.0.8-alpine3.18-amd64":  "7.0.8 [7 0 8] [amd64] alpine[3 18]",
		"ltsc2022":                " [2022] [] [2022]",
		"3.13.0rc1-slim":          "3.13.0rc1 [3 13 0] [slim] [] pre",
		"1.2-rc.1":                "1.2 [1 2] [] [] pre",
		"latest":                  " [] [latest] []",
		"nonroot":                 " [] [nonroot] []",
		"9f8e7d6":                 " [] [9f8e7d6] []",
		"":                        " [] [] []",
		"22.04_stable":            " [] [22.04_stable] []",
		strings.Repeat("9", 1000): " [] [] [] " + strings.Repeat("9", 128),
	} {
		got := ParseTag(tag)
		text := got.Version + " " + strings.ReplaceAll(strings.Join([]string{show(got.Numbers), "[" + strings.Trim(strings.Join(got.Variant, " "), " ") + "]"}, " "), "  ", " ") + " " + got.Distro + show(got.Release)
		if got.Date != "" {
			text += " " + got.Date
		}
		if got.Pre {
			text += " pre"
		}
		if text != want {
			t.Errorf("%s is taken apart as %q, expected %q", tag, text, want)
		}
	}
}

func show(list []int) string {
	var words []string
	for _, n := range list {
		words = append(words, itoa(n))
	}
	return "[" + strings.Join(words, " ") + "]"
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

func TestFamiliesStayApart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"3.11-slim", "3.12-slim", true},
		{"3.11-slim", "3.11-slim-bookworm", true},
		{"3.11", "3.11-slim", false},
		{"3.11", "3.11-alpine", false},
		{"1.20-alpine3.16", "1.21-alpine3.18", true},
		{"17-jre", "17-jdk", false},
		{"2.8-python3.11", "2.9-python3.12", false},
		{"1.22-bookworm", "1.22-bullseye", true},
		{"20-jammy", "20-bookworm", false},
		{"22.04", "jammy", true},
	} {
		if got := SameFamily(ParseTag(c.a), ParseTag(c.b)); got != c.want {
			t.Errorf("%s and %s are of one family: %v, expected %v", c.a, c.b, got, c.want)
		}
	}
}

func TestTheNewestOfEachStepIsChosen(t *testing.T) {
	t.Parallel()
	known := func(names ...string) []Known {
		var list []Known
		for _, name := range names {
			release := strings.HasPrefix(name, "=")
			list = append(list, Known{Name: strings.TrimPrefix(name, "="), Release: release, Source: "test"})
		}
		return list
	}
	for _, c := range []struct {
		now   string
		known []Known
		want  string // patch minor next newer
	}{
		{"3.11.4-slim", known("3.11.5-slim", "3.11.9-slim", "3.11.10-slim", "3.11.12", "3.12.1-slim", "3.13.0rc1-slim", "4.0.1-slim"), "3.11.10-slim 3.12.1-slim 4.0.1-slim 4.0.1-slim"},
		{"3.11-slim", known("3.12-slim", "3.13.1-slim", "3.13.1"), "- 3.12-slim - 3.12-slim"},
		{"3.11-slim", known("3.13.1-slim", "3.13.1"), "- 3.13-slim? - 3.13-slim?"},
		{"bookworm-slim", known("=12", "=13"), "- - trixie-slim? trixie-slim?"},
		{"20", known("18", "22", "24", "latest", "22.1.0"), "- - 22 24"},
		{"1.20.1-alpine3.16", known("1.20.5-alpine3.17", "1.20.5-alpine3.18", "1.20.4-alpine3.16", "1.20.5-alpine"), "1.20.5-alpine3.18 - - 1.20.5-alpine3.18"},
		{"1.19.3-alpine", known("=1.19.13", "=1.20.14"), "1.19.13-alpine? 1.20.14-alpine? - 1.20.14-alpine?"},
		{"bullseye-20230411-slim", known("bullseye-20230502-slim", "bullseye-20230612", "bookworm-20230612-slim"), "bullseye-20230502-slim - bookworm-20230612-slim bookworm-20230612-slim"},
		{"bookworm", known("trixie", "bullseye", "12"), "- - trixie trixie"},
		{"v1.38.3", known("v1.38.4", "1.38.9", "v1.39.0"), "v1.38.4 v1.39.0 - v1.39.0"},
		{"2.0", known("1.9", "2.0"), "- - - -"},
		{"latest", known("1.0", "2.0"), "- - - -"},
		{"nonroot", known("nonroot", "debug"), "- - - -"},
	} {
		got := Choose(c.now, c.known)
		var words []string
		for _, one := range []*Choice{got.Patch, got.Minor, got.Next, got.Newer} {
			switch {
			case one == nil:
				words = append(words, "-")
			case one.Listed:
				words = append(words, one.Tag)
			default:
				words = append(words, one.Tag+"?")
			}
		}
		if text := strings.Join(words, " "); text != c.want {
			t.Errorf("%s leads to %s, expected %s", c.now, text, c.want)
		}
		reversed := slices.Clone(c.known)
		slices.Reverse(reversed)
		if diff := cmp.Diff(len(got.All()), len(func() []*Choice { x := Choose(c.now, reversed); return x.All() }())); diff != "" {
			t.Errorf("%s: the order of what is known matters: %s", c.now, diff)
		}
	}
}

func TestOtherFamiliesHoldLess(t *testing.T) {
	t.Parallel()
	var names []string
	for _, c := range Others("3.11.4", []Known{{Name: "3.11.4-slim"}, {Name: "3.11.5-slim-bookworm"}, {Name: "3.11.4-alpine3.18"}, {Name: "3.11.4-alpine"}, {Name: "3.12.0-alpine"}, {Name: "3.11.3-slim"}}) {
		names = append(names, c.Tag)
	}
	if diff := cmp.Diff([]string{"3.11.5-slim-bookworm", "3.11.4-alpine3.18"}, names); diff != "" {
		t.Error(diff)
	}
	if got := Others("3.11-alpine", []Known{{Name: "3.11-slim"}}); len(got) > 0 {
		t.Errorf("alpine is left for %v", got)
	}
}

func TestTheHardenedEquivalentFollowsRules(t *testing.T) {
	t.Parallel()
	catalogue := &Catalogue{Prefix: "hardened.test/acme"}
	for _, c := range []struct {
		registry, repository, tag string
		dev                       bool
		want                      string
	}{
		{"docker.io", "library/golang", "1.22.3-alpine", true, "hardened.test/acme/go:1.22-dev"},
		{"docker.io", "library/node", "${V}-slim", true, "hardened.test/acme/node:${V}-dev"},
		{"docker.io", "library/python", "", false, "hardened.test/acme/python:latest"},
		{"docker.io", "library/eclipse-temurin", "17-jre-jammy", false, "hardened.test/acme/jre:17"},
		{"public.ecr.aws", "docker/library/ruby", "3.3.0-bullseye", false, "hardened.test/acme/ruby:3.3"},
		{"docker.io", "library/ubuntu", "22.04", true, "hardened.test/acme/base:latest"},
		{"gcr.io", "distroless/nodejs20-debian12", "nonroot", false, "hardened.test/acme/node:latest"},
		{"registry.access.redhat.com", "ubi9/python-311", "1", false, "hardened.test/acme/python:1"},
		{"quay.io", "acme/shop", "1.2", false, ""},
		{"hardened.test", "acme/go", "1.22", false, ""},
	} {
		got, ok := catalogue.For(c.registry, c.repository, c.tag, c.dev)
		text := ""
		if ok {
			text = got.Image + ":" + got.Tag
		}
		if text != c.want {
			t.Errorf("%s/%s:%s leads to %q, expected %q", c.registry, c.repository, c.tag, text, c.want)
		}
	}
	if _, ok := (&Catalogue{}).For("docker.io", "library/node", "20", false); ok {
		t.Error("without a catalogue there is an equivalent")
	}
}

func converted(t testing.TB, text string) (string, Conversion) {
	t.Helper()
	file, err := dockerfile.Parse("Dockerfile", []byte(text))
	if err != nil {
		t.Skip(err)
	}
	c := Convert(file, dockerfile.NewText([]byte(text), file), &Catalogue{Prefix: "h.test"})
	var b strings.Builder
	last := 0
	for _, e := range c.Edits {
		if e.Start < last || e.End > len(text) {
			t.Fatalf("edit of bytes %d to %d behind byte %d", e.Start, e.End, last)
		}
		b.WriteString(text[last:e.Start] + e.New)
		last = e.End
	}
	return b.String() + text[last:], c
}

func TestADockerfileIsConverted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ before, after string }{
		"packages":             {"FROM debian:12\nRUN apt-get update && apt-get install -y b=1.2 a # why\nUSER x", "FROM h.test/base:latest\nUSER root\nRUN apk add --no-cache a b # why\nUSER x"},
		"CRLF":                 {"FROM debian:12\r\nRUN apt-get update && \\\r\n  apt-get install -y a && \\\r\n  make\r\n", "FROM h.test/base:latest\r\nUSER root\r\nRUN apk add --no-cache a && \\\r\n    make\r\n"},
		"root already":         {"FROM debian:12\nUSER root\nRUN apt-get install -y a", "FROM h.test/base:latest\nUSER root\nRUN apk add --no-cache a"},
		"accounts":             {"FROM debian:12\nRUN groupadd -r -g 10 g && useradd --uid 10 -g g -s /bin/false -M u", "FROM h.test/base:latest\nRUN addgroup -S -g 10 g && adduser -D -u 10 -G g -s /bin/false -H u"},
		"an unknown option":    {"FROM debian:12\nRUN useradd --badname u", "FROM h.test/base:latest\nRUN useradd --badname u"},
		"a condition":          {"FROM debian:12\nRUN if x; then apt-get install -y a; fi", "FROM h.test/base:latest\nUSER root\nRUN if x; then apk add --no-cache a; fi"},
		"a heredoc":            {"FROM debian:12\nRUN <<EOF\napt-get update\napt-get install -y a\nEOF\n", "FROM h.test/base:latest\nUSER root\nRUN <<EOF\ntrue\napk add --no-cache a\nEOF\n"},
		"other makers' images": {"FROM quay.io/a/b:1\nRUN apt-get update", "FROM quay.io/a/b:1\nRUN apt-get update"},
		"scratch":              {"FROM scratch\nCOPY a /a\n", "FROM scratch\nCOPY a /a\n"},
		"a stage on a stage":   {"FROM golang:1.22 AS a\nFROM a AS b\nRUN x\nFROM --platform=$P gcr.io/distroless/static\nCOPY --from=b /a /a", "FROM h.test/go:1.22-dev AS a\nFROM a AS b\nRUN x\nFROM --platform=$P h.test/static:latest\nCOPY --from=b /a /a"},
		"nothing but updates":  {"FROM debian:12\nRUN apt-get update; apt-get clean\n", "FROM h.test/base:latest\nUSER root\nRUN true\n"},
		"small letters":        {"from node:20 as a\n", "from h.test/node:20 as a\n"},
	} {
		got, _ := converted(t, c.before)
		if diff := cmp.Diff(c.after, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestWhatIsLeftToPeopleIsNoted(t *testing.T) {
	t.Parallel()
	_, c := converted(t, "ARG B\nFROM ${B}\nFROM quay.io/a/b:1\nFROM debian:12\nRUN apt-get install -y $X\nRUN useradd --badname u\n")
	for _, want := range []string{"line 2: which image", "line 3: no equivalent", "line 5: the names of packages", "line 6: what --badname", "as root"} {
		if !slices.ContainsFunc(c.Notes, func(note string) bool { return strings.Contains(note, want) }) {
			t.Errorf("no note about %q in %q", want, c.Notes)
		}
	}
}

func FuzzConvert(f *testing.F) {
	for _, seed := range []string{"FROM debian:12\nRUN apt-get update && apt-get install a | b\n", "from node as a\nRUN useradd -u 1 x || (yum install y)\n", "FROM a:${B:-1}\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got, _ := converted(t, text); !strings.HasSuffix(got, "\n") && strings.HasSuffix(text, "\n") {
			t.Error("the last line lost its end")
		}
	})
}
