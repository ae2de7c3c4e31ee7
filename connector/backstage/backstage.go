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
	"strconv"
	"strings"
	"time"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/rest"
	"github.com/backstitch/backstitch/fact"
)

// ID names the source.
const ID = "connector/backstage"

// Bounds of the API.
const (
	pageSize = 500
	maxPages = 10000
)

type source struct{ client *rest.Client }

// New makes the source. wait sleeps between attempts; nil waits for real.
func New(wait func(ctx context.Context, d time.Duration) error) connector.Source {
	return source{rest.New(wait)}
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
	c := &catalog{sink: sink, scope: "files", address: strings.TrimSuffix(values["address"], "/"), known: map[string]*entry{}}
	if c.address != "" {
		c.scope = "catalog"
	}
	if c.address == "" && values["path"] == "" {
		return errors.New("expected the setting address or path")
	}
	if sink.Done(c.scope) {
		return nil
	}
	var err error
	if c.address != "" {
		if err = s.download(ctx, values["token"], c); err != nil && ctx.Err() == nil && !refusedBySink(err) {
			c.gap(err)
			err = nil
		}
	} else {
		err = c.read(ctx, values["path"])
	}
	if err == nil {
		err = c.relations(ctx)
	}
	var refused *sinkError
	switch {
	case errors.As(err, &refused):
		return refused.err
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil || c.partial:
		return err
	}
	return sink.Covered(c.scope)
}

// sinkError is an error of the sink, which ends the run.
type sinkError struct{ err error }

func (e *sinkError) Error() string { return e.err.Error() }

func refusedBySink(err error) bool {
	var refused *sinkError
	return errors.As(err, &refused)
}

func refuse(err error) error {
	if err == nil {
		return nil
	}
	return &sinkError{err}
}

// catalog tells of entities as they are read. Of each it keeps what the relations
// need that name it, which may come before or after it.
type catalog struct {
	sink           connector.Sink
	scope, address string
	known          map[string]*entry // by reference
	edges          []edge
	partial        bool // something could not be read
}

// entry is what is kept of an entity.
type entry struct {
	ref, title, email string
	file              string
	line              int
}

// place says where an entity was read.
func (e *entry) place() string {
	if e.file == "" {
		return e.ref
	}
	return fmt.Sprintf("%s:%d", e.file, e.line)
}

// source says where an entity stands, for evidence.
func (c *catalog) source(e *entry) string {
	if e.file == "" {
		return c.address + " " + e.ref
	}
	return e.place()
}

func (c *catalog) gap(err error) {
	c.partial = true
	c.sink.Gap(c.scope, err)
}

// take tells of an entity and keeps its relations. Of two with one reference the
// first counts.
func (c *catalog) take(e *Entity) error {
	known := &entry{ref: e.Ref(), title: e.Title(), file: e.File, line: e.Line}
	if first := c.known[known.ref]; first != nil {
		c.sink.Note(c.scope, fmt.Sprintf("%s: %s is there twice, also in %s; the first counts", known.place(), known.ref, first.place()))
		return nil
	}
	if strings.HasPrefix(known.ref, "user:") {
		known.email = e.email()
	}
	c.known[known.ref] = known
	edges, bad := e.edges()
	for _, text := range bad {
		c.sink.Note(c.scope, known.place()+": "+text)
	}
	for _, one := range edges {
		one.by = known
		c.edges = append(c.edges, c.short(one))
	}
	if strings.EqualFold(e.Kind, "Location") {
		return nil
	}
	asset := assetOf(known.ref, known.title)
	if err := c.sink.Node(c.scope, fact.Node{Asset: asset, Properties: e.properties()}); err != nil {
		return refuse(err)
	}
	home := e.repository()
	if home == "" {
		return nil
	}
	return refuse(c.sink.Relation(c.scope, fact.Relation{
		From: fact.Asset{Kind: fact.AssetRepository, Key: home, Name: path.Base(home)}, Kind: fact.PartOf, To: asset,
		Evidence: fact.Evidence{Method: "annotation of the source", Source: c.source(known), Strength: fact.Declared},
	}))
}

// short makes the texts of a relation those of the entities it names, so that many
// relations to one entity share them.
func (c *catalog) short(one edge) edge {
	for _, end := range []*string{&one.from, &one.to} {
		if e := c.known[*end]; e != nil {
			*end = e.ref
		}
	}
	return one
}

// read reads a descriptor file and what its locations point at, or every YAML
// file of a folder that holds entities. It never leaves the folder.
func (c *catalog) read(ctx context.Context, at string) error {
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
			c.gap(fmt.Errorf("%s: %w", name, err))
			continue
		}
		entities, problems := Parse(name, data)
		for _, text := range problems {
			c.gap(errors.New(text))
		}
		for i := range entities {
			if err := c.take(&entities[i]); err != nil {
				return err
			}
			files, outside := entities[i].targets()
			for _, target := range outside {
				c.gap(fmt.Errorf("%s:%d: %s is outside and was not read", name, entities[i].Line, target))
			}
			for _, file := range files {
				matches, err := fs.Glob(root.FS(), strings.ReplaceAll(file, "**", "*"))
				switch {
				case err != nil || !fs.ValidPath(file):
					c.gap(fmt.Errorf("%s:%d: target %s is no path below the folder", name, entities[i].Line, file))
				case len(matches) == 0 && !info.IsDir():
					c.gap(fmt.Errorf("%s:%d: target %s is not there", name, entities[i].Line, file))
				case !info.IsDir():
					queue = append(queue, matches...)
				}
			}
		}
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

