// Package servicenow brings business applications and services of a ServiceNow
// CMDB with their owners, support groups and relations, through the Table API or
// from exported answers of it.
//
// The Table API is read as its documentation describes it: sysparm_query with an
// order by sys_updated_on and sys_id, sysparm_limit and sysparm_offset for pages,
// sysparm_display_value=all for values with what people read, basic
// authentication or OAuth. Records are only read. With "since", only what changed
// later is asked for, which covers nothing.
package servicenow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
const ID = "connector/servicenow"

// Bounds of the API.
const (
	pageSize = 1000
	maxPages = 10000
	clock    = "2006-01-02 15:04:05" // of sys_updated_on, UTC
)

// table is one table that is read.
type table struct {
	name, kind string
	fields     []string
}

// tables are read in this order, so that relations come after what they join.
var tables = []table{
	{"sys_user_group", "team", []string{"sys_id", "name", "email", "manager", "active", "sys_updated_on"}},
	{"cmdb_ci_business_app", "application", append([]string{"business_criticality", "it_application_owner", "it_application_owner.email", "business_unit"}, common...)},
	{"cmdb_ci_service", "service", append([]string{"busines_criticality", "environment"}, common...)},
	{"cmdb_ci_service_discovered", "service", append([]string{"busines_criticality", "environment"}, common...)},
	{"cmdb_rel_ci", "", []string{"sys_id", "parent", "child", "type", "sys_updated_on"}},
}

var common = []string{
	"sys_id", "name", "number", "sys_class_name", "owned_by", "managed_by", "support_group", "assignment_group", "assigned_to",
	"owned_by.email", "managed_by.email", "assigned_to.email", "operational_status", "install_status", "correlation_id", "sys_updated_on",
}

// ownerFields are the members of a record that name who answers for it.
var ownerFields = []struct {
	field, kind, role string
	confidence        float64
}{
	{"owned_by", "person", "owner", .9},
	{"it_application_owner", "person", "owner", .85},
	{"managed_by", "person", "primary", .8},
	{"support_group", "team", "on_call", .8},
	{"assignment_group", "team", "primary", .75},
	{"assigned_to", "person", "reviewer", .5},
}

type source struct{ client *rest.Client }

// New makes the source. wait sleeps between attempts; nil waits for real.
func New(wait func(ctx context.Context, d time.Duration) error) connector.Source {
	return source{rest.New(wait)}
}

func (source) Describe() connector.Description {
	return connector.Description{
		ID: ID, Name: "ServiceNow CMDB",
		Docs: "Business applications and services with owned_by, managed_by, support and assignment groups, and their relations, read through the Table API. Nothing is written to ServiceNow. " +
			"References to records that were not read are told of.",
	}
}

func (source) Settings() []connector.Setting {
	return []connector.Setting{
		{Name: "address", Kind: connector.SettingURL, Help: "address of the instance, for example https://acme.service-now.com; without it, path is read"},
		{Name: "user", Kind: connector.SettingText, Help: "user of basic authentication, or of the OAuth password grant"},
		{Name: "password", Kind: connector.SettingSecret, Help: "its password, by reference: env:NAME or file:PATH"},
		{Name: "client-id", Kind: connector.SettingText, Help: "OAuth client; with it, a token is asked for at oauth_token.do"},
		{Name: "client-secret", Kind: connector.SettingSecret, Help: "its secret, by reference"},
		{Name: "query", Kind: connector.SettingText, Help: "encoded query added to that of applications and services, for example operational_status=1"},
		{Name: "since", Kind: connector.SettingText, Help: "ask only for records updated after this time (UTC, 2006-01-02 15:04:05); such a sync covers nothing"},
		{Name: "path", Kind: connector.SettingPath, Help: "folder of exported answers, one file a table: cmdb_ci_business_app.json ..."},
	}
}

