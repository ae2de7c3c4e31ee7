package connector_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/fact"
)

func TestAnAddressIsComparedInSmallLetters(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		" Ada@Acme.TEST ": "ada@acme.test", "mailto:ada@acme.test": "ada@acme.test", "ada": "", "@acme.test": "", "ada@": "", "a@b@c": "",
		"Ada <ada@acme.test>": "", "ada@acme.test, bob@acme.test": "", "ÅSA@acme.test": "åsa@acme.test",
	} {
		if got := connector.Address(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func TestAPersonIsToldInTheSameWords(t *testing.T) {
	t.Parallel()
	active := false
	p := connector.Person{
		ID: "x:1", Name: "Ada", Emails: []string{"not an address", "Ada@acme.test", "ada@acme.test", "a.l@acme.test"}, Logins: []string{"github.com/ada", "a,b", "github.com/ada"},
		Active: &active, Left: "2026-02-03", Manager: "bob@acme.test", Bot: true, Said: map[string]string{"title": "Engineer"},
	}
	want := fact.Node{Asset: fact.Asset{Kind: "person", Key: "ada@acme.test", Name: "Ada"}, Properties: map[string]string{
		"emails": "ada@acme.test,a.l@acme.test", "logins": "github.com/ada", "github": "ada", "active": "false", "left": "2026-02-03", "manager": "bob@acme.test", "bot": "true", "id": "x:1", "title": "Engineer",
	}}
	if diff := cmp.Diff(want, p.Node()); diff != "" {
		t.Error(diff)
	}
	if nameless := (&connector.Person{ID: "x:2"}); nameless.Asset().Key != "x:2" || nameless.Party() != (fact.Party{Kind: "person", ID: "x:2"}) {
		t.Errorf("without an address: %+v", nameless.Asset())
	}
}
