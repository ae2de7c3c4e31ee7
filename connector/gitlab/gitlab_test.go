package gitlab

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/connectortest"
	"github.com/backstitch/backstitch/connector/forgetest"
)

func newSource() connector.ForgeSource {
	return New(func(context.Context, time.Duration) error { return nil }, func() time.Time { return forgetest.Start })
}

func values(g *forgetest.GitLab) connector.Values {
	return connector.Values{"address": g.URL + "/lab", "token": g.Token, "groups": "acme"}
}

const (
	makeCommit  = "POST /projects/{id}/repository/commits"
	makeRequest = "POST /projects/{id}/merge_requests"
	compare     = "GET /projects/{id}/repository/compare"
)

func TestLifeOfAChange(t *testing.T) {
	forgetest.Life(t, func(t *testing.T, bare string) *forgetest.Case {
		g := forgetest.NewGitLab(t, bare, "acme/web/shop", forgetest.Start)
		opened, err := newSource().Forge(values(g))
		if err != nil {
			t.Fatal(err)
		}
		return &forgetest.Case{
			GitHub: g.GitHub, Forge: opened.(forge), Remote: g.URL + "/lab/acme/web/shop.git",
			Making: []string{makeCommit, makeRequest}, Moving: []string{makeCommit}, Meanwhile: compare,
			Mistaken: func() {
				g.Break(makeCommit, forgetest.Fault{Status: 400, Body: `{"message":"Cannot find start_sha"}`})
				g.On("GET /projects/{id}/repository/commits/{sha}", func(w http.ResponseWriter, _ *http.Request, _ map[string]string) {
					forgetest.JSON(w, 404, map[string]string{"message": "404 Commit Not Found"})
				})
			},
		}
	})
}

