package report

import "testing"

func TestTheAnchorOfASnippetIsOfItsLinesAlone(t *testing.T) {
	t.Parallel()
	want := SnippetAnchor("f(x)", 0, 0)
	for what, got := range map[string]string{
		"numbers and colons":          SnippetAnchor("11: before\n12: \tf(x)\n13: after\n", 12, 12),
		"numbers and blanks":          SnippetAnchor("11 before\n12     f(x)\n13 after\n", 12, 12),
		"other lines, other numbers":  SnippetAnchor("1: other\n2: f(x)\n", 2, 2),
		"no numbers":                  SnippetAnchor("   f(x)\n", 12, 12),
		"an end that is not known":    SnippetAnchor("11: before\n12: f(x)\n", 12, 0),
		"white space within the line": SnippetAnchor("12:  f(x)  \r\n", 12, 12),
	} {
		if got != want {
			t.Errorf("%s: anchor %q, want %q", what, got, want)
		}
	}
	if two := SnippetAnchor("12: f(x)\n13: g\n", 12, 13); two == want {
		t.Error("two lines have the anchor of one")
	}
	if got := SnippetAnchor(" \n", 1, 1); got != "" {
		t.Errorf("anchor %q of nothing", got)
	}
}