// Sync implements connector.Source. Each table is a scope.
func (s source) Sync(ctx context.Context, values connector.Values, sink connector.Sink) error {
	if values["address"] == "" && values["path"] == "" {
		return errors.New("expected the setting address or path")
	}
	if since := values["since"]; since != "" {
		if _, err := time.Parse(clock, since); err != nil {
			return fmt.Errorf("setting since is %q: expected a time like %s", since, clock)
		}
	}
	if strings.Contains(values["query"], "^NQ") || strings.Contains(values["query"], "ORDERBY") {
		return fmt.Errorf("setting query is %q: expected conditions without ^NQ and ORDERBY", values["query"])
	}
	b := &book{known: map[string]fact.Asset{}}
	api := &api{source: s, values: values}
	for i, t := range tables {
		// A table that is done is read again only for the relations that name its records.
		if b.silent = sink.Done(t.name); b.silent && sink.Done(relations) {
			continue
		}
		sink.Progress("reading "+t.name, i, len(tables))
		whole := values["since"] == ""
		nameless := 0
		give := func(r record) error {
			if r["sys_id"].Value == "" {
				nameless++
				return nil
			}
			return b.take(t, r, sink)
		}
		var err error
		if values["address"] != "" {
			err = api.read(ctx, t, give)
		} else {
			err = fromFile(ctx, values["path"], t, give)
			if errors.Is(err, fs.ErrNotExist) {
				sink.Note(t.name, t.name+".json was not exported")
				b.missing = true
				continue
			}
		}
		var fault *sinkError
		switch {
		case errors.As(err, &fault):
			return fault.err
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			if b.partial = true; !b.silent {
				sink.Gap(t.name, err)
			}
		case nameless > 0 && !b.silent:
			b.partial = true
			sink.Gap(t.name, fmt.Errorf("%d records have no sys_id, which sysparm_fields must name", nameless))
		case t.name == relations && b.partial:
			sink.Gap(t.name, errors.New("a table before it was not read whole, so that relations of its records are missing"))
		case whole && !b.silent && !(t.name == relations && b.missing):
			if err := sink.Covered(t.name); err != nil {
				return err
			}
		}
	}
	sink.Progress("reading tables", len(tables), len(tables))
	b.finish(sink)
	return nil
}

// sinkError is an error of the sink, which ends the run.
type sinkError struct{ err error }

func (e *sinkError) Error() string { return e.err.Error() }

// record is one record: field to value and display value.
type record map[string]field

// field is a value as sysparm_display_value=all gives it; exports with another
// setting give a text, or an object with a link.
type field struct{ Value, Display string }

// UnmarshalJSON reads any of the three forms.
func (f *field) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		err := json.Unmarshal(data, &f.Value)
		f.Display = f.Value
		return err
	}
	var whole struct {
		Value   any    `json:"value"`
		Display string `json:"display_value"`
	}
	if len(data) > 0 && data[0] == '{' {
		if err := json.Unmarshal(data, &whole); err != nil {
			return err
		}
		f.Value, _ = whole.Value.(string)
		f.Display = whole.Display
		if f.Display == "" {
			f.Display = f.Value
		}
	}
	return nil
}

// book joins what the tables say.
type book struct {
	known     map[string]fact.Asset // by sys_id
	unmatched []string
	silent    bool // what is read was told of before
	partial   bool // a table was not read whole
	missing   bool // a table was not exported
}

// take tells of one record.
func (b *book) take(t table, r record, sink connector.Sink) error {
	id := r["sys_id"].Value
	if t.name == relations {
		return b.relate(r, sink)
	}
	name := r["name"].Display
	if name == "" {
		name = id
	}
	asset := fact.Asset{Kind: fact.AssetService, Key: "servicenow:" + id, Name: name}
	if t.kind == "team" {
		asset.Kind = fact.AssetTeam
	}
	if t.kind == "application" {
		asset.Kind = fact.AssetProject
	}
	if b.known[id] = asset; b.silent {
		return nil
	}
	properties := map[string]string{"table": t.name}
	for field, value := range r {
		if value.Display != "" && field != "sys_id" && field != "name" && !strings.Contains(field, ".") {
			properties[field] = value.Display
		}
	}
	for _, field := range []string{"business_criticality", "busines_criticality"} {
		if impact := impactOf(r[field].Display); impact != "" {
			properties["impact"] = impact
		}
	}
	if err := sink.Node(t.name, fact.Node{Asset: asset, Properties: properties}); err != nil {
		return &sinkError{err}
	}
	if t.kind == "team" {
		return nil
	}
	owners := 0
	for _, o := range ownerFields {
		value := r[o.field]
		if value.Value == "" {
			continue
		}
		owners++
		party := fact.Party{Kind: o.kind, ID: "servicenow:" + value.Value, Name: value.Display}
		if email := connector.Address(r[o.field+".email"].Value); email != "" && o.kind == "person" {
			party.ID = email
		}
		claim := fact.Claim{
			Subject: asset, Owner: party, Role: o.role, Source: "servicenow", Confidence: o.confidence,
			Evidence: fact.Evidence{Method: o.field, Source: t.name + " " + id, Strength: fact.Declared, Detail: value.Display},
		}
		if err := sink.Claim(t.name, claim); err != nil {
			return &sinkError{err}
		}
	}
	if owners == 0 {
		b.miss(fmt.Sprintf("%s %s (%s) names nobody who answers for it", t.name, name, id))
	}
	return nil
}

