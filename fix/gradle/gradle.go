// Package gradle fixes projects of Gradle: it raises a version at the literal that
// decides it (a coordinate or a variable of a build script, a gradle.properties
// file, a version catalog) or adds a constraint for what others bring.
//
// Scripts are programs. Only what stands in them as a literal is changed, byte by
// byte, and nothing is run: to rewrite a lock, Gradle would have to run the
// repository's code. A line of a lock is changed only where the registry shows
// that the rest of the lock stays as it is.
package gradle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// ID is the fixer's id.
const ID = "fix/gradle"

// WriteLocks is the command with which a build rewrites its locks.
const WriteLocks = "./gradlew dependencies --write-locks"

type fixer struct{}

// New returns the fixer of projects of Gradle.
func New() fix.ModuleFixer { return fixer{} }

func (fixer) Describe() fix.Description {
	return fix.Description{
		ID:   ID,
		Name: "Gradle",
		Docs: "Raises versions in build scripts, gradle.properties and version catalogs at the literal that decides them; who else uses the literal is listed. " +
			"What other dependencies bring gets a constraint. A lock is only changed where the registry shows that nothing else in it moves; " +
			"else the path says that the build has to rewrite it, since that runs the repository's code.",
	}
}

func (fixer) Handles(m *lockfile.Module) bool {
	return m.Tool == "gradle" && len(m.Manifests) > 0
}

// literal is where a version stands.
type literal struct {
	path       string
	line       int
	start, end int
}

// plan is what planning for one package works with.
type plan struct {
	target *fix.Target
	choice fix.Choice
	files  map[string][]byte
}

func (fixer) Plan(ctx context.Context, target *fix.Target) ([]fix.Path, error) {
	target.Blocked = nil
	present := target.Present()
	if present.Source != "" {
		target.Block(*fix.At(present.Path, present.Line, present.EndLine), present.Name+" comes from "+present.Source, "a release of a repository")
		return nil, nil
	}
	if !fix.IsMavenName(present.Name) {
		return nil, fmt.Errorf("%q: expected group:artifact", present.Name)
	}
	var known []string
	var err error
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
		return nil, nil // nothing stands in the way of a version that is not known
	}
	if err != nil {
		return nil, err
	}
	p := &plan{target: target, files: map[string][]byte{}}
	var paths []fix.Path
	for _, p.choice = range choices {
		path, err := p.raise(ctx, present.Version)
		if err != nil {
			return nil, err
		}
		if path != nil {
			if all := p.versions(); len(all) > 1 {
				every, err := p.raise(ctx, all...)
				if err != nil {
					return nil, err
				}
				if every != nil {
					every.ID += ":all"
					paths = append(paths, *every)
				}
			}
		}
		if path == nil && len(target.Blocked) == 0 {
			if path, err = p.constrain(ctx); err != nil {
				return nil, err
			}
		}
		if path != nil {
			paths = append(paths, *path)
		}
	}
	if known == nil {
		for i := range paths {
			paths[i].Steps = append(paths[i].Steps, fix.Step{Text: fmt.Sprintf("Check that %s %s exists; no repository at hand lists it.", present.Name, paths[i].Changes[0].To)})
		}
	}
	return paths, nil
}

