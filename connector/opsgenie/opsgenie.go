// Package opsgenie brings who is on call for which service and team from Opsgenie,
// through its REST API or from exported answers.
//
// Shapes follow the documentation of the REST API: answers with data, pages with
// limit and offset as long as paging.next is there; users; teams with their members;
// schedules with rotations and their participants; the periods of a schedule's
// timeline; escalations; services of teams. Nothing is written to Opsgenie.
package opsgenie

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/rest"
	"github.com/backstitch/backstitch/fact"
)

// ID names the source.
const ID = "connector/opsgenie"

// Bounds of the API.
const (
	pageSize = 100
	maxPages = 10_000
	scope    = "account" // one scope: services are on call through what stands in other lists
)

// Confidence of claims, by how soon somebody is called.
const (
	onCallNow  = .8
	escalated  = .5
	inRotation = .4
)

type source struct {
	client *rest.Client
	now    func() time.Time
}

// New makes the source. wait sleeps between attempts, now tells the time; nil for
// the real ones.
func New(wait func(ctx context.Context, d time.Duration) error, now func() time.Time) connector.Source {
	if now == nil {
		now = time.Now
	}
	return source{rest.New(wait), now}
}

func (source) Describe() connector.Description {
	return connector.Description{
		ID: ID, Name: "Opsgenie",
		Docs: "Who is on call: services, teams with their members, users, schedules and escalations. The team of a service is claimed as on_call, and so are those who are called for the team: on call now, with the time of the shift, in the rotation of its schedules, or by its escalations. " +
			"A key that may only read configuration is enough.",
	}
}

func (source) Settings() []connector.Setting {
	return []connector.Setting{
		{Name: "address", Kind: connector.SettingURL, Default: "https://api.opsgenie.com", Help: "address of the REST API; that of the EU is https://api.eu.opsgenie.com"},
		{Name: "token", Kind: connector.SettingSecret, Help: "API key with the right to read configuration, by reference: env:NAME or file:PATH"},
		{Name: "path", Kind: connector.SettingPath, Help: "folder of exported answers: users.json, teams.json, team-ANY.json with the members of one, schedules.json, timeline-ANY.json of one, escalations.json, services.json; then nothing is asked for over the network"},
	}
}

// lists are read in this order, so that what names others comes after them.
var lists = []struct {
	name, way string
	paged     bool
	query     url.Values
}{
	{"users", "/v2/users", true, url.Values{"sort": {"username"}, "order": {"asc"}}},
	{"teams", "/v2/teams", false, nil},
	{"schedules", "/v2/schedules", false, url.Values{"expand": {"rotation"}}},
	{"escalations", "/v2/escalations", false, nil},
	{"services", "/v1/services", true, url.Values{"sort": {"name"}, "order": {"asc"}}},
}

// Sync implements connector.Source.
func (s source) Sync(ctx context.Context, values connector.Values, sink connector.Sink) error {
	if values["path"] == "" && values["token"] == "" {
		return errors.New("expected the setting token or path")
	}
	if sink.Done(scope) {
		return nil
	}
	a := &account{sink: sink, now: s.now().UnixMicro(), people: map[string]*connector.Person{}, teams: map[string]*team{}, schedules: map[string]*schedule{}, services: map[string]bool{}}
	var err error
	if values["path"] != "" {
		err = a.files(ctx, values["path"])
	} else {
		err = a.download(ctx, s.client, values)
	}
	var refused *sinkError
	switch {
	case errors.As(err, &refused):
		return refused.err
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	case a.partial:
		return nil
	}
	return sink.Covered(scope)
}

// sinkError is an error of the sink, which ends the run.
type sinkError struct{ err error }

func (e *sinkError) Error() string { return e.err.Error() }

func refuse(err error) error {
	if err == nil {
		return nil
	}
	return &sinkError{err}
}

// party is what answers name: a user, team, schedule or escalation.
type party struct {
	Type     string `json:"type"`
	ID       string `json:"id"`
	Name     string `json:"name"`
	Username string `json:"username"`
}

// team is a team with whom it calls.
type team struct {
	asset fact.Asset
	calls []shift
}

type schedule struct {
	id, name, owner string
	members         []party
	periods         []period
}

// period is a shift of a schedule's timeline.
type period struct {
	Start     string `json:"startDate"`
	End       string `json:"endDate"`
	Recipient party  `json:"recipient"`
}

// shift is somebody who is called.
type shift struct {
	who          *connector.Person
	confidence   float64
	method       string
	source       string
	since, until int64
}