// impactOf reads a business criticality: "1 - most critical" ... "4 - not critical".
func impactOf(text string) string {
	switch {
	case strings.HasPrefix(text, "1"), strings.HasPrefix(text, "2"):
		return "high"
	case strings.HasPrefix(text, "3"):
		return "medium"
	case strings.HasPrefix(text, "4"):
		return "low"
	}
	return ""
}

// relations is the table that joins the others, which are read before it.
const relations = "cmdb_rel_ci"

// relate tells of one relation between records that were read.
func (b *book) relate(r record, sink connector.Sink) error {
	parent, known := b.known[r["parent"].Value]
	child, both := b.known[r["child"].Value]
	if !known && !both {
		return nil // between records of classes that are not read
	}
	if !known || !both {
		if !b.partial {
			b.miss(fmt.Sprintf("relation %s: %s %s %s: one end is of a class that is not read", r["sys_id"].Value, r["parent"].Display, r["type"].Display, r["child"].Display))
		}
		return nil
	}
	kind, from, to := fact.DependsOn, parent, child
	if name := strings.ToLower(r["type"].Display); strings.HasPrefix(name, "contains") || strings.HasPrefix(name, "consumes") {
		kind, from, to = fact.PartOf, child, parent
	}
	relation := fact.Relation{
		From: from, Kind: kind, To: to, Properties: map[string]string{"type": r["type"].Display},
		Evidence: fact.Evidence{Method: "relation of the CMDB", Source: relations + " " + r["sys_id"].Value, Strength: fact.Declared, Detail: r["type"].Display},
	}
	if err := sink.Relation(relations, relation); err != nil {
		return &sinkError{err}
	}
	return nil
}

// maxUnmatched bounds what is told of records that found no match.
const maxUnmatched = 10_000

func (b *book) miss(text string) {
	if len(b.unmatched) < maxUnmatched {
		b.unmatched = append(b.unmatched, text)
	}
}

// finish tells of what found no match.
func (b *book) finish(sink connector.Sink) {
	slices.Sort(b.unmatched)
	for _, text := range b.unmatched {
		sink.Note(relations, text)
	}
}

// fromFile reads an exported answer: {"result": [...]}.
func fromFile(ctx context.Context, folder string, t table, give func(record) error) error {
	file, err := os.Open(filepath.Join(folder, t.name+".json"))
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = decode(ctx, file, give)
	if err != nil {
		return fmt.Errorf("%s.json: %w", t.name, err)
	}
	return nil
}

// decode streams the records of one answer and counts them.
func decode(ctx context.Context, in io.Reader, give func(record) error) (int, error) {
	decoder := json.NewDecoder(in)
	expect := func(want json.Delim) error {
		token, err := decoder.Token()
		if err == nil && token != want {
			err = fmt.Errorf("expected %v", want)
		}
		return whole(err)
	}
	if err := expect('{'); err != nil {
		return 0, fmt.Errorf(`expected an answer {"result": [...]}: %w`, err)
	}
	n, seen := 0, false
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return n, whole(err)
		}
		if key != "result" {
			var other any
			if err := decoder.Decode(&other); err != nil {
				return n, whole(err)
			}
			if key == "error" {
				return n, fmt.Errorf("answered with an error: %v", other)
			}
			continue
		}
		seen = true
		if err := expect('['); err != nil {
			return n, fmt.Errorf("result: expected a list of records: %w", err)
		}
		for decoder.More() {
			if err := ctx.Err(); err != nil {
				return n, err
			}
			var r record
			if err := decoder.Decode(&r); err != nil {
				return n, fmt.Errorf("record %d: %w", n+1, rest.Shape(whole(err)))
			}
			n++
			if err := give(r); err != nil {
				return n, err
			}
		}
		if err := expect(']'); err != nil {
			return n, err
		}
	}
	if err := expect('}'); err != nil {
		return n, err
	}
	if !seen {
		return n, errors.New(`expected an answer with "result"`)
	}
	return n, nil
}

