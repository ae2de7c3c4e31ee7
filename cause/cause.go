// Package cause finds root causes: from a finding to the location in a
// repository that must change, with the chain of evidence that leads there.
//
// It knows packages (through manifests and lockfiles) and files. When the
// evidence is not enough it says so: equal candidates are returned as a tie,
// and an unknown cause names what would settle it. It reads only; it runs
// nothing.
package cause

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
)

// Context is the repository at the commit that causes are looked for in.
type Context struct {
	Repository string // canonical identity
	Commit     string
	Modules    []lockfile.Module
	Tree       code.Tree
}

// Tracer traces findings in one repository at one commit. It belongs to one
// goroutine.
type Tracer struct {
	Context
	paths  []string
	byName map[string][]spot // by lower-case package name
	lines  map[string]int    // of files looked at
}

// spot is a package of a module.
type spot struct{ module, index int }

// New prepares tracing.
func New(ctx context.Context, c Context) (*Tracer, error) {
	paths, err := c.Tree.Paths(ctx)
	if err != nil {
		return nil, fmt.Errorf("files of %s: %w", c.Repository, err)
	}
	t := &Tracer{Context: c, paths: paths, byName: map[string][]spot{}, lines: map[string]int{}}
	for i := range c.Modules {
		m := &c.Modules[i]
		for j := range m.Packages {
			key := t.key(m.Ecosystem, m.Packages[j].Name)
			t.byName[key] = append(t.byName[key], spot{i, j})
		}
	}
	return t, nil
}

func (t *Tracer) key(ecosystem, name string) string {
	if ecosystem == "PyPI" {
		return lockfile.PythonName(name)
	}
	return strings.ToLower(name)
}

// Trace finds the cause of a finding. The error is only that of the context or
// of reading the repository; what a finding lacks makes its cause unknown.
func (t *Tracer) Trace(ctx context.Context, f *fact.Finding) (fact.Cause, error) {
	if f.Kind == fact.Vulnerability && f.Package.Name != "" {
		return t.packageCause(f), nil
	}
	return t.file(ctx, f)
}

// observed is the first link of every chain: what the detector saw, and where.
func (t *Tracer) observed(f *fact.Finding, method string, strength fact.Strength) fact.Link {
	source := cmp.Or(f.Path, f.Asset.Key, f.Position.Item, "report")
	return fact.Link{
		Kind: "finding", Key: cmp.Or(f.Rule, string(f.Kind)),
		Location: fact.Location{Path: f.Path, Line: f.Line, EndLine: f.EndLine, Commit: f.Commit},
		Evidence: fact.Evidence{Method: method, Source: source, Strength: strength},
	}
}

func (t *Tracer) at(name string, line, end int) fact.Location {
	return fact.Location{Repository: t.Repository, Commit: t.Commit, Path: name, Line: line, EndLine: max(line, end)}
}

func unknown(chain []fact.Link, missing ...string) fact.Cause {
	return fact.Cause{Status: fact.CauseUnknown, Locations: []fact.Location{}, Chain: chain, Missing: missing}
}

// clean turns a path as a tool wrote it into one that can be compared: Trivy
// adds "(npm)", others write absolute paths, container paths or backslashes.
func clean(name string) string {
	if at := strings.LastIndex(name, " ("); at > 0 && strings.HasSuffix(name, ")") {
		name = name[:at]
	}
	return code.CleanPath(name)
}

// closeness says how well a path of the repository fits one that a tool wrote: 0 not,
// 1 when one ends in the other, 2 when they are equal.
func closeness(own, told string) int {
	switch {
	case own == told:
		return 2
	case strings.HasSuffix(told, "/"+own), strings.HasSuffix(own, "/"+told):
		return 1
	}
	return 0
}

