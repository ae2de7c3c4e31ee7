// Package project brings the tree of projects: business units, applications and
// environments with their owners, security champions and business impact, from
// reviewed files.
//
// A file is either our own form, a tree under "projects" in YAML, or a register
// in JSON or YAML that describes one application by its tags (application,
// business-unit, owner) and environments, as platform teams keep them. What
// belongs to a project is named by account, tag, namespace, repository or path;
// each such rule is kept as a property of the project, so that assets of other
// sources can be matched to it.
package project

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/mail"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/fact"
)

// ID names the source.
const ID = "connector/project"

// Bounds of a file.
const (
	maxFile  = 8 << 20
	maxDepth = 20
)

type source struct{}

// New makes the source of projects.
func New() connector.Source { return source{} }

func (source) Describe() connector.Description {
	return connector.Description{
		ID: ID, Name: "projects",
		Docs: "The tree of projects from reviewed files: business units, applications and environments with owners, security champions and business impact, and which accounts, tags, namespaces, repositories and paths belong to them.",
	}
}

func (source) Settings() []connector.Setting {
	return []connector.Setting{{Name: "path", Kind: connector.SettingPath, Required: true, Help: "a file of projects (YAML), or a folder of registers (YAML or JSON), one application each"}}
}

// Sync implements connector.Source. Each file is a scope.
func (source) Sync(ctx context.Context, values connector.Values, sink connector.Sink) error {
	at := values["path"]
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
			if ext := path.Ext(entry.Name()); entry.Type().IsRegular() && slices.Contains([]string{".json", ".yaml", ".yml"}, ext) {
				names = append(names, entry.Name())
			}
		}
		if len(names) == 0 {
			return fmt.Errorf("setting path: %s holds no .json, .yaml or .yml file", at)
		}
	}
	for i, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		sink.Progress("reading projects", i, len(names))
		if sink.Done(name) {
			continue
		}
		data, err := readFile(filepath.Join(folder, name))
		if err != nil {
			sink.Gap(name, err)
			continue
		}
		projects, problems := Parse(name, data)
		for _, p := range projects {
			if err := tell(sink, name, p); err != nil {
				return err
			}
		}
		for _, problem := range problems {
			sink.Gap(name, errors.New(problem))
		}
		if len(problems) == 0 {
			if err := sink.Covered(name); err != nil {
				return err
			}
		}
	}
	sink.Progress("reading projects", len(names), len(names))
	return nil
}

func readFile(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		var fault *fs.PathError
		if errors.As(err, &fault) {
			return nil, fault.Err
		}
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxFile+1))
}

// Project is one node of the tree.
type Project struct {
	Path        string // of names from the root: "Retail/shop/production"
	Name        string
	Kind        string // business_unit, application or environment
	Impact      string // high, medium or low; "" is that of the parent
	Environment string // production, staging or development
	Owners      []Owner
	Members     []Member
	Tags        map[string]string
	File        string
	Line        int
}

// Owner is a party with its role at a project.
type Owner struct {
	fact.Party
	Role string // owner, reviewer, security_champion ...
	Line int
}

// Member is one rule of what belongs to a project.
type Member struct {
	Kind string // account, tag, namespace, repository or path
	Text string // "aws/123456789012", "key=value", "cluster/namespace", "github.com/acme/shop", "github.com/acme/shop//web"
}

// Parse reads the projects of a file. What cannot be read is a problem that
// names file, line and what was expected; the rest goes on.
func Parse(file string, data []byte) (projects []Project, problems []string) {
	if len(data) > maxFile {
		return nil, []string{fmt.Sprintf("%s: larger than %d MiB", file, maxFile>>20)}
	}
	r := &reader{file: file}
	decoder := yaml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	for {
		var node yaml.Node
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			r.problem(0, "%v", err)
			break
		}
		if len(node.Content) == 1 {
			r.document(node.Content[0])
		}
	}
	if len(r.projects) == 0 && len(r.problems) == 0 {
		r.problem(1, `expected "projects", or a register with "tags"`)
	}
	return r.projects, r.problems
}

type reader struct {
	file     string
	projects []Project
	problems []string
}

func (r *reader) problem(line int, format string, args ...any) {
	at := r.file
	if line > 0 {
		at = fmt.Sprintf("%s:%d", r.file, line)
	}
	r.problems = append(r.problems, at+": "+fmt.Sprintf(format, args...))
}

