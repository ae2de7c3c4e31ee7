package dependencies_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/scan"
	"github.com/backstitch/backstitch/scan/dependencies"
)

// known affects packages by "ecosystem name version".
type known map[string][]fact.Advisory

func (k known) Affecting(p fact.Package) ([]fact.Advisory, error) {
	if p.Version == "0.0.0-bad" {
		return nil, errors.New("not a version")
	}
	return k[p.Ecosystem+" "+p.Name+" "+p.Version], nil
}

func (known) Digest() string { return "sha256:0" }

func run(t *testing.T, tree code.Files, k known) (found []fact.Finding, problems []scan.Problem) {
	t.Helper()
	problems, err := dependencies.New(k).Scan(context.Background(), tree, func(f fact.Finding) error {
		found = append(found, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found, problems
}

const lock = `{"lockfileVersion": 3, "packages": {
"": {"dependencies": {"a": "1"}},
"node_modules/a": {"version": "1.0.0", "dependencies": {"b": "1"}},
"node_modules/b": {"version": "1.5.0"},
"node_modules/c": {"version": "0.0.0-bad"}
}}
`

func TestEachVersionOfAPackageIsFoundOnceForEachAdvisoryAndModule(t *testing.T) {
	t.Parallel()
	advisory := fact.Advisory{
		ID: "GHSA-1", Aliases: []string{"CVE-1"}, Severity: fact.SeverityHigh,
		Affected: []fact.Affected{{Ecosystem: "npm", Name: "b", Ranges: []fact.Range{{Type: "SEMVER", Events: []fact.RangeEvent{{Introduced: "0"}, {Fixed: "1.6.0"}}}}}},
	}
	found, problems := run(t, code.Files{"x/package-lock.json": []byte(lock), "y/package-lock.json": []byte(lock)}, known{"npm b 1.5.0": {advisory, advisory}})
	if len(found) != 2 {
		t.Fatalf("findings = %+v", found)
	}
	f := found[0]
	got := fmt.Sprint(f.Rule, f.Aliases, f.Severity, f.Path, f.Line, f.Package.PURL, f.FixedVersions, f.Introduced, f.Asset.Kind)
	if want := "GHSA-1 [CVE-1] high x/package-lock.json 4 pkg:npm/b@1.5.0 [1.6.0] [a@1.0.0 b@1.5.0] repository"; !equalWords(got, want) {
		t.Errorf("finding\n got %s\nwant %s", got, want)
	}
	if len(problems) != 2 || problems[0].Line != 5 || !strings.Contains(problems[0].Text, "not a version") {
		t.Errorf("problems = %+v", problems)
	}
}

func equalWords(a, b string) bool {
	strip := func(s string) string { return strings.Join(strings.Fields(s), "") }
	return strip(a) == strip(b)
}

func TestDependenciesWithoutVersionMakeTheLookIncomplete(t *testing.T) {
	t.Parallel()
	found, problems := run(t, code.Files{"requirements.txt": []byte("a==1\nb>=2\n")}, known{"PyPI a 1": {{ID: "PYSEC-1"}}})
	if len(found) != 1 || found[0].Line != 1 || found[0].Title != "PYSEC-1 in a" {
		t.Errorf("findings = %+v", found)
	}
	if len(problems) != 1 || problems[0].Line != 2 || !strings.Contains(problems[0].Text, "1 of 2 dependencies") {
		t.Errorf("problems = %+v", problems)
	}
}

func TestContradictionsAreNoGapsOfTheLook(t *testing.T) {
	t.Parallel()
	_, problems := run(t, code.Files{"package.json": []byte(`{"dependencies":{"a":"^2.0.0"}}`), "package-lock.json": []byte(`{"packages":{"node_modules/a":{"version":"1.0.0"}}}`)}, known{})
	if len(problems) != 0 {
		t.Errorf("problems = %+v", problems)
	}
	_, problems = run(t, code.Files{"package-lock.json": []byte(`{`)}, known{})
	if len(problems) != 1 {
		t.Errorf("problems of a broken lock = %+v", problems)
	}
}

func TestAnErrorOfTheSinkEndsTheScan(t *testing.T) {
	t.Parallel()
	stop := errors.New("stop")
	_, err := dependencies.New(known{"PyPI a 1": {{ID: "X"}}}).Scan(context.Background(), code.Files{"requirements.txt": []byte("a==1\n")}, func(fact.Finding) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("err = %v", err)
	}
}

func TestAPackageThatAnotherFileOfTheFolderPinsIsNoGap(t *testing.T) {
	t.Parallel()
	found, problems := run(t, code.Files{
		"setup.cfg": []byte("[options]\ninstall_requires =\n  a>=1\n"), "requirements.txt": []byte("a==1\n"),
	}, known{"PyPI a 1": {{ID: "PYSEC-1"}}})
	if len(found) != 1 || len(problems) != 0 {
		t.Errorf("findings = %+v, problems = %+v", found, problems)
	}
}

func TestTheSameTreeGivesTheSameFindingsWhoseLinesExist(t *testing.T) {
	t.Parallel()
	tree := code.Files{
		"go.mod":               []byte("module example.com/m\n\ngo 1.22.1\n\nrequire example.com/a v1.0.0\n"),
		"x/package-lock.json":  []byte(lock),
		"y/package-lock.json":  []byte(lock),
		"app/requirements.txt": []byte("# pins\nb==1\n"),
	}
	k := known{
		"npm a 1.0.0": {{ID: "GHSA-1"}, {ID: "GHSA-2"}}, "npm b 1.5.0": {{ID: "GHSA-1"}},
		"PyPI b 1": {{ID: "PYSEC-1"}}, "Go stdlib 1.22.1": {{ID: "GO-1"}}, "Go example.com/a v1.0.0": {{ID: "GO-2"}},
	}
	first, _ := run(t, tree, k)
	second, _ := run(t, tree, k)
	if a, b := fmt.Sprintf("%+v", first), fmt.Sprintf("%+v", second); a != b {
		t.Errorf("the second scan differs:\n%s\n%s", a, b)
	}
	got := map[string]int{}
	for _, f := range first {
		got[f.Path+" "+f.Package.Name+" "+f.Rule]++
		if lines := strings.Count(string(tree[f.Path]), "\n"); f.Line < 1 || f.EndLine > lines || f.EndLine != 0 && f.EndLine < f.Line {
			t.Errorf("%s %s: lines %d to %d of %d", f.Path, f.Rule, f.Line, f.EndLine, lines)
		}
	}
	for _, want := range []string{
		"go.mod stdlib GO-1", "go.mod example.com/a GO-2", "app/requirements.txt b PYSEC-1",
		"x/package-lock.json a GHSA-1", "x/package-lock.json a GHSA-2", "x/package-lock.json b GHSA-1",
		"y/package-lock.json a GHSA-1", "y/package-lock.json a GHSA-2", "y/package-lock.json b GHSA-1",
	} {
		if got[want] != 1 {
			t.Errorf("%d findings of %s, want one", got[want], want)
		}
		delete(got, want)
	}
	if len(got) > 0 {
		t.Errorf("findings besides: %v", got)
	}
}

func TestAVersionThatIsNoneIsAProblemAndTheRestGoesOn(t *testing.T) {
	t.Parallel()
	tree := code.Files{"package-lock.json": []byte(`{"lockfileVersion": 3, "packages": {
"": {"dependencies": {"a": "1", "z": "1"}},
"node_modules/a": {"version": "0.0.0-bad"},
"node_modules/z": {"version": "1.0.0"}
}}
`)}
	found, problems := run(t, tree, known{"npm z 1.0.0": {{ID: "GHSA-1"}}})
	if len(found) != 1 || found[0].Package.Name != "z" {
		t.Errorf("findings = %+v", found)
	}
	if len(problems) != 1 || problems[0].Line != 3 || problems[0].Path != "package-lock.json" {
		t.Errorf("problems = %+v", problems)
	}
}

func TestPackagesOfTheRepositoryItselfAreLeftOut(t *testing.T) {
	t.Parallel()
	tree := code.Files{"package-lock.json": []byte(`{"lockfileVersion": 3, "packages": {
"": {"dependencies": {"own": "file:own", "z": "1"}},
"node_modules/own": {"resolved": "own", "link": true},
"own": {"version": "1.0.0"},
"node_modules/z": {"version": "1.0.0", "resolved": "https://packages.example/z.tgz"}
}}
`)}
	found, _ := run(t, tree, known{"npm own 1.0.0": {{ID: "GHSA-1"}}, "npm z 1.0.0": {{ID: "GHSA-2"}}})
	if len(found) != 1 || found[0].Package.Name != "z" {
		t.Errorf("findings = %+v, want only the one of z", found)
	}
}
