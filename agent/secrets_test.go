package agent

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/issue"
)

func TestNoPathAndNoDiffShowsASecret(t *testing.T) {
	t.Parallel()
	const token, word = "AKIAQQQQZZZZ1234", "swordfish"
	data := []byte("user_data = <<E\nexport KEY=" + token + "\npassword: " + word + "\nE\nopen = true # " + token + "\nother = true\n")
	s := &scene{tree: code.Files{"a.tf": data}}
	for _, line := range []int{2, 3, 5} {
		s.findings = append(s.findings, issue.StoredFinding{Finding: fact.Finding{Kind: fact.Secret, Path: "a.tf", Line: line}})
	}
	kept := s.secretsOf(context.Background())
	edit := func(old, text string) fix.Path {
		at := strings.Index(string(data), old)
		return fix.Path{Summary: "set " + token, Steps: []fix.Step{{Text: "x", Command: "y " + token}}, Edits: []fix.FileEdit{fix.NewFileEdit("a.tf", data, at, at+len(old), text)}}
	}
	for name, c := range map[string]struct {
		path   fix.Path
		manual bool
	}{
		"beside a secret":   {edit("true", "false"), false},
		"over a secret":     {edit("KEY="+token, "KEY=x"), true},
		"over a plain word": {edit("password: "+word+"\n", ""), true},
		"elsewhere":         {edit("other = true", "other = false"), false},
	} {
		got := kept.keep(c.path)
		text, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), token) || strings.Contains(string(text), word) || got.Manual != c.manual {
			t.Errorf("%s: manual %t, %s", name, got.Manual, text)
		}
		if name == "elsewhere" && got.Edits[0].Context != "other = true" {
			t.Errorf("what holds no secret is hidden: %+v", got.Edits)
		}
	}
	diff := " user_data = <<E\n export KEY=" + token + "\n-password: " + word + "\n+password: x\n+k = \"" + token + "\"\n"
	if got, want := kept.hide(diff), " user_data = <<E\n [secret]\n-[secret]\n+password: x\n+k = \"[secret]\"\n"; got != want {
		t.Errorf("diff %q, expected %q", got, want)
	}
}
