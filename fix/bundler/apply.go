package bundler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fix"
)

var (
	gemName    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	gemVersion = regexp.MustCompile(`^\d+(?:\.[0-9A-Za-z]+)*$`)
	gemClause  = regexp.MustCompile(`^(?:(?:=|!=|>=|<=|~>|>|<) ?)?\d[0-9A-Za-z.]*$`)
)

// check refuses names and versions that are none, before they become arguments or
// program text.
func check(changes []fix.Change) error {
	if len(changes) == 0 {
		return errors.New("the path changes nothing")
	}
	for _, change := range changes {
		if !gemName.MatchString(change.Package) {
			return fmt.Errorf("%q: expected the name of a gem", change.Package)
		}
		if !gemVersion.MatchString(change.To) {
			return fmt.Errorf("%s: %q: expected a version", change.Package, change.To)
		}
	}
	return nil
}

// manifests lists the files that a path may edit: the Gemfile, and those that its
// steps name.
func manifests(dir string, p fix.Path) (names []string, gemfile string, err error) {
	for _, name := range []string{"Gemfile", "gems.rb"} {
		name = path.Join(p.Module, name)
		_, err := fix.ReadFile(dir, name)
		if err == nil {
			gemfile = name
			names = append(names, name)
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, "", err
		}
	}
	for _, step := range p.Steps {
		if step.Location != nil && strings.HasSuffix(step.Location.Path, ".gemspec") && !slices.Contains(names, step.Location.Path) {
			names = append(names, step.Location.Path)
		}
	}
	return names, gemfile, nil
}

func (*fixer) Apply(ctx context.Context, dir string, p fix.Path) ([]string, error) {
	if err := check(p.Changes); err != nil {
		return nil, err
	}
	names, gemfile, err := manifests(dir, p)
	if err != nil {
		return nil, err
	}
	before, after := map[string][]byte{}, map[string][]byte{}
	asks, needs := map[string]string{}, map[string]string{} // constraints that changed, of the Gemfile and of a gemspec
	for _, name := range names {
		if before[name], err = fix.ReadFile(dir, name); err != nil {
			return nil, err
		}
		after[name] = before[name]
		for i, change := range p.Changes {
			var constraint string
			switch p.Kind {
			case fix.RaiseLocked:
				continue
			case fix.Override:
				if name != gemfile || i > 0 {
					continue
				}
				after[name], constraint, err = added(name, after[name], change)
			default:
				after[name], constraint, err = raised(name, after[name], change, func(constraint string) bool {
					fits, _ := syntax.Admits(constraint, change.To)
					return !fits || p.Kind == fix.RaiseDirect
				})
			}
			if err != nil {
				return nil, err
			}
			switch {
			case constraint == "":
			case name == gemfile:
				asks[change.Package] = constraint
			default:
				needs[change.Package] = constraint
			}
		}
	}
	if p.Kind == fix.RaiseDirect && !slices.ContainsFunc(names, func(name string) bool { return !bytes.Equal(before[name], after[name]) }) {
		return nil, fmt.Errorf("%s: no constraint on %s to change", p.Module, p.Changes[0].Package)
	}
	lockName := path.Join(p.Module, "Gemfile.lock")
	if path.Base(gemfile) == "gems.rb" {
		lockName = path.Join(p.Module, "gems.locked")
	}
	data, err := fix.ReadFile(dir, lockName)
	switch {
	case err == nil:
		before[lockName] = data
		if after[lockName], err = relock(ctx, lockName, data, asks, needs, p); err != nil {
			return nil, fmt.Errorf("%s: %w", lockName, err)
		}
	case !errors.Is(err, fs.ErrNotExist) || p.Kind == fix.RaiseLocked:
		return nil, err
	}
	return fix.WriteAll(dir, before, after)
}