// account joins what the lists say. Services are told one by one and not kept.
type account struct {
	sink      connector.Sink
	now       int64
	where     string
	people    map[string]*connector.Person // by id and by address
	teams     map[string]*team             // by id
	schedules map[string]*schedule         // by id
	services  map[string]bool
	partial   bool
}

func (a *account) gap(err error) {
	a.partial = true
	a.sink.Gap(scope, err)
}

// object is an element of any list, as far as it is read.
type object struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Username    string `json:"username"`
	FullName    string `json:"fullName"`
	Blocked     bool   `json:"blocked"`
	Description string `json:"description"`
	Enabled     *bool  `json:"enabled"`
	OwnerTeam   *party `json:"ownerTeam"`
	TeamID      string `json:"teamId"`
	Role        struct {
		Name string `json:"name"`
	} `json:"role"`
	Members []struct {
		User party `json:"user"`
	} `json:"members"`
	Rotations []struct {
		Participants []party `json:"participants"`
	} `json:"rotations"`
	Rules []struct {
		Recipient party `json:"recipient"`
	} `json:"rules"`
}

// take tells of one element of a list, or keeps what others need of it.
func (a *account) take(list string, n int, raw json.RawMessage) error {
	var o object
	err := json.Unmarshal(raw, &o)
	if err == nil && o.ID == "" {
		err = errors.New("expected an id")
	}
	if err != nil {
		a.gap(fmt.Errorf("%s: %s, element %d: %w", a.where, list, n, rest.Shape(err)))
		return nil
	}
	switch list {
	case "users":
		return a.user(&o)
	case "teams":
		return a.team(&o)
	case "schedules":
		a.schedule(&o)
	case "escalations":
		a.escalation(&o)
	case "services":
		return a.service(&o)
	}
	return nil
}

func (a *account) user(o *object) error {
	if a.people[o.ID] != nil {
		return nil
	}
	active := !o.Blocked
	p := &connector.Person{ID: "opsgenie:user:" + o.ID, Name: cmp.Or(o.FullName, o.Username), Emails: []string{o.Username}, Active: &active}
	a.people[o.ID] = p
	if email := connector.Address(o.Username); email != "" {
		a.people[email] = p
	}
	return refuse(a.sink.Node(scope, p.Node()))
}

// person gives a user, also one whom no list holds.
func (a *account) person(r party) *connector.Person {
	email := connector.Address(cmp.Or(r.Username, r.Name)) // of a timeline, name is the address
	for _, form := range []string{r.ID, email} {
		if p := a.people[form]; p != nil && form != "" {
			return p
		}
	}
	if !a.partial {
		a.sink.Note(scope, fmt.Sprintf("%s: the user %s (%s) is in no list", a.where, r.ID, cmp.Or(r.Username, r.Name)))
	}
	p := &connector.Person{ID: "opsgenie:user:" + r.ID, Name: cmp.Or(r.Username, r.Name), Emails: []string{email}}
	a.people[cmp.Or(r.ID, email)] = p
	return p
}

func (a *account) team(o *object) error {
	t := a.teamOf(o.ID, o.Name)
	said := map[string]string{}
	if o.Description != "" {
		said["description"] = o.Description
	}
	if err := refuse(a.sink.Node(scope, fact.Node{Asset: t.asset, Properties: said})); err != nil {
		return err
	}
	for _, member := range o.Members {
		err := a.sink.Relation(scope, fact.Relation{From: a.person(member.User).Asset(), Kind: fact.MemberOf, To: t.asset, Evidence: fact.Evidence{Method: "members of the team", Source: a.where, Strength: fact.Declared}})
		if err != nil {
			return refuse(err)
		}
	}
	return nil
}

func (a *account) teamOf(id, name string) *team {
	t := a.teams[id]
	if t == nil {
		t = &team{asset: fact.Asset{Kind: fact.AssetTeam, Key: "opsgenie:team:" + id, Name: cmp.Or(name, id)}}
		a.teams[id] = t
	}
	return t
}

// schedule keeps whom a schedule calls for its team.
func (a *account) schedule(o *object) {
	s := &schedule{id: o.ID, name: cmp.Or(o.Name, o.ID)}
	if known := a.schedules[o.ID]; known != nil {
		s.periods = known.periods
	}
	if o.OwnerTeam != nil {
		s.owner = o.OwnerTeam.ID
	}
	a.schedules[o.ID] = s
	if o.Enabled != nil && !*o.Enabled {
		return
	}
	for _, rotation := range o.Rotations {
		for _, participant := range rotation.Participants {
			if participant.Type == "user" {
				s.members = append(s.members, participant)
			}
		}
	}
}

