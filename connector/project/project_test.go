package project_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/project"
	"github.com/backstitch/backstitch/fact"
)

const tree = `projects:
  - name: Retail
    owner: team:retail
    impact: high
    projects:
      - name: shop
        owners: [ada@acme.test, "Web team: web@acme.test"]
        security_champions: Bo <bo@acme.test>
        members:
          - repository: github.com/acme/shop
          - tag: app=shop
        projects:
          - name: prod
            members:
              - account: aws/111122223333
          - name: dev
            impact: low
`

func TestATreeOfProjectsWithItsOwners(t *testing.T) {
	t.Parallel()
	projects, problems := project.Parse("projects.yaml", []byte(tree))
	if len(problems) != 0 {
		t.Fatal(problems)
	}
	type line struct{ path, kind, impact, environment, owners string }
	var got []line
	for _, p := range projects {
		owners := []string{}
		for _, o := range p.Owners {
			owners = append(owners, o.Role+" "+o.Kind+" "+o.ID)
		}
		got = append(got, line{p.Path, p.Kind, p.Impact, p.Environment, strings.Join(owners, ", ")})
	}
	want := []line{
		{"Retail", "business_unit", "high", "", "owner team retail"},
		{"Retail/shop", "application", "high", "", "owner person ada@acme.test, owner team web@acme.test, security_champion person bo@acme.test"},
		{"Retail/shop/prod", "environment", "high", "production", ""},
		{"Retail/shop/dev", "environment", "low", "development", ""},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(line{})); diff != "" {
		t.Error(diff)
	}
}

const register = `{
  "account-type": "member",
  "codeowners": ["platform-engineers"],
  "environments": [
    {"name": "production", "access": [{"sso_group_name": "watchers", "level": "read-only"}, {"sso_group_name": "makers", "level": "developer"}]},
    {"name": ""}
  ],
  "tags": {"application": "pay", "business-unit": "Finance", "owner": "Pay team: pay@acme.test", "infrastructure-support": "ops@acme.test"}
}`

func TestARegisterOfOneApplication(t *testing.T) {
	t.Parallel()
	projects, problems := project.Parse("pay.json", []byte(register))
	if diff := cmp.Diff([]string{"pay.json:6: expected an environment with a name"}, problems); diff != "" {
		t.Error(diff)
	}
	if len(projects) != 3 || projects[1].Path != "Finance/pay" || projects[2].Path != "Finance/pay/production" {
		t.Fatalf("projects %+v", projects)
	}
	want := []project.Owner{
		{Party: fact.Party{Kind: "team", ID: "pay@acme.test", Name: "Pay team"}, Role: "owner", Line: 8},
		{Party: fact.Party{Kind: "person", ID: "ops@acme.test", Name: "ops@acme.test"}, Role: "on_call", Line: 8},
		{Party: fact.Party{Kind: "team", ID: "platform-engineers", Name: "platform-engineers"}, Role: "reviewer", Line: 3},
	}
	if diff := cmp.Diff(want, projects[1].Owners); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"application": "pay", "business-unit": "Finance"}, projects[1].Tags); diff != "" {
		t.Errorf("tags, without those that are claims already: %s", diff)
	}
	if diff := cmp.Diff([]project.Member{{Kind: "tag", Text: "application=pay"}}, projects[1].Members); diff != "" {
		t.Errorf("what belongs to it: %s", diff)
	}
	if got := projects[2].Owners; len(got) != 1 || got[0].ID != "makers" {
		t.Errorf("who works on production: %+v", got)
	}
}

func TestWhatAFileDoesNotSayRightIsNamedWithItsLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"projects: {}":                                   "f:1: expected a list of projects",
		"projects:\n- owner: x":                          "f:2: expected a project with a name",
		"projects:\n- {name: a/b}":                       "f:2: expected a project with a name that holds no slash",
		"projects:\n- name: a\n  impact: huge":           `f:3: "huge": expected one of high, medium, low`,
		"projects:\n- name: a\n  colour: red":            `f:3: a project has no "colour"`,
		"projects:\n- name: a\n  members: [{tag: x}]":    `f:3: tag "x": expected key=value`,
		"projects:\n- name: a\n  members: [{planet: x}]": `f:3: no member "planet"`,
		"hello: world":                                   `f:1: expected "projects"`,
		"- 1":                                            "f:1: expected a mapping",
		"a: [":                                           "f: yaml:",
		"":                                               `f:1: expected "projects"`,
	} {
		_, problems := project.Parse("f", []byte(text))
		if len(problems) == 0 || !strings.HasPrefix(problems[0], want) {
			t.Errorf("%q: %q, want %q", text, problems, want)
		}
	}
}

type sink struct {
	connector.Sink
	nodes     []fact.Node
	relations []fact.Relation
	claims    []fact.Claim
	covered   []string
	gaps      []string
}

func (s *sink) Done(string) bool                 { return false }
func (s *sink) Node(_ string, n fact.Node) error { s.nodes = append(s.nodes, n); return nil }
func (s *sink) Relation(_ string, r fact.Relation) error {
	s.relations = append(s.relations, r)
	return nil
}
func (s *sink) Claim(_ string, c fact.Claim) error { s.claims = append(s.claims, c); return nil }
func (s *sink) Covered(scope string) error         { s.covered = append(s.covered, scope); return nil }
func (s *sink) Gap(scope string, err error)        { s.gaps = append(s.gaps, scope+": "+err.Error()) }
func (s *sink) Progress(string, int, int)          {}

func TestAFolderGivesItsGoodFilesAndNamesTheOthers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"a.yaml": tree, "b.json": "{", "c.txt": "no project"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := &sink{}
	if err := project.New().Sync(t.Context(), connector.Values{"path": dir}, s); err != nil {
		t.Fatal(err)
	}
	if len(s.nodes) != 4 || len(s.claims) != 4 || len(s.covered) != 1 || len(s.gaps) != 1 || !strings.HasPrefix(s.gaps[0], "b.json: b.json") {
		t.Errorf("%d nodes, %d claims, covered %q, gaps %q", len(s.nodes), len(s.claims), s.covered, s.gaps)
	}
	for _, r := range s.relations {
		if r.Evidence.Method == "" || r.Evidence.Source == "" || r.Evidence.Strength == "" {
			t.Errorf("relation without evidence: %+v", r)
		}
	}
	if len(s.relations) != 5 {
		t.Errorf("%d relations, want three of the tree and two members", len(s.relations))
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(tree))
	f.Add([]byte(register))
	f.Fuzz(func(t *testing.T, data []byte) {
		projects, problems := project.Parse("f", data)
		if len(projects) == 0 && len(problems) == 0 {
			t.Errorf("%q: neither a project nor a problem", data)
		}
		for _, p := range projects {
			if p.Name == "" || p.Path == "" || strings.Contains(p.Name, "/") {
				t.Errorf("%q: project %+v", data, p)
			}
			for _, o := range p.Owners {
				if o.ID == "" || o.Kind == "" || o.Role == "" {
					t.Errorf("%q: owner %+v", data, o)
				}
			}
		}
	})
}