// members lists the pairs of a mapping.
func (r *reader) members(node *yaml.Node, what string) [][2]*yaml.Node {
	if node.Kind != yaml.MappingNode {
		r.problem(node.Line, "expected %s", what)
		return nil
	}
	var pairs [][2]*yaml.Node
	for i := 0; i+1 < len(node.Content); i += 2 {
		pairs = append(pairs, [2]*yaml.Node{node.Content[i], node.Content[i+1]})
	}
	return pairs
}

func (r *reader) document(node *yaml.Node) {
	pairs := r.members(node, `a mapping with "projects", or a register with "tags"`)
	register := map[string]*yaml.Node{}
	for _, pair := range pairs {
		if pair[0].Value == "projects" {
			r.list(pair[1], "", "", 0)
			return
		}
		register[pair[0].Value] = pair[1]
	}
	if register["tags"] != nil {
		r.register(node, register)
	} else if pairs != nil {
		r.problem(node.Line, `expected "projects", or a register with "tags"`)
	}
}

// list reads projects below a parent.
func (r *reader) list(node *yaml.Node, parent, impact string, depth int) {
	if node.Kind != yaml.SequenceNode {
		r.problem(node.Line, "expected a list of projects")
		return
	}
	if depth > maxDepth {
		r.problem(node.Line, "projects are nested deeper than %d", maxDepth)
		return
	}
	for _, element := range node.Content {
		r.project(element, parent, impact, depth)
	}
}

var kinds = []string{"business_unit", "application", "environment"}

func (r *reader) project(node *yaml.Node, parent, impact string, depth int) {
	p := Project{File: r.file, Line: node.Line, Kind: kinds[min(depth, 2)], Impact: impact, Tags: map[string]string{}}
	var below *yaml.Node
	for _, pair := range r.members(node, "a project with a name") {
		key, value := pair[0].Value, pair[1]
		switch key {
		case "name":
			p.Name = r.text(value)
		case "kind":
			p.Kind = r.choice(value, kinds)
		case "impact":
			p.Impact = r.choice(value, []string{"high", "medium", "low"})
		case "environment":
			p.Environment = r.choice(value, []string{"production", "staging", "development"})
		case "owner", "owners":
			p.Owners = append(p.Owners, r.owners(value, "owner")...)
		case "security_champions":
			p.Owners = append(p.Owners, r.owners(value, "security_champion")...)
		case "on_call":
			p.Owners = append(p.Owners, r.owners(value, "on_call")...)
		case "members":
			p.Members = r.rules(value)
		case "projects":
			below = value
		default:
			r.problem(pair[0].Line, "a project has no %q; expected name, kind, impact, environment, owner, security_champions, on_call, members or projects", key)
		}
	}
	if p.Name == "" || strings.Contains(p.Name, "/") {
		r.problem(node.Line, "expected a project with a name that holds no slash")
		return
	}
	p.Path = path.Join(parent, p.Name)
	if p.Environment == "" && p.Kind == "environment" {
		p.Environment = environmentOf(p.Name)
	}
	r.projects = append(r.projects, p)
	if below != nil {
		r.list(below, p.Path, p.Impact, depth+1)
	}
}

func (r *reader) text(node *yaml.Node) string {
	if node.Kind != yaml.ScalarNode {
		r.problem(node.Line, "expected a text")
		return ""
	}
	return strings.TrimSpace(node.Value)
}

func (r *reader) choice(node *yaml.Node, choices []string) string {
	value := r.text(node)
	if value != "" && !slices.Contains(choices, value) {
		r.problem(node.Line, "%q: expected one of %s", value, strings.Join(choices, ", "))
		return ""
	}
	return value
}

// owners reads one owner or a list: "team:web", "ada@acme.test", "Web: web@acme.test".
func (r *reader) owners(node *yaml.Node, role string) []Owner {
	nodes := []*yaml.Node{node}
	if node.Kind == yaml.SequenceNode {
		nodes = node.Content
	}
	var list []Owner
	for _, one := range nodes {
		text := r.text(one)
		if text == "" {
			continue
		}
		for _, party := range parties(text) {
			list = append(list, Owner{party, role, one.Line})
		}
	}
	return list
}

