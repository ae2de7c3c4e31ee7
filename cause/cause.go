// Package cause finds root causes: from a finding to the location in a
// repository that must change, with the chain of evidence that leads there.
//
// It knows packages (through manifests and lockfiles), files, images (through
// their layers to Dockerfiles), Kubernetes objects and cloud resources. When the
// evidence is not enough it says so: equal candidates are returned as a tie, and
// an unknown cause names what would settle it. It reads only; nothing of a
// repository runs.
package cause

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/dockerfile"
	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/code/terraform"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/image"
)

// Context is the repository at the commit that causes are looked for in.
type Context struct {
	Repository string // canonical identity
	Commit     string
	Modules    []lockfile.Module
	Tree       code.Tree
	Running    Running
}

// Tracer traces findings in one repository at one commit. It belongs to one
// goroutine.
type Tracer struct {
	Context
	paths    []string
	packages map[string][]spot // by lower-case package name
	lines    map[string]int    // of files looked at
	words    map[string]bool   // of what is deployed, read when first asked for
	graphs   []*lockfile.Graph // of modules asked for

	// Read when they are first asked for.
	estates [2]*kubernetes.Estate // without and with charts rendered
	files   *image.Repository
	roots   []*terraform.Configuration
	images  map[string]*image.Trace      // by kind and key of the asset
	shared  map[string]shared            // by ecosystem, kind and key of the asset
	sources map[string]kubernetes.Source // the same
}

// spot is a package of a module.
type spot struct{ module, index int }

