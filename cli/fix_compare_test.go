package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

func TestComparedPathsStandSideBySideWithWhatIsKnownAndWhatIsNot(t *testing.T) {
	t.Parallel()
	paths := fix.Compare([]fix.Path{
		{
			ID: "a", Kind: fix.RaiseDirect, Summary: "raise p", Closes: []string{"BS-1"}, Findings: 2, Risk: fix.RiskMinor, Effort: fix.EffortSmall, Changes: make([]fix.Change, 1),
			Weighed: fix.Weighed{
				Breaking:     &fix.Breaking{Verdict: fix.BreaksUsed, Uses: []fix.Use{{Symbol: "p.F", Change: "goes away", Location: fact.Location{Path: "m.go", Line: 7}}}},
				Reachability: &fix.Reachability{Verdict: fix.ReachesModule, Evidence: []fact.Evidence{{Detail: "none of the 3 packages is flawed"}}},
				History:      &fix.History{Text: "4 bumps of p, 1 reverted"},
				Live:         fix.NewLive(fix.Stage{Name: "review", Known: true, Takes: 50 * 3600e6}, fix.Stage{Name: "build"}),
				Reviewers:    []fact.Owner{{Name: "@acme/core", Evidence: []fact.OwnerEvidence{{Kind: "codeowners"}}}},
			},
		},
		{ID: "b", Kind: fix.Override, Summary: "override\x1b[31m p", Closes: []string{"BS-1"}, Findings: 2, Risk: fix.RiskMinor, Effort: fix.EffortMedium, Temporary: true},
		{ID: "c", Kind: fix.Accept, Manual: true, Summary: "accept", Closes: []string{"BS-1"}},
	})
	var out bytes.Buffer
	s := &streams{out: &out}
	if err := s.printCompared(paths); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, want := range []string{
		"path           b ", "p.F goes away (m.go:7)", "required: none of the 3 packages is flawed",
		"review 2 days; not known: build", "4 bumps of p, 1 reverted", "@acme/core (codeowners)", "nothing known",
		"no: breaks what is used here: p.F (m.go:7)", "none: people carry it out",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if strings.Contains(text, "\x1b") {
		t.Error("a control character came through")
	}
}

func TestTextIsWrappedAtSpacesAndNothingIsLost(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "a", "aa bb cc dd", "a verylongwordwithoutspaces b", "é é é é é é é", strings.Repeat("x", 50)} {
		lines := wrap(text, 8)
		for _, line := range lines {
			if len([]rune(line)) > 8 {
				t.Errorf("%q: line %q is longer than 8", text, line)
			}
		}
		if got, want := strings.ReplaceAll(strings.Join(lines, ""), " ", ""), strings.ReplaceAll(text, " ", ""); got != want {
			t.Errorf("%q became %q", text, lines)
		}
	}
}
