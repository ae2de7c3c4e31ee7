package owner_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/owner"
	"github.com/backstitch/backstitch/store/sqlite"
)

var today = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func entry(source, email, name string, more ...string) owner.Account {
	a := owner.Account{Source: source, Key: email, Name: name, Entry: true, Emails: []string{email}, ID: source + ":" + email}
	for _, one := range more {
		if strings.Contains(one, "@") {
			a.Emails = append(a.Emails, one)
		} else {
			a.Logins = append(a.Logins, one)
		}
	}
	return a
}

func commits(name, email string) owner.Account {
	return owner.GitAccounts([]git.Ident{{Name: name, Email: email}}, nil)[0]
}

// told gives who was made of accounts: ids, each with the keys of its accounts.
func told(h *owner.Humans) map[string]string {
	list := map[string]string{}
	for _, human := range h.List {
		var keys []string
		for _, a := range human.Accounts {
			keys = append(keys, a.Source+" "+a.Key)
		}
		list[human.ID] = strings.Join(keys, " | ")
	}
	return list
}

func TestOnePersonOverGitForgesDirectoryAndOnCall(t *testing.T) {
	t.Parallel()
	accounts := []owner.Account{
		entry("scim", "ada@acme.test", "Ada Lovelace", "a.lovelace@acme.test"), entry("people", "ada@acme.test", "Ada Lovelace", "github.com/ada-l"), entry("pagerduty", "a.lovelace@acme.test", "Ada"),
		commits("ada", "Ada@ACME.test"), commits("Ada L", "1234+ada-l@users.noreply.github.com"), commits("old Ada", "1234+ada-old@users.noreply.github.com"),
		commits("Ada on GitLab", "77-ada@users.noreply.gitlab.com"), commits("Ada at home", "77-adal@users.noreply.gitlab.com"),
		commits("Eve", "ada@acme.test.evil.test"), commits("Ada Lovelace", "ada@elsewhere.test"), commits("Ada Lovelace", "noreply@github.com"),
	}
	want := map[string]string{
		"ada@acme.test":                     "people ada@acme.test | scim ada@acme.test | pagerduty a.lovelace@acme.test | git Ada L <1234+ada-l@users.noreply.github.com> | git ada <Ada@ACME.test> | git old Ada <1234+ada-old@users.noreply.github.com>",
		"77-ada@users.noreply.gitlab.com":   "git Ada at home <77-adal@users.noreply.gitlab.com> | git Ada on GitLab <77-ada@users.noreply.gitlab.com>",
		"ada@acme.test.evil.test":           "git Eve <ada@acme.test.evil.test>",
		"ada@elsewhere.test":                "git Ada Lovelace <ada@elsewhere.test>",
		"Ada Lovelace <noreply@github.com>": "git Ada Lovelace <noreply@github.com>",
	}
	h := owner.JoinAccounts(accounts, today)
	if diff := cmp.Diff(want, told(h)); diff != "" {
		t.Error(diff)
	}
	if len(h.Conflicts) != 0 || len(h.Namesakes) != 1 || h.Namesakes[0].Name != "ada lovelace" || len(h.Namesakes[0].Humans) != 3 || h.Namesakes[0].Different {
		t.Errorf("conflicts %q, namesakes %+v; want the name as a suggestion", h.Conflicts, h.Namesakes)
	}
	for _, text := range []string{"A.Lovelace@acme.test", "github.com/ada-l", "1234+ada-l@users.noreply.github.com", "scim:ada@acme.test"} {
		if who, ok := h.Find(text); !ok || who.Name != "Ada Lovelace" {
			t.Errorf("%s is %+v", text, who)
		}
	}
	if who, ok := h.Find("Ada Lovelace"); ok {
		t.Errorf("a name alone found %s", who.ID)
	}
	for range 20 {
		rand.Shuffle(len(accounts), func(i, j int) { accounts[i], accounts[j] = accounts[j], accounts[i] })
		if diff := cmp.Diff(told(h), told(owner.JoinAccounts(accounts, today))); diff != "" {
			t.Fatalf("another order gives other people: %s", diff)
		}
	}
}

