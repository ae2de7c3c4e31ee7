// Package maven fixes projects of Maven: it raises a version at the literal that
// decides it (a property, a managed version, a bill of materials, a parent),
// raises a direct dependency that brings the package, adds a managed version
// for what others bring, or keeps a package out that nobody fixes.
//
// Files are spliced, so that comments, order and layout stay, and read again:
// exactly what was planned may differ. The fixer reads poms itself; where mvn is
// installed it has to accept what it accepted before.
package maven

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// ID is the fixer's id.
const ID = "fix/maven"

type fixer struct {
	mu   sync.Mutex
	read map[string]*pom // by file, as last read; parents are not joined
}

// New returns the fixer of projects of Maven.
func New() fix.ModuleFixer { return &fixer{read: map[string]*pom{}} }

func (*fixer) Describe() fix.Description {
	return fix.Description{
		ID:   ID,
		Name: "Maven",
		Docs: "Raises a version at the literal that decides it: a property, a managed version, a bill of materials or a parent; who else uses the literal is listed. " +
			"What other dependencies bring gets a managed version, or the dependency that brings it is raised; what nobody fixes is excluded. " +
			"Poms keep comments, order and layout.",
		Commands: []string{"mvn"},
	}
}

func (*fixer) Handles(m *lockfile.Module) bool { return m.Tool == "maven" && len(m.Manifests) > 0 }

// maxKept is how many read poms are kept.
const maxKept = 10_000

// parse reads a pom, or gives a copy of the last reading of the same bytes.
func (f *fixer) parse(file string, data []byte) (*pom, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if last := f.read[file]; last != nil && bytes.Equal(last.data, data) {
		return &pom{file: file, data: last.data, root: last.root}, nil
	}
	p, err := parsePOM(file, data)
	if err != nil {
		return nil, err
	}
	if len(f.read) >= maxKept {
		clear(f.read)
	}
	f.read[file] = p
	return &pom{file: file, data: p.data, root: p.root}, nil
}

// plan is what planning for one package works with.
type plan struct {
	target  *fix.Target
	project *project
	own     *pom
	what    coordinates
	choice  fix.Choice
}

func (f *fixer) Plan(ctx context.Context, target *fix.Target) ([]fix.Path, error) {
	target.Blocked = nil
	present := target.Present()
	if present.Source != "" {
		target.Block(*fix.At(present.Path, present.Line, present.EndLine), present.Name+" comes from "+present.Source, "a release of a repository")
		return nil, nil
	}
	main := target.Module.Manifests[0]
	files := []string{main}
	for i := range target.Modules {
		if m := &target.Modules[i]; f.Handles(m) && m.Manifests[0] != main {
			files = append(files, m.Manifests[0])
		}
	}
	project, err := load(ctx, target.Tree, files, f.parse)
	if err != nil {
		return nil, err
	}
	p := &plan{target: target, project: project, own: project.poms[main], what: coordinatesOf(present)}
	if p.own == nil {
		return nil, fmt.Errorf("%s: expected a pom that can be read", main)
	}
	if !fix.IsMavenName(p.what.name) {
		return nil, fmt.Errorf("%q: expected group:artifact", p.what.name)
	}
	var known []string
	if target.Registry != nil {
		if known, err = target.Registry.Versions(ctx, present.Name); err != nil {
			return nil, fmt.Errorf("versions of %s: %w", present.Name, err)
		}
	}
	choices, err := fix.ChooseMaven(target, known)
	if partial, ok := target.Registry.(interface{ Partial() bool }); ok && partial.Partial() && known != nil && errors.Is(err, fix.ErrNoVersion) {
		known = nil // what it lists may be old
		choices, err = fix.ChooseMaven(target, nil)
	}
	if errors.Is(err, fix.ErrNoVersion) {
		return p.exclusions(), nil
	}
	if err != nil {
		return nil, err
	}
	places, silent := p.places(p.what, present.Version)
	var paths []fix.Path
	for _, p.choice = range choices {
		var more []fix.Path
		if len(places) > 0 {
			more, err = p.raise(ctx, places)
		} else {
			more, err = p.unstated(ctx, silent)
		}
		if err != nil {
			return nil, err
		}
		paths = append(paths, more...)
	}
	if known == nil {
		for i := range paths {
			paths[i].Steps = append(paths[i].Steps, fix.Step{
				Text:    fmt.Sprintf("Check that %s %s exists; no repository at hand lists it.", paths[i].Changes[0].Package, paths[i].Changes[0].To),
				Command: "mvn dependency:get -Dtransitive=false -Dartifact=" + paths[i].Changes[0].Package + ":" + paths[i].Changes[0].To,
			})
		}
	}
	return paths, nil
}

