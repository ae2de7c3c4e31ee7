package kubernetes

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func spot(t *testing.T, path string) Spot {
	t.Helper()
	segments, err := ParsePath(path)
	if err != nil {
		t.Fatal(err)
	}
	return Spot{Path: segments}
}

func value(t *testing.T, text string) *Node {
	t.Helper()
	n, err := ParseValue(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestEditsChangeOneValueInItsStyle(t *testing.T) {
	for _, test := range []struct{ name, file, path, want, after string }{
		{"plain", "a:\n  b: 1 # one\nc: 2\n", "a.b", "3", "a:\n  b: 3 # one\nc: 2\n"},
		{"single quotes", "a: 'x'\n", "a", `"it's"`, "a: 'it''s'\n"},
		{"double quotes", "a: \"x\"   # c\n", "a", `"y\"z"`, "a: \"y\\\"z\"   # c\n"},
		{"text that would be a number", "a: x\n", "a", `"12"`, "a: \"12\"\n"},
		{"windows line ends", "a:\r\n  b: x\r\n", "a.c", "{\"d\": true}", "a:\r\n  b: x\r\n  c:\r\n    d: true\r\n"},
		{"no break at the end", "a:\n  b: x", "a.c", "1", "a:\n  b: x\n  c: 1"},
		{"missing maps", "spec:\n  containers:\n  - name: web\n    image: x\n  restartPolicy: Never\n", "spec.containers[name=web].securityContext.capabilities.drop", `["ALL"]`,
			"spec:\n  containers:\n  - name: web\n    image: x\n    securityContext:\n      capabilities:\n        drop:\n        - ALL\n  restartPolicy: Never\n"},
		{"indented lists", "spec:\n  a:\n    - x\n  b: 1\n", "spec.c", `["v"]`, "spec:\n  a:\n    - x\n  b: 1\n  c:\n    - v\n"},
		{"empty map in brackets", "a:\n  s: {}  # none yet\n", "a.s.b", "false", "a:\n  s:\n    b: false  # none yet\n"},
		{"null", "a:\n  s:\n  t: 1\n", "a.s.b", "false", "a:\n  s:\n    b: false\n  t: 1\n"},
		{"tilde", "a:\n  s: ~\n  t: 1\n", "a.s", "false", "a:\n  s: false\n  t: 1\n"},
		{"in brackets", "a: {b: 1, c: 2}\n", "a.d.e", `"x, y"`, "a: {b: 1, c: 2, d: {e: \"x, y\"}}\n"},
		{"list in brackets", "drop: [ALL]\n", "drop[1]", `"X"`, "drop: [ALL, X]\n"},
		{"append", "args:\n  - --a\n  # more\n  - --b\nz: 1\n", "args[2]", `"--c=d"`, "args:\n  - --a\n  # more\n  - --b\n  - --c=d\nz: 1\n"},
		{"item by name", "env:\n- name: a\n  value: b\n", "env[name=c].value", `"d"`, "env:\n- name: a\n  value: b\n- name: c\n  value: d\n"},
		{"literal block", "a: |\n  text\n  more\n\nb: 1\n", "a", `"x"`, "a: x\n\nb: 1\n"},
		{"block for a scalar", "a: x\nb: 1\n", "a", `{"type": "RuntimeDefault"}`, "a:\n  type: RuntimeDefault\nb: 1\n"},
		{"scalar for a block", "a:\n  x: 1\n  y: 2\nb: 1\n", "a", "3", "a: 3\nb: 1\n"},
		{"json", "{\n\t\"a\": {\n\t\t\"b\": 1\n\t},\n\t\"c\": []\n}\n", "a.d", `{"e": "f"}`, "{\n\t\"a\": {\n\t\t\"b\": 1,\n\t\t\"d\": {\n\t\t\t\"e\": \"f\"\n\t\t}\n\t},\n\t\"c\": []\n}\n"},
		{"json list", "{\n  \"c\": []\n}\n", "c[0]", `"x"`, "{\n  \"c\": [\n    \"x\"\n  ]\n}\n"},
		{"json line", `{"a": {"b": "c"}}`, "a.b", "false", `{"a": {"b": false}}`},
		{"duplicate keys: the last counts", "a: 1\na: 2\n", "a", "3", "a: 1\na: 3\n"},
		{"merge is overridden here", "x: &x\n  p: true\na:\n  <<: *x\n  q: 1\n", "a.p", "false", "x: &x\n  p: true\na:\n  <<: *x\n  q: 1\n  p: false\n"},
		{"alias itself", "x: &x 1\na: *x\n", "a", "2", "x: &x 1\na: 2\n"},
		{"folded plain text", "a: one\n  two\nb: 1\n", "a", `"three"`, "a: three\nb: 1\n"},
		{"byte order mark", "\xef\xbb\xbfa: 1\n", "a", "2", "\xef\xbb\xbfa: 2\n"},
		{"wide characters", "a: {é: x, b: 'ü'}\n", "a.b", `"y"`, "a: {é: x, b: 'y'}\n"},
		{"separator", "a: x\n", "a", `"---\nkind: b"`, "a: |-\n  ---\n  kind: b\n"},
		{"remove", "a:\n  b: 1\n  # about c\n  c: 2\n", "a.b", "", "a:\n  # about c\n  c: 2\n"},
		{"remove the only one", "a:\n  b: 1\nc: 2\n", "a.b", "", "a: {}\nc: 2\n"},
		{"remove the first of an item", "l:\n- a: 1\n  b: 2\n", "l[0].a", "", "l:\n- b: 2\n"},
		{"remove an item", "l:\n- a: 1\n  b: 2\n- c\n", "l[0]", "", "l:\n- c\n"},
		{"remove the only item", "l:\n- a: 1\n  b: 2\nz: 1\n", "l[0]", "", "l: []\nz: 1\n"},
		{"remove the last line", "a: 1\nb: 2", "b", "", "a: 1"},
		{"remove in brackets", "a: [x, y, z]\n", "a[1]", "", "a: [x, z]\n"},
		{"remove last in json", "{\n  \"a\": 1,\n  \"b\": 2\n}\n", "b", "", "{\n  \"a\": 1\n}\n"},
		{"remove a block text", "a: |\n  x\n\n  y\nb: 1\n", "a", "", "b: 1\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got Edited
			var err error
			if test.want == "" {
				got, err = Remove([]byte(test.file), spot(t, test.path))
			} else {
				got, err = Set([]byte(test.file), spot(t, test.path), value(t, test.want))
			}
			if err != nil {
				t.Fatal(err)
			}
			if string(got.Data) != test.after {
				t.Errorf("got\n%q\nexpected\n%q", got.Data, test.after)
			}
		})
	}
}

func TestAnEditThroughAnAliasSaysHowManyItReaches(t *testing.T) {
	file := "x: &x\n  p: true\na: *x\nb: *x\n"
	got, err := Set([]byte(file), spot(t, "a.p"), value(t, "false"))
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Data) != "x: &x\n  p: false\na: *x\nb: *x\n" || got.Aliases != 2 {
		t.Errorf("got %q, reaching %d more", got.Data, got.Aliases)
	}
}

