// Package scim brings people and their groups from a directory that speaks
// SCIM 2.0, or from answers exported from one.
//
// Shapes follow RFC 7643 (users, groups, the enterprise extension with manager and
// department) and RFC 7644 (lists with startIndex and count, filters, errors).
// Nothing is written to the directory. Somebody who is not active has left; a
// person's key is the primary address.
package scim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
const ID = "connector/scim"

// Bounds of the protocol.
const (
	pageSize = 200
	fewer    = 20 // groups a page: each may have everybody as a member
	maxPages = 100_000
	scope    = "directory" // one scope: groups and managers name people anywhere in it
)

type source struct{ client *rest.Client }

// New makes the source. wait sleeps between attempts; nil waits for real.
func New(wait func(ctx context.Context, d time.Duration) error) connector.Source {
	return source{rest.New(wait)}
}

func (source) Describe() connector.Description {
	return connector.Description{
		ID: ID, Name: "SCIM directory",
		Docs: "People and groups of a directory over SCIM 2.0: addresses, whether somebody is active, manager and department of the enterprise extension, members of groups, which become teams. " +
			"Read page by page, or from exported list answers. Nothing is written to the directory.",
	}
}

func (source) Settings() []connector.Setting {
	return []connector.Setting{
		{Name: "address", Kind: connector.SettingURL, Help: "base address of SCIM, for example https://directory.example.org/scim/v2; without it, path is read"},
		{Name: "token", Kind: connector.SettingSecret, Help: "bearer token, by reference: env:NAME or file:PATH"},
		{Name: "since", Kind: connector.SettingText, Help: "ask only for what changed after this time (RFC 3339), where the directory serves filters; such a sync covers nothing"},
		{Name: "path", Kind: connector.SettingPath, Help: "an exported list answer, or a folder of them (.json)"},
	}
}

// Sync implements connector.Source.
func (s source) Sync(ctx context.Context, values connector.Values, sink connector.Sink) error {
	if values["address"] == "" && values["path"] == "" {
		return errors.New("expected the setting address or path")
	}
	if sink.Done(scope) {
		return nil
	}
	b := &book{sink: sink, keys: map[string]string{}, owners: map[string]string{}, managers: map[string]string{}, groups: map[string]bool{}}
	var err error
	if values["address"] != "" {
		err = b.download(ctx, s.client, values)
	} else {
		err = b.files(ctx, values["path"])
	}
	var refused *sinkError
	switch {
	case errors.As(err, &refused):
		return refused.err
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		b.gap(err)
	}
	return b.finish()
}

// sinkError is an error of the sink, which ends the run.
type sinkError struct{ err error }

func (e *sinkError) Error() string { return e.err.Error() }

// book joins what the pages say. Of each person it keeps two short texts, however
// many there are.
type book struct {
	sink     connector.Sink
	where    string            // the page or file that is read, for evidence
	keys     map[string]string // of persons, by their id
	owners   map[string]string // id of the person that has a key
	managers map[string]string // id of the manager, by the person's key
	groups   map[string]bool   // ids
	nested   [][3]string       // group in a group, and where that stands
	partial  bool              // not everything was given
	delta    bool              // only what changed was asked for
	again    bool              // resources are read a second time; what is wrong with them was said
	// ask gives a person by id, for those whom a delta names and does not hold.
	ask func(id string) (*resource, error)
}

func (b *book) gap(err error) {
	b.partial = true
	b.sink.Gap(scope, err)
}

// truth reads a boolean, also as a text, which some directories send.
type truth bool

// UnmarshalJSON implements json.Unmarshaler.
func (t *truth) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	value, err := strconv.ParseBool(strings.ToLower(strings.Trim(string(data), `"`)))
	if err != nil {
		return fmt.Errorf("active is %.20s, expected true or false", data)
	}
	*t = truth(value)
	return nil
}