// relock lets bundler resolve what the lock says with other constraints, in a folder
// of its own. The changed gems are pinned for a first run, because bundler takes the
// highest version that it may.
func relock(ctx context.Context, name string, data []byte, asks, needs map[string]string, p fix.Path) ([]byte, error) {
	old, err := parseLock(name, data)
	if err != nil {
		return nil, err
	}
	for gem, constraint := range needs {
		if _, development := old.asked[gem]; development {
			asks[gem] = constraint
		} else if old, err = old.needing(gem, constraint); err != nil {
			return nil, err
		}
	}
	source, err := old.source()
	if err != nil {
		return nil, err
	}
	tool, err := newTool()
	if err != nil {
		return nil, err
	}
	defer tool.Close()
	work := filepath.Join(tool.Home(), "work")
	if err := os.Mkdir(work, 0o700); err != nil {
		return nil, err
	}
	final, exact := maps.Clone(old.asked), map[string]string{}
	maps.Copy(final, asks)
	for name, constraint := range final {
		exact[name] = constraint
	}
	var gems []string
	for _, change := range p.Changes {
		exact[change.Package] = "= " + change.To
		gems = append(gems, change.Package)
	}
	pinned, err := old.gemfile(work, source, exact)
	if err != nil {
		return nil, err
	}
	kept, err := old.gemfile(work, source, final)
	if err != nil {
		return nil, err
	}
	run := func(gemfile, lock []byte, more ...string) error {
		if err := fix.PutFile(work, "Gemfile", gemfile); err != nil {
			return err
		}
		if lock != nil {
			if err := fix.PutFile(work, "Gemfile.lock", lock); err != nil {
				return err
			}
		}
		_, err := tool.Run(ctx, work, "bundle", append([]string{"lock"}, more...)...)
		return err
	}
	for _, more := range [][]string{nil, append([]string{"--conservative", "--update"}, gems...), append([]string{"--update"}, gems...)} {
		if err = run(pinned, old.stubbed().write(), more...); err == nil || errors.Is(err, fix.ErrNoTool) || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	if err := run(kept, nil); err != nil {
		return nil, err
	}
	written, err := fix.ReadFile(work, "Gemfile.lock")
	if err != nil {
		return nil, err
	}
	resolved, err := parseLock(name, written)
	if err != nil {
		return nil, err
	}
	merged, err := old.merge(resolved)
	if err != nil {
		return nil, err
	}
	return merged.write(), judge(old, merged, asks, p.Changes)
}

// judge checks that a lock holds the changes, that no gem went down, and that no
// dependency changed but those that were to.
func judge(old, merged *lock, asks map[string]string, changes []fix.Change) error {
	for _, change := range changes {
		for _, s := range merged.specs {
			if s.name == change.Package && higher(change.To, s.version) {
				return fmt.Errorf("%s is at %s after the change, expected %s", s.name, s.version, change.To)
			}
		}
	}
	for _, s := range merged.specs {
		for _, before := range old.specs {
			if s.name == before.name && s.platform == before.platform && higher(before.version, s.version) {
				return fmt.Errorf("the change would lower %s from %s to %s", s.name, before.version, s.version)
			}
		}
	}
	for name, constraint := range merged.asked {
		want, known := asks[name]
		if !known {
			want, known = old.asked[name]
		}
		if !known || clauses(constraint) != clauses(want) {
			return fmt.Errorf("bundler noted %s (%s) as a dependency, expected (%s)", name, constraint, want)
		}
	}
	if len(merged.asked) < len(old.asked) {
		return errors.New("bundler dropped a dependency")
	}
	return nil
}

// stubs is the folder of the stand-ins for a section's gems.
func stubs(section int) string { return fmt.Sprintf("stubs/%d", section) }

// stubbed gives the lock that belongs to the Gemfile written from it.
func (l *lock) stubbed() *lock {
	var result lock
	for i, s := range l.sections {
		switch s.title {
		case "GEM", "PLATFORMS", "DEPENDENCIES", "CHECKSUMS":
			result.sections = append(result.sections, s)
		case "GIT", "PATH", "PLUGIN SOURCE":
			lines := []string{"  remote: " + stubs(i), "  specs:"}
			for _, line := range s.lines {
				if strings.HasPrefix(line, "    ") {
					lines = append(lines, line)
				}
			}
			result.sections = append(result.sections, section{"PATH", lines})
		}
	}
	return &result
}

// gemfile writes a Gemfile that says what a lock was made for, with stand-ins in the
// folder work for gems that come from elsewhere than the registry.
func (l *lock) gemfile(work, source string, asks map[string]string) ([]byte, error) {
	var text strings.Builder
	fmt.Fprintf(&text, "source '%s'\n", fix.WithoutUser(source))
	outside := map[int]bool{}
	for _, s := range l.specs {
		if l.sections[s.section].title == "GEM" {
			continue
		}
		outside[s.section] = true
		if !gemName.MatchString(s.name) || !gemVersion.MatchString(s.version) {
			return nil, fmt.Errorf("%s %s: expected a gem with a version", s.name, s.version)
		}
		stub := fmt.Sprintf("Gem::Specification.new do |s|\n  s.name = '%[1]s'\n  s.version = '%[2]s'\n  s.summary = '%[1]s'\n  s.authors = ['%[1]s']\n", s.name, s.version)
		for _, n := range s.needs {
			constraint, err := quoted(n.name, n.constraint)
			if err != nil {
				return nil, err
			}
			stub += "  s.add_runtime_dependency " + constraint + "\n"
		}
		if err := fix.PutFile(work, stubs(s.section)+"/"+s.name+"/"+s.name+".gemspec", []byte(stub+"end\n")); err != nil {
			return nil, err
		}
	}
	for _, i := range slices.Sorted(maps.Keys(outside)) {
		fmt.Fprintf(&text, "path '%s' do\n", stubs(i))
		for _, s := range l.specs {
			if _, asked := asks[s.name]; s.section == i && asked {
				constraint, err := quoted(s.name, asks[s.name])
				if err != nil {
					return nil, err
				}
				text.WriteString("  gem " + constraint + "\n")
			}
		}
		text.WriteString("end\n")
	}
	for _, name := range slices.Sorted(maps.Keys(asks)) {
		if l.outside[name] {
			continue
		}
		constraint, err := quoted(name, asks[name])
		if err != nil {
			return nil, err
		}
		text.WriteString("gem " + constraint + "\n")
	}
	return []byte(text.String()), nil
}

// quoted writes a name with its constraints as Ruby literals.
func quoted(name, constraint string) (string, error) {
	if !gemName.MatchString(name) {
		return "", fmt.Errorf("%q: expected the name of a gem", name)
	}
	text := "'" + name + "'"
	for part := range strings.SplitSeq(constraint, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		if !gemClause.MatchString(part) {
			return "", fmt.Errorf("%s: %q: expected a constraint", name, part)
		}
		text += ", '" + part + "'"
	}
	return text, nil
}
