package gitea

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/connectortest"
	"github.com/backstitch/backstitch/connector/forgetest"
)

func newSource() connector.ForgeSource {
	return New(func(context.Context, time.Duration) error { return nil })
}

func values(g *forgetest.Gitea) connector.Values {
	return connector.Values{"address": g.URL + "/git", "token": g.Token, "organizations": "acme"}
}

const (
	makeBranch = "POST /repos/{owner}/{repo}/branches"
	makeCommit = "POST /repos/{owner}/{repo}/contents"
	makePull   = "POST /repos/{owner}/{repo}/pulls"
	moveBranch = "PUT /repos/{owner}/{repo}/branches/{branch}"
	dropBranch = "DELETE /repos/{owner}/{repo}/branches/{branch}"
)

func open(t *testing.T, bare string, fixed bool) *forgetest.Case {
	t.Helper()
	g := forgetest.NewGitea(t, bare, "acme/shop", forgetest.Start)
	g.Fixed = fixed
	opened, err := newSource().Forge(values(g))
	if err != nil {
		t.Fatal(err)
	}
	f := opened.(forge)
	f.remote = func(string) git.Remote { return git.Remote{URL: bare} }
	c := &forgetest.Case{
		GitHub: g.GitHub, Forge: f, Remote: g.URL + "/git/acme/shop.git", Teams: true,
		Making: []string{makeBranch, makeCommit, makePull}, Moving: []string{makeBranch, makeCommit, moveBranch}, Meanwhile: moveBranch,
		Mistaken: func() {
			g.Break(makeBranch, forgetest.Fault{Status: 500})
			g.On("GET /repos/{owner}/{repo}/git/commits/{sha}", func(w http.ResponseWriter, _ *http.Request, _ map[string]string) {
				forgetest.JSON(w, 404, map[string]string{"message": "The target couldn't be found."})
			})
		},
	}
	if fixed {
		c.Moving = c.Moving[:2]
	}
	return c
}

func TestLifeOfAChange(t *testing.T) {
	forgetest.Life(t, func(t *testing.T, bare string) *forgetest.Case { return open(t, bare, false) })
}

func TestLifeOfAChangeWhereBranchesAreNotMoved(t *testing.T) {
	forgetest.Life(t, func(t *testing.T, bare string) *forgetest.Case { return open(t, bare, true) })
}