func TestWhatCannotBeEditedIsRefused(t *testing.T) {
	for name, test := range map[string]struct{ file, path, want string }{
		"below a scalar":        {"a: x\n", "a.b", "1"},
		"a map as a list":       {"a:\n  b: 1\n", "a[0]", "1"},
		"far beyond a list":     {"a: [1]\n", "a[7]", "1"},
		"not there to remove":   {"a: 1\n", "b", ""},
		"not YAML":              {"a: [1\n", "a", "2"},
		"NUL":                   {"a: \x00\n", "a", "2"},
		"an anchor in use":      {"a: &x 1\nb: *x\n", "a", ""},
		"the whole document":    {"a: 1\n", "", "2"},
		"a loop of aliases":     {"a: &x\n  b: *x\n", "a.c", "1"},
		"an empty document":     {"# nothing\n", "a", "1"},
		"deeper than the limit": {strings.Repeat("[", 2000) + strings.Repeat("]", 2000), "[0]", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			if test.want == "" {
				_, err = Remove([]byte(test.file), spot(t, test.path))
			} else {
				_, err = Set([]byte(test.file), spot(t, test.path), value(t, test.want))
			}
			if err == nil {
				t.Error("expected an error")
			}
		})
	}
}

func TestAliasBombsAreRefused(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 10; i++ {
		bomb.WriteString("a" + string(rune('0'+i)) + ": &a" + string(rune('0'+i)) + " [" + strings.Repeat("*a"+string(rune('0'+i-1))+", ", 9) + "*a" + string(rune('0'+i-1)) + "]\n")
	}
	if _, err := Set([]byte(bomb.String()), spot(t, "a0[0]"), value(t, "1")); err == nil {
		t.Error("expected an error")
	}
}