// parties reads the owner of a tag or register as people write it: a reference
// "team:web" or "person:ada", an address, a team's name with an address after a
// colon, several of them separated by commas or semicolons.
func parties(text string) []fact.Party {
	var list []fact.Party
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == ';' }) {
		part = strings.TrimSpace(part)
		kind, rest, _ := strings.Cut(part, ":")
		rest = strings.TrimSpace(rest)
		switch {
		case part == "":
		case (kind == "team" || kind == "person") && rest != "":
			list = append(list, fact.Party{Kind: kind, ID: rest, Name: rest})
		case rest != "" && addressed(rest) != "":
			// A name and where it is reached: a team that somebody answers for.
			list = append(list, fact.Party{Kind: "team", ID: addressed(rest), Name: strings.TrimSpace(kind)})
		case addressed(part) != "":
			list = append(list, fact.Party{Kind: "person", ID: addressed(part), Name: cmp.Or(nameOf(part), addressed(part))})
		default:
			list = append(list, fact.Party{Kind: "team", ID: part, Name: part})
		}
	}
	return list
}

// addressed gives the mail address of a text that is one.
func addressed(text string) string {
	address, err := mail.ParseAddress(text)
	if err != nil {
		return ""
	}
	return address.Address
}

func nameOf(text string) string {
	address, err := mail.ParseAddress(text)
	if err != nil {
		return ""
	}
	return address.Name
}

// rules reads what belongs to a project.
func (r *reader) rules(node *yaml.Node) []Member {
	if node.Kind != yaml.SequenceNode {
		r.problem(node.Line, "expected a list of members")
		return nil
	}
	var list []Member
	for _, element := range node.Content {
		for _, pair := range r.members(element, "a member such as \"account: aws/123456789012\"") {
			kind, text := pair[0].Value, r.text(pair[1])
			switch {
			case !slices.Contains([]string{"account", "tag", "namespace", "repository", "path"}, kind):
				r.problem(pair[0].Line, "no member %q; expected account, tag, namespace, repository or path", kind)
			case kind == "tag" && !strings.Contains(text, "="):
				r.problem(pair[1].Line, "tag %q: expected key=value", text)
			case text != "":
				list = append(list, Member{kind, text})
			}
		}
	}
	return list
}

// register reads one application that is described by its tags.
func (r *reader) register(node *yaml.Node, members map[string]*yaml.Node) {
	tags := map[string]string{}
	lines := map[string]int{}
	for _, pair := range r.members(members["tags"], "tags") {
		if pair[1].Kind == yaml.ScalarNode {
			tags[pair[0].Value], lines[pair[0].Value] = strings.TrimSpace(pair[1].Value), pair[1].Line
		}
	}
	name := cmp.Or(tags["application"], tags["service"], tags["name"], strings.TrimSuffix(r.file, path.Ext(r.file)))
	name = strings.ReplaceAll(name, "/", "-")
	unit := strings.ReplaceAll(cmp.Or(tags["business-unit"], tags["business_unit"], tags["department"]), "/", "-")
	p := Project{Path: path.Join(unit, name), Name: name, Kind: "application", Tags: tags, File: r.file, Line: node.Line}
	if strings.EqualFold(tags["critical-national-infrastructure"], "true") {
		p.Impact = "high"
	}
	for _, named := range []struct {
		role string
		keys []string
	}{
		{"owner", []string{"owner", "owners", "technical-owner", "product-owner"}},
		{"on_call", []string{"infrastructure-support", "support", "support-group"}},
	} {
		for _, key := range named.keys {
			for _, party := range parties(tags[key]) {
				p.Owners = append(p.Owners, Owner{party, named.role, lines[key]})
			}
			delete(tags, key) // as a tag it would say the same once more
		}
	}
	if application := tags["application"]; application != "" { // as what belongs to it is tagged
		p.Members = append(p.Members, Member{"tag", "application=" + application})
	}
	if owners := members["codeowners"]; owners != nil {
		for _, owner := range r.owners(owners, "reviewer") {
			owner.Kind = "team"
			p.Owners = append(p.Owners, owner)
		}
	}
	if unit != "" {
		r.projects = append(r.projects, Project{Path: unit, Name: unit, Kind: "business_unit", Tags: map[string]string{}, File: r.file, Line: node.Line})
	}
	r.projects = append(r.projects, p)
	environments := members["environments"]
	if environments == nil || environments.Kind != yaml.SequenceNode {
		return
	}
	for _, element := range environments.Content {
		e := Project{Kind: "environment", Impact: p.Impact, Tags: map[string]string{}, File: r.file, Line: element.Line}
		if element.Kind == yaml.ScalarNode {
			e.Name = element.Value
		}
		for i := 0; element.Kind == yaml.MappingNode && i+1 < len(element.Content); i += 2 {
			switch key, value := element.Content[i].Value, element.Content[i+1]; key {
			case "name":
				e.Name = r.text(value)
			case "account", "account-id", "account_id":
				e.Members = append(e.Members, Member{"account", r.text(value)})
			case "access":
				e.Owners = append(e.Owners, r.access(value)...)
			}
		}
		if e.Name = strings.ReplaceAll(e.Name, "/", "-"); e.Name == "" {
			r.problem(element.Line, "expected an environment with a name")
			continue
		}
		e.Path, e.Environment = path.Join(p.Path, e.Name), environmentOf(e.Name)
		r.projects = append(r.projects, e)
	}
}

