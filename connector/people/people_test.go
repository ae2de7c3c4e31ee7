package people_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/connectortest"
	"github.com/backstitch/backstitch/connector/people"
	"github.com/backstitch/backstitch/fact"
)

func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const table = "\ufeffName;E-Mail;GitHub;Team;Manager E-Mail;Status;Termination date;Shoe size\r\n" +
	"Zoë Ångström;Zoe@Acme.test, z@acme.test;zoe-a;Web;li@acme.test;active;;37\r\n" +
	"\"Bob; the builder\";bob@acme.test;;Web, Ops;zoe@acme.test;terminated;2026-03-04;\r\n" +
	"\r\n" +
	"李雷;li@acme.test;;;;On leave;;\r\n"

const list = `people:
  - name: CI
    emails: [ci@acme.test]
    logins: [github.com/acme-ci]
    bot: true
    active: yes
    manager: zoe-a
    manager_id: github.com/zoe-a
  - {name: Ann, email: ann@acme.test, team: Ops, left: 2026-01-02}
`

func TestConformance(t *testing.T) {
	t.Parallel()
	connectortest.Conformance(t, people.New(), map[string]string{"path": folder(t, map[string]string{"a.csv": table, "b.yaml": list})})
}

func sync(t *testing.T, files map[string]string) *connectortest.Recorder {
	t.Helper()
	r := &connectortest.Recorder{}
	if err := connectortest.Run(t, people.New(), map[string]string{"path": folder(t, files)}, r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestPeopleTeamsManagersAndLeavers(t *testing.T) {
	t.Parallel()
	r := sync(t, map[string]string{"a.csv": table, "b.yaml": list})
	for key, want := range map[string]map[string]string{
		"zoe@acme.test": {"id": "people:github.com/zoe-a", "emails": "zoe@acme.test,z@acme.test", "logins": "github.com/zoe-a", "github": "zoe-a", "active": "true", "status": "active", "manager": "li@acme.test"},
		"bob@acme.test": {"id": "people:bob@acme.test", "emails": "bob@acme.test", "active": "false", "status": "terminated", "left": "2026-03-04", "manager": "zoe@acme.test"},
		"li@acme.test":  {"id": "people:li@acme.test", "emails": "li@acme.test", "status": "On leave"},
		"ci@acme.test":  {"id": "people:github.com/acme-ci", "emails": "ci@acme.test", "logins": "github.com/acme-ci", "github": "acme-ci", "bot": "true", "active": "true", "manager": "zoe@acme.test"},
		"ann@acme.test": {"id": "people:ann@acme.test", "emails": "ann@acme.test", "left": "2026-01-02"},
	} {
		node, _ := r.Asset(fact.AssetPerson, key)
		if diff := cmp.Diff(want, node.Properties); diff != "" {
			t.Errorf("%s: %s", key, diff)
		}
	}
	if diff := cmp.Diff([]string{"ann@acme.test -> people:ops", "bob@acme.test -> people:ops", "bob@acme.test -> people:web", "zoe@acme.test -> people:web"}, r.Edges(fact.MemberOf)); diff != "" {
		t.Error(diff)
	}
	if r.Relations[0].Value.Evidence.Source != "a.csv:2" || len(r.Gaps) != 0 || !slices.Equal(r.Complete, []string{"a.csv", "b.yaml"}) || len(r.Notes) != 0 {
		t.Errorf("evidence %+v, gaps %v, covered %v, notes %v", r.Relations[0].Value.Evidence, r.Gaps, r.Complete, r.Notes)
	}
}

func TestBadRowsAreNamedByLineAndTheRestGoesOn(t *testing.T) {
	t.Parallel()
	r := sync(t, map[string]string{
		"a.csv": "name,email,active,left\n" +
			"Only a name,,,\n" +
			"Bad,not an address,,\n" +
			"\"never closed,x@acme.test,,\n" +
			"\"two\nlines\",two@acme.test,,\n" +
			"Maybe,maybe@acme.test,perhaps,\n" +
			"When,when@acme.test,,03/04/2026\n" +
			"Many,many@acme.test,,,,,\n" +
			"Bro\xffken,broken@acme.test,,\n" +
			"Good,good@acme.test,true,\n",
		"b.yml":  "people:\n  - name: x\n    email: x@acme.test\n    shoe: 37\n  - 7\n  - {name: y, email: {a: b}}\n  - {name: z, email: z@acme.test}\n",
		"c.yaml": "a: [",
		"d.csv":  "colour,size\nred,7\n",
		"e.csv":  "",
		"f.csv":  "n\x00a\x00m\x00e\x00\n",
		"g.yaml": "a: &a [x, x]\nb: [*a, *a]\n",
	})
	var gaps []string
	for _, gap := range r.Gaps {
		gaps = append(gaps, gap.Value)
	}
	want := []string{
		"a.csv:2: expected an email, a login or an id: a name alone is nobody",
		`a.csv:3: email "not": expected a mail address`,
		`a.csv:4: extraneous or missing " in quoted-field`,
		`a.csv:7: active "perhaps": expected true or false`,
		`a.csv:8: left "03/04/2026": expected a day like 2006-01-02`,
		"a.csv:9: 7 fields, expected 4",
		"a.csv:10: expected text in UTF-8",
		`b.yml:4: a person has no "shoe"; expected name, emails, logins, github, gitlab, teams, manager, active, status, left, id, title, department or bot`,
		"b.yml:5: expected a person with a name and an email",
		"b.yml:6: expected a text or a list of texts",
		"c.yaml: yaml: line 1: did not find expected node content",
		"d.csv:1: expected a column email, login, github, gitlab or id",
		"e.csv: expected a line of column names in UTF-8",
		"f.csv: expected a line of column names in UTF-8",
		"g.yaml:1: expected a list of people",
	}
	if diff := cmp.Diff(want, gaps); diff != "" {
		t.Error(diff)
	}
	for _, key := range []string{"good@acme.test", "two@acme.test", "z@acme.test"} {
		if _, found := r.Asset(fact.AssetPerson, key); !found {
			t.Errorf("%s was not read", key)
		}
	}
	if len(r.Complete) != 0 {
		t.Errorf("covered %v", r.Complete)
	}
}

func TestNobodyIsFoundByNameAlone(t *testing.T) {
	t.Parallel()
	r := sync(t, map[string]string{"a.csv": "name,email,manager\nAda,ada@acme.test,Bob Bobson\nBob Bobson,bob@acme.test,elsewhere@acme.test\nEve,eve@acme.test,eve@acme.test\n"})
	ada, _ := r.Asset(fact.AssetPerson, "ada@acme.test")
	bob, _ := r.Asset(fact.AssetPerson, "bob@acme.test")
	eve, _ := r.Asset(fact.AssetPerson, "eve@acme.test")
	if ada.Properties["manager"] != "" || bob.Properties["manager"] != "elsewhere@acme.test" || eve.Properties["manager"] != "" || len(r.Notes) != 2 || !strings.Contains(r.Notes[0].Value, `a.csv:2: the manager "Bob Bobson" is nobody in the files`) {
		t.Errorf("ada %v, bob %v, eve %v, notes %v", ada.Properties, bob.Properties, eve.Properties, r.Notes)
	}
}

func TestOneAddressOfTwoIsToldOf(t *testing.T) {
	t.Parallel()
	r := sync(t, map[string]string{"a.csv": "name,email,login\nAda,ada@acme.test,root\nBob,bob@acme.test,root\nAda L,ada@acme.test,\n"})
	if len(r.Notes) != 2 || !strings.Contains(r.Notes[0].Value, "root is said of ada@acme.test and of bob@acme.test") || !strings.Contains(r.Notes[1].Value, "a.csv:4: ada@acme.test is there already, in a.csv:2") {
		t.Errorf("notes %v", r.Notes)
	}
}

// peak is a sink that keeps nothing and looks at the memory in use.
type peak struct {
	connectortest.Recorder
	nodes int
	most  uint64
}

func (p *peak) Node(string, fact.Node) error {
	if p.nodes++; p.nodes%20_000 == 0 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		p.most = max(p.most, stats.HeapAlloc)
	}
	return nil
}
func (p *peak) Relation(string, fact.Relation) error { return nil }

func TestAHundredThousandRowsAreStreamed(t *testing.T) {
	at := filepath.Join(t.TempDir(), "people.csv")
	file, err := os.Create(at)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(file, "name,email,team,manager,notes")
	for n := range 100_000 {
		fmt.Fprintf(file, "Person %d,person%d@acme.test,Team %d,person%d@acme.test,%s\n", n, n, n%100, n/10, strings.Repeat("x", 500))
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	p := &peak{}
	if err := people.New().Sync(t.Context(), connector.Values{"path": at}, p); err != nil {
		t.Fatal(err)
	}
	if held := (max(p.most, before.HeapAlloc) - before.HeapAlloc) >> 20; p.nodes < 200_000-1 || len(p.Complete) != 1 || held > 80 {
		t.Errorf("%d nodes, covered %v, %d MiB held at most; want less than 80", p.nodes, p.Complete, held)
	} else {
		t.Logf("%d MiB held at most", held)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(table), true)
	f.Add([]byte(list), false)
	f.Add([]byte("name,email\n\"\"\"\n\"a\n\"b,c@d\n"), true)
	f.Fuzz(func(t *testing.T, data []byte, csv bool) {
		at := filepath.Join(t.TempDir(), map[bool]string{true: "p.csv", false: "p.yaml"}[csv])
		if err := os.WriteFile(at, data, 0o600); err != nil {
			t.Fatal(err)
		}
		r := &connectortest.Recorder{}
		if err := people.New().Sync(t.Context(), connector.Values{"path": at}, r); err != nil {
			t.Errorf("%q: %v", data, err)
		}
		if len(r.Gaps) == 0 != (len(r.Complete) == 1) {
			t.Errorf("%q: gaps %v, covered %v", data, r.Gaps, r.Complete)
		}
	})
}
