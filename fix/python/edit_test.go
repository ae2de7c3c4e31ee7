package python

import (
	"strings"
	"testing"

	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/fix/fixtest"
)

func TestPoetryConstraintsAreThoseOfPoetry(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text, version string
		want          bool
	}{
		{"^1.2.3", "1.9", true}, {"^1.2.3", "2.0", false}, {"^0.2.3", "0.2.9", true}, {"^0.2.3", "0.3", false}, {"~1.2", "1.2.9", true}, {"~1.2.3", "1.3", false}, {"~1", "1.9", true},
		{"*", "9", true}, {"1.2.*", "1.2.4", true}, {"1.2.3", "1.2.3", true}, {">=1,<2", "2.0", false}, {"~=1.2", "1.9", true}, {"~=1.2.3", "1.3", false}, {"!=1.5.*", "1.5.2", false},
	} {
		clauses, ok := parseClauses(test.text, 0)
		if got := admitsAll(clauses, test.version); !ok || got != test.want {
			t.Errorf("%q allows %s: %v (%v), expected %v", test.text, test.version, got, ok, test.want)
		}
	}
}

func TestRaisedConstraintsAllowTheVersionAndKeepTheirForm(t *testing.T) {
	t.Parallel()
	for _, test := range [][2]string{
		{"^1.2.3", "^4.5.6"}, {"~1.2", "~4.5.6"}, {"1.2.3", "4.5.6"}, {"*", ">=4.5.6"}, {"1.2.*", "4.5.*,>=4.5.6"}, {">=1,<5", ">=4.5.6,<5"}, {">1", ">=4.5.6"}, {">=1,<2", ">=4.5.6,<5"}, {">=1, <1.8.0 ", ">=4.5.6, <4.6.0 "}, {">=1,<=2.9", ""}, {">=1,<1.8.3", ""}, {">= 2.8.1, == 2.8.*", ">= 4.5.6, == 4.5.*"}, {"<2,>1", "<5,>=4.5.6"}, {"<2", ">=4.5.6,<5"}, {"~=1.2", "~=4.5,>=4.5.6"},
	} {
		clauses, _ := parseClauses(test[0], 0)
		edit, in := raise(clauses, 0, "4.5.6")
		if in != nil {
			if test[1] != "" {
				t.Errorf("raise(%q) is blocked by %+v", test[0], in)
			}
			continue
		}
		after := fixtest.OneValue(t, test[0], []byte(test[0]), shift(edit, 0, []byte(test[0])))
		if string(after) != test[1] {
			t.Errorf("raise(%q) = %q, expected %q", test[0], after, test[1])
		}
	}
}

// everyRequirement raises each requirement of a file in turn and counts those
// that change.
func everyRequirement(t *testing.T, file, name string, data []byte, to string) {
	t.Helper()
	found, err := parse(file, data)
	if err != nil {
		return
	}
	for _, r := range found {
		edit, in := raise(r.clauses, r.insert, to)
		if in != nil {
			continue
		}
		edit = shift(edit, r.base, data)
		after := fixtest.OneValue(t, name, data, edit)
		again, err := parse(file, after)
		if err != nil {
			t.Errorf("%s after the edit of %s on line %d: %v", name, r.String(), r.line, err)
			continue
		}
		if n := differences(found, again, map[string]string{normal(r.name): to}); n != 1 && (n != 0 || edit.Old != edit.New) {
			t.Errorf("%s: the edit of %s on line %d changed %d values:\n%s", name, r.String(), r.line, n, after)
		}
	}
}

func TestEditsOfRealFilesChangeOneValue(t *testing.T) {
	t.Parallel()
	for name, data := range fixtest.RealFiles(t, "requirements.txt") {
		if len(parseRequirements(name, data)) == 0 && strings.Contains(string(data), "==") {
			t.Errorf("%s: no requirement was read", name)
		}
		everyRequirement(t, "requirements.txt", name, data, "999.8.7")
	}
}

func FuzzEditsChangeOneValue(f *testing.F) {
	f.Add([]byte("a==1.0 \\\n  --hash=sha256:0\r\nB[x] ~= 1.2 ; python_version<'3'\n-r other.txt\nc\n"), false)
	f.Add([]byte("[project]\ndependencies = [\"a>=1,<2\", 'b']\n[tool.poetry.group.dev.dependencies]\nc = {version = \"^1\", extras = [\"x\"]}\n"), true)
	f.Fuzz(func(t *testing.T, data []byte, toml bool) {
		file := "requirements.txt"
		if toml {
			file = "pyproject.toml"
		}
		everyRequirement(t, file, file, data, "999.8.7")
	})
}

func FuzzOverridesAreReadBack(f *testing.F) {
	f.Add([]byte("[tool.uv]\r\noverride-dependencies = [\r\n  \"a>1\",\r\n]\r\n"))
	f.Add([]byte("[tool.uv] # here\nx = 1"))
	f.Add([]byte("a = 1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		edit, err := overrideEdit("pyproject.toml", data, fix.Change{Package: "no-such-package", To: "1.0"})
		if err != nil {
			return
		}
		after := fixtest.OneValue(t, "pyproject.toml", data, edit)
		found, err := fix.TOMLStrings("pyproject.toml", after)
		if err != nil {
			return // Apply refuses what cannot be read back
		}
		for _, s := range found {
			if s.Value == "no-such-package>=1.0" && s.Under("tool", "uv", "override-dependencies") {
				return
			}
		}
		t.Skip("a table written in another way; Apply judges the outcome by the lock")
	})
}