// timeline keeps the periods of a schedule.
type timeline struct {
	Data struct {
		Parent party `json:"_parent"`
		Final  struct {
			Rotations []struct {
				Periods []period `json:"periods"`
			} `json:"rotations"`
		} `json:"finalTimeline"`
	} `json:"data"`
}

func (a *account) periods(t *timeline) error {
	s := a.schedules[t.Data.Parent.ID]
	if s == nil {
		return fmt.Errorf("expected the timeline of a schedule that is in the list, found %q", t.Data.Parent.ID)
	}
	for _, rotation := range t.Data.Final.Rotations {
		s.periods = append(s.periods, rotation.Periods...)
	}
	return nil
}

// calls gives whom a schedule calls: who is on call now, and who is in the rotation.
func (a *account) calls(s *schedule) ([]shift, error) {
	source := fmt.Sprintf("schedule %s (%s)", s.name, s.id)
	var list []shift
	for _, p := range s.periods {
		if p.Recipient.Type != "" && p.Recipient.Type != "user" {
			continue
		}
		start, err := time.Parse(time.RFC3339, p.Start)
		if err != nil {
			return list, fmt.Errorf("%s: startDate %.40q: expected a time like 2026-01-02T15:04:05Z", source, p.Start)
		}
		until := int64(0)
		if p.End != "" {
			end, err := time.Parse(time.RFC3339, p.End)
			if err != nil {
				return list, fmt.Errorf("%s: endDate %.40q: expected a time like 2026-01-02T15:04:05Z", source, p.End)
			}
			until = end.UnixMicro()
		}
		if start.UnixMicro() <= a.now && (until == 0 || until > a.now) {
			list = append(list, shift{a.person(p.Recipient), onCallNow, "on call", source, start.UnixMicro(), until})
		}
	}
	for _, member := range s.members {
		list = append(list, shift{who: a.person(member), confidence: inRotation, method: "rotation of a schedule", source: source})
	}
	return list, nil
}

func (a *account) escalation(o *object) {
	if o.OwnerTeam == nil || o.OwnerTeam.ID == "" {
		return
	}
	t := a.teamOf(o.OwnerTeam.ID, o.OwnerTeam.Name)
	for n, rule := range o.Rules {
		source := fmt.Sprintf("escalation %s (%s)", o.Name, o.ID)
		switch r := rule.Recipient; r.Type {
		case "user":
			t.calls = append(t.calls, shift{who: a.person(r), confidence: escalated, method: fmt.Sprintf("rule %d of an escalation", n+1), source: source})
		case "schedule":
			s := a.schedules[r.ID]
			if s == nil {
				if !a.partial {
					a.sink.Note(scope, fmt.Sprintf("%s names the schedule %s (%s), which is in no list", source, r.ID, r.Name))
				}
				continue
			}
			if s.owner != o.OwnerTeam.ID { // those of its own schedules are called anyway
				calls, err := a.calls(s)
				if err != nil {
					a.gap(err)
				}
				t.calls = append(t.calls, calls...)
			}
		}
	}
}

// ready puts together whom teams call, once schedules and escalations are read, and
// claims the teams for them.
func (a *account) ready() error {
	for _, id := range slices.Sorted(maps.Keys(a.schedules)) {
		s := a.schedules[id]
		if s.owner == "" {
			continue
		}
		calls, err := a.calls(s)
		if err != nil {
			a.gap(err)
		}
		t := a.teamOf(s.owner, "")
		t.calls = append(t.calls, calls...)
	}
	for _, id := range slices.Sorted(maps.Keys(a.teams)) {
		t := a.teams[id]
		t.calls = best(t.calls)
		if err := a.claim(t.asset, t); err != nil {
			return err
		}
	}
	return nil
}

// best gives for each person the strongest reason to be called.
func best(calls []shift) []shift {
	byWho := map[string]shift{}
	for _, s := range calls {
		key := s.who.Asset().Key
		if other, there := byWho[key]; !there || s.confidence > other.confidence {
			byWho[key] = s
		}
	}
	list := make([]shift, 0, len(byWho))
	for _, key := range slices.Sorted(maps.Keys(byWho)) {
		list = append(list, byWho[key])
	}
	return list
}