func TestTwoPeopleStayTwo(t *testing.T) {
	t.Parallel()
	h := owner.JoinAccounts([]owner.Account{
		entry("scim", "john.smith@acme.test", "John Smith"), entry("scim", "john.smith2@acme.test", "John Smith"),
		// One commits with an address of each, and an on-call system has a shared one.
		commits("John Smith", "john.smith@acme.test"), entry("pagerduty", "john.smith@acme.test", "John", "john.smith2@acme.test"),
	}, today)
	if len(h.List) != 2 || len(h.Conflicts) != 1 || !strings.Contains(h.Conflicts[0], "make one of john.smith2@acme.test and john.smith@acme.test, which are two entries of scim: they stay two") {
		t.Errorf("%v, conflicts %q", told(h), h.Conflicts)
	}
	if len(h.Namesakes) != 1 || !h.Namesakes[0].Different {
		t.Errorf("namesakes %+v; want two different people of one name", h.Namesakes)
	}
}

func TestADayOfLeavingCountsOnceItHasCome(t *testing.T) {
	t.Parallel()
	for day, want := range map[string]bool{"2026-05-31": true, "2026-06-02": false, "soon": false, "": false} {
		one := entry("people", "bob@acme.test", "Bob")
		one.Active, one.Left = "true", day
		if h := owner.JoinAccounts([]owner.Account{one}, today); h.List[0].Gone != want || h.List[0].Left != map[bool]string{true: day}[want] {
			t.Errorf("leaving %q: %+v, want gone %v", day, h.List[0], want)
		}
	}
}

func TestALoginThatAnotherTookJoinsNobody(t *testing.T) {
	t.Parallel()
	h := owner.JoinAccounts([]owner.Account{
		commits("First", "1+max@users.noreply.github.com"), commits("Second", "2+max@users.noreply.github.com"), commits("Either", "max@users.noreply.github.com"),
		entry("people", "first@acme.test", "First", "github.com/max"),
	}, today)
	if len(h.List) != 4 || len(h.Conflicts) != 1 || !strings.Contains(h.Conflicts[0], "github.com/max had several numbers") {
		t.Errorf("%v, conflicts %q", told(h), h.Conflicts)
	}
}

func TestAPersonWithFortyAddressesAndAMailmap(t *testing.T) {
	t.Parallel()
	var idents []git.Ident
	mailmap := "Shared One <one@acme.test> One <shared@acme.test>\nShared Two <two@acme.test> Two <shared@acme.test>\n"
	for n := range 40 {
		idents = append(idents, git.Ident{Name: fmt.Sprint("name ", n), Email: fmt.Sprintf("address%d@acme.test", n)})
		mailmap += fmt.Sprintf("Ann Example <ann@acme.test> <ADDRESS%d@acme.test>\n", n)
	}
	idents = append(idents, git.Ident{Name: "One", Email: "shared@acme.test"}, git.Ident{Name: "Two", Email: "shared@acme.test"})
	accounts := append(owner.GitAccounts(idents, []byte(mailmap)), entry("scim", "address39@acme.test", "Ann"))
	h := owner.JoinAccounts(accounts, today)
	ann, ok := h.Find("address7@acme.test")
	if !ok || len(ann.Emails) != 41 || ann.ID != "address39@acme.test" || ann.Name != "Ann Example" || len(h.List) != 3 {
		t.Errorf("%v: %+v", told(h), ann)
	}
	one, _ := h.Find("one@acme.test")
	two, _ := h.Find("two@acme.test")
	if one == nil || two == nil || one.ID == two.ID {
		t.Errorf("who share an address that the mailmap tells apart: %+v, %+v", one, two)
	}
}

func TestAHundredThousandAccountsAreJoined(t *testing.T) {
	t.Parallel()
	var accounts []owner.Account
	var idents []git.Ident
	mailmap := &strings.Builder{}
	for n := range 30_000 {
		email := fmt.Sprintf("p%d@acme.test", n)
		accounts = append(accounts, entry("scim", email, fmt.Sprint("Person ", n)), commits("p", strings.ToUpper(email)))
		idents = append(idents, git.Ident{Name: "x", Email: fmt.Sprintf("old%d@acme.test", n)})
		fmt.Fprintf(mailmap, "Everybody <all@acme.test> <old%d@acme.test>\n", n)
	}
	accounts = append(accounts, owner.GitAccounts(idents, []byte(mailmap.String()))...)
	start := time.Now()
	h := owner.JoinAccounts(accounts, today)
	if all, ok := h.Find("all@acme.test"); len(h.List) != 30_001 || !ok || len(all.Emails) != 30_001 {
		t.Errorf("%d people", len(h.List))
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("took %v", took)
	} else {
		t.Logf("joined in %v", took)
	}
}

