package fix_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/fix/fixtest"
)

func events(id, ecosystem, name string, events ...fact.RangeEvent) fact.Advisory {
	return fact.Advisory{ID: id, Affected: []fact.Affected{{
		Ecosystem: ecosystem, Name: name, Ranges: []fact.Range{{Type: "ECOSYSTEM", Events: events}},
	}}}
}

func TestTheLowestVersionThatClosesEverythingAndBringsNothingIsChosen(t *testing.T) {
	t.Parallel()
	flaw := fixtest.Flaw
	for _, test := range []struct {
		name       string
		advisories fixtest.Advisories
		need       fix.Need
		want       fix.Choice
	}{
		{
			"not only what was asked is closed",
			fixtest.Advisories{flaw("A", "npm", "p", "0", "1.2.0"), flaw("B", "npm", "p", "0", "1.4.0")},
			fix.Need{Package: fact.Package{Ecosystem: "npm", Name: "p", Version: "1.0.0"}, Close: []string{"A"}},
			fix.Choice{Version: "1.4.0", Closes: []string{"A"}},
		},
		{
			"a version that another flaw affects is passed over",
			fixtest.Advisories{flaw("A", "npm", "p", "0", "1.2.0"), flaw("B", "npm", "p", "1.1.0", "1.3.5")},
			fix.Need{Package: fact.Package{Ecosystem: "npm", Name: "p", Version: "1.0.0"}, Close: []string{"A"}},
			fix.Choice{Version: "1.3.5", Closes: []string{"A"}},
		},
		{
			"the fix of the present branch comes before those of later ones",
			fixtest.Advisories{events("A", "npm", "p", fact.RangeEvent{Introduced: "0"}, fact.RangeEvent{Fixed: "1.2.9"}, fact.RangeEvent{Introduced: "2.0.0"}, fact.RangeEvent{Fixed: "2.1.1"})},
			fix.Need{Package: fact.Package{Ecosystem: "npm", Name: "p", Version: "1.2.0"}},
			fix.Choice{Version: "1.2.9", Closes: []string{"A"}},
		},
		{
			"what has no fix stays and is said",
			fixtest.Advisories{flaw("A", "npm", "p", "0", "1.2.0"), flaw("B", "npm", "p", "0", "")},
			fix.Need{Package: fact.Package{Ecosystem: "npm", Name: "p", Version: "1.0.0"}, Close: []string{"A"}},
			fix.Choice{Version: "1.2.0", Closes: []string{"A"}, Residual: []string{"B"}},
		},
		{
			"an alias is as good as an id",
			fixtest.Advisories{{ID: "GHSA-1", Aliases: []string{"CVE-1"}, Affected: flaw("", "npm", "p", "0", "1.2.0").Affected}},
			fix.Need{Package: fact.Package{Ecosystem: "npm", Name: "p", Version: "1.0.0"}, Close: []string{"CVE-1"}},
			fix.Choice{Version: "1.2.0", Closes: []string{"CVE-1"}},
		},
		{
			"after a last affected version comes the next that exists",
			fixtest.Advisories{events("A", "npm", "p", fact.RangeEvent{Introduced: "0"}, fact.RangeEvent{LastAffected: "1.2.0"})},
			fix.Need{Package: fact.Package{Ecosystem: "npm", Name: "p", Version: "1.0.0"}, Known: []string{"1.0.0", "2.0.0", "1.2.0", "1.3.0-rc.1", "1.3.0"}},
			fix.Choice{Version: "1.3.0", Closes: []string{"A"}},
		},
		{
			"a fixed version that does not exist stands for the next that does",
			fixtest.Advisories{flaw("A", "npm", "p", "0", "1.2.0")},
			fix.Need{Package: fact.Package{Ecosystem: "npm", Name: "p", Version: "1.0.0"}, Known: []string{"1.0.0", "1.2.1", "1.2.2"}},
			fix.Choice{Version: "1.2.1", Closes: []string{"A"}},
		},
		{
			"a pre-release stands for its release",
			fixtest.Advisories{flaw("A", "Go", "example.org/p", "0", "1.2.0-alpha.3")},
			fix.Need{Package: fact.Package{Ecosystem: "Go", Name: "example.org/p", Version: "v1.1.0"}},
			fix.Choice{Version: "v1.2.0", Closes: []string{"A"}},
		},
		{
			"an untagged commit before the first tag is kept",
			fixtest.Advisories{flaw("A", "Go", "example.org/p", "0", "0.0.0-20220906165146-f3363e06e74c")},
			fix.Need{Package: fact.Package{Ecosystem: "Go", Name: "example.org/p", Version: "v0.0.0-20210421230115-4e50805a0758"}},
			fix.Choice{Version: "v0.0.0-20220906165146-f3363e06e74c", Closes: []string{"A"}},
		},
		{
			"a major version without a path of its own is incompatible",
			fixtest.Advisories{flaw("A", "Go", "example.org/p", "0", "20.10.9")},
			fix.Need{Package: fact.Package{Ecosystem: "Go", Name: "example.org/p", Version: "v20.10.7+incompatible"}},
			fix.Choice{Version: "v20.10.9+incompatible", Closes: []string{"A"}},
		},
		{
			"constraints are heeded",
			fixtest.Advisories{flaw("A", "npm", "p", "0", "1.2.0"), flaw("B", "npm", "p", "0", "2.0.0")},
			fix.Need{
				Package: fact.Package{Ecosystem: "npm", Name: "p", Version: "1.0.0"},
				Admits:  func(version string) bool { return strings.HasPrefix(version, "1.") },
			},
			fix.Choice{Version: "1.2.0", Closes: []string{"A"}, Open: []string{"B"}, Residual: []string{"B"}},
		},
	} {
		got, err := fix.Choose(test.advisories, test.need)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		} else if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s:\n%s", test.name, diff)
		}
	}
}

