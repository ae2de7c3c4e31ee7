package opsgenie_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/connector/connectortest"
	"github.com/backstitch/backstitch/connector/opsgenie"
	"github.com/backstitch/backstitch/fact"
)

// account is an account as the API gives it, by the way that is asked.
var account = map[string][]string{
	"/v2/users": {
		`{"id": "u1", "username": "Zoe@Acme.test", "fullName": "Zoë Ångström", "blocked": false}`,
		`{"id": "u2", "username": "li@acme.test", "fullName": "李雷", "blocked": true}`,
		`{"id": "u3", "username": "bob@acme.test", "fullName": "Bob"}`,
	},
	"/v2/teams":     {`{"id": "t1", "name": "Web", "description": "the web"}`},
	"/v2/schedules": {`{"id": "s1", "name": "Days", "enabled": true, "ownerTeam": {"id": "t1", "name": "Web"}, "rotations": [{"id": "r1", "participants": [{"type": "user", "id": "u1", "username": "zoe@acme.test"}, {"type": "user", "id": "u2"}, {"type": "none"}]}]}`, `{"id": "s2", "name": "Off", "enabled": false, "ownerTeam": {"id": "t1"}, "rotations": [{"participants": [{"type": "user", "id": "u3"}]}]}`},
	"/v2/escalations": {
		`{"id": "e1", "name": "Web", "ownerTeam": {"id": "t1"}, "rules": [{"recipient": {"type": "schedule", "id": "s1"}}, {"recipient": {"type": "user", "id": "u3", "username": "bob@acme.test"}}, {"recipient": {"type": "schedule", "id": "s9", "name": "Gone"}}]}`,
	},
	"/v1/services": {`{"id": "v1", "name": "Shop web", "teamId": "t1", "description": "sells"}`, `{"id": "v2", "name": "Mail", "teamId": "t9"}`},
}

var singles = map[string]string{
	"/v2/teams/t1": `{"id": "t1", "name": "Web", "members": [{"user": {"id": "u1", "username": "zoe@acme.test"}, "role": "admin"}]}`,
	"/v2/schedules/s1/timeline": `{"_parent": {"id": "s1", "name": "Days"}, "finalTimeline": {"rotations": [{"periods": [
		{"startDate": "2026-05-01T08:00:00Z", "endDate": "2026-05-04T08:00:00Z", "type": "historical", "recipient": {"id": "u2", "type": "user", "name": "li@acme.test"}},
		{"startDate": "2026-05-04T08:00:00Z", "endDate": "2026-05-08T08:00:00Z", "type": "default", "recipient": {"id": "u1", "type": "user", "name": "zoe@acme.test"}}]}]}}`,
	"/v2/schedules/s2/timeline": `{"_parent": {"id": "s2"}, "finalTimeline": {"rotations": []}}`,
}