// packageCause leads from a package to the line of a manifest that decides it.
func (t *Tracer) packageCause(f *fact.Finding) fact.Cause {
	var spots []spot
	versions := map[string]bool{}
	for _, s := range t.byName[t.key(f.Package.Ecosystem, f.Package.Name)] {
		m := &t.Modules[s.module]
		p := &m.Packages[s.index]
		if f.Package.Ecosystem != "" && f.Package.Ecosystem != m.Ecosystem || !lockfile.SameName(m.Ecosystem, p.Name, f.Package.Name) {
			continue
		}
		if f.Package.Version != "" && !lockfile.SameVersion(m.Ecosystem, p.Version, f.Package.Version) {
			versions[p.Version] = true
			continue
		}
		spots = append(spots, s)
	}
	label := f.Package.Name
	if f.Package.Version != "" {
		label += " " + f.Package.Version
	}
	if len(spots) == 0 {
		missing := fmt.Sprintf("%s is in no manifest or lockfile of %s at %.12s", label, t.Repository, t.Commit)
		if len(versions) > 0 {
			other := []string{}
			for version := range versions {
				other = append(other, cmp.Or(version, "an unresolved version"))
			}
			slices.Sort(other)
			missing = fmt.Sprintf("%s is not in %s at %.12s, which has it at %s: scan that commit, or name the commit that was scanned", label, t.Repository, t.Commit, strings.Join(other, ", "))
		} else if f.Asset.Kind == fact.AssetImage {
			missing += ": the image's base or another repository brings it; its layers or an SBOM of it would tell"
		} else {
			missing += ": commit the lockfile, or give an SBOM of what was scanned"
		}
		return unknown([]fact.Link{t.observed(f, "reported", fact.Declared)}, missing)
	}
	method, strength := "the report names the file", fact.Attested
	told := clean(f.Path)
	best := 0
	fits := func(s spot) int {
		fit := 0
		if told != "" {
			m := &t.Modules[s.module]
			for _, list := range [][]string{m.Manifests, m.Locks} {
				for _, name := range list {
					fit = max(fit, closeness(name, told))
				}
			}
			fit = max(fit, closeness(m.Packages[s.index].Path, told))
		}
		return fit
	}
	for _, s := range spots {
		best = max(best, fits(s))
	}
	switch best {
	case 0:
		method, strength = "package and version equal", fact.Derived
		if f.Package.Version == "" {
			method, strength = "package name equal", fact.Guess
		}
	default:
		spots = slices.DeleteFunc(slices.Clone(spots), func(s spot) bool { return fits(s) != best })
		if best == 1 {
			method, strength = "the report's path ends like this file's", fact.Derived
		}
	}
	modules := []int{}
	for _, s := range spots {
		if !slices.Contains(modules, s.module) {
			modules = append(modules, s.module)
		}
	}
	cause := fact.Cause{Status: fact.CauseFound, Locations: []fact.Location{}, Chain: []fact.Link{t.observed(f, method, strength)}, Missing: []string{}}
	for _, s := range spots {
		t.lead(&cause, s)
	}
	if len(cause.Locations) == 0 {
		return unknown(cause.Chain, fmt.Sprintf("no line of %s names %s", t.Modules[spots[0].module].Dir, label))
	}
	if len(modules) > 1 && len(cause.Locations) > 1 {
		cause.Status = fact.CauseAmbiguous
		cause.Missing = append(cause.Missing, fmt.Sprintf("%d modules hold %s alike: the file that was scanned would tell which", len(modules), label))
	}
	return cause
}

// lead adds to a cause the chain from a locked package to what declares it.
func (t *Tracer) lead(cause *fact.Cause, s spot) {
	m := &t.Modules[s.module]
	p := &m.Packages[s.index]
	lock := fact.Evidence{Method: "locked", Source: p.Path, Strength: fact.Attested}
	if slices.Contains(m.Manifests, p.Path) {
		lock = fact.Evidence{Method: "pinned", Source: p.Path, Strength: fact.Declared}
	}
	t.link(cause, fact.Link{Kind: "lock", Key: p.Name + "@" + p.Version, Location: t.at(p.Path, p.Line, p.EndLine), Evidence: lock})
	declared := false
	for _, chain := range m.Paths(s.index) {
		for step := len(chain) - 2; step >= 0; step-- {
			parent := &m.Packages[chain[step]]
			t.link(cause, fact.Link{
				Kind: "package", Key: parent.Name + "@" + parent.Version, Location: t.at(parent.Path, parent.Line, parent.EndLine),
				Evidence: fact.Evidence{Method: "requires " + m.Packages[chain[step+1]].Name, Source: parent.Path, Strength: fact.Attested},
			})
		}
		for _, i := range m.Packages[chain[0]].Declared {
			declared = true
			t.declare(cause, &m.Declared[i])
		}
	}
	if declared {
		return
	}
	for _, i := range p.Declared {
		declared = true
		t.declare(cause, &m.Declared[i])
	}
	if declared || p.Line == 0 {
		return
	}
	// No known edge leads here: the line of the package itself can be edited.
	t.locate(cause, t.at(p.Path, p.Line, p.EndLine))
	if !p.EdgesKnown {
		why := fmt.Sprintf("%s does not tell which direct dependency brings %s", p.Path, p.Name)
		if m.Tool == "gomod" {
			why += ": go mod graph would"
		}
		cause.Missing = append(cause.Missing, why)
	}
}

