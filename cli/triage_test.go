package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAListIsPrintedAsItsElementsAre(t *testing.T) {
	t.Parallel()
	type element struct {
		Name string            `json:"name"`
		List []int             `json:"list"`
		More map[string]string `json:"more,omitempty"`
	}
	for _, list := range [][]element{
		nil, {}, {{Name: "a<b>&"}}, {{Name: "\u2028", List: []int{1, 2}}, {List: []int{}, More: map[string]string{"k": "v"}}},
	} {
		var whole, pieces bytes.Buffer
		if list == nil {
			if err := (&streams{out: &whole}).json([]element{}); err != nil {
				t.Fatal(err)
			}
		} else if err := (&streams{out: &whole}).json(list); err != nil {
			t.Fatal(err)
		}
		if err := jsonList(&streams{out: &pieces}, list); err != nil {
			t.Fatal(err)
		}
		if whole.String() != pieces.String() {
			t.Errorf("%+v:\n%q\nwant\n%q", list, pieces.String(), whole.String())
		}
	}
}

func TestAReportThatSaysNothingOfItsRunIsNotShownAsComplete(t *testing.T) {
	t.Parallel()
	const warning = "may still be there"
	for text, told := range map[string]bool{
		`[]`: true,
		`{"results":[],"experimental_config":{"licenses":{"summary":false}}}`: false,
	} {
		file := filepath.Join(t.TempDir(), "report.json")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		code, out, stderr := command(t, t.TempDir(), "report", "show", file)
		if code != exitClean || !strings.Contains(out, "0 findings") || strings.Contains(out, warning) != told {
			t.Errorf("%s: exit code %d\n%s%s", text, code, out, stderr)
		}
	}
}

func TestAStateInWhichNothingWasLookedAtIsNotClean(t *testing.T) {
	t.Parallel()
	code, out, stderr := command(t, t.TempDir(), "issue", "list")
	if code != exitIncomplete || strings.Contains(out, "no open issues") || !strings.Contains(stderr, "nothing was looked at yet") {
		t.Errorf("exit code %d\n%s%s", code, out, stderr)
	}
	if code, out, _ = command(t, t.TempDir(), "issue", "list", "-o", "json"); code != exitIncomplete || out != "[]\n" {
		t.Errorf("as JSON: exit code %d, %q", code, out)
	}
}