func TestBotsAndLeavers(t *testing.T) {
	t.Parallel()
	left := entry("people", "bob@acme.test", "Bob Bobson")
	left.Active, left.Left, left.Manager = "false", "2026-01-02", "ada@acme.test"
	still := entry("scim", "bob@acme.test", "Bob Bobson")
	still.Active = "true"
	blocked := entry("opsgenie", "eve@acme.test", "Eve")
	blocked.ID, blocked.Active = "opsgenie:user:7", "false"
	service := entry("scim", "deploy@acme.test", "Deployment")
	service.Bot = true
	h := owner.JoinAccounts([]owner.Account{
		left, still, blocked, service, commits("deployer", "deploy@acme.test"),
		commits("dependabot[bot]", "49699333+dependabot[bot]@users.noreply.github.com"),
		commits("acme-ci", "eve@acme.test"), commits("renovate", "bot@renovate.test"), commits("Human", "bot@renovate.test"),
	}, today)
	for text, want := range map[string]string{
		"bob@acme.test": "gone 2026-01-02 ada@acme.test", "eve@acme.test": "here", "deploy@acme.test": "bot", "github.com/dependabot[bot]": "bot", "bot@renovate.test": "bot",
	} {
		who, ok := h.Find(text)
		if !ok {
			t.Errorf("%s is nobody", text)
			continue
		}
		got := "here"
		switch {
		case who.Bot:
			got = "bot"
		case who.Gone:
			got = "gone " + who.Left + " " + who.Manager
		}
		if got != want || who.Bot != (who.Why != "") {
			t.Errorf("%s is %q (%s), want %q", text, got, who.Why, want)
		}
	}
	if len(h.Conflicts) != 1 || !strings.Contains(h.Conflicts[0], "scim says active, people says not") {
		t.Errorf("conflicts %q", h.Conflicts)
	}
}

func TestPeopleOfTheGraphAreAccounts(t *testing.T) {
	t.Parallel()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "backstitch.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	g := graph.Open(db)
	for n, p := range []connector.Person{
		{ID: "scim:1", Name: "Ada Lovelace", Emails: []string{"Ada@acme.test", "al@acme.test"}, Logins: []string{"ada"}},
		{ID: "pagerduty:user:P1", Name: "Ada", Emails: []string{"al@acme.test"}, Logins: []string{"github.com/ada-l"}},
	} {
		run, err := g.Begin(t.Context(), []string{"okta", "oncall"}[n], time.UnixMicro(1_700_000_000_000_000), false)
		if err != nil {
			t.Fatal(err)
		}
		if err := run.Node("all", p.Node()); err != nil {
			t.Fatal(err)
		}
		if err := run.Claim("all", fact.Claim{Subject: fact.Asset{Kind: fact.AssetPerson, Key: "passing@acme.test"}, Owner: p.Party(), Role: "owner", Source: "test", Evidence: fact.Evidence{Method: "test", Source: "test", Strength: fact.Declared}}); err != nil {
			t.Fatal(err)
		}
		if _, err := run.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	accounts, err := owner.GraphAccounts(t.Context(), g)
	if err != nil || len(accounts) != 2 {
		t.Fatalf("%+v, %v", accounts, err)
	}
	h := owner.JoinAccounts(append(accounts, commits("A", "9+ada-l@users.noreply.github.com")), today)
	if len(h.List) != 1 || len(h.List[0].Accounts) != 3 || !cmp.Equal(h.List[0].Logins, []string{"github.com/ada-l"}) || !cmp.Equal(h.List[0].Links, []string{"al@acme.test", "the login github.com/ada-l"}) {
		t.Errorf("%+v", h.List)
	}
}