func TestWithoutAFixThereIsNoVersion(t *testing.T) {
	t.Parallel()
	_, err := fix.Choose(fixtest.Advisories{fixtest.Flaw("A", "npm", "p", "0", "")}, fix.Need{Package: fact.Package{Ecosystem: "npm", Name: "p", Version: "1.0.0"}})
	if !errors.Is(err, fix.ErrNoVersion) {
		t.Errorf("Choose() = %v, expected ErrNoVersion", err)
	}
}

func TestAPackageThatNothingAffectsNeedsNoVersion(t *testing.T) {
	t.Parallel()
	_, err := fix.Choose(fixtest.Advisories{fixtest.Flaw("A", "npm", "p", "0", "1.2.0")}, fix.Need{Package: fact.Package{Ecosystem: "npm", Name: "p", Version: "1.2.0"}})
	if !errors.Is(err, fix.ErrNotAffected) {
		t.Errorf("Choose() = %v, expected ErrNotAffected", err)
	}
}

func FuzzChooseNeverLowersAVersion(f *testing.F) {
	f.Add("1.0.0", "1.2.0", "1.1.0", "1.3.0")
	f.Add("1.0.0-rc.1", "1.0.0", "0", "2.0.0-0")
	f.Add("v0.0.0-20210421230115-4e50805a0758", "0.1.1-0.20221104162952-702349b0e862", "0", "0.7.0")
	f.Fuzz(func(t *testing.T, from, fixed, introduced, other string) {
		for _, ecosystem := range []string{"Go", "npm", "PyPI"} {
			advisories := fixtest.Advisories{
				fixtest.Flaw("A", ecosystem, "example.org/p", "0", fixed),
				fixtest.Flaw("B", ecosystem, "example.org/p", introduced, other),
			}
			choice, err := fix.Choose(advisories, fix.Need{Package: fact.Package{Ecosystem: ecosystem, Name: "example.org/p", Version: from}})
			if err != nil {
				continue
			}
			if order, err := advisories.Compare(ecosystem, choice.Version, from); err != nil || order <= 0 {
				t.Errorf("%s: %q goes to %q (%d, %v)", ecosystem, from, choice.Version, order, err)
			}
		}
	})
}

func module(ecosystem string, packages ...string) *lockfile.Module {
	m := &lockfile.Module{Ecosystem: ecosystem}
	for _, p := range packages {
		at := strings.LastIndex(p, "@")
		m.Packages = append(m.Packages, lockfile.Package{Name: p[:at], Version: p[at+1:], Direct: true})
	}
	return m
}

