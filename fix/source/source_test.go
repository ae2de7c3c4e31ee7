package source_test

import (
	"context"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/fix/source"
)

func plan(t *testing.T, site fix.Site) []fix.Path {
	t.Helper()
	paths, err := source.New().PlanSite(context.Background(), &site)
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func flawed(kind fact.Kind) fix.Site {
	return fix.Site{Location: fact.Location{Path: "app/run.py", Line: 7}, Flaws: []fix.Flaw{{
		Issue: "i1", Kind: kind, Rules: []string{"B602"}, Findings: 2,
		Told: []fact.Finding{{Path: "app/run.py", Line: 7, CWE: []int{78}}, {Path: "app/other.py", Line: 3, Mitigation: "pass a list\nand no shell", CWE: []int{78, 20}}},
	}}}
}

func TestACodeFlawNamesItsPlacesAdviceAndHandOff(t *testing.T) {
	t.Parallel()
	paths := plan(t, flawed(fact.CodeFlaw))
	if len(paths) != 1 {
		t.Fatalf("%d paths", len(paths))
	}
	p := paths[0]
	var said strings.Builder
	for _, s := range p.Steps {
		said.WriteString(s.Text + "|" + s.Command + "\n")
	}
	for _, want := range []string{"pass a list and no shell", "CWE-20, CWE-78", "|backstitch fix handoff i1"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("the steps lack %q:\n%s", want, said.String())
		}
	}
	if p.Kind != fix.EditSource || !p.Manual || p.Findings != 2 || !strings.Contains(p.Summary, "app/run.py:7") || p.Steps[0].Location.Line != 7 || p.Steps[1].Location.Path != "app/other.py" {
		t.Errorf("path %+v", p)
	}
	accept := fix.Path{ID: "a", Kind: fix.Accept, Manual: true, Expires: 24, Closes: []string{"i1"}}
	if got := fix.Compare([]fix.Path{accept, p}); got[0].ID != p.ID || !got[0].Recommended {
		t.Errorf("recommended %s", got[0].ID)
	}
}

func TestItSpeaksOnlyWhereNothingElseMends(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind    fact.Kind
		planned fix.Path
		count   int
	}{
		{fact.Misconfiguration, fix.Path{Kind: fix.Accept, Expires: 1, Closes: []string{"i1"}}, 1},
		{fact.Misconfiguration, fix.Path{Kind: fix.Stopgap, Expires: 1, Closes: []string{"i1"}}, 1},
		{fact.Misconfiguration, fix.Path{Kind: fix.EditValue, Closes: []string{"i2"}}, 1},
		{fact.Misconfiguration, fix.Path{Kind: fix.EditValue, Closes: []string{"i1"}}, 0},
		{fact.Misconfiguration, fix.Path{Kind: fix.AddBlock, Manual: true, Closes: []string{"i1"}}, 0},
		{fact.Secret, fix.Path{}, 0},
		{fact.Vulnerability, fix.Path{}, 0},
	} {
		site := flawed(c.kind)
		site.Planned = []fix.Path{c.planned}
		if got := plan(t, site); len(got) != c.count {
			t.Errorf("%s beside %s: %d paths, expected %d", c.kind, c.planned.Kind, len(got), c.count)
		}
	}
	if _, err := source.New().Apply(context.Background(), t.TempDir(), fix.Path{}); err == nil {
		t.Error("a path for people is applied")
	}
}