// New prepares tracing.
func New(ctx context.Context, c Context) (*Tracer, error) {
	paths, err := c.Tree.Paths(ctx)
	if err != nil {
		return nil, fmt.Errorf("files of %s: %w", c.Repository, err)
	}
	t := &Tracer{Context: c, paths: paths, packages: map[string][]spot{}, lines: map[string]int{}, graphs: make([]*lockfile.Graph, len(c.Modules)), images: map[string]*image.Trace{}, shared: map[string]shared{}, sources: map[string]kubernetes.Source{}}
	for i := range c.Modules {
		m := &c.Modules[i]
		for j := range m.Packages {
			key := t.key(m.Ecosystem, m.Packages[j].Name)
			t.packages[key] = append(t.packages[key], spot{i, j})
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
	switch f.Asset.Kind {
	case fact.AssetImage:
		return t.image(ctx, f)
	case fact.AssetKubernetes, fact.AssetWorkload:
		return t.object(ctx, f)
	case fact.AssetResource:
		return t.cloud(ctx, f)
	}
	if fuller := t.fuller(f); fuller != "" {
		same := *f
		same.Path = fuller
		f = &same
	}
	if f.Kind == fact.Vulnerability && f.Package.Name != "" {
		return t.packageCause(f, nil), nil
	}
	return t.decided(ctx, f)
}

// fuller gives the file of the repository that a finding's path means where the
// detector looked at a folder of it: by the folder, or by the path that it tells
// beside the short one. It is "" when neither leads to a file.
func (t *Tracer) fuller(f *fact.Finding) string {
	for _, name := range [...]string{f.Attributes["repo_file_path"], joined(f.Attributes["scanned"], f.Path)} {
		if name = clean(name); name == "" {
			continue
		}
		if _, found := slices.BinarySearch(t.paths, name); found {
			return name
		}
	}
	return ""
}

// joined is a path below the folder that was scanned, or beside it.
func joined(folder, name string) string {
	if folder == "" || name == "" {
		return ""
	}
	return path.Join(folder, strings.ReplaceAll(name, `\`, "/"))
}

// observed is the first link of every chain: what the detector saw, and where.
func (t *Tracer) observed(f *fact.Finding, method string, strength fact.Strength) fact.Link {
	source := cmp.Or(f.Path, f.Asset.Key, f.Position.Item, "report")
	return fact.Link{
		Kind: "finding", Key: cmp.Or(f.Rule, string(f.Kind), "unnamed"),
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
// adds "(npm)", others write absolute paths, container paths, backslashes, or a
// path from the folder that they ran in.
func clean(name string) string {
	if at := strings.LastIndex(name, " ("); at > 0 && strings.HasSuffix(name, ")") {
		name = name[:at]
	}
	up := strings.ReplaceAll(name, `\`, "/")
	for strings.HasPrefix(up, "../") {
		up = up[3:]
	}
	if strings.Contains(up, "/") { // a file's name alone says too little there
		name = up
	}
	return code.CleanPath(name)
}

// Closeness of a module's file to the path that a tool wrote.
const (
	apart    = 0
	sameBase = 1    // only the file's name agrees
	perPart  = 10   // one path ends in the other: for each part of the shorter
	sameFile = 9999 // equal
)

// closeness compares a path of the repository with one that a tool wrote. A
// tool's path is longer when it names a checkout or a container, shorter when
// the tool looked at a part of the repository.
func closeness(own, told string) int {
	switch {
	case told == "":
		return apart
	case own == told:
		return sameFile
	case strings.HasSuffix(told, "/"+own):
		return perPart * (1 + strings.Count(own, "/"))
	case strings.HasSuffix(own, "/"+told):
		return perPart * (1 + strings.Count(told, "/"))
	case path.Base(own) == path.Base(told):
		return sameBase
	}
	return apart
}

// fit is the closeness of a module's package to what a finding says of its
// place. In an image the repository's folders mean nothing, so that one part
// in common is the file's name only.
func (t *Tracer) fit(f *fact.Finding, s spot, told string) int {
	m := &t.Modules[s.module]
	best := closeness(m.Packages[s.index].Path, told)
	for _, list := range [][]string{m.Manifests, m.Locks} {
		for _, name := range list {
			best = max(best, closeness(name, told))
		}
	}
	if at := strings.Index("/"+told, "/node_modules/"); at >= 0 && m.Ecosystem == "npm" {
		folder, key := strings.TrimSuffix(told[:at], "/"), path.Dir(told[at:])
		if m.Packages[s.index].Key == key {
			best = max(best, sameBase)
			if folder != "" && m.Dir != "" && closeness(m.Dir, folder) >= perPart {
				best = closeness(m.Dir, folder)
			}
		}
	}
	if f.Asset.Kind == fact.AssetImage && best == perPart {
		best = sameBase
	}
	return best
}

// packageCause leads from a package to the line of a manifest that decides it. Of
// equal modules the nearest count, and none that is out of reach; nil reaches all.
func (t *Tracer) packageCause(f *fact.Finding, near reach) fact.Cause {
	pkg := f.Package
	if named, ok := fact.ParsePURL(pkg.PURL); ok && pkg.Ecosystem == "" {
		pkg.Ecosystem, pkg.Name, pkg.Version = named.Ecosystem, named.Name, cmp.Or(pkg.Version, named.Version)
	}
	label := pkg.Name
	if pkg.Version != "" {
		label += " " + pkg.Version
	}
	told := clean(f.Path)
	var equal, other, open []spot // at the version, at another, at none that is known
	for _, s := range t.packages[t.key(pkg.Ecosystem, pkg.Name)] {
		m := &t.Modules[s.module]
		p := &m.Packages[s.index]
		switch {
		case near != nil && near(m.Dir) == 0:
		case pkg.Ecosystem != "" && pkg.Ecosystem != m.Ecosystem || !lockfile.SameName(m.Ecosystem, p.Name, pkg.Name):
		case pkg.Version == "" || lockfile.SameVersion(m.Ecosystem, p.Version, pkg.Version):
			equal = append(equal, s)
		case p.Version == "":
			open = append(open, s)
		default:
			other = append(other, s)
		}
	}
	closest := func(spots []spot) (best []spot, at int) {
		for _, s := range spots {
			switch fit := t.fit(f, s, told); {
			case fit > at:
				best, at = []spot{s}, fit
			case fit == at:
				best = append(best, s)
			}
		}
		return best, at
	}
	spots, at := closest(equal)
	if near != nil {
		nearest := 0
		for _, s := range spots {
			nearest = max(nearest, near(t.Modules[s.module].Dir))
		}
		spots = slices.DeleteFunc(spots, func(s spot) bool { return near(t.Modules[s.module].Dir) < nearest })
	}
	method, strength := "", fact.Derived
	elsewhere, elsewhereAt := closest(other)
	declared, declaredAt := closest(open)
	switch {
	case elsewhereAt >= perPart && elsewhereAt > at:
		// The very file that was scanned has another version now.
		return unknown([]fact.Link{t.observed(f, "reported", fact.Declared)}, t.otherVersions(label, elsewhere))
	case len(spots) == 0 && declaredAt >= perPart:
		spots, method = declared, "the report names the file, which declares no exact version"
	case len(spots) == 0:
		return unknown([]fact.Link{t.observed(f, "reported", fact.Declared)}, t.absent(f, pkg, label, other, open))
	case at == sameFile:
		method, strength = "the report names the file", fact.Attested
	case at >= perPart:
		method = "the report's path and the file's end alike"
	case pkg.Version == "":
		method, strength = "package name equal", fact.Guess
	default:
		method, strength = "package and version equal", fact.Guess
	}
	cause := fact.Cause{Status: fact.CauseFound, Locations: []fact.Location{}, Chain: []fact.Link{t.observed(f, method, strength)}, Missing: []string{}}
	var folders []string
	for _, s := range spots {
		t.lead(&cause, s)
		if m := &t.Modules[s.module]; !slices.Contains(folders, moduleName(m)) {
			folders = append(folders, moduleName(m))
		}
	}
	if len(cause.Locations) == 0 {
		return unknown(cause.Chain, fmt.Sprintf("no line of %s names %s", folders[0], label))
	}
	if len(folders) > 1 && len(cause.Locations) > 1 {
		cause.Status = fact.CauseAmbiguous
		cause.Missing = append(cause.Missing, fmt.Sprintf("%s is in %d modules alike (%s): the file that was scanned would tell which", label, len(folders), listed(folders)))
	}
	return cause
}

// within says whether a folder is another or lies below it.
func within(dir, folder string) bool { return dir == folder || strings.HasPrefix(dir, folder+"/") }

// moduleName names a module for people: its folder and tool.
func moduleName(m *lockfile.Module) string {
	file := ""
	if len(m.Manifests) > 0 {
		file = m.Manifests[0]
	} else if len(m.Locks) > 0 {
		file = m.Locks[0]
	}
	return file
}

// listed joins words, at most five of them.
func listed(words []string) string {
	if n := len(words); n > 5 {
		return strings.Join(words[:5], ", ") + fmt.Sprintf(" and %d more", n-5)
	}
	return strings.Join(words, ", ")
}

func (t *Tracer) otherVersions(label string, spots []spot) string {
	var has []string
	for _, s := range spots {
		p := &t.Modules[s.module].Packages[s.index]
		if text := fmt.Sprintf("%s in %s line %d", p.Version, p.Path, p.Line); !slices.Contains(has, text) {
			has = append(has, text)
		}
	}
	return fmt.Sprintf("%s is not in %s at %.12s, which has %s: name the commit that was scanned, or scan this one", label, t.Repository, t.Commit, listed(has))
}

// absent says what would settle where a package comes from that no module has.
func (t *Tracer) absent(f *fact.Finding, pkg fact.Package, label string, other, open []spot) string {
	if len(open) > 0 {
		p := &t.Modules[open[0].module].Packages[open[0].index]
		return fmt.Sprintf("%s line %d declares %s without an exact version, and no lockfile of %s is in the repository at %.12s: commit it", p.Path, p.Line, pkg.Name, moduleName(&t.Modules[open[0].module]), t.Commit)
	}
	if len(other) > 0 {
		text := t.otherVersions(label, other)
		if pkg.Name == lockfile.Stdlib && pkg.Ecosystem == "Go" {
			text += "; a binary has the standard library of the toolchain that built it, which a Dockerfile or a workflow chooses"
		}
		return text
	}
	missing := fmt.Sprintf("%s is in no manifest or lockfile of %s at %.12s", label, t.Repository, t.Commit)
	if f.Asset.Kind == fact.AssetImage {
		return missing + ": the image's base or another repository brings it; its layers or an SBOM of it would tell"
	}
	same := func(m lockfile.Module) bool { return m.Ecosystem == pkg.Ecosystem && len(m.Locks) == 0 }
	if i := slices.IndexFunc(t.Modules, same); i >= 0 && pkg.Ecosystem != "Go" {
		return missing + fmt.Sprintf(": %s has no lockfile in the repository, which would list it", moduleName(&t.Modules[i]))
	}
	return missing + ": name the commit that was scanned, or give an SBOM of what was scanned"
}

// graph gives the prepared graph of a module.
func (t *Tracer) graph(module int) *lockfile.Graph {
	if t.graphs[module] == nil {
		t.graphs[module] = t.Modules[module].Graph()
	}
	return t.graphs[module]
}

// lead adds to a cause the chain from a locked package to what declares it.
func (t *Tracer) lead(cause *fact.Cause, s spot) {
	m := &t.Modules[s.module]
	p := &m.Packages[s.index]
	edge := fact.Attested // an edge of a lock, which the ecosystem's tool wrote
	switch {
	case p.Reported != "":
		edge = fact.Declared
		t.link(cause, fact.Link{Kind: "package", Key: key(p), Location: t.at(p.Path, p.Line, p.EndLine), Evidence: fact.Evidence{Method: "resolved by the detector", Source: p.Reported, Strength: edge}})
	case slices.Contains(m.Manifests, p.Path):
		edge = fact.Declared
		t.link(cause, fact.Link{Kind: "lock", Key: key(p), Location: t.at(p.Path, p.Line, p.EndLine), Evidence: fact.Evidence{Method: "stated", Source: p.Path, Strength: edge}})
	default:
		t.link(cause, fact.Link{Kind: "lock", Key: key(p), Location: t.at(p.Path, p.Line, p.EndLine), Evidence: fact.Evidence{Method: "locked", Source: p.Path, Strength: edge}})
	}
	for i := range m.Declared {
		// An override decides, whoever else asks for the package.
		if d := &m.Declared[i]; d.Group == "override" && lockfile.SameName(m.Ecosystem, d.Name, p.Name) {
			t.declare(cause, d)
			return
		}
	}
	declared := false
	for _, chain := range t.graph(s.module).Paths(s.index) {
		for step := len(chain) - 2; step >= 0; step-- {
			parent := &m.Packages[chain[step]]
			t.link(cause, fact.Link{
				Kind: "package", Key: key(parent), Location: t.at(parent.Path, parent.Line, parent.EndLine),
				Evidence: fact.Evidence{Method: "requires " + m.Packages[chain[step+1]].Name, Source: cmp.Or(m.Packages[chain[step+1]].Reported, parent.Path), Strength: edge},
			})
		}
		for _, i := range m.Packages[chain[0]].Declared {
			declared = true
			t.declare(cause, &m.Declared[i])
		}
	}
	if declared || p.Line == 0 {
		return
	}
	// No known edge leads here: the line of the package itself can be edited.
	t.locate(cause, t.at(p.Path, p.Line, p.EndLine))
	var why string
	switch {
	case p.Reported != "":
		why = fmt.Sprintf("neither %s nor %s tells which direct dependency brings %s", p.Path, p.Reported, p.Name)
		if command := map[string]string{"maven": "mvn dependency:tree", "gradle": "./gradlew dependencies"}[m.Tool]; command != "" {
			why += "; " + command + " would"
		}
	case m.Tool == "gomod":
		why = fmt.Sprintf("%s does not tell which direct dependency brings %s; go mod graph would", p.Path, p.Name)
	case len(m.Manifests) == 0:
		why = fmt.Sprintf("no manifest is beside %s; it would tell which dependency asks for %s", p.Path, p.Name)
	default:
		why = fmt.Sprintf("%s does not tell which direct dependency brings %s", p.Path, p.Name)
	}
	cause.Missing = append(cause.Missing, why)
}

func key(p *lockfile.Package) string {
	if p.Version == "" {
		return p.Name
	}
	return p.Name + "@" + p.Version
}

// declare adds the line of a manifest that decides, and the one that shows it
// when that is another.
func (t *Tracer) declare(cause *fact.Cause, d *lockfile.Declaration) {
	evidence := fact.Evidence{Method: "declares", Source: d.Path, Strength: fact.Declared, Detail: d.Constraint}
	if d.Group == "override" {
		evidence.Method = "overrides"
	}
	location := t.at(d.Path, d.Line, d.EndLine)
	t.link(cause, fact.Link{Kind: "manifest", Key: d.Name, Location: location, Evidence: evidence})
	if d.ValueLine > 0 {
		location = t.at(cmp.Or(d.ValuePath, d.Path), d.ValueLine, d.ValueLine)
		t.link(cause, fact.Link{Kind: "manifest", Key: d.Name, Location: location, Evidence: fact.Evidence{Method: "states the version", Source: location.Path, Strength: fact.Declared}})
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
	candidates, method, strength := []string{}, "the report names the file", fact.Attested
	if _, found := slices.BinarySearch(t.paths, told); found {
		candidates = append(candidates, told)
	} else {
		method, strength = "the report's path and the file's end alike", fact.Derived
		best := perPart
		for _, own := range t.paths {
			switch fit := closeness(own, told); {
			case fit > best:
				candidates, best = []string{own}, fit
			case fit == best:
				candidates = append(candidates, own)
			}
		}
	}
	moved := f.Commit != "" && !strings.HasPrefix(t.Commit, f.Commit)
	if moved {
		strength = fact.Derived
	}
	chain := []fact.Link{t.observed(f, method, strength)}
	if len(candidates) == 0 {
		chain[0].Evidence = fact.Evidence{Method: "reported", Source: f.Path, Strength: fact.Declared}
		return unknown(chain, fmt.Sprintf("%s is not in %s at %.12s: name the commit that was scanned", told, t.Repository, t.Commit)), nil
	}
	cause := fact.Cause{Status: fact.CauseFound, Locations: []fact.Location{}, Chain: chain, Missing: []string{}}
	for _, name := range candidates {
		location := t.at(name, f.Line, f.EndLine)
		lines, err := t.count(ctx, name)
		if err != nil {
			return fact.Cause{}, err
		}
		if f.Line > lines {
			chain = append(chain, fact.Link{Kind: "file", Key: name, Location: t.at(name, 0, 0), Evidence: fact.Evidence{Method: method, Source: name, Strength: fact.Guess}})
			cause.Missing = append(cause.Missing, fmt.Sprintf("line %d was reported, but %s has %d lines at %.12s: name the commit that was scanned", f.Line, name, lines, t.Commit))
			continue
		}
		location.EndLine = min(location.EndLine, lines)
		if f.Line <= 0 {
			location.Line, location.EndLine = 0, 0
		}
		links := []fact.Link{{Kind: "file", Key: name, Location: location, Evidence: fact.Evidence{Method: method, Source: name, Strength: strength}}}
		if stage, ok, err := t.lacking(ctx, f, name); err != nil {
			return fact.Cause{}, err
		} else if ok {
			location = stage.Location
			links = append(links, stage)
		}
		t.locate(&cause, location)
		for _, link := range links {
			t.link(&cause, link)
		}
	}
	if len(cause.Locations) == 0 {
		return unknown(chain, cause.Missing...), nil
	}
	if moved {
		cause.Missing = append(cause.Missing, fmt.Sprintf("%.12s was scanned and this is %.12s: lines may have moved", f.Commit, t.Commit))
	}
	if len(cause.Locations) > 1 {
		cause.Status = fact.CauseAmbiguous
		cause.Missing = append(cause.Missing, fmt.Sprintf("%d files end like %s: the folder that was scanned would tell which", len(cause.Locations), told))
	}
	return cause, nil
}

// lacking leads a misconfiguration of a Dockerfile that has no line, since the
// instruction is missing, to where the last stage begins, into which it belongs.
func (t *Tracer) lacking(ctx context.Context, f *fact.Finding, name string) (fact.Link, bool, error) {
	if f.Kind != fact.Misconfiguration || f.Line > 0 || !dockerfile.Named(name) {
		return fact.Link{}, false, nil
	}
	data, err := t.Tree.Read(ctx, name)
	if errors.Is(err, code.ErrTooLarge) || errors.Is(err, fs.ErrNotExist) {
		return fact.Link{}, false, nil
	}
	if err != nil {
		return fact.Link{}, false, fmt.Errorf("read %s: %w", name, err)
	}
	file, err := dockerfile.Parse(name, data)
	if err != nil || len(file.Stages) == 0 {
		return fact.Link{}, false, nil
	}
	last := file.Stages[len(file.Stages)-1]
	return fact.Link{Kind: "stage", Key: cmp.Or(last.Name, fmt.Sprintf("stage %d", last.Index)), Location: t.at(name, last.Line, last.Line),
		Evidence: fact.Evidence{Method: "what a Dockerfile lacks belongs into its last stage", Source: name, Strength: fact.Derived}}, true, nil
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