func TestWebhooksAreJudgedBeforeTheyAreRead(t *testing.T) {
	opened, err := newSource().Forge(connector.Values{"address": "https://git.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	f := opened.(forge)
	body := []byte(`{"action":"synchronized","number":3,"repository":{"full_name":"acme/shop"},"pull_request":{"number":3,"head":{"ref":"backstitch/x"}}}`)
	for name, test := range map[string]struct {
		header map[string]string
		kind   string
	}{
		"gitea":   {map[string]string{"x-gitea-signature": sign("s", body), "x-gitea-event": "pull_request", "x-gitea-delivery": "d1"}, "pull_request"},
		"forgejo": {map[string]string{"x-forgejo-signature": sign("s", body), "x-forgejo-event": "pull_request", "x-gitea-event": "x", "x-forgejo-delivery": "d1"}, "pull_request"},
		"hub":     {map[string]string{"x-hub-signature-256": "sha256=" + sign("s", body), "x-gitea-event": "issue_comment", "x-gitea-delivery": "d1"}, "comment"},
	} {
		test.header["content-type"] = "application/json"
		event, err := f.ReadHook("s", connector.HookRequest{Body: body, Header: test.header})
		if err != nil || event.ID != "d1" || event.Kind != test.kind || event.Number != 3 || event.Branch != "backstitch/x" || event.Remote != "https://git.example.org/acme/shop" || !f.Serves(event.Remote) {
			t.Errorf("%s: %+v, %v", name, event, err)
		}
	}
	good := map[string]string{"content-type": "application/json", "x-gitea-event": "push", "x-gitea-signature": sign("s", body)}
	for name, change := range map[string]func(*connector.HookRequest){
		"another secret": func(r *connector.HookRequest) { r.Header["x-gitea-signature"] = sign("t", body) },
		"no signature":   func(r *connector.HookRequest) { delete(r.Header, "x-gitea-signature") },
		"no hex":         func(r *connector.HookRequest) { r.Header["x-gitea-signature"] = "zz" },
		"another body":   func(r *connector.HookRequest) { r.Body = append(slices.Clone(body), ' ') },
		"a form":         func(r *connector.HookRequest) { r.Header["content-type"] = "application/x-www-form-urlencoded" },
		"too large":      func(r *connector.HookRequest) { r.Body = make([]byte, maxHook+1) },
	} {
		bad := connector.HookRequest{Body: body, Header: maps.Clone(good)}
		change(&bad)
		if _, err := f.ReadHook("s", bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := f.ReadHook("", connector.HookRequest{Body: body, Header: good}); err == nil {
		t.Error("an empty secret judges nothing")
	}
	push := []byte(`{"ref":"refs/heads/main","repository":{"full_name":"../x"}}`)
	event, err := f.ReadHook("s", connector.HookRequest{Body: push, Header: map[string]string{"content-type": "application/json", "x-gitea-event": "push", "x-gitea-signature": sign("s", push)}})
	if err != nil || event.Kind != "push" || event.Branch != "main" || event.Remote != "" {
		t.Errorf("push: %+v, %v", event, err)
	}
}

func sign(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

func TestOnlyItsOwnRemotesAreServed(t *testing.T) {
	for address, remotes := range map[string]map[string]bool{
		"https://git.example.org": {
			"https://git.example.org/acme/shop": true, "https://GIT.example.org/acme/shop.git": true, "git@git.example.org:acme/shop.git": true, "ssh://git@git.example.org:2222/acme/shop": true,
			"https://user:pw@git.example.org/acme/shop": true, "https://github.com/acme/shop": false, "https://git.example.org.evil.test/acme/shop": false, "https://git.example.org:8443/acme/shop": false,
			"https://git.example.org/acme": false, "https://git.example.org/acme/shop/x": false, "https://git.example.org/../x": false, "/srv/shop": false, "": false,
		},
		"https://example.org:3000/git/": {
			"https://example.org:3000/git/acme/shop": true, "git@example.org:acme/shop": true, "https://example.org:3000/acme/shop": false, "https://example.org/git/acme/shop": false,
		},
	} {
		f, err := New(nil).Forge(connector.Values{"address": address, "token": "env:T"})
		if err != nil {
			t.Fatal(err)
		}
		for remote, want := range remotes {
			if got := f.Serves(remote); got != want {
				t.Errorf("%s, %q: %v", address, remote, got)
			}
		}
	}
	if _, err := New(nil).Forge(connector.Values{"address": "git.example.org"}); err == nil {
		t.Error("an address without a scheme is taken")
	}
}

// estate is a server whose organization has two repositories and two teams.
func estate(t *testing.T) *forgetest.Gitea {
	g := forgetest.NewGitea(t, t.TempDir(), "acme/shop", forgetest.Start)
	list := func(all ...map[string]any) forgetest.Handler {
		return func(w http.ResponseWriter, r *http.Request, _ map[string]string) {
			given := all
			switch {
			case r.Header.Get("Authorization") != "token "+g.Token:
				forgetest.JSON(w, 401, map[string]string{"message": "invalid"})
				return
			case r.URL.Query().Get("page") != "1":
				given = []map[string]any{}
			}
			forgetest.JSON(w, 200, given)
		}
	}
	g.On("GET /orgs/{org}/repos", list(map[string]any{"full_name": "acme/shop", "default_branch": "main", "html_url": "u", "topics": []string{"a", "b"}}, map[string]any{"full_name": "acme/old", "archived": true}))
	g.On("GET /orgs/{org}/teams", list(map[string]any{"id": 1, "name": "Owners", "permission": "owner"}, map[string]any{"id": 2, "name": "platform", "permission": "none", "units_map": map[string]string{"repo.code": "write"}}, map[string]any{"id": 3, "name": "core", "permission": "admin"}))
	g.On("GET /teams/{id}/members", list(map[string]any{"login": "ada"}))
	g.On("GET /teams/{id}/repos", list(map[string]any{"full_name": "acme/shop"}))
	return g
}

func TestRepositoriesAndTeamsAreRead(t *testing.T) {
	g := estate(t)
	r := &connectortest.Recorder{}
	if err := newSource().Sync(t.Context(), values(g), r); err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(g.URL, "http://") + "/git"
	if node, ok := r.Asset("repository", host+"/acme/shop"); !ok || node.Properties["topics"] != "a,b" || node.Properties["default_branch"] != "main" {
		t.Errorf("repository %+v", node)
	}
	if node, _ := r.Asset("repository", host+"/acme/old"); node.Properties["archived"] != "true" {
		t.Errorf("archived repository %+v", node)
	}
	who := "gitea:" + host + "/ada"
	if got := r.Edges("member_of"); !slices.Equal(got, []string{who + " -> @acme/Owners", who + " -> @acme/core", who + " -> @acme/platform"}) {
		t.Errorf("members %q", got)
	}
	roles := map[string]string{}
	for _, said := range r.Claims {
		roles[said.Value.Owner.ID] = said.Value.Role
	}
	if want := map[string]string{"@acme/platform": "reviewer", "@acme/core": "owner"}; !maps.Equal(roles, want) {
		t.Errorf("roles %v", roles)
	}
}

func TestAPartThatFailsIsAGap(t *testing.T) {
	g := estate(t)
	g.Break("GET /teams/{id}/members", forgetest.Fault{Status: 403, Body: `{"message":"Must be a team member"}`})
	r := &connectortest.Recorder{}
	if err := newSource().Sync(t.Context(), values(g), r); err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(r.Lines(), "\n"); !strings.Contains(text, "Must be a team member") || !strings.Contains(text, "covered repositories acme") || strings.Contains(text, g.Token) {
		t.Errorf("%s", text)
	}
}

func TestSettingsAreJudged(t *testing.T) {
	for setting, value := range map[string]string{"organizations": "a/b/c", "repositories": "acme/../x"} {
		if err := newSource().Sync(t.Context(), connector.Values{"address": "https://git.example.org", setting: value}, &connectortest.Recorder{}); err == nil {
			t.Errorf("%s %q: no error", setting, value)
		}
	}
	if err := newSource().Sync(t.Context(), connector.Values{"address": "https://git.example.org"}, &connectortest.Recorder{}); err == nil {
		t.Error("nothing to read, and no error")
	}
}

func TestConformance(t *testing.T) {
	connectortest.Conformance(t, newSource(), values(estate(t)))
}

func TestPagesMayBeShorterThanAsked(t *testing.T) {
	g := forgetest.NewGitea(t, t.TempDir(), "acme/shop", forgetest.Start)
	for n := 1; n <= 70; n++ {
		g.Tickets = append(g.Tickets, &forgetest.GitHubTicket{Number: n, Body: "Backstitch-Key: bs-" + fmt.Sprint(n) + "\n", Labels: []string{ticketLabel}})
	}
	opened, err := newSource().Forge(values(g))
	if err != nil {
		t.Fatal(err)
	}
	if number, err := opened.(forge).FindTicket(t.Context(), g.URL+"/git/acme/shop", "bs-1"); err != nil || number != 1 {
		t.Errorf("found %d, %v", number, err)
	}
}