// coordinatesOf reads the key of a package: group:artifact[:type[:classifier]],
// with what keeps keys apart behind # or @.
func coordinatesOf(pkg *lockfile.Package) coordinates {
	c := coordinates{name: pkg.Name, kind: "jar"}
	key, _, _ := strings.Cut(pkg.Key, "#")
	key, _, _ = strings.Cut(key, "@")
	if rest, ok := strings.CutPrefix(key, pkg.Name+":"); ok {
		kind, classifier, _ := strings.Cut(rest, ":")
		if kind != "" {
			c.kind = kind
		}
		c.classifier = classifier
	}
	return c
}

// stating is a place with the literal that decides its version.
type stating struct {
	place
	lit    literal
	edit   bool // one literal decides
	viewer *pom // in whose eyes
}

// places lists where the chain of poms states a version of an artifact, and the
// dependencies of the project that state none.
func (p *plan) places(what coordinates, version string) (found []stating, silent []place) {
	for n, in := range p.own.chain() {
		for _, at := range in.places() {
			c := p.own.coordinates(at.at)
			if c.name != what.name || c.classifier != what.classifier && at.role != roleDependency {
				continue // a managed version is for its classifier only; those who are named together move together
			}
			stated := at.at.child("version")
			if stated == nil || stated.text == "" {
				if n == 0 && at.role == roleDependency && c.classifier == what.classifier {
					silent = append(silent, at)
				}
				continue
			}
			lit, text, edit, ok := p.own.decide(stated, in)
			if !ok || exact(text) != version {
				continue
			}
			found = append(found, stating{at, lit, edit, p.own})
		}
	}
	// A bill of the repository states versions too.
	for _, other := range p.bills() {
		for _, at := range other.places() {
			stated := at.at.child("version")
			if at.role != roleManaged || stated == nil {
				continue
			}
			if c := other.coordinates(at.at); c.name != what.name || c.classifier != what.classifier {
				continue
			}
			if lit, text, edit, ok := other.decide(stated, at.in); ok && exact(text) == version {
				found = append(found, stating{at, lit, edit, other})
			}
		}
	}
	return found, silent
}

// bills are the poms of the repository that the project imports, with their parents.
func (p *plan) bills() []*pom {
	var all []*pom
	for _, in := range p.own.chain() {
		for _, at := range in.places() {
			if at.role != roleBill {
				continue
			}
			for _, found := range p.project.here[p.own.coordinates(at.at).name] {
				version := at.at.child("version")
				if version == nil || slices.Contains(all, found) {
					continue
				}
				_, text, _, _ := p.own.decide(version, in)
				if text == found.expand(found.own("version")) {
					all = append(all, found.chain()...)
				}
			}
		}
	}
	return all
}

// exact is the version that a requirement names: "[1.0]" is 1.0.
func exact(text string) string {
	if inner, open := strings.CutPrefix(text, "["); open && strings.HasSuffix(inner, "]") && !strings.Contains(inner, ",") {
		return strings.TrimSpace(strings.TrimSuffix(inner, "]"))
	}
	return text
}