// relations tells of the relations between entities, once all are known, and of
// those that lead to what the catalog does not hold.
func (c *catalog) relations(ctx context.Context) error {
	asset := func(ref string) fact.Asset {
		if e := c.known[ref]; e != nil {
			return assetOf(ref, e.title)
		}
		return assetOf(ref, "")
	}
	kinds := map[string]bool{} // that the files hold
	for ref := range c.known {
		kinds[ref[:strings.IndexByte(ref, ':')]] = true
	}
	for i := range c.edges {
		if err := ctx.Err(); err != nil {
			return err
		}
		one := &c.edges[i]
		evidence := fact.Evidence{Method: one.stated, Source: c.source(one.by), Strength: fact.Declared, Detail: one.from + " " + one.kind + " " + one.to}
		properties := map[string]string{"relation": one.kind}
		for _, end := range []string{one.from, one.to} {
			if c.known[end] == nil {
				properties["dangling"] = "true"
				c.sink.Note(c.scope, fmt.Sprintf("%s: %s: %s %s %s, which the catalog does not hold", one.by.place(), one.stated, one.by.ref, one.kind, end))
			}
		}
		from, to := asset(one.from), asset(one.to)
		kind := map[string]fact.RelationKind{
			ownedBy: fact.OwnedBy, partOf: fact.PartOf, memberOf: fact.MemberOf, childOf: fact.PartOf,
			dependsOn: fact.DependsOn, providesAPI: fact.DependsOn, consumesAPI: fact.DependsOn,
		}[one.kind]
		if one.kind == providesAPI {
			from, to = to, from // an API depends on what provides it
		}
		if err := c.sink.Relation(c.scope, fact.Relation{From: from, Kind: kind, To: to, Evidence: evidence, Properties: properties}); err != nil {
			return refuse(err)
		}
		if one.kind != ownedBy {
			continue
		}
		party := fact.Party{Kind: "team", ID: one.to, Name: to.Name}
		if to.Kind == fact.AssetPerson {
			party.Kind = "person"
			if owner := c.known[one.to]; owner != nil && owner.email != "" {
				party.ID = owner.email
			}
		}
		confidence := 0.9
		switch {
		case c.known[one.to] != nil:
		case c.partial || c.address == "" && !kinds[one.to[:strings.IndexByte(one.to, ':')]]:
			// It may stand in what was not read; groups and users seldom stand in the
			// files of repositories.
			confidence = 0.7
		default:
			confidence = 0.4 // somebody meant it, and nobody answers to it
		}
		claim := fact.Claim{Subject: from, Owner: party, Role: "owner", Source: "backstage", Evidence: evidence, Confidence: confidence}
		if err := c.sink.Claim(c.scope, claim); err != nil {
			return refuse(err)
		}
	}
	return nil
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
		if address := connector.Address(email); address != "" && strings.EqualFold(e.Kind, "User") {
			properties["emails"] = address
		}
	}
	if login := e.Metadata.Annotations["github.com/user-login"]; login != "" {
		properties["logins"], properties["github"] = "github.com/"+login, login
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
	Items    *[]json.RawMessage `json:"items"`
	Total    int                `json:"totalItems"`
	PageInfo struct {
		Next string `json:"nextCursor"`
	} `json:"pageInfo"`
}

// download reads the catalog page by page. What was read before a failure stays.
func (s source) download(ctx context.Context, token string, c *catalog) error {
	base, err := rest.Base(c.address)
	if err != nil {
		return err
	}
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	cursor, given := "", 0
	for range maxPages {
		query := url.Values{"limit": {strconv.Itoa(pageSize)}}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		at := rest.Below(base, "/api/catalog/entities/by-query", query)
		var answer page
		if err := rest.Get(ctx, s.client, at, header, &answer); err != nil {
			return err
		}
		if answer.Items == nil {
			return fmt.Errorf("%s: its schema is not the documented one: expected items", c.address)
		}
		for i, raw := range *answer.Items {
			var e Entity
			err := json.Unmarshal(raw, &e)
			if err == nil && (e.Kind == "" || e.Metadata.Name == "") {
				err = errors.New("expected a kind and metadata.name")
			}
			if err != nil {
				c.gap(fmt.Errorf("%s: entity %d: %w", c.address, given+i+1, rest.Shape(err)))
				continue
			}
			if err := c.take(&e); err != nil {
				return err
			}
		}
		given += len(*answer.Items)
		c.sink.Progress("reading the catalog", given, answer.Total)
		switch {
		case answer.PageInfo.Next == "" && answer.Total > given:
			return fmt.Errorf("%s: %d entities were announced and %d given", c.address, answer.Total, given)
		case answer.PageInfo.Next == "":
			return nil
		case answer.PageInfo.Next == cursor:
			return fmt.Errorf("%s: the next page is the same page", c.address)
		}
		cursor = answer.PageInfo.Next
	}
	return fmt.Errorf("%s: more than %d pages", c.address, maxPages)
}
