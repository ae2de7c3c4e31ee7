// Package backstage brings the catalog of Backstage: components, APIs, resources,
// systems and domains with their owners, groups with their members, through the
// catalog's REST API or from descriptor files (catalog-info.yaml).
//
// Owners are read from the ownedBy relations, of which there may be many, and in
// descriptor files from what spec states. A reference to something that the
// catalog does not hold is told of and kept, so that nothing is owned by silence.
// Shapes follow Backstage's documentation of the descriptor format, of entity
// references and of the catalog API (entities/by-query with cursors).
package backstage

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
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/fact"
)

// ID names the source.
const ID = "connector/backstage"

// Bounds of the API.
const (
	pageSize    = 500
	maxPage     = 64 << 20
	maxPages    = 10000
	maxAttempts = 5
	maxWait     = 30 * time.Second
)

type source struct {
	client *http.Client
	wait   func(ctx context.Context, d time.Duration) error
}

// New makes the source. wait sleeps between attempts; nil waits for real.
func New(wait func(ctx context.Context, d time.Duration) error) connector.Source {
	if wait == nil {
		wait = pause
	}
	return source{client: &http.Client{Timeout: time.Minute, CheckRedirect: sameHost}, wait: wait}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// sameHost follows no redirect that would carry the token to another host.
func sameHost(next *http.Request, before []*http.Request) error {
	if len(before) > 5 || next.URL.Host != before[0].URL.Host || next.URL.Scheme != before[0].URL.Scheme {
		return fmt.Errorf("redirect to %s is not followed", next.URL.Host)
	}
	return nil
}

func (source) Describe() connector.Description {
	return connector.Description{
		ID: ID, Name: "Backstage",
		Docs: "The service catalog: components, APIs, resources, systems and domains with their owners, groups with their members. Read through the catalog API with cursors, or from catalog-info.yaml files. " +
			"All ownedBy relations count; references to what the catalog does not hold are told of.",
	}
}

func (source) Settings() []connector.Setting {
	return []connector.Setting{
		{Name: "address", Kind: connector.SettingURL, Help: "address of the backend, for example https://backstage.example.org; without it, path is read"},
		{Name: "token", Kind: connector.SettingSecret, Help: "token of a static external access, by reference: env:NAME or file:PATH"},
		{Name: "path", Kind: connector.SettingPath, Help: "a descriptor file, or a folder of repositories or descriptor files"},
	}
}

// Sync implements connector.Source. The catalog is one scope: owners may be
// anywhere in it.
func (s source) Sync(ctx context.Context, values connector.Values, sink connector.Sink) error {
	catalog := &Catalog{}
	scope := "files"
	switch {
	case values["address"] != "":
		scope = "catalog"
		if err := s.download(ctx, values["address"], values["token"], catalog, sink); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			sink.Gap(scope, err)
		}
	case values["path"] != "":
		if err := catalog.read(ctx, values["path"]); err != nil {
			return err
		}
	default:
		return errors.New("expected the setting address or path")
	}
	return catalog.tell(scope, values["address"], sink)
}

// Catalog is what was read.
type Catalog struct {
	Entities []Entity
	Problems []string // what could not be read; the scope is incomplete
	// Dangling are references to what the catalog does not hold.
	Dangling []string
	partial  bool
}

// ReadFiles reads descriptor files from a file or folder.
func ReadFiles(ctx context.Context, root string) (*Catalog, error) {
	catalog := &Catalog{}
	if err := catalog.read(ctx, root); err != nil {
		return nil, err
	}
	_, _ = catalog.edges()
	return catalog, nil
}

