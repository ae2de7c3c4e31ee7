// Package pagerduty brings who is on call for which service and team from
// PagerDuty, through its REST API or from exported answers.
//
// Shapes follow the documentation of the REST API v2: lists with limit, offset and
// more; users with their teams; schedules with the users of their rotation;
// escalation policies with their rules; services; on-calls, which are those of the
// moment. Nothing is written to PagerDuty.
package pagerduty

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
const ID = "connector/pagerduty"

// Bounds of the API.
const (
	pageSize  = 100
	maxOffset = 10_000    // the API serves no list further
	scope     = "account" // one scope: services are on call through what stands in other lists
)

// Confidence of claims, by how soon somebody is called.
var byLevel = []float64{.8, .6, .4}

// inRotation is that of somebody whose turn it is not.
const inRotation = .4

type source struct{ client *rest.Client }

// New makes the source. wait sleeps between attempts; nil waits for real.
func New(wait func(ctx context.Context, d time.Duration) error) connector.Source {
	return source{rest.New(wait)}
}

func (source) Describe() connector.Description {
	return connector.Description{
		ID: ID, Name: "PagerDuty",
		Docs: "Who is on call: services, teams, users, schedules and escalation policies. Whoever is called for a service, now or in the rotation of its schedules, is claimed as on_call with the time of the shift; so are the teams of the service. " +
			"A token that may only read is enough.",
	}
}

func (source) Settings() []connector.Setting {
	return []connector.Setting{
		{Name: "address", Kind: connector.SettingURL, Default: "https://api.pagerduty.com", Help: "address of the REST API; that of the EU is https://api.eu.pagerduty.com"},
		{Name: "token", Kind: connector.SettingSecret, Help: "REST API key, which may be read-only, by reference: env:NAME or file:PATH"},
		{Name: "path", Kind: connector.SettingPath, Help: "an exported answer, or a folder of them (.json); then nothing is asked for over the network"},
	}
}

// lists are read in this order, so that what names others comes after them.
var lists = []string{"teams", "users", "schedules", "escalation_policies", "oncalls", "services"}

// Sync implements connector.Source.
func (s source) Sync(ctx context.Context, values connector.Values, sink connector.Sink) error {
	if values["path"] == "" && values["token"] == "" {
		return errors.New("expected the setting token or path")
	}
	if sink.Done(scope) {
		return nil
	}
	a := &account{
		sink: sink, teams: map[string]fact.Asset{}, people: map[string]*connector.Person{}, schedules: map[string]*schedule{}, policies: map[string]*policy{}, services: map[string]bool{},
	}
	var err error
	if values["path"] != "" {
		err = a.files(ctx, values["path"])
	} else {
		err = a.download(ctx, s.client, values)
	}
	if err == nil {
		err = a.teamsOnCall()
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

// account joins what the lists say. Services, of which there may be most, are told
// one by one and not kept.
type account struct {
	sink      connector.Sink
	where     string // the list or file that is read, for evidence
	teams     map[string]fact.Asset
	people    map[string]*connector.Person
	schedules map[string]*schedule
	policies  map[string]*policy
	services  map[string]bool
	partial   bool
}

func (a *account) gap(err error) {
	a.partial = true
	a.sink.Gap(scope, err)
}

// reference names another object.
type reference struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Summary string `json:"summary"`
}

type schedule struct {
	ID    string      `json:"id"`
	Name  string      `json:"name"`
	Users []reference `json:"users"`
}

type policy struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Rules []struct {
		Targets []reference `json:"targets"`
	} `json:"escalation_rules"`
	Teams  []reference `json:"teams"`
	onCall []shift
}

// shift is somebody who is on call.
type shift struct {
	who        *connector.Person
	confidence float64
	method     string
	source     string
	since      int64
	until      int64
}

// object is an element of any list, as far as it is read.
type object struct {
	ID          string      `json:"id"`
	Name        string      `json:"name"`
	Summary     string      `json:"summary"`
	Description string      `json:"description"`
	Status      string      `json:"status"`
	Email       string      `json:"email"`
	JobTitle    string      `json:"job_title"`
	Role        string      `json:"role"`
	Teams       []reference `json:"teams"`
	Parent      *reference  `json:"parent"`
	Policy      *reference  `json:"escalation_policy"`
	Level       int         `json:"escalation_level"`
	Schedule    *reference  `json:"schedule"`
	User        *reference  `json:"user"`
	Start       string      `json:"start"`
	End         string      `json:"end"`
}