func TestPackagesOfOneFamilyAndVersionAreInLockstep(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		m    *lockfile.Module
		want []string
	}{
		{"three of a scope", module("npm", "@s/a@1.0.0", "@s/b@1.0.0", "@s/c@1.0.0", "@s/d@2.0.0"), []string{"@s/b", "@s/c"}},
		{"two of a scope that has others", module("npm", "@s/a@1.0.0", "@s/b@1.0.0", "@s/c@3.0.0"), nil},
		{"the whole of a scope", module("npm", "@s/a@1.0.0", "@s/b@1.0.0"), []string{"@s/b"}},
		{"a host of its own", module("Go", "obs.example/otel@v1.4.0", "obs.example/otel/sdk@v1.4.0", "obs.example/otel/trace@v1.4.0", "obs.example/contrib@v0.3.0"), []string{"obs.example/otel/sdk", "obs.example/otel/trace"}},
		{"a repository on a forge", module("Go", "github.com/o/r/a@v1.4.0", "github.com/o/r/b@v1.4.0"), []string{"github.com/o/r/b"}},
		{"neighbours on a forge", module("Go", "github.com/o/a@v1.4.0", "github.com/o/b@v1.4.0"), nil},
		{"no scope", module("npm", "a@1.0.0", "b@1.0.0"), nil},
	} {
		var got []string
		for _, c := range fix.Lockstep(test.m, 0) {
			got = append(got, test.m.Packages[c.Package].Name)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: in lockstep with %q, expected %q", test.name, got, test.want)
		}
	}
}

func TestCompanionsAreAligned(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name       string
		m          *lockfile.Module
		advisories fixtest.Advisories
		want       string
	}{
		{
			"lockstep: the highest need of the family",
			module("Go", "obs.example/otel@v1.40.0", "obs.example/otel/sdk@v1.40.0"),
			fixtest.Advisories{fixtest.Flaw("A", "Go", "obs.example/otel", "0", "1.41.0"), fixtest.Flaw("B", "Go", "obs.example/otel/sdk", "0", "1.43.0")},
			"v1.43.0",
		},
		{
			"train: as many releases as the furthest",
			module("Go", "lang.example/x/crypto@v0.32.0", "lang.example/x/net@v0.34.0", "lang.example/x/exp@v0.0.0-20210421230115-4e50805a0758"),
			fixtest.Advisories{fixtest.Flaw("A", "Go", "lang.example/x/crypto", "0", "0.35.0"), fixtest.Flaw("B", "Go", "lang.example/x/net", "0", "0.38.0")},
			"v0.36.0",
		},
		{
			"no train: a member has tagged a patch",
			module("Go", "lang.example/x/crypto@v0.32.0", "lang.example/x/net@v0.34.0", "lang.example/x/tools@v0.1.1"),
			fixtest.Advisories{fixtest.Flaw("A", "Go", "lang.example/x/crypto", "0", "0.35.0"), fixtest.Flaw("B", "Go", "lang.example/x/net", "0", "0.38.0")},
			"v0.35.0",
		},
		{
			"train: an untagged commit leads to the next release",
			module("Go", "lang.example/x/net@v0.1.0", "lang.example/x/text@v0.4.0"),
			fixtest.Advisories{fixtest.Flaw("A", "Go", "lang.example/x/net", "0", "0.1.1-0.20221104162952-702349b0e862")},
			"v0.2.0",
		},
	} {
		got, err := fix.Pick(&fix.Target{Module: test.m, Advisories: test.advisories}, nil)
		if err != nil || got.Version != test.want {
			t.Errorf("%s: Pick() = %s, %v, expected %s", test.name, got.Version, err, test.want)
		}
	}
}