// read reads a descriptor file and what its locations point at, or every YAML
// file of a folder that holds entities. It never leaves the folder.
func (c *Catalog) read(ctx context.Context, at string) error {
	info, err := os.Stat(at)
	if err != nil {
		return fmt.Errorf("setting path: %w", err)
	}
	folder, first := at, []string{}
	if !info.IsDir() {
		folder, first = filepath.Dir(at), []string{filepath.Base(at)}
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return fmt.Errorf("setting path: %w", err)
	}
	defer root.Close()
	if info.IsDir() {
		err := fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case ctx.Err() != nil:
				return ctx.Err()
			case entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "node_modules"):
				return fs.SkipDir
			case entry.Type().IsRegular() && (strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")):
				first = append(first, name)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("setting path: %w", err)
		}
	}
	seen := map[string]bool{}
	for queue := first; len(queue) > 0; queue = queue[1:] {
		name := queue[0]
		if seen[name] {
			continue
		}
		seen[name] = true
		if err := ctx.Err(); err != nil {
			return err
		}
		data, err := readFile(root, name)
		if err != nil {
			c.Problems = append(c.Problems, fmt.Sprintf("%s: %v", name, err))
			continue
		}
		entities, problems := Parse(name, data)
		c.Problems = append(c.Problems, problems...)
		for i := range entities {
			files, outside := entities[i].targets()
			for _, target := range outside {
				c.Problems = append(c.Problems, fmt.Sprintf("%s:%d: %s is outside and was not read", name, entities[i].Line, target))
			}
			for _, file := range files {
				matches, err := fs.Glob(root.FS(), strings.ReplaceAll(file, "**", "*"))
				switch {
				case err != nil || !fs.ValidPath(file):
					c.Problems = append(c.Problems, fmt.Sprintf("%s:%d: target %s is no path below the folder", name, entities[i].Line, file))
				case len(matches) == 0 && !info.IsDir():
					c.Problems = append(c.Problems, fmt.Sprintf("%s:%d: target %s is not there", name, entities[i].Line, file))
				case !info.IsDir():
					queue = append(queue, matches...)
				}
			}
		}
		c.Entities = append(c.Entities, entities...)
	}
	return nil
}

func readFile(root *os.Root, name string) ([]byte, error) {
	file, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxFile+1))
}

// edges lists the relations of all entities, sorted, and fills Dangling.
func (c *Catalog) edges() (list []edge, known map[string]*Entity) {
	slices.SortStableFunc(c.Entities, func(a, b Entity) int { return strings.Compare(a.Ref(), b.Ref()) })
	known = map[string]*Entity{}
	c.Dangling = nil
	for i := range c.Entities {
		e := &c.Entities[i]
		if first := known[e.Ref()]; first != nil {
			c.Dangling = append(c.Dangling, fmt.Sprintf("%s: %s is there twice, also in %s; the first counts", e.place(), e.Ref(), first.place()))
			continue
		}
		known[e.Ref()] = e
	}
	for i := range c.Entities {
		e := &c.Entities[i]
		if known[e.Ref()] != e {
			continue
		}
		edges, bad := e.edges()
		for _, text := range bad {
			c.Dangling = append(c.Dangling, e.place()+": "+text)
		}
		for _, one := range edges {
			for _, end := range []string{one.from, one.to} {
				if known[end] == nil {
					c.Dangling = append(c.Dangling, fmt.Sprintf("%s: %s: %s %s %s, which the catalog does not hold", e.place(), one.stated, e.Ref(), one.kind, end))
				}
			}
			list = append(list, one)
		}
	}
	return list, known
}

// place says where an entity was read.
func (e *Entity) place() string {
	if e.File == "" {
		return e.Ref()
	}
	return fmt.Sprintf("%s:%d", e.File, e.Line)
}

// assetOf gives the asset of a reference: groups are teams, users are people,
// everything else is a service.
func assetOf(ref, name string) fact.Asset {
	kind := fact.AssetService
	switch {
	case strings.HasPrefix(ref, "group:"):
		kind = fact.AssetTeam
	case strings.HasPrefix(ref, "user:"):
		kind = fact.AssetPerson
	}
	if name == "" {
		name = ref[strings.LastIndex(ref, "/")+1:]
	}
	return fact.Asset{Kind: kind, Key: "backstage:" + ref, Name: name}
}