// read gives a file of the tree, once.
func (p *plan) read(ctx context.Context, name string) ([]byte, error) {
	if data, ok := p.files[name]; ok {
		return data, nil
	}
	data, err := p.target.Tree.Read(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p.files[name] = data
	return data, nil
}

// decides gives the place of a declaration's version.
func decides(d *lockfile.Declaration) (name string, line int) {
	if d.ValueLine > 0 {
		return d.ValuePath, d.ValueLine
	}
	return d.Path, d.Line
}

// find finds a version on a line, where it stands once as a whole word.
func (p *plan) find(ctx context.Context, name string, line int, version string) (literal, error) {
	data, err := p.read(ctx, name)
	if err != nil {
		return literal{}, err
	}
	from := 0
	for range line - 1 {
		at := strings.IndexByte(string(data[from:]), '\n')
		if at < 0 {
			return literal{}, fmt.Errorf("%s:%d: the file has fewer lines", name, line)
		}
		from += at + 1
	}
	text, _, _ := strings.Cut(string(data[from:]), "\n")
	found := literal{path: name, line: line}
	count := 0
	for at := 0; ; {
		next := strings.Index(text[at:], version)
		if next < 0 {
			break
		}
		start := at + next
		end := start + len(version)
		at = end
		if start > 0 && versionByte(text[start-1]) || end < len(text) && versionByte(text[end]) {
			continue
		}
		count++
		found.start, found.end = from+start, from+end
	}
	if count != 1 {
		return literal{}, fmt.Errorf("%s:%d: expected %q once on the line, found it %d times", name, line, version, count)
	}
	return found, nil
}

func versionByte(c byte) bool {
	return c == '.' || c == '_' || c == '-' || c == '+' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// versions lists the version of the package, and those of its other copies that must
// change, where each is below the choice; nil where one is not. It does so for the
// first copy only, so that the change is planned once.
func (p *plan) versions() []string {
	target := p.target
	if len(target.Others) == 0 || target.Others[0] < target.Package {
		return nil
	}
	all := []string{target.Present().Version}
	for _, i := range target.Others {
		other := target.Module.Packages[i]
		order, err := target.Advisories.Compare(target.Module.Ecosystem, other.Version, p.choice.Version)
		if other.Name != target.Present().Name || err != nil || order >= 0 {
			return nil
		}
		if !slices.Contains(all, other.Version) {
			all = append(all, other.Version)
		}
	}
	return all
}

// raise plans to raise the literals that decide versions of the package, the first of
// which is the target's; nil when none does, or when one of several has none.
func (p *plan) raise(ctx context.Context, versions ...string) (*fix.Path, error) {
	target, present := p.target, p.target.Present()
	path := target.NewPath(ID, fix.RaiseDirect, p.choice)
	path.Moves = p.moves(versions...)
	for _, version := range versions[1:] {
		if !slices.ContainsFunc(target.Module.Declared, func(d lockfile.Declaration) bool { return d.Name == present.Name && d.Constraint == version }) {
			return nil, nil
		}
		path.Add(fix.Change{Package: present.Name, From: version, To: p.choice.Version, Direct: true})
	}
	done := map[string]bool{}
	var users []string
	for i := range target.Module.Declared {
		d := &target.Module.Declared[i]
		if d.Name != present.Name || !slices.Contains(versions, d.Constraint) {
			continue
		}
		name, line := decides(d)
		key := fmt.Sprintf("%s:%d", name, line)
		if done[key] {
			continue
		}
		done[key] = true
		at, err := p.find(ctx, name, line, d.Constraint)
		if err != nil {
			target.Block(*fix.At(name, line, 0), err.Error(), p.choice.Version)
			return nil, nil
		}
		path.Edits = append(path.Edits, fix.NewFileEdit(name, p.files[name], at.start, at.end, p.choice.Version))
		path.Steps = append(path.Steps, fix.Step{
			Text:     fmt.Sprintf("Change the version of %s from %s to %s.", present.Name, d.Constraint, p.choice.Version),
			Location: fix.At(name, line, 0),
		})
		more, err := p.companions(ctx, &path, name, line, d.Constraint)
		if err != nil {
			return nil, err
		}
		if more == nil {
			return nil, nil
		}
		users = append(users, more...)
	}
	if len(path.Edits) == 0 {
		return nil, nil
	}
	first := path.Edits[0]
	path.Summary = fmt.Sprintf("raise %s from %s to %s in %s", present.Name, strings.Join(versions, " and "), p.choice.Version, first.Path)
	path.Reach = "this module only"
	slices.Sort(users)
	if users = slices.Compact(users); len(users) > 0 {
		path.Reach = fmt.Sprintf("the literal also decides %d other places: %s", len(users), strings.Join(users[:min(len(users), 5)], ", "))
	}
	if len(done) > 1 {
		path.Effort = fix.EffortMedium
	}
	if err := p.lock(ctx, &path); err != nil {
		return nil, err
	}
	return &path, nil
}

// moves are the keys of the packages of the module at versions that change together.
func (p *plan) moves(versions ...string) []string {
	var keys []string
	for _, pkg := range p.target.Module.Packages {
		if pkg.Name == p.target.Present().Name && slices.Contains(versions, pkg.Version) {
			keys = append(keys, pkg.Key)
		}
	}
	return keys
}

// companions lists who else takes the version from a literal, and adds the packages
// among them to the path. It is nil when one of them is not released at the version.
func (p *plan) companions(ctx context.Context, path *fix.Path, name string, line int, version string) ([]string, error) {
	target, present := p.target, p.target.Present()
	users := []string{}
	modules := target.Modules
	if len(modules) == 0 {
		modules = []lockfile.Module{*target.Module}
	}
	for i := range modules {
		m := &modules[i]
		if m.Tool != "gradle" {
			continue
		}
		for j := range m.Declared {
			d := &m.Declared[j]
			at, where := decides(d)
			if at != name || where != line || d.Constraint != version {
				continue
			}
			if m.Dir != target.Module.Dir || d.Name != present.Name {
				users = append(users, d.Name+" of "+d.Path)
			}
			if d.Name == present.Name || !fix.IsMavenName(d.Name) || slices.ContainsFunc(path.Changes, func(c fix.Change) bool { return c.Package == d.Name }) {
				continue
			}
			if target.Registry != nil {
				known, err := target.Registry.Versions(ctx, d.Name)
				if err != nil {
					return nil, fmt.Errorf("versions of %s: %w", d.Name, err)
				}
				if known != nil && !slices.Contains(known, p.choice.Version) {
					target.Block(*fix.At(d.Path, d.Line, d.EndLine), d.Name+" takes its version from the same literal and has no "+p.choice.Version, p.choice.Version)
					return nil, nil
				}
			}
			path.Add(fix.Change{Package: d.Name, From: version, To: p.choice.Version, Direct: true, Reason: fmt.Sprintf("companion of %s: shares the version at %s:%d", present.Name, name, line)})
			if err := p.brings(path, d.Name, version); err != nil {
				return nil, err
			}
		}
	}
	return users, nil
}

// brings takes into account what the step of a companion brings.
func (p *plan) brings(path *fix.Path, name, before string) error {
	var ids [2][]string
	for i, version := range []string{before, p.choice.Version} {
		found, err := p.target.Advisories.Affecting(fact.Package{Ecosystem: "Maven", Name: name, Version: version, PURL: fact.PURL("Maven", name, version)})
		if err != nil {
			return fmt.Errorf("advisories of %s %s: %w", name, version, err)
		}
		for _, advisory := range found {
			ids[i] = append(ids[i], advisory.ID)
		}
	}
	for _, id := range ids[1] {
		if !slices.Contains(ids[0], id) && !slices.Contains(path.Brings, id) {
			path.Brings = append(path.Brings, id)
		}
	}
	slices.Sort(path.Brings)
	return nil
}

// constrain plans a constraint in the module's build script, for what other
// dependencies or a platform bring.
func (p *plan) constrain(ctx context.Context) (*fix.Path, error) {
	target, present := p.target, p.target.Present()
	script := ""
	for _, name := range target.Module.Manifests {
		if strings.HasSuffix(name, ".gradle") || strings.HasSuffix(name, ".gradle.kts") {
			script = name
			break
		}
	}
	if script == "" {
		target.Block(*fix.At(present.Path, present.Line, present.EndLine), present.Name+" "+present.Version+" is not stated in a build script", p.choice.Version)
		return nil, nil
	}
	for _, d := range target.Module.Declared {
		if d.Name == present.Name && d.Constraint != "" {
			target.Block(*fix.At(d.Path, d.Line, d.EndLine), d.Name+" "+d.Constraint+" is no literal version", p.choice.Version)
			return nil, nil
		}
	}
	data, err := p.read(ctx, script)
	if err != nil {
		return nil, err
	}
	edit := constraint(script, data, present.Name+":"+p.choice.Version)
	path := target.NewPath(ID, fix.Override, p.choice)
	path.Moves = p.moves(present.Version)
	path.Temporary = true
	path.Effort = fix.EffortMedium
	path.Reach = "this module only"
	path.Summary = fmt.Sprintf("constrain %s to %s or more in %s, whoever brings %s", present.Name, p.choice.Version, script, present.Version)
	path.Edits = append(path.Edits, edit)
	path.Steps = append(path.Steps,
		fix.Step{Text: fmt.Sprintf("Add a constraint of %s %s.", present.Name, p.choice.Version), Location: fix.At(script, edit.Line, 0)},
		fix.Step{Text: fmt.Sprintf("Take the constraint back when what brings %s asks for %s or more itself.", present.Name, p.choice.Version)})
	if err := p.lock(ctx, &path); err != nil {
		return nil, err
	}
	return &path, nil
}

// constraint makes the edit that adds a constraint to a script, laid out as what
// stands there.
func constraint(name string, data []byte, coordinate string) fix.FileEdit {
	newline, unit := "\n", "    "
	if at := strings.IndexByte(string(data), '\n'); at > 0 && data[at-1] == '\r' {
		newline = "\r\n"
	}
	configuration := "implementation"
	if !strings.Contains(string(data), configuration) && strings.Contains(string(data), "compile ") { // before Gradle 3.4
		configuration = "compile"
	}
	entry := configuration + "('" + coordinate + "')"
	if strings.HasSuffix(name, ".kts") {
		entry = configuration + `("` + coordinate + `")`
	}
	inside := func(names ...string) (int, string, bool) {
		_, to, ok := lockfile.GradleBlock(data, names...)
		if !ok {
			return 0, "", false
		}
		from := strings.LastIndexByte(string(data[:to]), '\n') + 1
		outer := string(data[from:to])
		if strings.Trim(outer, " \t") != "" { // a block on one line
			return to, "", true
		}
		return from, outer, true
	}
	indented := func(at int, outer string) string {
		if from := strings.LastIndexByte(strings.TrimRight(string(data[:at]), "\r\n"), '\n') + 1; from < at {
			line := string(data[from:at])
			if own := line[:len(line)-len(strings.TrimLeft(line, " \t"))]; strings.HasPrefix(own, outer) && len(own) > len(outer) && len(own) <= len(outer)+8 {
				return own[len(outer):]
			}
		}
		return unit
	}
	if at, outer, ok := inside("dependencies", "constraints"); ok {
		if data[at-1] != '\n' {
			return fix.NewFileEdit(name, data, at, at, "; "+entry+" ")
		}
		return fix.NewFileEdit(name, data, at, at, outer+indented(at, outer)+entry+newline)
	}
	if at, outer, ok := inside("dependencies"); ok {
		if data[at-1] != '\n' {
			return fix.NewFileEdit(name, data, at, at, newline+unit+"constraints { "+entry+" }"+newline)
		}
		step := indented(at, outer)
		return fix.NewFileEdit(name, data, at, at, outer+step+"constraints {"+newline+outer+step+step+entry+newline+outer+step+"}"+newline)
	}
	text := newline + "dependencies {" + newline + unit + "constraints {" + newline + unit + unit + entry + newline + unit + "}" + newline + "}" + newline
	if len(data) > 0 && data[len(data)-1] != '\n' {
		text = newline + text
	}
	return fix.NewFileEdit(name, data, len(data), len(data), text)
}
