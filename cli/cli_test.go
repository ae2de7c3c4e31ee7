package cli

import (
	"bytes"
	"strings"
	"testing"
)

// command runs the program in this process with a state of its own.
func command(t *testing.T, state string, args ...string) (code int, out, stderr string) {
	t.Helper()
	var o, e bytes.Buffer
	code = Main(append(args, "--state", state), strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

func TestTextFromOutsideCannotMoveTheCursorOrHide(t *testing.T) {
	got := plain("a\x1b[31mb\r\nc\u202ed\u200be\u061c\U000e0041f\x07")
	if want := "a [31mb  cdef "; got != want {
		t.Errorf("plain gives %q, want %q", got, want)
	}
}

func TestWrongUseAndFailureExitWithTwo(t *testing.T) {
	state := t.TempDir()
	for _, args := range [][]string{
		{"nonsense"},
		{"triage", "--nonsense"},
		{"triage", "--repo", t.TempDir()},
		{"triage", "--fail-on", "dreadful"},
		{"issue", "show", "BS-NOSUCHONE0"},
		{"issue", "list", "-o", "xml"},
		{"report", "show", "no-such-file"},
		{"fix", "open", "BS-NOSUCHONE0"},
		{"owner", "explain", "a.go:0"},
	} {
		code, out, stderr := command(t, state, args...)
		if code != exitFailure || strings.TrimSpace(stderr) == "" || out != "" {
			t.Errorf("%v: exit code %d, output %q, error %q; want 2, nothing, a reason", args, code, out, stderr)
		}
	}
}