// take tells of one element of a list, or keeps what others need of it.
func (a *account) take(list string, n int, raw json.RawMessage) error {
	bad := func(err error) error {
		a.gap(fmt.Errorf("%s: %s, element %d: %w", a.where, list, n, err))
		return nil
	}
	var o object
	into := any(&o)
	var s schedule
	var p policy
	switch list {
	case "schedules":
		into = &s
	case "escalation_policies":
		into = &p
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return bad(rest.Shape(err))
	}
	if cmp.Or(o.ID, s.ID, p.ID) == "" && list != "oncalls" {
		return bad(errors.New("expected an id"))
	}
	switch list {
	case "teams":
		return a.team(&o)
	case "users":
		return a.user(&o)
	case "schedules":
		a.schedules[s.ID] = &s
	case "escalation_policies":
		a.policy(&p)
	case "oncalls":
		if o.Policy == nil || o.User == nil {
			return bad(errors.New("expected an escalation policy and a user"))
		}
		if err := a.onCall(&o); err != nil {
			return bad(err)
		}
	case "services":
		return a.service(&o)
	}
	return nil
}

func (a *account) node(asset fact.Asset, said map[string]string) error {
	maps.DeleteFunc(said, func(_, value string) bool { return value == "" })
	return refuse(a.sink.Node(scope, fact.Node{Asset: asset, Properties: said}))
}

func (a *account) relate(from fact.Asset, kind fact.RelationKind, to fact.Asset, method string) error {
	return refuse(a.sink.Relation(scope, fact.Relation{From: from, Kind: kind, To: to, Evidence: fact.Evidence{Method: method, Source: a.where, Strength: fact.Declared}}))
}

func (a *account) team(o *object) error {
	asset := fact.Asset{Kind: fact.AssetTeam, Key: "pagerduty:team:" + o.ID, Name: cmp.Or(o.Name, o.Summary, o.ID)}
	if _, known := a.teams[o.ID]; known {
		return nil
	}
	a.teams[o.ID] = asset
	if err := a.node(asset, map[string]string{"description": o.Description}); err != nil || o.Parent == nil || o.Parent.ID == "" {
		return err
	}
	return a.relate(asset, fact.PartOf, a.teamOf(*o.Parent), "parent team")
}

func (a *account) teamOf(r reference) fact.Asset {
	if team, known := a.teams[r.ID]; known {
		return team
	}
	return fact.Asset{Kind: fact.AssetTeam, Key: "pagerduty:team:" + r.ID, Name: r.Summary}
}

func (a *account) user(o *object) error {
	if a.people[o.ID] != nil {
		return nil
	}
	p := &connector.Person{ID: "pagerduty:user:" + o.ID, Name: cmp.Or(o.Name, o.Summary), Emails: []string{o.Email}, Said: map[string]string{}}
	if o.JobTitle != "" {
		p.Said["title"] = o.JobTitle
	}
	a.people[o.ID] = p
	if err := refuse(a.sink.Node(scope, p.Node())); err != nil {
		return err
	}
	for _, team := range o.Teams {
		if err := a.relate(p.Asset(), fact.MemberOf, a.teamOf(team), "teams of the user"); err != nil {
			return err
		}
	}
	return nil
}

// person gives a user, also one whom no list holds.
func (a *account) person(r reference) *connector.Person {
	if p := a.people[r.ID]; p != nil {
		return p
	}
	if !a.partial {
		a.sink.Note(scope, fmt.Sprintf("%s: the user %s (%s) is in no list", a.where, r.ID, r.Summary))
	}
	a.people[r.ID] = &connector.Person{ID: "pagerduty:user:" + r.ID, Name: r.Summary}
	return a.people[r.ID]
}

// policy keeps whom an escalation policy calls, besides those who are on call now.
func (a *account) policy(p *policy) {
	if a.policies[p.ID] != nil {
		return
	}
	a.policies[p.ID] = p
	for level, rule := range p.Rules {
		for _, target := range rule.Targets {
			switch s := a.schedules[target.ID]; {
			case strings.HasPrefix(target.Type, "user"):
				p.onCall = append(p.onCall, shift{who: a.person(target), confidence: byLevel[min(level, len(byLevel)-1)],
					method: fmt.Sprintf("level %d of the escalation policy", level+1), source: fmt.Sprintf("escalation policy %s (%s)", p.Name, p.ID)})
			case s != nil:
				for _, user := range s.Users {
					p.onCall = append(p.onCall, shift{who: a.person(user), confidence: inRotation, method: "rotation of a schedule", source: fmt.Sprintf("schedule %s (%s)", s.Name, s.ID)})
				}
			case !a.partial:
				a.sink.Note(scope, fmt.Sprintf("escalation policy %s (%s) names %s %s, which is in no list", p.Name, p.ID, target.Type, target.ID))
			}
		}
	}
}

