package maven

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/fix/fixtest"
)

// TestRealChangesAreMadeWherePeopleMadeThem asks for the versions that people
// chose in real commits, and for the exclusions that they made.
func TestRealChangesAreMadeWherePeopleMadeThem(t *testing.T) {
	folders, err := filepath.Glob(filepath.Join(fixtest.Data(t), "fixes", "maven-bump", "*"))
	if err != nil || len(folders) == 0 {
		t.Skipf("the data holds no maven-bump (%v)", err)
	}
	asked := 0
	for _, folder := range folders {
		before, err := os.ReadFile(filepath.Join(folder, "before", "pom.xml"))
		if err != nil {
			continue // another file was changed
		}
		after, err := os.ReadFile(filepath.Join(folder, "after", "pom.xml"))
		if err != nil {
			t.Fatal(err)
		}
		was := readModule(t, before)
		from, to := statedVersions(t, before), statedVersions(t, after)
		for name, version := range from {
			if version == "" || to[name] == "" || to[name] == version {
				continue
			}
			asked++
			i := slices.IndexFunc(was.Packages, func(p lockfile.Package) bool { return p.Name == name })
			if i < 0 { // managed for others
				i = len(was.Packages)
				was.Packages = append(was.Packages, lockfile.Package{Name: name, Version: version, Key: name + "@" + version})
			}
			target := &fix.Target{Module: was, Package: i, Tree: code.Files{"pom.xml": before}, Advisories: flaw(name, to[name])}
			if text := carriedOut(t, before, fix.Compare(planned(t, target))[0]); string(text) != string(after) {
				t.Errorf("%s: %s differs from what people wrote:\n%s", filepath.Base(folder), name, cmp.Diff(string(after), string(text)))
			}
		}
		for holder, name := range newExclusions(t, before, after) {
			asked++
			i := len(was.Packages)
			was.Packages = append(was.Packages, lockfile.Package{Name: name, Version: "1", Key: name + "@1"})
			for j := range was.Packages {
				if was.Packages[j].Name == holder {
					was.Packages[j].Requires = append(was.Packages[j].Requires, i)
				}
			}
			target := &fix.Target{Module: was, Package: i, Tree: code.Files{"pom.xml": before}, Advisories: flaw(name, "")}
			paths := planned(t, target)
			if len(paths) == 0 {
				t.Fatalf("%s: no path for %s", filepath.Base(folder), name)
			}
			text := carriedOut(t, before, paths[0])
			ours, theirs := map[string]int{}, map[string]int{}
			for data, into := range map[string]map[string]int{string(text): ours, string(after): theirs} {
				root, err := parseXML([]byte(data))
				if err != nil {
					t.Fatal(err)
				}
				root.leaves("", into)
			}
			if !cmp.Equal(ours, theirs) {
				t.Errorf("%s: the values differ from those that people wrote:\n%s", filepath.Base(folder), cmp.Diff(theirs, ours))
			}
		}
	}
	t.Logf("%d folders, %d changes asked for; the other commits add dependencies and change none", len(folders), asked)
	if asked == 0 {
		t.Error("no change was found to ask for")
	}
}

func readModule(t *testing.T, text []byte) *lockfile.Module {
	t.Helper()
	modules, err := lockfile.Read(t.Context(), code.Files{"pom.xml": text})
	if err != nil || len(modules) != 1 {
		t.Fatalf("%d modules, %v", len(modules), err)
	}
	return &modules[0]
}

func carriedOut(t *testing.T, before []byte, p fix.Path) []byte {
	t.Helper()
	dir := t.TempDir()
	if err := fix.WriteFile(dir, "pom.xml", before); err != nil {
		t.Fatal(err)
	}
	if _, err := New().Apply(t.Context(), dir, p); err != nil {
		t.Fatal(err)
	}
	after, err := fix.ReadFile(dir, "pom.xml")
	if err != nil {
		t.Fatal(err)
	}
	return after
}

// statedVersions gives the versions that a pom states, "" where it states several.
func statedVersions(t *testing.T, data []byte) map[string]string {
	t.Helper()
	p, err := parsePOM("pom.xml", data)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, at := range p.places() {
		e := at.at.child("version")
		if e == nil {
			continue
		}
		name := p.coordinates(at.at).name
		_, text, _, _ := p.decide(e, p)
		if old, ok := found[name]; ok && old != text {
			text = ""
		}
		found[name] = text
	}
	return found
}

// newExclusions gives what a pom excludes that another does not, by who brings it.
func newExclusions(t *testing.T, before, after []byte) map[string]string {
	t.Helper()
	found := map[string]string{}
	for n, data := range [][]byte{after, before} {
		p, err := parsePOM("pom.xml", data)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range p.places() {
			for _, e := range at.at.child("exclusions").all("exclusion") {
				if holder := p.coordinates(at.at).name; n == 0 {
					found[holder] = e.value("groupId") + ":" + e.value("artifactId")
				} else {
					delete(found, holder)
				}
			}
		}
	}
	return found
}

// TestEveryRealLiteralCanBeRaised raises each package of the real poms by itself.
func TestEveryRealLiteralCanBeRaised(t *testing.T) {
	raised, blocked := 0, 0
	for file, data := range fixtest.RealFiles(t, "pom.xml") {
		modules, err := lockfile.Read(t.Context(), code.Files{"pom.xml": data})
		if err != nil || len(modules) != 1 {
			t.Fatalf("%s: %d modules, %v", file, len(modules), err)
		}
		m := &modules[0]
		fixer := New()
		for i, p := range m.Packages {
			if p.Version == "" || p.Source != "" {
				continue
			}
			flaws := fixtest.Advisories{fact.Advisory{ID: "OSV-1", Affected: []fact.Affected{{Ecosystem: "Maven", Name: p.Name, Versions: []string{p.Version},
				Ranges: []fact.Range{{Type: "ECOSYSTEM", Events: []fact.RangeEvent{{Introduced: "0"}, {Fixed: "99999.1"}}}}}}}}
			paths, err := fixer.Plan(t.Context(), &fix.Target{Module: m, Package: i, Tree: code.Files{"pom.xml": data}, Advisories: flaws})
			if err != nil {
				t.Errorf("%s: %s: %v", file, p.Name, err)
				continue
			}
			if len(paths) == 0 {
				blocked++
				continue
			}
			for _, path := range paths {
				raised++
				var edits []fix.Edit
				for _, e := range path.Edits {
					edits = append(edits, fix.Edit{Start: e.Start, End: e.End, Old: e.Old, New: e.New})
				}
				after, err := fix.Splice(data, edits...)
				if err != nil {
					t.Errorf("%s: %s: %v", file, path.ID, err)
					continue
				}
				if err := differAsPlanned("pom.xml", data, after, path.Edits); err != nil {
					t.Errorf("%s: %s: %v", file, path.ID, err)
				}
				again, err := lockfile.Read(t.Context(), code.Files{"pom.xml": after})
				if err != nil || !slices.ContainsFunc(again[0].Packages, func(q lockfile.Package) bool { return q.Name == p.Name && q.Version == path.Changes[0].To }) {
					t.Errorf("%s: %s: %s is not at %s when the pom is read again", file, path.ID, p.Name, path.Changes[0].To)
				}
			}
		}
	}
	t.Logf("%d paths of real poms were tried, %d packages have none", raised, blocked)
}
