package owner

import (
	"strings"
	"testing"

	"github.com/backstitch/backstitch/fact"
)

func TestPrecedenceIsReadAndCheckedByLineAndField(t *testing.T) {
	t.Parallel()
	p, err := ParsePrecedence("owners.yaml", []byte("sources: {cmdb: .8, backstage: 0.5}\nstrengths:\n  guess: .1\nfallback: {manager: .2}\nclear: .7\nhearsay: [tagrule]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if p.Sources["cmdb"] != .8 || p.Sources["backstage"] != .5 || p.Sources["project"] != .95 || p.Strengths[fact.Guess] != .1 || p.Strengths[fact.Proven] != 1 || p.Fallback.Manager != .2 || p.Fallback.Team != .8 ||
		p.Clear != .7 || len(p.Hearsay) != 1 || p.Lead != .1 {
		t.Errorf("%+v", p)
	}
	if p, err := ParsePrecedence("owners.yaml", nil); err != nil || p.Clear != .5 {
		t.Errorf("an empty file: %+v %v", p, err)
	}
	for text, want := range map[string]string{
		"clear: .5\nsources:\n  backstage: 1.5":  "owners.yaml:3: sources.backstage: \"1.5\", expected a number from 0 to 1",
		"clear: x":                               "owners.yaml:1: clear: \"x\", expected a number",
		"clear: NaN":                             "owners.yaml:1: clear: \"NaN\", expected a number",
		"\ncolour: 1":                            "owners.yaml:2: colour: no such field",
		"strengths: {iron: 1}":                   "owners.yaml:1: strengths.iron: no such field",
		"sources: []":                            "owners.yaml:1: sources: expected names with values",
		"lead: .01":                              "owners.yaml:1: lead: \".01\", expected a number from 0.1 to 1",
		"clear: .5\nclear: .6":                   "owners.yaml:2: clear: is there twice",
		"hearsay: tagrule":                       "owners.yaml:1: hearsay: expected a list of sources",
		"\nunknown: .6":                          "owners.yaml:2: unknown: 0.6, expected less than clear (0.5)",
		"clear: &a .5\nlead: *a":                 "owners.yaml:2: lead: \"a\", expected a number",
		"clear: [":                               "owners.yaml: yaml: line 1",
		"fallback: {team: .5, friend: .1}\nx: y": "owners.yaml:1: fallback.friend: no such field",
	} {
		if _, err := ParsePrecedence("owners.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzPrecedence(f *testing.F) {
	f.Add("sources: {a: .5}\nclear: .6")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePrecedence("f", []byte(text))
		if err == nil && (p.Unknown >= p.Clear || p.Lead < .1) {
			t.Errorf("%q: %+v", text, p)
		}
	})
}