func (a *account) claim(subject fact.Asset, t *team) error {
	for _, s := range t.calls {
		err := a.sink.Claim(scope, fact.Claim{
			Subject: subject, Owner: s.who.Party(), Role: "on_call", Source: "opsgenie", Confidence: s.confidence, Since: s.since, Until: s.until,
			Evidence: fact.Evidence{Method: s.method, Source: s.source, Strength: fact.Declared},
		})
		if err != nil {
			return refuse(err)
		}
	}
	return nil
}

func (a *account) service(o *object) error {
	if a.services[o.ID] {
		return nil
	}
	a.services[o.ID] = true
	asset := fact.Asset{Kind: fact.AssetService, Key: "opsgenie:service:" + o.ID, Name: cmp.Or(o.Name, o.ID)}
	said := map[string]string{}
	if o.Description != "" {
		said["description"] = o.Description
	}
	if err := refuse(a.sink.Node(scope, fact.Node{Asset: asset, Properties: said})); err != nil {
		return err
	}
	t := a.teams[o.TeamID]
	if t == nil {
		if !a.partial {
			a.sink.Note(scope, fmt.Sprintf("service %s (%s): its team %q is in no list", asset.Name, o.ID, o.TeamID))
		}
		return nil
	}
	evidence := fact.Evidence{Method: "team of the service", Source: fmt.Sprintf("service %s (%s)", asset.Name, o.ID), Strength: fact.Declared}
	err := errors.Join(
		a.sink.Relation(scope, fact.Relation{From: asset, Kind: fact.OwnedBy, To: t.asset, Evidence: evidence}),
		a.sink.Claim(scope, fact.Claim{Subject: asset, Owner: fact.Party{Kind: "team", ID: t.asset.Key, Name: t.asset.Name}, Role: "on_call", Source: "opsgenie", Confidence: onCallNow, Evidence: evidence}),
	)
	if err != nil {
		return refuse(err)
	}
	return a.claim(asset, t)
}

// download reads the lists. One that fails is a gap, and the others are read.
func (a *account) download(ctx context.Context, client *rest.Client, values connector.Values) error {
	base, err := rest.Base(values["address"])
	if err != nil {
		return err
	}
	d := &download{a, client, base, http.Header{"Authorization": {"GenieKey " + values["token"]}}}
	for _, list := range lists {
		var err error
		if list.name == "services" {
			err = a.ready()
		}
		if err == nil {
			err = d.list(ctx, list.name, list.way, list.paged, list.query)
		}
		if err == nil {
			switch list.name {
			case "teams":
				err = d.members(ctx)
			case "schedules":
				err = d.timelines(ctx)
			}
		}
		var refused *sinkError
		if errors.As(err, &refused) || ctx.Err() != nil {
			return err
		}
		if err != nil {
			a.gap(err)
		}
	}
	return nil
}

// download asks the API.
type download struct {
	*account
	client *rest.Client
	base   *url.URL
	header http.Header
}

func (d *download) list(ctx context.Context, name, way string, paged bool, query url.Values) error {
	d.where = d.base.Scheme + "://" + d.base.Host + d.base.Path + way
	for given := 0; ; {
		q := maps.Clone(query)
		if q == nil {
			q = url.Values{}
		}
		if paged {
			q.Set("limit", strconv.Itoa(pageSize))
			q.Set("offset", strconv.Itoa(given))
		}
		var answer struct {
			Data   *[]json.RawMessage `json:"data"`
			Paging struct {
				Next string `json:"next"`
			} `json:"paging"`
		}
		if err := rest.Get(ctx, d.client, rest.Below(d.base, way, q), d.header, &answer); err != nil {
			return err
		}
		if answer.Data == nil {
			return fmt.Errorf("%s: its schema is not the documented one: expected data", d.where)
		}
		for i, raw := range *answer.Data {
			if err := d.take(name, given+i+1, raw); err != nil {
				return err
			}
		}
		given += len(*answer.Data)
		d.sink.Progress("reading "+name, given, 0)
		switch {
		case !paged || answer.Paging.Next == "":
			return nil
		case len(*answer.Data) == 0:
			return fmt.Errorf("%s from %d: the page is empty, and a next one was announced", name, given)
		case given > maxPages*pageSize:
			return fmt.Errorf("%s: more than %d", name, maxPages*pageSize)
		}
	}
}