// tell gives the catalog to a sink.
func (c *Catalog) tell(scope, address string, sink connector.Sink) error {
	edges, known := c.edges()
	asset := func(ref string) fact.Asset {
		if e := known[ref]; e != nil {
			return assetOf(ref, e.Title())
		}
		return assetOf(ref, "")
	}
	for i := range c.Entities {
		e := &c.Entities[i]
		if known[e.Ref()] != e || strings.EqualFold(e.Kind, "Location") {
			continue
		}
		if err := sink.Node(scope, fact.Node{Asset: asset(e.Ref()), Properties: e.properties()}); err != nil {
			return err
		}
		if home := e.repository(); home != "" {
			relation := fact.Relation{
				From: fact.Asset{Kind: fact.AssetRepository, Key: home, Name: path.Base(home)}, Kind: fact.PartOf, To: asset(e.Ref()),
				Evidence: fact.Evidence{Method: "annotation of the source", Source: e.source(address), Strength: fact.Declared},
			}
			if err := sink.Relation(scope, relation); err != nil {
				return err
			}
		}
	}
	for _, one := range edges {
		evidence := fact.Evidence{Method: one.stated, Source: one.by.source(address), Strength: fact.Declared, Detail: one.from + " " + one.kind + " " + one.to}
		properties := map[string]string{"relation": one.kind}
		if known[one.to] == nil || known[one.from] == nil {
			properties["dangling"] = "true"
		}
		from, to := asset(one.from), asset(one.to)
		kind := map[string]fact.RelationKind{
			ownedBy: fact.OwnedBy, partOf: fact.PartOf, memberOf: fact.MemberOf, childOf: fact.PartOf,
			dependsOn: fact.DependsOn, providesAPI: fact.DependsOn, consumesAPI: fact.DependsOn,
		}[one.kind]
		if one.kind == providesAPI {
			from, to = to, from // an API depends on what provides it
		}
		if err := sink.Relation(scope, fact.Relation{From: from, Kind: kind, To: to, Evidence: evidence, Properties: properties}); err != nil {
			return err
		}
		if one.kind != ownedBy {
			continue
		}
		party := fact.Party{Kind: "team", ID: one.to, Name: to.Name}
		if to.Kind == fact.AssetPerson {
			party.Kind = "person"
			if owner := known[one.to]; owner != nil && owner.email() != "" {
				party.ID = owner.email()
			}
		}
		confidence := 0.9
		if known[one.to] == nil {
			confidence = 0.4 // somebody meant it, and nobody answers to it
		}
		claim := fact.Claim{Subject: from, Owner: party, Role: "owner", Source: "backstage", Evidence: evidence, Confidence: confidence}
		if err := sink.Claim(scope, claim); err != nil {
			return err
		}
	}
	for _, text := range c.Dangling {
		sink.Note(scope, text)
	}
	if len(c.Problems) > 0 || c.partial {
		for _, text := range c.Problems {
			sink.Gap(scope, errors.New(text))
		}
		return nil
	}
	return sink.Covered(scope)
}

// properties are what the graph keeps of an entity.
func (e *Entity) properties() map[string]string {
	properties := map[string]string{"kind": e.Kind}
	for _, name := range []string{"type", "lifecycle"} {
		if value, ok := e.Spec[name].(string); ok && value != "" {
			properties[name] = value
		}
	}
	if email := e.email(); email != "" {
		properties["email"] = email
	}
	for name, value := range e.Metadata.Annotations {
		properties["annotation:"+name] = value
	}
	for name, value := range e.Metadata.Labels {
		properties["label:"+name] = value
	}
	return properties
}

func (e *Entity) email() string {
	profile, _ := e.Spec["profile"].(map[string]any)
	email, _ := profile["email"].(string)
	return email
}

// source says where an entity stands, for evidence.
func (e *Entity) source(address string) string {
	if e.File == "" {
		return strings.TrimSuffix(address, "/") + " " + e.Ref()
	}
	return fmt.Sprintf("%s:%d", e.File, e.Line)
}

