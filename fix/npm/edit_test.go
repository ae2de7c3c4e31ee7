package npm

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/fix/fixtest"
)

func TestRangesAreThoseOfNPM(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		constraint, version string
		want, understood    bool
	}{
		{"^1.2.3", "1.9.0", true, true}, {"^1.2.3", "1.2.2", false, true}, {"^1.2.3", "2.0.0", false, true},
		{"^0.2.3", "0.2.9", true, true}, {"^0.2.3", "0.3.0", false, true}, {"^0.0.3", "0.0.4", false, true}, {"^0.0", "0.0.9", true, true}, {"^0", "0.9.9", true, true},
		{"~1.2.3", "1.2.9", true, true}, {"~1.2", "1.3.0", false, true}, {"~1", "1.9.0", true, true}, {"~> 1.2.3", "1.2.4", true, true},
		{"1.2.3", "1.2.3", true, true}, {"=1.2.3", "1.2.4", false, true}, {"v1.2.3", "1.2.3", true, true}, {"1.2", "1.2.7", true, true}, {"1.x", "1.9.9", true, true}, {"1.2.*", "1.3.0", false, true},
		{"*", "7.0.0", true, true}, {"", "7.0.0", true, true}, {"x", "7.0.0", true, true},
		{">=1.2 <2", "1.9.0", true, true}, {">=1.2 <2", "2.0.0", false, true}, {">1.2", "1.2.9", false, true}, {">1.2", "1.3.0", true, true}, {"<=1.2", "1.2.9", true, true}, {"> 1.2.3", "1.2.4", true, true},
		{"1.2.3 - 2.3", "2.3.9", true, true}, {"1.2.3 - 2.3.4", "2.3.5", false, true}, {"1 || ^3.1.0", "3.2.0", true, true}, {"1 || ^3.1.0", "2.0.0", false, true},
		{"<2.0.0", "1.9.9", true, true}, {"<1.2", "1.2.0", false, true},
		{"latest", "1.0.0", false, false}, {"git+https://x/y.git", "1.0.0", false, false}, {"file:../x", "1.0.0", false, false}, {"npm:y@^1", "1.0.0", false, false}, {"workspace:*", "1.0.0", false, false},
	} {
		got, understood := admits(test.constraint, test.version)
		if got != test.want || understood != test.understood {
			t.Errorf("admits(%q, %s) = %v, %v, expected %v, %v", test.constraint, test.version, got, understood, test.want, test.understood)
		}
	}
}

func TestRaisedConstraintsKeepTheirForm(t *testing.T) {
	t.Parallel()
	for _, test := range [][2]string{
		{"^1.2.3", "^4.5.6"}, {"~1.2", "~4.5.6"}, {"1.2.3", "4.5.6"}, {"=1.2.3", "=4.5.6"}, {">=1.2.3", ">=4.5.6"}, {"1.x || 2.x", "^4.5.6"},
		{"npm:@s/y@~1.2.3", "npm:@s/y@~4.5.6"}, {"git+https://x/y.git", ""}, {"latest", ""},
	} {
		got, ok := raise(test[0], "4.5.6")
		if got != test[1] || ok != (test[1] != "") {
			t.Errorf("raise(%q) = %q, %v, expected %q", test[0], got, ok, test[1])
		}
	}
}