func (a *account) onCall(o *object) error {
	p := a.policies[o.Policy.ID]
	if p == nil {
		p = &policy{ID: o.Policy.ID, Name: o.Policy.Summary}
		a.policies[p.ID] = p
		if !a.partial {
			a.sink.Note(scope, fmt.Sprintf("the escalation policy %s (%s), which somebody is on call for, is in no list", p.Name, p.ID))
		}
	}
	s := shift{
		who: a.person(*o.User), confidence: byLevel[min(max(o.Level, 1), len(byLevel))-1],
		method: fmt.Sprintf("on call at level %d", o.Level), source: fmt.Sprintf("escalation policy %s (%s)", p.Name, p.ID),
	}
	if o.Schedule != nil && o.Schedule.ID != "" {
		s.source = fmt.Sprintf("schedule %s (%s)", o.Schedule.Summary, o.Schedule.ID)
	}
	var err error
	if s.since, err = moment(o.Start); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if s.until, err = moment(o.End); err != nil {
		return fmt.Errorf("end: %w", err)
	}
	p.onCall = append(p.onCall, s)
	return nil
}

// moment reads a time, 0 for none: who is always on call has no shifts.
func moment(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0, fmt.Errorf("%.40q: expected a time like 2026-01-02T15:04:05Z", text)
	}
	return at.UnixMicro(), nil
}

// claim claims a subject for everybody that a policy calls.
func (a *account) claim(subject fact.Asset, p *policy) error {
	for _, s := range p.best() {
		err := a.sink.Claim(scope, fact.Claim{
			Subject: subject, Owner: s.who.Party(), Role: "on_call", Source: "pagerduty", Confidence: s.confidence, Since: s.since, Until: s.until,
			Evidence: fact.Evidence{Method: s.method, Source: s.source, Strength: fact.Declared},
		})
		if err != nil {
			return refuse(err)
		}
	}
	return nil
}

// best gives for each person the strongest reason to be called.
func (p *policy) best() []shift {
	byWho := map[string]shift{}
	for _, s := range p.onCall {
		key := s.who.Asset().Key
		if other, there := byWho[key]; !there || s.confidence > other.confidence || s.confidence == other.confidence && s.since != 0 && (other.since == 0 || s.since < other.since) {
			byWho[key] = s
		}
	}
	list := make([]shift, 0, len(byWho))
	for _, key := range slices.Sorted(maps.Keys(byWho)) {
		list = append(list, byWho[key])
	}
	return list
}

func (a *account) service(o *object) error {
	if a.services[o.ID] {
		return nil
	}
	a.services[o.ID] = true
	asset := fact.Asset{Kind: fact.AssetService, Key: "pagerduty:service:" + o.ID, Name: cmp.Or(o.Name, o.Summary, o.ID)}
	said := map[string]string{"status": o.Status, "description": o.Description}
	var p *policy
	if o.Policy != nil {
		said["escalation_policy"] = cmp.Or(o.Policy.Summary, o.Policy.ID)
		if p = a.policies[o.Policy.ID]; p == nil && !a.partial {
			a.sink.Note(scope, fmt.Sprintf("service %s (%s): its escalation policy %s is in no list", asset.Name, o.ID, o.Policy.ID))
		}
	}
	if err := a.node(asset, said); err != nil {
		return err
	}
	teams, method := o.Teams, "teams of the service"
	if p != nil {
		if err := a.claim(asset, p); err != nil {
			return err
		}
		if len(teams) == 0 {
			teams, method = p.Teams, "teams of the escalation policy"
		}
	}
	for _, r := range teams {
		team := a.teamOf(r)
		if err := a.relate(asset, fact.OwnedBy, team, method); err != nil {
			return err
		}
		err := a.sink.Claim(scope, fact.Claim{
			Subject: asset, Owner: fact.Party{Kind: "team", ID: team.Key, Name: team.Name}, Role: "on_call", Source: "pagerduty", Confidence: byLevel[0],
			Evidence: fact.Evidence{Method: method, Source: fmt.Sprintf("service %s (%s)", asset.Name, o.ID), Strength: fact.Declared},
		})
		if err != nil {
			return refuse(err)
		}
	}
	if p == nil && len(teams) == 0 {
		a.sink.Note(scope, fmt.Sprintf("service %s (%s) names nobody who is called for it", asset.Name, o.ID))
	}
	return nil
}