// reference names another resource: an object, or only its id.
type reference struct {
	Value   string `json:"value"`
	Ref     string `json:"$ref"`
	Type    string `json:"type"`
	Display string `json:"display"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *reference) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &r.Value)
	}
	type plain reference
	return json.Unmarshal(data, (*plain)(r))
}

// group says whether a member is a group itself.
func (r *reference) group() bool {
	return strings.EqualFold(r.Type, "Group") || strings.Contains(r.Ref, "/Groups/")
}

type resource struct {
	ID          string `json:"id"`
	UserName    string `json:"userName"`
	DisplayName string `json:"displayName"`
	Name        struct {
		Formatted  string `json:"formatted"`
		GivenName  string `json:"givenName"`
		FamilyName string `json:"familyName"`
	} `json:"name"`
	UserType string `json:"userType"`
	Title    string `json:"title"`
	Active   *truth `json:"active"`
	Emails   []struct {
		Value   string `json:"value"`
		Primary truth  `json:"primary"`
	} `json:"emails"`
	Enterprise struct {
		Department     string    `json:"department"`
		Division       string    `json:"division"`
		Organization   string    `json:"organization"`
		EmployeeNumber string    `json:"employeeNumber"`
		Manager        reference `json:"manager"`
	} `json:"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"`
	Members []reference `json:"members"`
	Meta    struct {
		ResourceType string `json:"resourceType"`
	} `json:"meta"`
}

// person says whether a resource is a user and not a group.
func (r *resource) person() bool {
	return r.UserName != "" || strings.EqualFold(r.Meta.ResourceType, "User")
}

// take tells of one resource.
func (b *book) take(raw json.RawMessage, n int, users bool) error {
	var r resource
	if err := json.Unmarshal(raw, &r); err != nil {
		if b.again {
			return nil
		}
		b.gap(fmt.Errorf("%s: resource %d: %w", b.where, n, rest.Shape(err)))
		return nil
	}
	if r.person() != users {
		return nil // read in its own turn
	}
	if r.ID == "" {
		b.gap(fmt.Errorf("%s: resource %d: expected an id", b.where, n))
		return nil
	}
	if users {
		return b.user(&r)
	}
	return b.group(&r)
}

func (b *book) user(r *resource) error {
	if _, known := b.keys[r.ID]; known {
		return nil // moved to a later page while pages were read
	}
	p := personOf(r)
	node := p.Node()
	if other := b.owners[node.Key]; other != "" {
		b.sink.Note(scope, fmt.Sprintf("%s is the address of the users %s and %s; they are kept apart", node.Key, other, r.ID))
		node.Key = p.ID
	}
	b.owners[node.Key] = r.ID
	b.keys[r.ID] = node.Key
	if manager := r.Enterprise.Manager.Value; manager != "" {
		b.managers[node.Key] = manager
	}
	if err := b.sink.Node(scope, node); err != nil {
		return &sinkError{err}
	}
	return nil
}

// key gives the key of a person by id.
func (b *book) key(id string) (string, bool) {
	if key, known := b.keys[id]; known || b.ask == nil {
		return key, known
	}
	r, err := b.ask(id)
	if err != nil || r.ID != id || !r.person() {
		return "", false
	}
	p := personOf(r)
	b.keys[id] = p.Asset().Key
	return b.keys[id], true
}

func personOf(r *resource) connector.Person {
	p := connector.Person{ID: "scim:" + r.ID, Active: (*bool)(r.Active), Said: map[string]string{}}
	p.Name = first(r.DisplayName, r.Name.Formatted, strings.TrimSpace(r.Name.GivenName+" "+r.Name.FamilyName), r.UserName)
	for _, primary := range []truth{true, false} {
		for _, email := range r.Emails {
			if email.Primary == primary {
				p.Emails = append(p.Emails, email.Value)
			}
		}
	}
	if connector.Address(r.UserName) != "" {
		p.Emails = append(p.Emails, r.UserName)
	} else if r.UserName != "" {
		p.Logins = []string{r.UserName}
	}
	for name, value := range map[string]string{
		"title": r.Title, "type": r.UserType, "department": r.Enterprise.Department, "division": r.Enterprise.Division,
		"organization": r.Enterprise.Organization, "employee_number": r.Enterprise.EmployeeNumber,
	} {
		if value != "" {
			p.Said[name] = value
		}
	}
	switch strings.ToLower(r.UserType) {
	case "bot", "service", "service account", "robot":
		p.Bot = true
	}
	return p
}

func first(texts ...string) string {
	for _, text := range texts {
		if text = strings.TrimSpace(text); text != "" {
			return text
		}
	}
	return ""
}

func team(id, name string) fact.Asset {
	return fact.Asset{Kind: fact.AssetTeam, Key: "scim:" + id, Name: name}
}

func (b *book) group(r *resource) error {
	if b.groups[r.ID] {
		return nil
	}
	b.groups[r.ID] = true
	asset := team(r.ID, first(r.DisplayName, r.ID))
	if err := b.sink.Node(scope, fact.Node{Asset: asset, Properties: map[string]string{"members": strconv.Itoa(len(r.Members))}}); err != nil {
		return &sinkError{err}
	}
	lost := 0
	for _, member := range r.Members {
		if member.group() {
			b.nested = append(b.nested, [3]string{member.Value, r.ID, b.where})
			continue
		}
		key, known := b.key(member.Value)
		if !known {
			lost++
			continue
		}
		if err := b.relate(fact.Asset{Kind: fact.AssetPerson, Key: key}, fact.MemberOf, asset, "members of "+asset.Name, b.where); err != nil {
			return err
		}
	}
	if lost > 0 && !b.partial && !b.delta {
		b.sink.Note(scope, fmt.Sprintf("group %s (%s): %d of %d members are no users of the directory", asset.Name, r.ID, lost, len(r.Members)))
	}
	return nil
}

func (b *book) relate(from fact.Asset, kind fact.RelationKind, to fact.Asset, method, where string) error {
	err := b.sink.Relation(scope, fact.Relation{From: from, Kind: kind, To: to, Evidence: fact.Evidence{Method: method, Source: where, Strength: fact.Declared}})
	if err != nil {
		return &sinkError{err}
	}
	return nil
}

// finish tells what could be told only once everybody was known: who is whose
// manager, and which groups are in others.
func (b *book) finish() error {
	unknown := 0
	for _, key := range sorted(b.managers) {
		manager, known := b.key(b.managers[key])
		if !known || manager == key {
			unknown++
			continue
		}
		node := fact.Node{Asset: fact.Asset{Kind: fact.AssetPerson, Key: key}, Properties: map[string]string{"manager": manager}}
		if err := b.sink.Node(scope, node); err != nil {
			return err
		}
	}
	if unknown > 0 && !b.partial && !b.delta {
		b.sink.Note(scope, fmt.Sprintf("the managers of %d people are no other users of the directory", unknown))
	}
	for _, pair := range b.nested {
		if !b.groups[pair[0]] {
			if !b.partial && !b.delta {
				b.sink.Note(scope, fmt.Sprintf("group %s has the group %s as a member, which the directory does not hold", pair[1], pair[0]))
			}
			continue
		}
		err := b.relate(team(pair[0], ""), fact.PartOf, team(pair[1], ""), "members", pair[2])
		var refused *sinkError
		if errors.As(err, &refused) {
			return refused.err
		}
	}
	if b.partial || b.delta {
		return nil
	}
	return b.sink.Covered(scope)
}

func sorted(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// page is a list answer.
type page struct {
	Total     *int              `json:"totalResults"`
	Start     int               `json:"startIndex"`
	Resources []json.RawMessage `json:"Resources"`
}

// download reads users, then groups.
func (b *book) download(ctx context.Context, client *rest.Client, values connector.Values) error {
	base, err := rest.Base(values["address"])
	if err != nil {
		return err
	}
	header := http.Header{"Accept": {"application/scim+json, application/json"}}
	if token := values["token"]; token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	filter := ""
	if since := values["since"]; since != "" {
		if _, err := time.Parse(time.RFC3339, since); err != nil {
			return fmt.Errorf("setting since is %q: expected a time like 2026-01-02T15:04:05Z", since)
		}
		var about struct {
			Filter struct {
				Supported bool `json:"supported"`
			} `json:"filter"`
		}
		if err := rest.Get(ctx, client, rest.Below(base, "/ServiceProviderConfig", nil), header, &about); err == nil && about.Filter.Supported {
			filter = fmt.Sprintf("meta.lastModified gt %q", since)
			b.delta, b.ask = true, func(id string) (*resource, error) {
				var r resource
				err := rest.Get(ctx, client, rest.Below(base, "/Users/"+id, nil), header, &r)
				return &r, err
			}
		} else {
			b.sink.Note(scope, "the directory does not serve filters: everything is read")
		}
	}
	for _, list := range []string{"Users", "Groups"} {
		if err := b.list(ctx, client, base, header, list, filter); err != nil {
			return err
		}
	}
	return nil
}

// list reads one list page by page. A directory may give fewer resources a page
// than were asked for; the list ends when as many were given as there are.
func (b *book) list(ctx context.Context, client *rest.Client, base *url.URL, header http.Header, list, filter string) error {
	given, last := 0, ""
	count := pageSize
	if list == "Groups" {
		count = fewer
	}
	for range maxPages {
		query := url.Values{"startIndex": {strconv.Itoa(given + 1)}, "count": {strconv.Itoa(count)}}
		if filter != "" {
			query.Set("filter", filter)
		}
		at := rest.Below(base, "/"+list, query)
		var answer page
		if err := rest.Get(ctx, client, at, header, &answer); err != nil {
			var status *rest.StatusError
			if list == "Groups" && errors.As(err, &status) && status.Code == http.StatusNotFound {
				b.sink.Note(scope, "the directory has no groups")
				return nil
			}
			return fmt.Errorf("%s from %d: %w", list, given+1, err)
		}
		if answer.Total == nil {
			return fmt.Errorf("%s from %d: its schema is not that of a list: expected totalResults", list, given+1)
		}
		if len(answer.Resources) == 0 {
			if given < *answer.Total {
				return fmt.Errorf("%s: %d were announced and %d given", list, *answer.Total, given)
			}
			return nil
		}
		if page := string(answer.Resources[0]); page == last || answer.Start > 1 && answer.Start != given+1 {
			return fmt.Errorf("%s from %d: the answer is another page than was asked for", list, given+1)
		}
		last = string(answer.Resources[0])
		b.where = base.Scheme + "://" + base.Host + base.Path + "/" + list
		for i, raw := range answer.Resources {
			if err := b.take(raw, given+i+1, list == "Users"); err != nil {
				return err
			}
		}
		given += len(answer.Resources)
		b.sink.Progress("reading "+strings.ToLower(list), given, *answer.Total)
		if given >= *answer.Total {
			return nil
		}
	}
	return fmt.Errorf("%s: more than %d pages", list, maxPages)
}

// files reads exported answers twice: for users, then for groups.
func (b *book) files(ctx context.Context, at string) error {
	info, err := os.Stat(at)
	if err != nil {
		return fmt.Errorf("setting path: %w", err)
	}
	folder, names := filepath.Dir(at), []string{filepath.Base(at)}
	if info.IsDir() {
		folder, names = at, nil
		entries, err := os.ReadDir(at)
		if err != nil {
			return fmt.Errorf("setting path: %w", err)
		}
		for _, entry := range entries {
			if entry.Type().IsRegular() && strings.HasSuffix(entry.Name(), ".json") {
				names = append(names, entry.Name())
			}
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("setting path: %s holds no .json file", at)
	}
	broken := map[string]bool{} // named in the first turn
	for _, users := range []bool{true, false} {
		b.again = !users
		for i, name := range names {
			b.sink.Progress("reading files", i, len(names))
			b.where = name
			n := 0
			err := readFile(ctx, filepath.Join(folder, name), func(raw json.RawMessage) error {
				n++
				return b.take(raw, n, users)
			})
			var refused *sinkError
			if errors.As(err, &refused) || ctx.Err() != nil {
				return errors.Join(err, ctx.Err())
			}
			if err != nil && !broken[name] {
				broken[name] = true
				b.gap(fmt.Errorf("%s: %w", name, err))
			}
		}
	}
	return nil
}

// readFile gives the resources of a file of list answers, one after the other or
// in a list; it holds one resource at a time.
func readFile(ctx context.Context, name string, give func(json.RawMessage) error) error {
	file, err := os.Open(name)
	if err != nil {
		var fault *fs.PathError
		if errors.As(err, &fault) {
			return fault.Err
		}
		return err
	}
	defer file.Close()
	return rest.Elements(ctx, file, []string{"Resources"}, func(_ string, raw json.RawMessage) error { return give(raw) })
}