func TestNamesAreResolvedAsNodeDoes(t *testing.T) {
	t.Parallel()
	l, err := parseLock("package-lock.json", []byte(`{"lockfileVersion":1,"requires":true,"dependencies":{
		"a":{"version":"1.0.0","requires":{"q":"^1.0.0"},"dependencies":{"q":{"version":"1.5.0"}}},
		"b":{"version":"1.0.0","requires":{"q":"~2.0.0"}},
		"q":{"version":"2.0.0"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"node_modules/q": "node_modules/b ~2.0.0", "node_modules/a/node_modules/q": "node_modules/a ^1.0.0"} {
		got := l.requirers(key)
		if len(got) != 1 || got[0].key+" "+got[0].constraint != want {
			t.Errorf("%s is required by %+v, expected %s", key, got, want)
		}
	}
}

func TestOverridesAreAddedInTheFilesOwnLayout(t *testing.T) {
	t.Parallel()
	for _, test := range [][2]string{
		{"{\n\t\"name\": \"x\"\n}\n", "{\n\t\"name\": \"x\",\n\t\"overrides\": {\n\t\t\"q\": \"1.0.0\"\n\t}\n}\n"},
		{"{}", "{\n  \"overrides\": {\n    \"q\": \"1.0.0\"\n  }}"},
		{"{\r\n  \"overrides\": {\r\n    \"a\": {\"b\": \"1\"}\r\n  }\r\n}", "{\r\n  \"overrides\": {\r\n    \"q\": \"1.0.0\",\r\n    \"a\": {\"b\": \"1\"}\r\n  }\r\n}"},
		{"\ufeff{\"overrides\":{}}", "\ufeff{\"overrides\":{\n    \"q\": \"1.0.0\"\n  }}"},
	} {
		m, err := parseManifest("package.json", []byte(test[0]))
		if err != nil {
			t.Errorf("%q: %v", test[0], err)
			continue
		}
		edit, err := m.override("overrides", []forcing{everyone("q", "1.0.0")})
		if err != nil {
			t.Error(err)
		}
		after := fixtest.OneValue(t, test[0], m.data, edit)
		if string(after) != test[1] {
			t.Errorf("%q became %q, expected %q", test[0], after, test[1])
		}
	}
}

// everyConstraint edits each constraint of a package.json in turn and counts
// the values that change.
func everyConstraint(t *testing.T, name string, m *manifest) {
	t.Helper()
	for section, specs := range m.specs {
		for dependency, s := range specs {
			edit := fix.Edit{Start: s.start, End: s.end, Old: string(m.data[s.start:s.end]), New: "^9.8.7"}
			after := fixtest.OneValue(t, name, m.data, edit)
			n, err := differences(m.data, after)
			if err != nil || n != 1 && s.text != "^9.8.7" {
				t.Errorf("%s: the edit of %s of %s changed %d values: %v", name, section, dependency, n, err)
			}
		}
	}
	for _, container := range containers {
		edit, err := m.override(container, []forcing{everyone("no-such-package", "1.0.0")})
		if err != nil {
			t.Error(err)
		}
		after := fixtest.OneValue(t, name, m.data, edit)
		if n, err := differences(m.data, after); err != nil || n != 1 {
			t.Errorf("%s: an override in %s changed %d values: %v\n%s", name, container, n, err, after)
		}
	}
}

func TestEditsOfRealFilesChangeOneValue(t *testing.T) {
	t.Parallel()
	for name, data := range fixtest.RealFiles(t, "package.json") {
		m, err := parseManifest(name, data)
		if err != nil {
			t.Error(err)
			continue
		}
		everyConstraint(t, name, m)
	}
}

func FuzzEditsChangeOneValue(f *testing.F) {
	f.Add([]byte(`{"dependencies":{"a":"^1.0.0","b":"\u005e1"},"overrides":{"a":{"b":"1"}}}`))
	f.Add([]byte("\ufeff{\r\n\t\"devDependencies\": {},\"overrides\":{}}"))
	f.Add([]byte(`{"overrides":"","pnpm":{"overrides":""}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseManifest("package.json", data)
		if err != nil {
			return
		}
		var document map[string]any
		text := strings.TrimPrefix(string(data), "\ufeff")
		if json.Unmarshal([]byte(text), &document) != nil || strings.Contains(text, "no-such-package") {
			return
		}
		if repeated(data) {
			return // the last of equal names decides; values are counted by name
		}
		everyConstraint(t, fmt.Sprintf("%q", data), m)
	})
}

// repeated says whether an object names a member twice, or as "overrides" is
// no object.
func repeated(data []byte) bool {
	m, err := parseManifest("package.json", data)
	if err != nil {
		return true
	}
	var document map[string]json.RawMessage
	if json.Unmarshal([]byte(strings.TrimPrefix(string(data), "\ufeff")), &document) != nil {
		return true
	}
	for _, name := range []string{"overrides", "resolutions", "pnpm"} {
		if value, ok := document[name]; ok && value[0] != '{' {
			return true
		}
	}
	if _, ok := m.objects["pnpm/overrides"]; !ok && strings.Contains(string(document["pnpm"]), `"overrides"`) {
		return true
	}
	return duplicates(data)
}

func FuzzRangesNeverPanic(f *testing.F) {
	f.Add("^1.2.3 || >=2 <3 - 4", "1.2.3")
	f.Fuzz(func(t *testing.T, constraint, version string) {
		if ok, understood := admits(constraint, version); ok && !understood {
			t.Errorf("admits(%q, %q) allows what it does not understand", constraint, version)
		}
		if text, ok := raise(constraint, "4.5.6"); ok {
			inner := text[strings.LastIndex(text, "@")+1:]
			if allowed, understood := admits(inner, "4.5.6"); understood && !allowed {
				t.Errorf("raise(%q) = %q does not allow the version", constraint, text)
			}
		}
	})
}

// duplicates says whether a decoder that refuses repeated names refuses data.
func duplicates(data []byte) bool {
	decoder := jsontext.NewDecoder(strings.NewReader(strings.TrimPrefix(string(data), "\ufeff")))
	_, err := decoder.ReadValue()
	return err != nil
}