// teamsOnCall claims each team for those who are called by its policies.
func (a *account) teamsOnCall() error {
	for _, id := range slices.Sorted(maps.Keys(a.policies)) {
		p := a.policies[id]
		for _, team := range p.Teams {
			if err := a.claim(a.teamOf(team), p); err != nil {
				return err
			}
		}
	}
	return nil
}

// download reads the lists. One that fails is a gap, and the others are read.
func (a *account) download(ctx context.Context, client *rest.Client, values connector.Values) error {
	base, err := rest.Base(values["address"])
	if err != nil {
		return err
	}
	header := http.Header{"Accept": {"application/vnd.pagerduty+json;version=2"}, "Authorization": {"Token token=" + values["token"]}}
	for _, list := range lists {
		err := a.list(ctx, client, base, header, list)
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

// list reads one list page by page.
func (a *account) list(ctx context.Context, client *rest.Client, base *url.URL, header http.Header, list string) error {
	a.where = base.Scheme + "://" + base.Host + base.Path + "/" + list
	for offset := 0; ; {
		if offset+pageSize > maxOffset {
			return fmt.Errorf("%s: there are more than the %d that the API serves", list, maxOffset)
		}
		var answer map[string]json.RawMessage
		at := rest.Below(base, "/"+list, url.Values{"limit": {strconv.Itoa(pageSize)}, "offset": {strconv.Itoa(offset)}})
		if err := rest.Get(ctx, client, at, header, &answer); err != nil {
			return err
		}
		var elements []json.RawMessage
		var more bool
		if answer[list] == nil {
			return fmt.Errorf("%s: its schema is not the documented one: expected %q", a.where, list)
		}
		if err := json.Unmarshal(answer[list], &elements); err != nil {
			return fmt.Errorf("%s: %s: %w", a.where, list, rest.Shape(err))
		}
		if answer["more"] != nil {
			if err := json.Unmarshal(answer["more"], &more); err != nil {
				return fmt.Errorf("%s: more: %w", a.where, rest.Shape(err))
			}
		}
		for i, raw := range elements {
			if err := a.take(list, offset+i+1, raw); err != nil {
				return err
			}
		}
		offset += len(elements)
		a.sink.Progress("reading "+list, offset, 0)
		if !more {
			return nil
		}
		if len(elements) == 0 {
			return fmt.Errorf("%s from %d: the page is empty, and more was announced", list, offset+1)
		}
	}
}

// files reads exported answers, list by list. A file is known by its members, not by
// its name.
func (a *account) files(ctx context.Context, at string) error {
	folder, names, err := exported(at)
	if err != nil {
		return err
	}
	holds := map[string][]string{} // files by list
	for _, name := range names {
		found := map[string]bool{}
		err := elements(ctx, filepath.Join(folder, name), lists, func(list string, _ json.RawMessage) error { found[list] = true; return nil })
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			a.gap(fmt.Errorf("%s: %w", name, err)) // what stands before the fault is read below
		}
		for list := range found {
			holds[list] = append(holds[list], name)
		}
	}
	for i, list := range lists {
		a.sink.Progress("reading "+list, i, len(lists))
		for _, name := range holds[list] {
			a.where = name
			n := 0
			err := elements(ctx, filepath.Join(folder, name), lists, func(of string, raw json.RawMessage) error {
				if of != list {
					return nil
				}
				n++
				return a.take(list, n, raw)
			})
			var refused *sinkError
			if errors.As(err, &refused) || ctx.Err() != nil {
				return err
			}
		}
		if len(holds[list]) == 0 {
			a.sink.Note(scope, list+" were not exported, or there are none")
		}
	}
	return nil
}

func exported(at string) (folder string, names []string, err error) {
	info, err := os.Stat(at)
	if err != nil {
		return "", nil, fmt.Errorf("setting path: %w", err)
	}
	if !info.IsDir() {
		return filepath.Dir(at), []string{filepath.Base(at)}, nil
	}
	entries, err := os.ReadDir(at)
	if err != nil {
		return "", nil, fmt.Errorf("setting path: %w", err)
	}
	for _, entry := range entries {
		if entry.Type().IsRegular() && strings.HasSuffix(entry.Name(), ".json") {
			names = append(names, entry.Name())
		}
	}
	if len(names) == 0 {
		return "", nil, fmt.Errorf("setting path: %s holds no .json file", at)
	}
	return at, names, nil
}

func elements(ctx context.Context, name string, members []string, give func(string, json.RawMessage) error) error {
	file, err := os.Open(name)
	if err != nil {
		var fault *fs.PathError
		if errors.As(err, &fault) {
			return fault.Err
		}
		return err
	}
	defer file.Close()
	return rest.Elements(ctx, file, members, give)
}