// declare adds the line of a manifest that decides, and the one that shows it
// when that is another.
func (t *Tracer) declare(cause *fact.Cause, d *lockfile.Declaration) {
	evidence := fact.Evidence{Method: "declares", Source: d.Path, Strength: fact.Declared, Detail: d.Constraint}
	location := t.at(d.Path, d.Line, d.EndLine)
	t.link(cause, fact.Link{Kind: "manifest", Key: d.Name, Location: location, Evidence: evidence})
	if d.ValueLine > 0 {
		location = t.at(cmp.Or(d.ValuePath, d.Path), d.ValueLine, d.ValueLine)
		t.link(cause, fact.Link{Kind: "value", Key: d.Name, Location: location, Evidence: fact.Evidence{Method: "the version stands here", Source: location.Path, Strength: fact.Declared}})
	}
	t.locate(cause, location)
}

func (t *Tracer) link(cause *fact.Cause, link fact.Link) {
	if !slices.Contains(cause.Chain, link) {
		cause.Chain = append(cause.Chain, link)
	}
}

func (t *Tracer) locate(cause *fact.Cause, location fact.Location) {
	if !slices.Contains(cause.Locations, location) {
		cause.Locations = append(cause.Locations, location)
	}
}

// file finds a finding's file and line in the tree.
func (t *Tracer) file(ctx context.Context, f *fact.Finding) (fact.Cause, error) {
	told := clean(f.Path)
	if told == "" {
		return unknown([]fact.Link{t.observed(f, "reported", fact.Declared)}, "the report names no file inside a repository"), nil
	}
	if f.Asset.Kind == fact.AssetImage && f.Kind != fact.Misconfiguration {
		return unknown([]fact.Link{t.observed(f, "reported", fact.Declared)}, told+" is a file of an image: what put it there would tell"), nil
	}
	candidates, method, strength := []string{}, "the report names the file", fact.Attested
	if _, found := slices.BinarySearch(t.paths, told); found {
		candidates = append(candidates, told)
	} else {
		method, strength = "the report's path ends like this file's", fact.Derived
		longest := 0
		for _, own := range t.paths {
			if closeness(own, told) == 0 {
				continue
			}
			common := min(len(own), len(told))
			if common > longest {
				candidates, longest = candidates[:0], common
			}
			if common == longest {
				candidates = append(candidates, own)
			}
		}
	}
	chain := []fact.Link{t.observed(f, method, strength)}
	if len(candidates) == 0 {
		chain[0].Evidence = fact.Evidence{Method: "reported", Source: f.Path, Strength: fact.Declared}
		return unknown(chain, fmt.Sprintf("%s is not in %s at %.12s: name the commit that was scanned", told, t.Repository, t.Commit)), nil
	}
	cause := fact.Cause{Status: fact.CauseFound, Locations: []fact.Location{}, Chain: chain, Missing: []string{}}
	for _, name := range candidates {
		location := t.at(name, f.Line, f.EndLine)
		if f.Line > 0 {
			lines, err := t.count(ctx, name)
			if err != nil {
				return fact.Cause{}, err
			}
			if f.Line > lines {
				cause.Missing = append(cause.Missing, fmt.Sprintf("line %d was reported, but %s has %d lines at %.12s: name the commit that was scanned", f.Line, name, lines, t.Commit))
				location = t.at(name, 0, 0)
			} else {
				location.EndLine = min(location.EndLine, lines)
			}
		}
		t.locate(&cause, location)
		t.link(&cause, fact.Link{Kind: "file", Key: name, Location: location, Evidence: fact.Evidence{Method: method, Source: name, Strength: strength}})
	}
	if len(candidates) > 1 {
		cause.Status = fact.CauseAmbiguous
		cause.Missing = append(cause.Missing, fmt.Sprintf("%d files end in %s: the folder that was scanned would tell which", len(candidates), told))
	}
	return cause, nil
}

// count gives the lines of a file.
func (t *Tracer) count(ctx context.Context, name string) (int, error) {
	if lines, ok := t.lines[name]; ok {
		return lines, nil
	}
	data, err := t.Tree.Read(ctx, name)
	if errors.Is(err, code.ErrTooLarge) || errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", name, err)
	}
	lines := bytes.Count(data, []byte{'\n'})
	if len(data) > 0 && data[len(data)-1] != '\n' {
		lines++
	}
	t.lines[name] = lines
	return lines, nil
}