func TestTextsCommandNothing(t *testing.T) {
	for text, want := range map[string]string{
		"a\n/close\n":                "a\n\\/close",
		"/assign @mallory\n b":       "\\/assign @mallory\n b",
		"a\n \t/merge":               "a\n \t\\/merge",
		"a\n\r/close":                "a\n\\/close",
		"a\r\n/cl\rose\r\n/label ~x": "a\n\\/close\n\\/label ~x",
		"/usr/bin/x and /close":      "/usr/bin/x and /close",
		"- /close":                   "- /close",
	} {
		if got := plain(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestGroupsAsReviewersAreANote(t *testing.T) {
	opened, err := newSource().Forge(connector.Values{"address": "https://gitlab.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	notes := opened.(forge).dress(t.Context(), "acme/shop", request{IID: 1}, connector.Proposal{Reviewers: []connector.Reviewer{{Name: "acme/platform", Team: true}}})
	if len(notes) != 1 || !strings.Contains(notes[0], "acme/platform") {
		t.Errorf("notes %q", notes)
	}
}

func TestChecksJoinJobsAndStatuses(t *testing.T) {
	for _, test := range []struct {
		given []map[string]any
		want  string
	}{
		{nil, ""},
		{[]map[string]any{{"name": "a", "status": "success"}, {"name": "b", "status": "skipped"}}, "success"},
		{[]map[string]any{{"name": "a", "status": "success"}, {"name": "b", "status": "waiting_for_resource"}}, "pending"},
		{[]map[string]any{{"name": "a", "status": "failed"}, {"name": "b", "status": "running"}}, "failure"},
		{[]map[string]any{{"name": "a", "status": "failed", "allow_failure": true}, {"name": "b", "status": "success"}}, "success"},
		{[]map[string]any{{"name": "a", "status": "manual"}, {"name": "b", "status": "success"}}, "success"},
	} {
		g := forgetest.NewGitLab(t, t.TempDir(), "acme/shop", forgetest.Start)
		g.On("GET /projects/{id}/repository/commits/{sha}/statuses", func(w http.ResponseWriter, _ *http.Request, _ map[string]string) {
			forgetest.JSON(w, 200, append([]map[string]any{}, test.given...))
		})
		opened, err := newSource().Forge(values(g))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := opened.(forge).checks(t.Context(), "acme/shop", strings.Repeat("a", 40)); err != nil || got != test.want {
			t.Errorf("%v: %q, %v, want %q", test.given, got, err, test.want)
		}
	}
}

func TestTheCommitThatAMergeMadeIsFound(t *testing.T) {
	text := func(s string) *string { return &s }
	for _, test := range []struct {
		one  request
		want string
	}{
		{request{State: "merged", SHA: "c", MergeCommit: text("a"), Squash: text("b")}, "a"},
		{request{State: "merged", SHA: "c", Squash: text("b")}, "b"},
		{request{State: "merged", SHA: "c"}, "c"},
		{request{State: "locked", SHA: "c"}, ""},
	} {
		var standing connector.Standing
		if stand(&standing, &test.one); standing.Merge != test.want {
			t.Errorf("%+v: %q, want %q", test.one, standing.Merge, test.want)
		}
	}
}

const signingToken = "whsec_c2VjcmV0IGtleQ=="

func sign(id, stamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte("secret key"))
	fmt.Fprintf(mac, "%s.%s.%s", id, stamp, body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func TestWebhooksAreJudgedBeforeTheyAreRead(t *testing.T) {
	opened, err := New(nil, func() time.Time { return forgetest.Start }).Forge(connector.Values{"address": "https://gitlab.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	f := opened.(forge)
	body := []byte(`{"object_kind":"merge_request","project":{"path_with_namespace":"acme/web/shop"},"object_attributes":{"iid":3,"source_branch":"backstitch/x"}}`)
	stamp := fmt.Sprint(forgetest.Start.Unix())
	token := map[string]string{"content-type": "application/json", "x-gitlab-token": "s", "idempotency-key": "d1"}
	signed := map[string]string{"content-type": "application/json", "webhook-id": "d1", "webhook-timestamp": stamp, "webhook-signature": "v2,x " + sign("d1", stamp, body)}
	for secret, header := range map[string]map[string]string{"s": token, signingToken: signed} {
		event, err := f.ReadHook(secret, connector.HookRequest{Body: body, Header: header})
		if err != nil || event.ID != "d1" || event.Kind != "pull_request" || event.Number != 3 || event.Branch != "backstitch/x" || event.Remote != "https://gitlab.example.org/acme/web/shop" || !f.Serves(event.Remote) {
			t.Errorf("%s: %+v, %v", secret, event, err)
		}
	}
	old := fmt.Sprint(forgetest.Start.Add(-time.Hour).Unix())
	for name, test := range map[string]struct {
		secret string
		header map[string]string
		change func(*connector.HookRequest)
	}{
		"another token":   {"t", token, nil},
		"no token":        {"s", token, func(r *connector.HookRequest) { delete(r.Header, "x-gitlab-token") }},
		"an empty secret": {"", token, func(r *connector.HookRequest) { r.Header["x-gitlab-token"] = "" }},
		"a form":          {"s", token, func(r *connector.HookRequest) { r.Header["content-type"] = "application/x-www-form-urlencoded" }},
		"no JSON":         {"s", token, func(r *connector.HookRequest) { r.Body = []byte("x") }},
		"too large":       {"s", token, func(r *connector.HookRequest) { r.Body = make([]byte, maxHook+1) }},
		"another body":    {signingToken, signed, func(r *connector.HookRequest) { r.Body = append(slices.Clone(body), ' ') }},
		"another id":      {signingToken, signed, func(r *connector.HookRequest) { r.Header["webhook-id"] = "d2" }},
		"no signature":    {signingToken, signed, func(r *connector.HookRequest) { delete(r.Header, "webhook-signature") }},
		"the token in its place": {signingToken, signed, func(r *connector.HookRequest) {
			delete(r.Header, "webhook-signature")
			r.Header["x-gitlab-token"] = signingToken
		}},
		"another signing token":  {"whsec_b3RoZXI=", signed, nil},
		"a broken signing token": {"whsec_", signed, nil},
		"signed an hour ago": {signingToken, signed, func(r *connector.HookRequest) {
			r.Header["webhook-timestamp"], r.Header["webhook-signature"] = old, sign("d1", old, body)
		}},
		"signed at no time at all": {signingToken, signed, func(r *connector.HookRequest) { delete(r.Header, "webhook-timestamp") }},
	} {
		bad := connector.HookRequest{Body: body, Header: maps.Clone(test.header)}
		if test.change != nil {
			test.change(&bad)
		}
		if _, err := f.ReadHook(test.secret, bad); err == nil || strings.Contains(err.Error(), "c2VjcmV0") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for text, want := range map[string]connector.Event{
		`{"object_kind":"push","ref":"refs/heads/main","project":{"path_with_namespace":"../x"}}`: {Kind: "push", Branch: "main"},
		`{"object_kind":"note","merge_request":{"iid":4,"source_branch":"b"}}`:                    {Kind: "comment", Number: 4, Branch: "b"},
		`{"object_kind":"note","issue":{"iid":5}}`:                                                {Kind: "comment", Number: 5},
		`{"object_kind":"issue","object_attributes":{"iid":6}}`:                                   {Kind: "ticket", Number: 6},
		`{"object_kind":"pipeline","merge_request":{"iid":7,"source_branch":"b"}}`:                {Kind: "check", Number: 7, Branch: "b"},
		`{"object_kind":"emoji"}`: {Kind: "other"},
	} {
		want.ID = "d1"
		if event, err := f.ReadHook("s", connector.HookRequest{Body: []byte(text), Header: token}); err != nil || event != want {
			t.Errorf("%s: %+v, %v", text, event, err)
		}
	}
}

func TestOnlyItsOwnRemotesAreServed(t *testing.T) {
	for address, remotes := range map[string]map[string]bool{
		"https://gitlab.com": {
			"https://gitlab.com/acme/shop": true, "https://gitlab.com/acme/web/front/shop.git": true, "git@gitlab.com:acme/web/shop.git": true, "ssh://git@gitlab.com:2222/acme/shop": true,
			"https://oauth2:pw@gitlab.com/acme/shop": true, "https://github.com/acme/shop": false, "https://gitlab.com.evil.test/acme/shop": false, "https://gitlab.com:8443/acme/shop": false,
			"https://gitlab.com/acme": false, "https://gitlab.com/../x": false, "https://gitlab.com/acme/shop/-/tree": false, "https://gitlab.com/acme/%2e%2e/x": false, "/srv/shop": false, "": false,
		},
		"https://example.org:3000/lab/": {
			"https://example.org:3000/lab/acme/shop": true, "git@example.org:acme/shop": true, "https://example.org:3000/acme/shop": false, "https://example.org/lab/acme/shop": false,
		},
	} {
		f, err := New(nil, nil).Forge(connector.Values{"address": address, "token": "env:T"})
		if err != nil {
			t.Fatal(err)
		}
		for remote, want := range remotes {
			if got := f.Serves(remote); got != want {
				t.Errorf("%s, %q: %v", address, remote, got)
			}
		}
	}
	if _, err := New(nil, nil).Forge(connector.Values{"address": "gitlab.com"}); err == nil {
		t.Error("an address without a scheme is taken")
	}
}

// estate is a server with a group, a group in it, and three projects.
func estate(t *testing.T) *forgetest.GitLab {
	g := forgetest.NewGitLab(t, t.TempDir(), "acme/shop", forgetest.Start)
	list := func(all ...map[string]any) forgetest.Handler {
		return func(w http.ResponseWriter, r *http.Request, _ map[string]string) {
			given := []map[string]any{}
			if r.URL.Query().Get("page") == "1" {
				given = all
			}
			forgetest.JSON(w, 200, given)
		}
	}
	g.On("GET /groups/{id}", func(w http.ResponseWriter, _ *http.Request, path map[string]string) {
		if path["id"] != "acme" {
			t.Errorf("group %q", path["id"])
		}
		forgetest.JSON(w, 200, map[string]any{"id": 1, "full_path": "acme", "name": "Acme"})
	})
	g.On("GET /groups/{id}/descendant_groups", list(map[string]any{"id": 2, "full_path": "acme/web", "name": "Web", "parent_id": 1}))
	g.On("GET /groups/{id}/members", func(w http.ResponseWriter, _ *http.Request, path map[string]string) {
		forgetest.JSON(w, 200, map[string][]map[string]any{
			"1": {{"username": "ada", "name": "Ada L", "state": "active", "access_level": 50}},
			"2": {{"username": "bob", "name": "Bob", "state": "blocked", "access_level": 30}, {"username": "group_2_bot_ab", "name": "token", "state": "active", "access_level": 40}},
		}[path["id"]])
	})
	g.On("GET /groups/{id}/projects", list(
		map[string]any{"id": 1, "path_with_namespace": "acme/shop", "default_branch": "main", "visibility": "private", "topics": []string{"a", "b"}, "namespace": map[string]string{"kind": "group", "full_path": "acme"},
			"shared_with_groups": []map[string]any{{"group_full_path": "ops", "group_access_level": 40}, {"group_full_path": "sec/audit", "group_access_level": 30}, {"group_full_path": "guests", "group_access_level": 20}}},
		map[string]any{"id": 2, "path_with_namespace": "acme/web/front", "archived": true, "visibility": "public", "forked_from_project": map[string]any{"id": 9}, "namespace": map[string]string{"kind": "group", "full_path": "acme/web"}},
	))
	return g
}

func TestProjectsAndGroupsAreRead(t *testing.T) {
	g := estate(t)
	r := &connectortest.Recorder{}
	if err := newSource().Sync(t.Context(), values(g), r); err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(g.URL, "http://") + "/lab"
	if node, ok := r.Asset("repository", host+"/acme/shop"); !ok || node.Properties["topics"] != "a,b" || node.Properties["private"] != "true" || node.Properties["fork"] != "false" {
		t.Errorf("project %+v", node)
	}
	if node, _ := r.Asset("repository", host+"/acme/web/front"); node.Properties["archived"] != "true" || node.Properties["fork"] != "true" {
		t.Errorf("archived project %+v", node)
	}
	who := "gitlab:" + host
	if got := r.Edges("member_of"); !slices.Equal(got, []string{who + "/ada -> @acme", who + "/bob -> @acme/web", who + "/group_2_bot_ab -> @acme/web"}) {
		t.Errorf("members %q", got)
	}
	if got := r.Edges("part_of"); !slices.Equal(got, []string{"@acme/web -> @acme"}) {
		t.Errorf("groups %q", got)
	}
	if node, _ := r.Asset("person", who+"/bob"); node.Properties["active"] != "false" {
		t.Errorf("a blocked person: %+v", node)
	}
	if node, _ := r.Asset("person", who+"/group_2_bot_ab"); node.Properties["bot"] != "true" {
		t.Errorf("the user of an access token: %+v", node)
	}
	var claims []string
	for _, said := range r.Claims {
		claims = append(claims, strings.TrimPrefix(said.Value.Subject.Key, host)+" "+said.Value.Owner.ID+" "+said.Value.Role)
	}
	slices.Sort(claims)
	if want := []string{"/acme/shop @acme owner", "/acme/shop @ops owner", "/acme/shop @sec/audit reviewer", "/acme/web/front @acme/web owner"}; !slices.Equal(claims, want) {
		t.Errorf("claims %q", claims)
	}
}

func TestAPartThatFailsIsAGap(t *testing.T) {
	g := estate(t)
	g.Break("GET /groups/{id}/members", forgetest.Fault{Status: 403, Body: `{"message":"403 Forbidden - you may not"}`})
	r := &connectortest.Recorder{}
	if err := newSource().Sync(t.Context(), values(g), r); err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(r.Lines(), "\n"); !strings.Contains(text, "you may not") || !strings.Contains(text, "covered projects acme") || strings.Contains(text, g.Token) {
		t.Errorf("%s", text)
	}
}

func TestSettingsAreJudged(t *testing.T) {
	for setting, value := range map[string]string{"groups": "a/../b", "projects": "acme"} {
		if err := newSource().Sync(t.Context(), connector.Values{"address": "https://gitlab.com", setting: value}, &connectortest.Recorder{}); err == nil {
			t.Errorf("%s %q: no error", setting, value)
		}
	}
	if err := newSource().Sync(t.Context(), connector.Values{"address": "https://gitlab.com"}, &connectortest.Recorder{}); err == nil {
		t.Error("nothing to read, and no error")
	}
}

func TestConformance(t *testing.T) {
	connectortest.Conformance(t, newSource(), values(estate(t)))
}