// members reads the members of each team, which the list of teams does not hold.
func (d *download) members(ctx context.Context) error {
	return d.each(ctx, slices.Sorted(maps.Keys(d.teams)), func(id string) error {
		var answer struct {
			Data object `json:"data"`
		}
		if err := rest.Get(ctx, d.client, rest.Below(d.base, "/v2/teams/"+id, url.Values{"identifierType": {"id"}}), d.header, &answer); err != nil {
			return err
		}
		if answer.Data.ID != id {
			return fmt.Errorf("/v2/teams/%s: the answer is another team", id)
		}
		return d.team(&answer.Data)
	})
}

// timelines reads who is on call when, of each schedule.
func (d *download) timelines(ctx context.Context) error {
	return d.each(ctx, slices.Sorted(maps.Keys(d.schedules)), func(id string) error {
		var answer timeline
		at := rest.Below(d.base, "/v2/schedules/"+id+"/timeline", url.Values{"identifierType": {"id"}, "interval": {"1"}, "intervalUnit": {"weeks"}})
		if err := rest.Get(ctx, d.client, at, d.header, &answer); err != nil {
			return err
		}
		answer.Data.Parent.ID = id
		return d.periods(&answer)
	})
}

// each asks for each of a list; one that fails is a gap.
func (d *download) each(ctx context.Context, ids []string, ask func(id string) error) error {
	for _, id := range ids {
		err := ask(id)
		var refused *sinkError
		if errors.As(err, &refused) || ctx.Err() != nil {
			return err
		}
		if err != nil {
			d.gap(err)
		}
	}
	return nil
}

// files reads exported answers, known by the beginning of their names: the answers
// of different lists look alike.
func (a *account) files(ctx context.Context, folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("setting path: %w", err)
	}
	read, known := 0, func(entry os.DirEntry, list string) bool {
		return entry.Type().IsRegular() && strings.HasPrefix(entry.Name(), list) && strings.HasSuffix(entry.Name(), ".json")
	}
	for _, list := range lists {
		if list.name == "services" {
			if err := a.ready(); err != nil {
				return err
			}
		}
		there := false
		for _, entry := range entries {
			if !known(entry, list.name) {
				continue
			}
			there = true
			if err := a.file(ctx, folder, entry.Name(), list.name); err != nil {
				return err
			}
		}
		read++
		a.sink.Progress("reading "+list.name, read, len(lists))
		if !there {
			a.sink.Note(scope, list.name+" were not exported")
		}
		for _, entry := range entries {
			var err error
			switch {
			case list.name == "schedules" && known(entry, "timeline"):
				var answer timeline
				if err = single(filepath.Join(folder, entry.Name()), &answer); err == nil {
					err = a.periods(&answer)
				}
			case list.name == "teams" && known(entry, "team-"):
				var answer struct {
					Data object `json:"data"`
				}
				if err = single(filepath.Join(folder, entry.Name()), &answer); err == nil && answer.Data.ID == "" {
					err = errors.New("expected a team with an id")
				}
				if err == nil {
					a.where = entry.Name()
					err = a.team(&answer.Data)
				}
			}
			var refused *sinkError
			if errors.As(err, &refused) {
				return err
			}
			if err != nil {
				a.gap(fmt.Errorf("%s: %w", entry.Name(), err))
			}
		}
	}
	if len(a.people)+len(a.teams)+len(a.schedules)+len(a.services) == 0 && !a.partial {
		return fmt.Errorf("setting path: %s holds none of users.json, teams.json, schedules.json, escalations.json, services.json", folder)
	}
	return nil
}

func (a *account) file(ctx context.Context, folder, name, list string) error {
	a.where = name
	file, err := os.Open(filepath.Join(folder, name))
	if err == nil {
		defer file.Close()
		n := 0
		err = rest.Elements(ctx, file, []string{"data"}, func(_ string, raw json.RawMessage) error {
			n++
			return a.take(list, n, raw)
		})
	}
	var refused *sinkError
	if errors.As(err, &refused) || ctx.Err() != nil {
		return err
	}
	if err != nil {
		a.gap(fmt.Errorf("%s: %w", name, withoutPath(err)))
	}
	return nil
}

// maxSingle bounds the exported answer about one thing.
const maxSingle = 64 << 20

// single reads an exported answer about one thing.
func single[T any](name string, into *T) error {
	file, err := os.Open(name)
	if err != nil {
		return withoutPath(err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxSingle+1))
	switch {
	case err != nil:
		return withoutPath(err)
	case len(data) > maxSingle:
		return fmt.Errorf("larger than %d MiB", maxSingle>>20)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return rest.Shape(err)
	}
	return nil
}

func withoutPath(err error) error {
	var fault *fs.PathError
	if errors.As(err, &fault) {
		return fault.Err
	}
	return err
}
