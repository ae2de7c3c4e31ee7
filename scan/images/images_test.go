package images

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fact"
)

// held are images by reference with their packages, written "name version".
type held map[string][]string

func (h held) Packages(_ context.Context, reference string) ([]fact.Package, bool, error) {
	if reference == "broken:1" {
		return nil, false, errors.New("the layer is damaged")
	}
	list, ok := h[reference]
	var packages []fact.Package
	for _, text := range list {
		name, version, _ := strings.Cut(text, " ")
		packages = append(packages, fact.Package{Ecosystem: "Debian:12", Name: name, Version: version})
	}
	return packages, ok, nil
}

// flaws are advisories by package: affected up to a version, "" for one without a fix.
type flaws map[string]string

func (f flaws) Affecting(pkg fact.Package) ([]fact.Advisory, error) {
	fixed, ok := f[pkg.Name]
	if !ok || fixed != "" && pkg.Version >= fixed {
		return nil, nil
	}
	a := fact.Advisory{ID: "CVE-" + pkg.Name, Severity: fact.SeverityHigh, Affected: []fact.Affected{{Ecosystem: pkg.Ecosystem, Name: pkg.Name, Ranges: []fact.Range{{Type: "ECOSYSTEM", Events: []fact.RangeEvent{{Introduced: "0"}}}}}}}
	if fixed != "" {
		a.Affected[0].Ranges[0].Events = append(a.Affected[0].Ranges[0].Events, fact.RangeEvent{Fixed: fixed})
	}
	return []fact.Advisory{a}, nil
}

func (flaws) Digest() string { return "sha256:0" }

var (
	bases = held{"debian:12.1": {"openssl 1", "zlib 1", "perl 1"}, "debian:12.2": {"openssl 2", "zlib 1", "perl 1"}, "debian:12.1-slim": {"openssl 1"}}
	known = flaws{"openssl": "2", "zlib": ""}
)

func seen(t *testing.T, text string) (found []string, problems []string) {
	t.Helper()
	list, err := New(bases, known).Scan(context.Background(), code.Files{"Dockerfile": []byte(text)}, func(f fact.Finding) error {
		found = append(found, fmt.Sprintf("%s %s %s:%d %s", f.Rule, f.Package.Version, f.Path, f.Line, f.Attributes["object"]))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		problems = append(problems, p.Text)
	}
	slices.Sort(found)
	return found, problems
}

func TestTheLastStageTakesOverWhatItsBaseHolds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"base":                      {"FROM debian:12.1\n", []string{"CVE-openssl 1 Dockerfile:1 Dockerfile#0", "CVE-zlib 1 Dockerfile:1 Dockerfile#0"}},
		"newer base":                {"FROM debian:12.2\n", []string{"CVE-zlib 1 Dockerfile:1 Dockerfile#0"}},
		"builder is left out":       {"FROM debian:12.1 AS b\nFROM scratch\nCOPY --from=b /a /a\n", nil},
		"through a stage":           {"ARG T=12.1\nFROM debian:${T} AS b\nFROM b AS web\nRUN x\n", []string{"CVE-openssl 1 Dockerfile:2 Dockerfile#web", "CVE-zlib 1 Dockerfile:2 Dockerfile#web"}},
		"upgraded by name":          {"FROM debian:12.1\nRUN apt-get update && apt-get install -y --only-upgrade openssl zlib\n", []string{"CVE-zlib 1 Dockerfile:1 Dockerfile#0"}},
		"upgraded as a whole":       {"FROM debian:12.1\nRUN apt-get update && apt-get upgrade -y\n", []string{"CVE-zlib 1 Dockerfile:1 Dockerfile#0"}},
		"pinned to a flawed one":    {"FROM debian:12.1\nRUN apt-get install -y openssl=1\n", []string{"CVE-openssl 1 Dockerfile:1 Dockerfile#0", "CVE-zlib 1 Dockerfile:1 Dockerfile#0"}},
		"pinned to the fixed one":   {"FROM debian:12.1\nRUN apt-get install -y openssl=2\n", []string{"CVE-zlib 1 Dockerfile:1 Dockerfile#0"}},
		"removed":                   {"FROM debian:12.1\nRUN apt-get purge -y zlib openssl:amd64\n", nil},
		"only the lists":            {"FROM debian:12.1\nRUN apt-get update\n", []string{"CVE-openssl 1 Dockerfile:1 Dockerfile#0", "CVE-zlib 1 Dockerfile:1 Dockerfile#0"}},
		"an upgrade in a comment":   {"FROM debian:12.1\n# RUN apt-get upgrade -y\nRUN echo 'apt-get upgrade -y'\n", []string{"CVE-openssl 1 Dockerfile:1 Dockerfile#0", "CVE-zlib 1 Dockerfile:1 Dockerfile#0"}},
		"an upgrade in the builder": {"FROM debian:12.1 AS b\nRUN apt-get upgrade -y\nFROM debian:12.1-slim\n", []string{"CVE-openssl 1 Dockerfile:3 Dockerfile#1"}},
	} {
		got, problems := seen(t, c.text)
		if diff := cmp.Diff(c.want, got); diff != "" || len(problems) > 0 {
			t.Errorf("%s: %s, problems %q", name, diff, problems)
		}
	}
}

func TestABaseThatIsNotKnownIsAProblemAndNeverSilence(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"FROM nobody:1\n":           "settles it",
		"ARG X\nFROM debian:${X}\n": "which has no default",
		"FROM broken:1\n":           "damaged",
	} {
		found, problems := seen(t, text)
		if len(found) > 0 || len(problems) != 1 || !strings.Contains(problems[0], want) {
			t.Errorf("%q gives %q and %q, expected a problem with %q", text, found, problems, want)
		}
	}
}
