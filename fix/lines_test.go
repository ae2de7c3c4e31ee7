package fix_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/backstitch/backstitch/fix"
)

func TestEditsByLinesMakeOneTextOfAnother(t *testing.T) {
	for _, test := range []struct {
		before, after string
		edits         int
	}{
		{"a\nb\nc\n", "a\nx\nc\n", 1},
		{"a\nb\nc\n", "a\nb\nnew\nc\n", 1},
		{"a\nb\nc\n", "b\nc\n", 1},
		{"a\nb\nc\nd\ne\n", "x\nb\nc\nd\ny\n", 2},
		{"a\r\nb\r\n", "a\r\nb\r\nc\r\n", 1},
		{"a", "a\nb", 1},
		{"a\n", "", 1},
		{"", "a\n", 1},
		{"a\na\na\n", "a\na\n", 1},
		{"same\n", "same\n", 0},
	} {
		edits := fix.LineEdits("f", []byte(test.before), []byte(test.after))
		if len(edits) != test.edits {
			t.Errorf("%q -> %q: %d edits", test.before, test.after, len(edits))
		}
		dir := t.TempDir()
		name := filepath.Join(dir, "f")
		if err := os.WriteFile(name, []byte(test.before), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := fix.EditFiles(dir, edits); err != nil {
			t.Errorf("%q -> %q: %v", test.before, test.after, err)
		}
		if got, _ := os.ReadFile(name); string(got) != test.after {
			t.Errorf("%q -> %q: got %q", test.before, test.after, got)
		}
	}
}
