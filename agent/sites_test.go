package agent

import (
	"context"
	"testing"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/issue"
	"github.com/backstitch/backstitch/scan"
)

// counting is a scanner that counts its looks and concerns one file.
type counting struct {
	id, file string
	looks    *int
}

func (c counting) Describe() scan.Description { return scan.Description{ID: c.id} }

func (c counting) Concerns(kind fact.Kind, path string) bool {
	return kind == fact.Misconfiguration && path == c.file
}

func (c counting) Scan(context.Context, code.Tree, func(fact.Finding) error) ([]scan.Problem, error) {
	*c.looks++
	return nil, nil
}

func TestOnlyScannersThatConcernASiteLook(t *testing.T) {
	t.Parallel()
	looks := map[string]*int{"a": new(int), "b": new(int), "workflow": new(int)}
	d := &Desk{
		Progress: func(string, int, int) {},
		Detectors: func(scan.Advisories, fix.Images, kubernetes.Renderer) []scan.Scanner {
			return []scan.Scanner{counting{"a", "a.tf", looks["a"]}, counting{"b", "b.yaml", looks["b"]}, counting{"workflow", "ci.yml", looks["workflow"]}}
		},
	}
	s := &scene{modules: []lockfile.Module{{Manifests: []string{"ci.yml"}}}, tree: code.Files{}}
	at := func(kind fact.Kind, path string) *issue.Issue {
		return &issue.Issue{Kind: kind, Cause: fact.Cause{Locations: []fact.Location{{Path: path}}}}
	}
	for _, step := range []struct {
		issues     []*issue.Issue
		a, b, used int
	}{
		{nil, 0, 0, 0},
		{[]*issue.Issue{at(fact.Vulnerability, "ci.yml"), at(fact.Vulnerability, "a.tf")}, 0, 0, 0},
		{[]*issue.Issue{at(fact.Misconfiguration, "a.tf")}, 1, 0, 1},
		{[]*issue.Issue{at(fact.Misconfiguration, "a.tf"), at(fact.Misconfiguration, "b.yaml")}, 1, 1, 2},
		{[]*issue.Issue{at(fact.Misconfiguration, "b.yaml")}, 1, 1, 2},
		{[]*issue.Issue{at(fact.Misconfiguration, "ci.yml")}, 1, 1, 3}, // a manifest of a module, too
	} {
		used, err := d.ownLooks(context.Background(), s, step.issues, func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		if *looks["a"] != step.a || *looks["b"] != step.b || *looks["workflow"] != step.used/3 || len(used) != step.used {
			t.Errorf("after %d issues: looks %d, %d and %d, used %d; expected %d, %d, %d and %d", len(step.issues), *looks["a"], *looks["b"], *looks["workflow"], len(used), step.a, step.b, step.used/3, step.used)
		}
	}
}

func TestAFindingIsThatOfTheFileThatIsNamed(t *testing.T) {
	t.Parallel()
	one := func(path, object string) fact.Finding {
		return fact.Finding{Rule: "r", Path: path, Line: 3, Attributes: map[string]string{fix.AttributeObject: object}}
	}
	findings := []fact.Finding{
		one("chart/templates/web.yaml", "default/Deployment.apps/web#web (chart)"), one("kustomize/web.yaml", "default/Deployment.apps/web#web (kustomize)"),
		one("kustomize/web.yaml", "default/Deployment.apps/other#web"), one("elsewhere.yaml", "default/Deployment.apps/web#web (x)"),
	}
	names := []string{"default/Deployment.apps/web"}
	if got := matching(findings, []string{"R"}, []fact.Location{{Path: "kustomize/web.yaml", Line: 1, EndLine: 9}}, names); len(got) != 1 || got[0].Path != "kustomize/web.yaml" {
		t.Errorf("of the named file: %+v", got)
	}
	if got := matching(findings, []string{"r"}, []fact.Location{{Path: "live.yaml", Line: 1}}, names); len(got) != 3 {
		t.Errorf("where no file is named, each of that name: %+v", got)
	}
}

func TestWhatAProgramWritesIsNotEdited(t *testing.T) {
	t.Parallel()
	data := map[string][]byte{"a.yaml": []byte("# Generated. DO NOT EDIT.\nA: 1\n"), "b.yaml": []byte("A: 1\n")}
	s := &scene{tree: code.Files(data)}
	for name, manual := range map[string]bool{"a.yaml": true, "b.yaml": false} {
		at := len(data[name]) - 2
		p := s.leaveGenerated(context.Background(), fix.Path{Edits: []fix.FileEdit{fix.NewFileEdit(name, data[name], at, at+1, "2")}})
		if p.Manual != manual || (len(p.Edits) == 0) != manual {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// both is a fixer of modules and of sites.
type both struct{ fix.ModuleFixer }

func TestAFixerOfModulesIsJudgedAtASiteByWhatSeesTheSite(t *testing.T) {
	t.Parallel()
	looks := 0
	d := &Desk{
		Progress: func(string, int, int) {},
		Detectors: func(scan.Advisories, fix.Images, kubernetes.Renderer) []scan.Scanner {
			return []scan.Scanner{counting{"workflow", "ci.yml", &looks}}
		},
	}
	s := &scene{tree: code.Files{}}
	it := issue.Issue{ID: "i1", Kind: fact.CodeFlaw, Cause: fact.Cause{Locations: []fact.Location{{Path: "ci.yml"}}}}
	_, closes, err := d.detector(context.Background(), s, both{}, []issue.Issue{it})
	if err != nil || len(closes) != 1 || closes[0].Issue != "i1" || looks != 0 {
		t.Errorf("closes %+v, %d looks, %v", closes, looks, err)
	}
	it.Kind = fact.Misconfiguration
	if _, _, err := d.detector(context.Background(), s, both{}, []issue.Issue{it}); err != nil || looks != 1 {
		t.Errorf("%d looks, %v", looks, err)
	}
}