func TestTheEditIsInTheDocumentThatIsMeant(t *testing.T) {
	file := []byte("# head\n---\na: 1\n---\na: 1\n...\n---\na: 1\n")
	docs, _ := Documents("x.yaml", file)
	at, ok := Locate(file, docs[1].Get("a"))
	if !ok {
		t.Fatal("not located")
	}
	got, err := Set(file, at, value(t, "2"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "# head\n---\na: 1\n---\na: 2\n...\n---\na: 1\n"; string(got.Data) != want {
		t.Errorf("got %q", got.Data)
	}
}

func TestTextsInsideTextsAreEdited(t *testing.T) {
	file := []byte("patches:\n- target: {kind: Deployment}\n  patch: |-\n    apiVersion: apps/v1\n    kind: Deployment\n    spec:\n      replicas: 1 # few\n\n    metadata: {name: x}\n- path: y.yaml\n")
	docs, _ := Documents("kustomization.yaml", file)
	inline := docs[0].Get("patches").Items[0].Get("patch")
	patch, _ := documents("kustomization.yaml", []byte(inline.Text), inline.Place.Line, "patch")
	at, ok := Locate(file, patch[0].Get("spec", "replicas"))
	if !ok || at.Inside == nil {
		t.Fatalf("located %v %v", at, ok)
	}
	got, err := Set(file, at, value(t, "2"))
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(string(file), "replicas: 1", "replicas: 2", 1); string(got.Data) != want {
		t.Errorf("got %q", got.Data)
	}
}

// dataFolder gives the folder of real data, or skips the test.
func dataFolder(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("BACKSTITCH_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("no real data: %v", err)
		}
		t.Skip("no real data here: " + dir)
	}
	return dir
}

// scalars lists the paths of the scalars of a document that have one line.
func scalars(y *yaml.Node, at []Segment, all [][]Segment) [][]Segment {
	if y.Kind == yaml.ScalarNode {
		if y.Anchor == "" && y.Style&(yaml.LiteralStyle|yaml.FoldedStyle|yaml.TaggedStyle) == 0 && !strings.Contains(y.Value, "\n") && !empty(y) {
			return append(all, at)
		}
		return all
	}
	below(y, func(child *yaml.Node, s Segment) bool {
		all = scalars(child, append(at[:len(at):len(at)], s), all)
		return false
	})
	return all
}

// An edit there and back gives the bytes that were; so does adding an entry and taking
// it away.
func TestEditsOfRealFilesGoThereAndBack(t *testing.T) {
	dir := dataFolder(t)
	files, edits, refused, same := 0, 0, 0, 0
	for _, root := range []string{"app-trees", "iac-policy/checkov-kubernetes", "iac-policy/kube-linter", "iac-policy/gatekeeper-library"} {
		err := filepath.WalkDir(filepath.Join(dir, filepath.FromSlash(root)), func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(name)) {
				return err
			}
			data, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			if len(data) > 200_000 || bytes.ContainsRune(data, 0) {
				return nil
			}
			files++
			for offset := 0; offset < len(data); {
				part, _ := cutDocument(data[offset:])
				e, err := newEdition(part)
				if err != nil {
					offset += len(part)
					continue
				}
				paths := scalars(e.root, nil, nil)
				stride := max(1, len(paths)/3)
				for i := 0; i < len(paths); i += stride {
					at := Spot{Offset: offset, Path: paths[i]}
					if len(at.Path) == 0 {
						continue
					}
					old, _ := e.plain.Find(at.Path)
					edits++
					there, err := Set(data, at, TextValue("moved-by-test"))
					if err != nil {
						refused++
						t.Logf("%s %s: %v", name, pathText(at.Path), err)
						continue
					}
					back, err := Set(there.Data, at, old)
					if err != nil {
						refused++
						continue
					}
					if bytes.Equal(back.Data, data) {
						same++
					} else if !escaped(e, at.Path) {
						t.Errorf("%s %s: not the same bytes", name, pathText(at.Path))
					}
					parent := Spot{Offset: offset, Path: append(slices.Clone(at.Path[:len(at.Path)-1]), Segment{Key: "added-by-test", Index: -1})}
					if at.Path[len(at.Path)-1].Key == "" {
						continue
					}
					edits++
					if there, err = Set(data, parent, value(t, `{"a": {"b": ["c", {"d": 1}]}}`)); err != nil {
						refused++
						t.Logf("%s %s: %v", name, pathText(parent.Path), err)
						continue
					}
					if back, err = Remove(there.Data, parent); err != nil {
						refused++
						t.Logf("%s back %s: %v", name, pathText(parent.Path), err)
						continue
					}
					if bytes.Equal(back.Data, data) {
						same++
					} else {
						t.Errorf("%s %s: added and removed, not the same bytes", name, pathText(parent.Path))
					}
				}
				offset += len(part)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d files, %d edits, %d back to the same bytes, %d refused", files, edits, same, refused)
	if edits < 1000 || refused*50 > edits || same*100 < edits*95 {
		t.Errorf("too few went there and back")
	}
}

// escaped says whether a scalar is written in a style that its value does not tell.
func escaped(e *edition, path []Segment) bool {
	_, y, _, err := e.walk(path)
	return err == nil && y != nil && (y.Style != 0 || !bytes.HasPrefix(e.text[e.start(y):], []byte(y.Value)) || y.ShortTag() == "!!str" && !plainText(y.Value))
}

func FuzzEdit(f *testing.F) {
	f.Add("a:\n  b: 1\n", "a.c", "1")
	f.Add("a: &x {b: [1, 2]}\nc: *x\n", "c.b[1]", `{"x": [1]}`)
	f.Add("{\n\t\"a\": 1}", "a", `"x"`)
	f.Fuzz(func(t *testing.T, file, path, want string) {
		segments, err := ParsePath(path)
		if err != nil || len(segments) > 20 {
			return
		}
		n, err := ParseValue(want)
		if err != nil {
			return
		}
		if got, err := Set([]byte(file), Spot{Path: segments}, n); err == nil {
			docs, problems := Documents("x", got.Data)
			before, _ := Documents("x", []byte(file))
			if len(docs) != len(before) && n.Shape != Scalar && len(problems) == 0 {
				t.Errorf("%d documents became %d", len(before), len(docs))
			}
		} else if errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		_, _ = Remove([]byte(file), Spot{Path: segments})
	})
}