func TestThePathWithTheLeastResidualRiskAtTheLeastEffortIsRecommended(t *testing.T) {
	t.Parallel()
	clean := fix.Path{ID: "a", Kind: fix.RaiseDirect, Risk: fix.RiskMinor, Effort: fix.EffortSmall, Closes: []string{"1"}, Changes: make([]fix.Change, 1)}
	change := func(edit func(*fix.Path)) fix.Path {
		p := clean
		p.ID = "b"
		edit(&p)
		return p
	}
	for _, test := range []struct {
		name   string
		loser  fix.Path
		reason string
	}{
		{"residual", change(func(p *fix.Path) { p.Residual, p.Risk = []string{"CVE-1"}, fix.RiskPatch }), "leaves CVE-1"},
		{"brings", change(func(p *fix.Path) { p.Brings = []string{"CVE-1", "CVE-2", "CVE-3", "CVE-4", "CVE-5"} }), "brings CVE-1, CVE-2, CVE-3 and 2 more"},
		{"closes less", change(func(p *fix.Path) { p.Closes = nil }), "closes 0 where 1 can be closed"},
		{"override", change(func(p *fix.Path) { p.Temporary, p.Risk = true, fix.RiskPatch }), "an override works against what the dependency asked for and has to be taken back later"},
		{"major", change(func(p *fix.Path) { p.Risk = fix.RiskMajor }), `a step of risk "major" where "minor" will do`},
		{"effort", change(func(p *fix.Path) { p.Effort = fix.EffortLarge }), "more work: large where small will do"},
		{"changes", change(func(p *fix.Path) { p.Changes = make([]fix.Change, 2) }), "moves 2 packages where 1 will do"},
		{"kind", change(func(p *fix.Path) { p.Kind = fix.RaiseAncestor }), "equal otherwise; raise direct is the more ordinary way"},
		{"tie", change(func(*fix.Path) {}), "equal to the recommended path; listed after it by name"},
	} {
		got := fix.Compare([]fix.Path{test.loser, clean})
		if got[0].ID != "a" || !got[0].Recommended || got[1].Recommended || got[1].Reason != test.reason {
			t.Errorf("%s: recommended %s; the other: %q, expected %q", test.name, got[0].ID, got[1].Reason, test.reason)
		}
		if want := "closes 1; leaves nothing known and brings nothing new; minor step, small effort"; got[0].Reason != want {
			t.Errorf("%s: recommended because %q, expected %q", test.name, got[0].Reason, want)
		}
	}
	major := change(func(p *fix.Path) { p.Risk = fix.RiskMajor })
	override := change(func(p *fix.Path) { p.ID, p.Temporary = "c", true })
	if got := fix.Compare([]fix.Path{major, override}); got[0].ID != "c" {
		t.Errorf("recommended a major step over an override")
	}
}

func TestOneChangeThatClosesManyIsOnePath(t *testing.T) {
	t.Parallel()
	path := func(closes, to string) fix.Path {
		return fix.Path{Fixer: "f", Module: "m", Kind: fix.RaiseDirect, Risk: fix.RiskPatch, Closes: []string{closes}, Findings: 1, Changes: []fix.Change{{Package: "p", To: to}}}
	}
	elsewhere := path("c", "1.2.0")
	elsewhere.Steps = []fix.Step{{Location: fix.At("other.txt", 1, 1)}}
	got := fix.Group([]fix.Path{path("b", "1.2.0"), path("x", "2.0.0"), path("a", "1.2.0"), elsewhere})
	if len(got) != 3 || got[0].Findings != 2 || !slices.Equal(got[0].Closes, []string{"a", "b"}) || !slices.Equal(got[1].Closes, []string{"x"}) {
		t.Errorf("Group() = %+v", got)
	}
}

func TestDifferentEditsOfOneFileAreDifferentChanges(t *testing.T) {
	t.Parallel()
	edit := func(closes, old, text string) fix.Path {
		data := []byte("a: 1\nb: 1\n")
		at := strings.Index(string(data), old)
		return fix.Path{Fixer: "f", Kind: fix.EditValue, Closes: []string{closes}, Findings: 1, Steps: []fix.Step{{Location: fix.At("v.yaml", 1, 1)}}, Edits: []fix.FileEdit{fix.NewFileEdit("v.yaml", data, at, at+len(old), text)}}
	}
	hand := func(id, closes string) fix.Path {
		return fix.Path{ID: id, Fixer: "f", Kind: fix.EditSource, Manual: true, Closes: []string{closes}, Steps: []fix.Step{{Location: fix.At("v.yaml", 1, 1)}}}
	}
	got := fix.Group([]fix.Path{edit("i1", "a: 1", "a: 2"), edit("i2", "b: 1", "b: 2"), edit("i3", "a: 1", "a: 3"), edit("i4", "a: 1", "a: 2"), hand("x", "i1"), hand("y", "i2")})
	if len(got) != 5 || !slices.Equal(got[0].Closes, []string{"i1", "i4"}) {
		t.Errorf("%d changes, expected 5: %+v", len(got), got)
	}
}