// api serves an account as the documentation describes it, two elements a page, and
// refuses what it does not know.
func api(t *testing.T, trouble func(call int, way string, w http.ResponseWriter) bool) string {
	t.Helper()
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		elements, list := account[r.URL.Path]
		single, one := singles[r.URL.Path]
		if !list && !one || r.Method != http.MethodGet {
			t.Errorf("the API has no %s %s", r.Method, r.URL)
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if r.Header.Get("Authorization") != "GenieKey s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"message": "Key format is not valid!", "took": 0.001}`)
			return
		}
		if trouble != nil && trouble(calls, r.URL.Path, w) {
			return
		}
		q := r.URL.Query()
		switch {
		case one:
			if q.Get("identifierType") != "id" {
				t.Errorf("%s: no identifierType", r.URL)
			}
			fmt.Fprintf(w, `{"data": %s, "took": 0.1}`, single)
		case r.URL.Path == "/v2/users" || r.URL.Path == "/v1/services":
			limit, err := strconv.Atoi(q.Get("limit"))
			offset, err2 := strconv.Atoi(q.Get("offset"))
			if errors.Join(err, err2) != nil || limit < 1 || limit > 100 {
				t.Errorf("%s: limit and offset", r.URL)
			}
			end, next := min(offset+2, len(elements)), ""
			if end < len(elements) {
				next = `"next": "https://elsewhere.test/never-asked"`
			}
			fmt.Fprintf(w, `{"totalCount": %d, "data": [%s], "paging": {%s}}`, len(elements), strings.Join(elements[min(offset, end):end], ","), next)
		default:
			if r.URL.Path == "/v2/schedules" && q.Get("expand") != "rotation" {
				t.Errorf("%s: schedules have rotations only when they are asked for", r.URL)
			}
			fmt.Fprintf(w, `{"data": [%s]}`, strings.Join(elements, ","))
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func quick(context.Context, time.Duration) error { return nil }
func may5() time.Time                            { return time.Date(2026, 5, 5, 0, 0, 0, 0, time.UTC) }

func export(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for way, elements := range account {
		write(filepath.Base(way)+".json", `{"data": [`+strings.Join(elements, ",")+`]}`)
	}
	write("team-web.json", `{"data": `+singles["/v2/teams/t1"]+`}`)
	write("timeline-days.json", `{"data": `+singles["/v2/schedules/s1/timeline"]+`}`)
	return dir
}

func TestConformance(t *testing.T) {
	t.Parallel()
	connectortest.Conformance(t, opsgenie.New(quick, may5), map[string]string{"address": api(t, nil), "token": "s3cret"}, map[string]string{"path": export(t)})
}

func claims(r *connectortest.Recorder) []string {
	var list []string
	for _, said := range r.Claims {
		c := said.Value
		line := fmt.Sprintf("%s: %s %s (%s) %.1f by %s of %s", c.Subject.Key, c.Owner.Kind, c.Owner.ID, c.Role, c.Confidence, c.Evidence.Method, c.Evidence.Source)
		if c.Since != 0 {
			line += " " + time.UnixMicro(c.Since).UTC().Format(time.RFC3339) + " to " + time.UnixMicro(c.Until).UTC().Format(time.RFC3339)
		}
		list = append(list, line)
	}
	slices.Sort(list)
	return list
}

func TestWhoIsOnCallForServicesAndTeams(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]map[string]string{"API": {"address": api(t, nil), "token": "s3cret"}, "files": {"path": export(t)}} {
		r := &connectortest.Recorder{}
		if err := connectortest.Run(t, opsgenie.New(quick, may5), settings, r); err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, subject := range []string{"opsgenie:service:v1", "opsgenie:team:t1"} {
			want = append(want,
				subject+": person bob@acme.test (on_call) 0.5 by rule 2 of an escalation of escalation Web (e1)",
				subject+": person li@acme.test (on_call) 0.4 by rotation of a schedule of schedule Days (s1)",
				subject+": person zoe@acme.test (on_call) 0.8 by on call of schedule Days (s1) 2026-05-04T08:00:00Z to 2026-05-08T08:00:00Z")
		}
		want = slices.Insert(want, 3, "opsgenie:service:v1: team opsgenie:team:t1 (on_call) 0.8 by team of the service of service Shop web (v1)")
		if diff := cmp.Diff(want, claims(r)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if diff := cmp.Diff([]string{"zoe@acme.test -> opsgenie:team:t1"}, r.Edges(fact.MemberOf)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		li, _ := r.Asset(fact.AssetPerson, "li@acme.test")
		if li.Name != "李雷" || li.Properties["active"] != "false" {
			t.Errorf("%s: %+v", name, li)
		}
		if len(r.Complete) != 1 || len(r.Gaps) != 0 || len(r.Notes) != 2 {
			t.Errorf("%s: covered %v, gaps %v, notes %v; want the unknown schedule and the unknown team told of", name, r.Complete, r.Gaps, r.Notes)
		}
	}
}

func TestAListThatFailsIsAGapAndTheOthersAreRead(t *testing.T) {
	t.Parallel()
	answer := func(text string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { fmt.Fprint(w, text) }
	}
	status := func(code int) func(http.ResponseWriter) { return func(w http.ResponseWriter) { w.WriteHeader(code) } }
	for name, c := range map[string]struct {
		way   string
		reply func(http.ResponseWriter)
		want  string
	}{
		"no right":          {"/v2/schedules", status(403), "/v2/schedules: answered 403 Forbidden"},
		"an error":          {"/v2/teams/t1", status(500), "/v2/teams/t1: answered 500"},
		"too busy":          {"/v2/users", status(429), "/v2/users: answered 429"},
		"another schema":    {"/v2/escalations", answer(`{"escalations": []}`), "/v2/escalations: its schema is not the documented one: expected data"},
		"another type":      {"/v1/services", answer(`{"data": {"v1": {}}}`), `"data" is an object`},
		"a bad element":     {"/v2/users", answer(`{"data": [{"id": 7}, {"id": "u1", "username": "zoe@acme.test"}]}`), `/v2/users: users, element 1: its schema is not the documented one: "id" is a number`},
		"a bad time":        {"/v2/schedules/s1/timeline", answer(`{"data": {"finalTimeline": {"rotations": [{"periods": [{"startDate": "now", "recipient": {"type": "user", "id": "u1"}}]}]}}}`), `schedule Days (s1): startDate "now": expected a time`},
		"another team":      {"/v2/teams/t1", answer(`{"data": {"id": "t2"}}`), "/v2/teams/t1: the answer is another team"},
		"a page of nothing": {"/v2/users", answer(`{"data": [], "paging": {"next": "x"}}`), "users from 0: the page is empty, and a next one was announced"},
		"cut connections":   {"/v1/services", func(w http.ResponseWriter) { w.Header().Set("Content-Length", "900"); fmt.Fprint(w, `{"data": [{"id"`) }, "/v1/services: unexpected EOF"},
	} {
		r := &connectortest.Recorder{}
		address := api(t, func(_ int, way string, w http.ResponseWriter) bool {
			if way == c.way {
				c.reply(w)
			}
			return way == c.way
		})
		if err := connectortest.Run(t, opsgenie.New(quick, may5), map[string]string{"address": address, "token": "s3cret"}, r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if len(r.Complete) != 0 || len(r.Gaps) == 0 || !strings.Contains(r.Gaps[0].Value, c.want) || len(r.Nodes) < 2 {
			t.Errorf("%s: covered %v, gaps %v, %d nodes; want %q and the rest read", name, r.Complete, r.Gaps, len(r.Nodes), c.want)
		}
	}
	r := &connectortest.Recorder{}
	if err := connectortest.Run(t, opsgenie.New(quick, may5), map[string]string{"address": api(t, nil), "token": "wrong"}, r); err != nil || len(r.Nodes) != 0 || len(r.Gaps) != 5 || !strings.Contains(r.Gaps[0].Value, "Key format is not valid!") || strings.Contains(fmt.Sprint(r.Gaps), "wrong") {
		t.Errorf("a wrong key: %v, gaps %v, %d nodes", err, r.Gaps, len(r.Nodes))
	}
}

func TestTheAPIIsAskedAgainWhenItAsksToWait(t *testing.T) {
	t.Parallel()
	var waited []time.Duration
	wait := func(_ context.Context, d time.Duration) error { waited = append(waited, d); return nil }
	address := api(t, func(call int, _ string, w http.ResponseWriter) bool {
		if call == 2 {
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(http.StatusTooManyRequests)
		}
		return call == 2
	})
	r := &connectortest.Recorder{}
	if err := connectortest.Run(t, opsgenie.New(wait, may5), map[string]string{"address": address, "token": "s3cret"}, r); err != nil || len(r.Complete) != 1 || !slices.Equal(waited, []time.Duration{3 * time.Second}) {
		t.Errorf("%v, covered %v, waited %v", err, r.Complete, waited)
	}
}

func TestBrokenExportsAreNamedAndTheRestIsRead(t *testing.T) {
	t.Parallel()
	dir := export(t)
	for name, text := range map[string]string{"users-2.json": `{"data": [{"id": "u9", "username": "nine@acme.test"}, {"id": `, "team-x.json": `{"data": []}`, "timeline-x.json": `{"data": {"_parent": {"id": "s9"}}}`, "escalations-2.json": "[]"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := &connectortest.Recorder{}
	if err := connectortest.Run(t, opsgenie.New(quick, may5), map[string]string{"path": dir}, r); err != nil {
		t.Fatal(err)
	}
	var gaps []string
	for _, gap := range r.Gaps {
		gaps = append(gaps, gap.Value)
	}
	want := []string{
		"users-2.json: unexpected EOF", `team-x.json: its schema is not the documented one: "data" is a list, expected an object`,
		`timeline-x.json: expected the timeline of a schedule that is in the list, found "s9"`,
	}
	if diff := cmp.Diff(want, gaps); diff != "" {
		t.Error(diff)
	}
	if _, found := r.Asset(fact.AssetPerson, "nine@acme.test"); !found || len(r.Complete) != 0 || len(r.Claims) != 7 {
		t.Errorf("read before the cut: %v, covered %v, %d claims", found, r.Complete, len(r.Claims))
	}
	for _, settings := range []map[string]string{{}, {"path": filepath.Join(dir, "none")}, {"path": t.TempDir()}} {
		if err := connectortest.Run(t, opsgenie.New(quick, may5), settings, &connectortest.Recorder{}); err == nil {
			t.Errorf("%v was taken", settings)
		}
	}
}

func TestAHundredThousandServicesArePaged(t *testing.T) {
	const count = 100_000
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		offset, _ := strconv.Atoi(r.URL.Query().Get("offset"))
		list := []map[string]string{}
		if r.URL.Path == "/v1/services" {
			for n := offset; n < min(offset+100, count); n++ {
				list = append(list, map[string]string{"id": fmt.Sprint("v", n), "name": fmt.Sprint("Service ", n), "teamId": "t1"})
			}
		}
		answer := map[string]any{"data": list}
		if len(list) > 0 && offset+100 < count {
			answer["paging"] = map[string]string{"next": "more"}
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	defer server.Close()
	r := &connectortest.Recorder{}
	if err := connectortest.Run(t, opsgenie.New(quick, may5), map[string]string{"address": server.URL, "token": "s3cret"}, r); err != nil || len(r.Nodes) != count || len(r.Complete) != 1 {
		t.Errorf("%v, %d nodes, gaps %v", err, len(r.Nodes), r.Gaps)
	}
}