// repository gives the canonical identity of the repository that an entity's
// annotations name, "" when they name none.
func (e *Entity) repository() string {
	annotations := e.Metadata.Annotations
	for _, host := range []string{"github.com", "gitlab.com", "bitbucket.org"} {
		if slug := annotations[host+"/project-slug"]; strings.Count(slug, "/") > 0 {
			return host + "/" + strings.TrimSuffix(slug, ".git")
		}
	}
	for _, annotation := range []string{"backstage.io/source-location", "backstage.io/managed-by-location"} {
		address, ok := strings.CutPrefix(annotations[annotation], "url:")
		if !ok {
			continue
		}
		u, err := url.Parse(address)
		if err != nil || u.Host == "" {
			continue
		}
		way := strings.Trim(u.Path, "/")
		for _, end := range []string{"/-/", "/blob/", "/tree/", "/src/"} {
			way, _, _ = strings.Cut(way, end)
		}
		if strings.Count(way, "/") > 0 {
			return u.Host + "/" + strings.TrimSuffix(way, ".git")
		}
	}
	return ""
}

// page is one answer of entities/by-query.
type page struct {
	Items    []Entity `json:"items"`
	Total    int      `json:"totalItems"`
	PageInfo struct {
		Next string `json:"nextCursor"`
	} `json:"pageInfo"`
}

// download reads the catalog page by page. What was read before a failure stays.
func (s source) download(ctx context.Context, address, token string, catalog *Catalog, sink connector.Sink) error {
	base, err := url.Parse(strings.TrimSuffix(address, "/") + "/api/catalog/entities/by-query")
	if err != nil {
		return fmt.Errorf("setting address: %w", err)
	}
	catalog.partial = true
	cursor := ""
	for range maxPages {
		query := url.Values{"limit": {strconv.Itoa(pageSize)}}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		at := *base
		at.RawQuery = query.Encode()
		var answer page
		if err := s.get(ctx, &at, token, &answer); err != nil {
			return err
		}
		for _, e := range answer.Items {
			if e.Kind == "" || e.Metadata.Name == "" {
				catalog.Problems = append(catalog.Problems, fmt.Sprintf("%s: an entity without kind or name", address))
				continue
			}
			catalog.Entities = append(catalog.Entities, e)
		}
		sink.Progress("reading the catalog", len(catalog.Entities), answer.Total)
		if answer.PageInfo.Next == "" {
			if answer.Total > len(catalog.Entities)+len(catalog.Problems) {
				return fmt.Errorf("%s: %d entities were announced and %d given", address, answer.Total, len(catalog.Entities))
			}
			catalog.partial = false
			return nil
		}
		if answer.PageInfo.Next == cursor {
			return fmt.Errorf("%s: the next page is the same page", address)
		}
		cursor = answer.PageInfo.Next
	}
	return fmt.Errorf("%s: more than %d pages", address, maxPages)
}

// get asks for one answer; 429 and 5xx are tried again after what Retry-After
// says.
func (s source) get(ctx context.Context, at *url.URL, token string, into any) error {
	var last error
	for attempt := range maxAttempts {
		if attempt > 0 {
			var busy *busyError
			wait := time.Second << attempt
			if errors.As(last, &busy) && busy.after > 0 {
				wait = busy.after
			}
			if err := s.wait(ctx, min(wait, maxWait)); err != nil {
				return err
			}
		}
		last = s.once(ctx, at, token, into)
		var busy *busyError
		if last == nil || !errors.As(last, &busy) {
			return last
		}
	}
	return last
}

// busyError is an answer that may be another one later.
type busyError struct {
	status string
	after  time.Duration
}

func (e *busyError) Error() string { return "answered " + e.status }

func (s source) once(ctx context.Context, at *url.URL, token string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	where := at.Scheme + "://" + at.Host + at.Path
	switch {
	case response.StatusCode == http.StatusTooManyRequests || response.StatusCode >= 500:
		seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
		return fmt.Errorf("%s: %w", where, &busyError{response.Status, time.Duration(seconds) * time.Second})
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: answered %s", where, response.Status)
	}
	decoder := json.NewDecoder(io.LimitReader(response.Body, maxPage))
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("%s: expected a page of entities: %w", where, err)
	}
	return nil
}