// raise plans to raise the literals that decide the version.
func (p *plan) raise(ctx context.Context, places []stating) ([]fix.Path, error) {
	present := p.target.Present()
	path := p.target.NewPath(ID, fix.RaiseDirect, p.choice)
	path.Moves = p.moves()
	var others []stating
	done := map[*element]bool{}
	property := ""
	for _, at := range places {
		if done[at.lit.at] {
			continue
		}
		done[at.lit.at] = true
		if !at.edit {
			own, err := p.beside(places, "")
			return own, err
		}
		if at.lit.property != "" {
			property = at.lit.property
			others = append(others, p.users(at.lit, places)...)
		}
		text := strings.Replace(at.lit.at.text, present.Version, p.choice.Version, 1)
		path.Edits = append(path.Edits, at.lit.in.replace(at.lit.at, text))
		what := "version"
		if at.lit.property != "" {
			what = "property " + at.lit.property
		}
		path.Steps = append(path.Steps, fix.Step{
			Text:     fmt.Sprintf("Change the %s of %s from %s to %s.", what, at.named(), at.lit.at.text, text),
			Location: fix.At(at.lit.in.file, at.lit.at.line, at.lit.at.end),
		})
	}
	first := places[0]
	path.Summary = fmt.Sprintf("raise %s from %s to %s in %s", present.Name, present.Version, p.choice.Version, first.lit.in.file)
	if first.lit.property != "" {
		path.Summary = fmt.Sprintf("raise %s from %s to %s by the property %s in %s", present.Name, present.Version, p.choice.Version, first.lit.property, first.lit.in.file)
	}
	if len(done) > 1 {
		path.Effort = fix.EffortMedium
	}
	path.Reach = p.reach(places, others)
	if len(others) == 0 {
		return []fix.Path{path}, nil
	}
	fits, err := p.companions(ctx, &path, others, property)
	if err != nil {
		return nil, err
	}
	alone, err := p.beside(places, "-alone")
	if err != nil || !fits {
		return alone, err
	}
	return append([]fix.Path{path}, alone...), nil
}

func (s *stating) named() string {
	return s.viewer.coordinates(s.at).name
}

// moves are the keys of the packages of the module that change together.
func (p *plan) moves() []string {
	present := p.target.Present()
	var keys []string
	for _, pkg := range p.target.Module.Packages {
		if pkg.Name == present.Name && pkg.Version == present.Version {
			keys = append(keys, pkg.Key)
		}
	}
	return keys
}

// users are the places of the repository beside those of the package that take
// their version from the same property.
func (p *plan) users(lit literal, places []stating) []stating {
	var found []stating
	for _, file := range sortedFiles(p.project.poms) {
		in := p.project.poms[file]
		if in == nil {
			continue
		}
		if at, _, _ := in.property(lit.property); at != lit.at {
			continue
		}
		for _, at := range in.places() {
			version := at.at.child("version")
			if version == nil || !strings.Contains(version.text, "${"+lit.property+"}") ||
				slices.ContainsFunc(places, func(s stating) bool { return s.at == at.at }) || in.coordinates(at.at).name == p.what.name {
				continue
			}
			found = append(found, stating{at, lit, true, in})
		}
	}
	return found
}

func sortedFiles(poms map[string]*pom) []string {
	files := make([]string, 0, len(poms))
	for file := range poms {
		files = append(files, file)
	}
	slices.Sort(files)
	return files
}

