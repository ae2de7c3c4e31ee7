package gomod

import (
	"testing"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"

	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/fix/fixtest"
)

// everyVersion edits each version of a go.mod in turn and counts the values
// that change.
func everyVersion(t *testing.T, name string, data []byte) {
	t.Helper()
	m, err := parse(name, data)
	if err != nil {
		return // not a go.mod that go would read
	}
	lines := map[*modfile.Line][2]string{}
	step := 1 + len(m.file.Require)/5 // each edit parses the whole file again
	for i := 0; i < len(m.file.Require); i += step {
		r := m.file.Require[i]
		lines[r.Syntax] = [2]string{r.Mod.Version, next(r.Mod.Version)}
	}
	if line, _ := m.toolchain(); line != nil && m.file.Toolchain == nil {
		lines[line] = [2]string{m.file.Go.Version, "1.98.7"}
	}
	for line, version := range lines {
		edit, err := m.literal(line, version[0])
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		edit.New = version[1]
		after := fixtest.OneValue(t, name, data, edit)
		again, err := parse(name, after)
		if err != nil {
			t.Errorf("%s after the edit of %q: %v", name, edit.Old, err)
			continue
		}
		if n := differences(m.file, again.file); n != 1 {
			t.Errorf("%s: the edit of %q on line %d changed %d values", name, edit.Old, line.Start.Line, n)
		}
	}
}

// next makes another version of the same major version.
func next(version string) string {
	return semver.Major(version) + ".98.7" + semver.Build(version)
}

func TestEditsOfRealFilesChangeOneValue(t *testing.T) {
	t.Parallel()
	for name, data := range fixtest.RealFiles(t, "go.mod") {
		everyVersion(t, name, data)
	}
}

func FuzzEditsChangeOneValue(f *testing.F) {
	f.Add([]byte("module a\n\ngo 1.21\ntoolchain go1.22.0\n\nrequire (\n\tb.example/c v1.0.0 // v1.0.0\n)\nrequire \"d.example/e\" v0.0.0-20210421230115-4e50805a0758\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parse("go.mod", data)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, r := range m.file.Require {
			if seen[r.Mod.Path] {
				return // values are counted by path
			}
			seen[r.Mod.Path] = true
			edit, err := m.literal(r.Syntax, r.Mod.Version)
			if err != nil {
				continue // a version that is quoted or not canonical as written
			}
			edit.New = next(r.Mod.Version)
			after, err := fix.Splice(data, edit)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := parse("go.mod", after); err == nil {
				if n := differences(m.file, again.file); n > 1 {
					t.Errorf("%d values changed in %q", n, data)
				}
			}
		}
	})
}