// access reads the groups that may administer or develop in an environment: they
// work on it, so that they are asked when its owner cannot be.
func (r *reader) access(node *yaml.Node) []Owner {
	var list []Owner
	if node.Kind != yaml.SequenceNode {
		return nil
	}
	for _, element := range node.Content {
		group, level, line := "", "", element.Line
		for i := 0; element.Kind == yaml.MappingNode && i+1 < len(element.Content); i += 2 {
			switch element.Content[i].Value {
			case "sso_group_name", "group":
				group, line = r.text(element.Content[i+1]), element.Content[i+1].Line
			case "level":
				level = r.text(element.Content[i+1])
			}
		}
		working := strings.Contains(level, "admin") || strings.Contains(level, "developer") || strings.Contains(level, "engineer")
		known := func(o Owner) bool { return o.ID == group }
		if group != "" && working && !slices.ContainsFunc(list, known) {
			list = append(list, Owner{fact.Party{Kind: "team", ID: group, Name: group}, "reviewer", line})
		}
	}
	return list
}

// environmentOf reads an environment's name, "" when it does not say.
func environmentOf(name string) string {
	name = strings.ToLower(name)
	switch {
	case strings.Contains(name, "preprod"), strings.Contains(name, "pre-prod"), strings.HasPrefix(name, "stag"), name == "uat", strings.Contains(name, "acceptance"):
		return "staging"
	case strings.HasPrefix(name, "prod"), name == "live", strings.HasPrefix(name, "prd"):
		return "production"
	case strings.HasPrefix(name, "dev"), strings.HasPrefix(name, "test"), strings.HasPrefix(name, "sandbox"), name == "qa":
		return "development"
	}
	return ""
}

// tell gives one project to a sink.
func tell(sink connector.Sink, scope string, p Project) error {
	asset := func(way string) fact.Asset {
		return fact.Asset{Kind: fact.AssetProject, Key: way, Name: path.Base(way)}
	}
	properties := map[string]string{"kind": p.Kind}
	for name, value := range map[string]string{"impact": p.Impact, "environment": p.Environment} {
		if value != "" {
			properties[name] = value
		}
	}
	for key, value := range p.Tags {
		properties["tag:"+key] = value
	}
	for _, m := range p.Members {
		name := "member:" + m.Kind
		if before := properties[name]; before != "" {
			properties[name] = before + "\n" + m.Text
		} else {
			properties[name] = m.Text
		}
	}
	if err := sink.Node(scope, fact.Node{Asset: asset(p.Path), Properties: properties}); err != nil {
		return err
	}
	evidence := func(line int, method string) fact.Evidence {
		return fact.Evidence{Method: method, Source: fmt.Sprintf("%s:%d", p.File, line), Strength: fact.Declared}
	}
	if parent := path.Dir(p.Path); parent != "." {
		relation := fact.Relation{From: asset(p.Path), Kind: fact.PartOf, To: asset(parent), Evidence: evidence(p.Line, "tree of projects")}
		if err := sink.Relation(scope, relation); err != nil {
			return err
		}
	}
	for _, m := range p.Members {
		member := fact.Asset{Key: m.Text, Name: m.Text}
		switch m.Kind {
		case "account":
			member.Kind = fact.AssetAccount
		case "repository":
			member.Kind = fact.AssetRepository
		default:
			continue // a rule over other sources' assets
		}
		relation := fact.Relation{From: member, Kind: fact.PartOf, To: asset(p.Path), Evidence: evidence(p.Line, "member of a project")}
		if err := sink.Relation(scope, relation); err != nil {
			return err
		}
	}
	for _, owner := range p.Owners {
		claim := fact.Claim{
			Subject: asset(p.Path), Owner: owner.Party, Role: owner.Role, Source: "project",
			Evidence: evidence(owner.Line, "named as "+owner.Role), Confidence: map[string]float64{"owner": .9, "reviewer": .5}[owner.Role],
		}
		if claim.Confidence == 0 {
			claim.Confidence = .7
		}
		if err := sink.Claim(scope, claim); err != nil {
			return err
		}
	}
	return nil
}