func whole(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// api is the Table API of one instance.
type api struct {
	source
	values connector.Values
	token  string
}

// read reads one table page by page.
func (a *api) read(ctx context.Context, t table, give func(record) error) error {
	conditions := []string{}
	if q := a.values["query"]; q != "" && (t.kind == "application" || t.kind == "service") {
		conditions = append(conditions, q)
	}
	if since := a.values["since"]; since != "" {
		conditions = append(conditions, "sys_updated_on>"+since)
	}
	conditions = append(conditions, "ORDERBYsys_updated_on", "ORDERBYsys_id")
	seen := map[string]bool{}
	once := func(r record) error {
		if id := r["sys_id"].Value; id != "" {
			if seen[id] {
				return nil // moved to a later page while pages were read
			}
			seen[id] = true
		}
		return give(r)
	}
	for page := range maxPages {
		query := url.Values{
			"sysparm_query": {strings.Join(conditions, "^")}, "sysparm_fields": {strings.Join(t.fields, ",")}, "sysparm_display_value": {"all"},
			"sysparm_exclude_reference_link": {"true"}, "sysparm_limit": {strconv.Itoa(pageSize)}, "sysparm_offset": {strconv.Itoa(page * pageSize)},
		}
		n, err := a.page(ctx, "/api/now/table/"+t.name+"?"+query.Encode(), once)
		if err != nil {
			return fmt.Errorf("%s, records from %d: %w", t.name, page*pageSize, err)
		}
		if n < pageSize {
			return nil
		}
	}
	return fmt.Errorf("%s: more than %d records", t.name, maxPages*pageSize)
}

// page asks for one page. Records are given only once the page is whole.
func (a *api) page(ctx context.Context, way string, give func(record) error) (int, error) {
	var records []record
	read := func() error {
		return a.client.Do(ctx, func(ctx context.Context) (*http.Request, error) {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(a.values["address"], "/")+way, nil)
			if err != nil {
				return nil, err
			}
			return request, a.authorize(ctx, request)
		}, func(body io.Reader) error {
			records = records[:0]
			_, err := decode(ctx, body, func(r record) error { records = append(records, r); return nil })
			return err
		})
	}
	err := read()
	var status *rest.StatusError
	if errors.As(err, &status) && status.Code == http.StatusUnauthorized && a.token != "" {
		a.token = "" // it expired
		err = read()
	}
	if err != nil {
		return 0, err
	}
	for _, r := range records {
		if err := give(r); err != nil {
			return 0, err
		}
	}
	return len(records), nil
}

// authorize adds basic authentication, or an OAuth token that is asked for once.
func (a *api) authorize(ctx context.Context, request *http.Request) error {
	if a.values["client-id"] == "" {
		if a.values["user"] != "" {
			request.SetBasicAuth(a.values["user"], a.values["password"])
		}
		return nil
	}
	if a.token == "" {
		form := url.Values{"client_id": {a.values["client-id"]}, "client_secret": {a.values["client-secret"]}}
		if a.values["user"] != "" {
			form.Set("grant_type", "password")
			form.Set("username", a.values["user"])
			form.Set("password", a.values["password"])
		} else {
			form.Set("grant_type", "client_credentials")
		}
		err := a.client.Do(ctx, func(ctx context.Context) (*http.Request, error) {
			ask, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(a.values["address"], "/")+"/oauth_token.do", strings.NewReader(form.Encode()))
			if err == nil {
				ask.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			return ask, err
		}, func(body io.Reader) error {
			var answer struct {
				Token string `json:"access_token"`
			}
			if err := json.NewDecoder(body).Decode(&answer); err != nil {
				return err
			}
			if answer.Token == "" {
				return errors.New("expected an access_token")
			}
			a.token = answer.Token
			return nil
		})
		if err != nil {
			return err
		}
	}
	request.Header.Set("Authorization", "Bearer "+a.token)
	return nil
}