func TestSpliceTouchesNothingElse(t *testing.T) {
	t.Parallel()
	data := []byte("a = 1\r\nb = 2\n")
	got, err := fix.Splice(data, fix.Edit{Start: 11, End: 12, Old: "2", New: "20"}, fix.Edit{Start: 4, End: 5, Old: "1", New: "10"})
	if err != nil || string(got) != "a = 10\r\nb = 20\n" {
		t.Errorf("Splice() = %q, %v", got, err)
	}
	for _, edits := range [][]fix.Edit{
		{{Start: 4, End: 5, Old: "2"}},
		{{Start: 4, End: 50, Old: "1"}},
		{{Start: 5, End: 4}},
		{{Start: -1, End: 0}},
		{{Start: 0, End: 3, Old: "a ="}, {Start: 2, End: 4, Old: "= "}},
	} {
		if got, err := fix.Splice(data, edits...); err == nil {
			t.Errorf("Splice(%+v) = %q, expected an error", edits, got)
		}
	}
}

func TestDistanceIsThatOfSemanticVersions(t *testing.T) {
	t.Parallel()
	for _, test := range [][3]string{
		{"1.2.3", "1.2.4", "patch"}, {"v1.2.3", "v1.3.0", "minor"}, {"1.2", "2.0", "major"}, {"0.3.1", "0.4.0", "minor"},
		{"v0.0.0-20210421230115-4e50805a0758", "v0.7.0", "unknown"}, {"v17.12.0-ce-rc1+incompatible", "v20.10.9+incompatible", "major"}, {"latest", "1.0", "unknown"},
	} {
		if got := fix.Distance(test[0], test[1]); got != test[2] {
			t.Errorf("Distance(%s, %s) = %s, expected %s", test[0], test[1], got, test[2])
		}
	}
}

func TestAToolSeesNoCredentialAndEndsWhenCancelled(t *testing.T) {
	bin := t.TempDir()
	script := "#!/bin/sh\nif [ \"$1\" = wait ]; then sleep 600 & echo $! > \"$HOME/child\"; wait; fi\nenv\nprintf '\\033[31mhttps://user:pass@example.org/x\\033[0m\\n' >&2\nexit 3\n"
	if err := os.WriteFile(filepath.Join(bin, "probe"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("SOME_TOKEN", "canary")
	t.Setenv("HTTPS_PROXY", "http://someone:canary@proxy.example:3128")
	tool, err := fix.NewTool("EXTRA=1")
	if err != nil {
		t.Fatal(err)
	}
	defer tool.Close()
	out, err := tool.Run(t.Context(), bin, "probe", "show")
	if err == nil || !strings.HasSuffix(err.Error(), "exit status 3: https://example.org/x") {
		t.Errorf("Run() = %v, expected what the program said, scrubbed", err)
	}
	if strings.Contains(string(out), "canary") || !strings.Contains(string(out), "EXTRA=1\n") || !strings.Contains(string(out), "HTTPS_PROXY=http://proxy.example:3128\n") {
		t.Errorf("environment of the program:\n%s", out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(filepath.Join(tool.Home(), "child")); err == nil {
				cancel()
			}
			runtime.Gosched()
		}
	}()
	if _, err := tool.Run(ctx, bin, "probe", "wait"); !errors.Is(err, context.Canceled) {
		t.Errorf("Run() = %v, expected that it was cancelled", err)
	}
	if _, err := tool.Run(t.Context(), bin, "no-such-program", "x"); !errors.Is(err, fix.ErrNoTool) {
		t.Errorf("Run() of an absent program = %v, expected ErrNoTool", err)
	}
}

func TestFilesOutOfTheWorkingCopyAreRefused(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "go.mod")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"go.mod", "../secret", outside} {
		if data, err := fix.ReadFile(dir, name); err == nil {
			t.Errorf("ReadFile(%q) = %q, expected an error", name, data)
		}
		if err := fix.WriteFile(dir, name, []byte("x")); err == nil {
			t.Errorf("WriteFile(%q) worked, expected an error", name)
		}
	}
	if data, err := os.ReadFile(outside); err != nil || string(data) != "secret" {
		t.Errorf("the file outside holds %q, %v", data, err)
	}
}