// reach says what the edited literals decide about.
func (p *plan) reach(places, others []stating) string {
	file := places[0].lit.in.file
	modules := 0
	for _, in := range p.project.poms {
		if in != nil && in.file != file && slices.ContainsFunc(in.chain(), func(at *pom) bool { return at.file == file }) {
			modules++
		}
	}
	text := "this project only"
	if modules == 1 {
		text = "this project and 1 module below it"
	} else if modules > 1 {
		text = fmt.Sprintf("this project and %d modules below it", modules)
	}
	if len(others) == 0 {
		return text
	}
	names := []string{}
	for _, at := range others {
		names = append(names, at.named())
	}
	slices.Sort(names)
	names = slices.Compact(names)
	more := ""
	if len(names) > 5 {
		names, more = names[:5], fmt.Sprintf(" and %d more", len(names)-5)
	}
	return fmt.Sprintf("%s; the literal also decides %d other places: %s%s", text, len(others), strings.Join(names, ", "), more)
}

// companions adds those who share a property to a path. It is false when one of
// them is not released at the version.
func (p *plan) companions(ctx context.Context, path *fix.Path, others []stating, property string) (bool, error) {
	present := p.target.Present()
	seen := map[string]bool{}
	for _, at := range others {
		name := at.named()
		if seen[name] {
			continue
		}
		seen[name] = true
		if p.target.Registry != nil {
			known, err := p.target.Registry.Versions(ctx, name)
			if err != nil {
				return false, fmt.Errorf("versions of %s: %w", name, err)
			}
			if known != nil && !slices.Contains(known, p.choice.Version) {
				p.target.Block(*fix.At(at.in.file, at.at.line, at.at.end), name+" shares ${"+property+"} and has no "+p.choice.Version, p.choice.Version)
				return false, nil
			}
		}
		path.Add(fix.Change{Package: name, From: present.Version, To: p.choice.Version, Direct: true, Reason: "companion of " + present.Name + ": shares the property " + property})
		if err := p.brings(path, name, present.Version, p.choice.Version); err != nil {
			return false, err
		}
	}
	return true, nil
}

// brings takes into account what another package's step brings and leaves.
func (p *plan) brings(path *fix.Path, name, from, to string) error {
	before, err := p.affecting(name, from)
	if err != nil {
		return err
	}
	after, err := p.affecting(name, to)
	if err != nil {
		return err
	}
	for _, id := range after {
		if !slices.Contains(before, id) && !slices.Contains(path.Brings, id) {
			path.Brings = append(path.Brings, id)
		}
	}
	slices.Sort(path.Brings)
	return nil
}

func (p *plan) affecting(name, version string) ([]string, error) {
	found, err := p.target.Advisories.Affecting(fact.Package{Ecosystem: "Maven", Name: name, Version: version, PURL: fact.PURL("Maven", name, version)})
	if err != nil {
		return nil, fmt.Errorf("advisories of %s %s: %w", name, version, err)
	}
	ids := make([]string, 0, len(found))
	for _, advisory := range found {
		ids = append(ids, advisory.ID)
	}
	return ids, nil
}

// beside plans to write the version where the package is named, whatever the
// property says that stands there.
func (p *plan) beside(places []stating, suffix string) ([]fix.Path, error) {
	present := p.target.Present()
	path := p.target.NewPath(ID, fix.RaiseDirect, p.choice)
	path.ID += suffix
	path.Moves = p.moves()
	for _, at := range places {
		version := at.at.child("version")
		edit, ok := at.in.state(at.at, p.choice.Version)
		if !ok {
			p.target.Block(*fix.At(at.in.file, version.line, version.end), at.named()+" "+version.text, p.choice.Version)
			return nil, nil
		}
		path.Edits = append(path.Edits, edit)
		path.Steps = append(path.Steps, fix.Step{
			Text:     fmt.Sprintf("Write %s in place of %s as the version of %s.", p.choice.Version, version.text, at.named()),
			Location: fix.At(at.in.file, version.line, version.end),
		})
	}
	path.Summary = fmt.Sprintf("raise %s from %s to %s in %s, apart from what shares its version", present.Name, present.Version, p.choice.Version, places[0].in.file)
	path.Reach = "this dependency only"
	path.Effort = fix.EffortMedium
	return []fix.Path{path}, nil
}
