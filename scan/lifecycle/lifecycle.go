// Package lifecycle finds what a repository builds on or runs that its maker no
// longer supports: base images of Dockerfiles and the distributions inside them,
// images of Kubernetes manifests and Compose files, pinned runtimes, and locked
// packages. It reads text only and needs no network.
//
// What is supported is judged at the day of the clock. A thing whose version is not
// told (a tag such as latest, a digest, a variable without default) is not judged.
package lifecycle

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/dockerfile"
	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/scan"
)

// ID names the scanner in findings and runs.
const ID = "scan/lifecycle"

type scanner struct {
	lives scan.Lives
	now   func() time.Time
}

// New makes the scanner over what is known of products' support.
func New(lives scan.Lives, now func() time.Time) scan.Scanner { return scanner{lives, now} }

func (s scanner) Describe() scan.Description {
	return scan.Description{
		ID: ID, Name: "lifecycle",
		Docs:  "Finds base images, images of manifests, pinned runtimes and locked packages whose cycle of releases is out of support. One finding for each place and cycle.",
		Rules: s.lives.Digest(),
	}
}

// Scan implements scan.Scanner.
func (s scanner) Scan(ctx context.Context, tree code.Tree, found func(fact.Finding) error) ([]scan.Problem, error) {
	products, err := s.lives.Lives()
	if err != nil {
		return nil, fmt.Errorf("end-of-life data: %w", err)
	}
	paths, err := tree.Paths(ctx)
	if err != nil {
		return nil, err
	}
	l := &look{shelf: newShelf(products, s.now()), tree: tree, found: found, given: map[place]bool{}}
	var charts []string
	for _, name := range paths {
		if path.Base(name) == "Chart.yaml" {
			charts = append(charts, path.Dir(name))
		}
	}
	for _, name := range paths {
		if ctx.Err() != nil {
			return l.problems, ctx.Err()
		}
		if installed(name) {
			continue
		}
		if err := l.file(ctx, name, template(name, charts)); err != nil {
			return l.problems, err
		}
	}
	modules, err := lockfile.Read(ctx, tree)
	if err != nil {
		return l.problems, err
	}
	for i := range modules {
		if err := l.module(ctx, &modules[i]); err != nil {
			return l.problems, err
		}
	}
	return l.problems, nil
}

// installed says whether a file lies in a folder of installed things.
func installed(name string) bool {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if code.SkipFolder(path.Base(dir)) {
			return true
		}
	}
	return false
}

// template says whether a file is a template of a chart, whose text is no manifest.
func template(name string, charts []string) bool {
	return slices.ContainsFunc(charts, func(dir string) bool {
		return strings.HasPrefix(name, path.Join(dir, "templates")+"/")
	})
}

// look is one scan.
type look struct {
	*shelf
	tree     code.Tree
	found    func(fact.Finding) error
	given    map[place]bool
	problems []scan.Problem
}

// place is where a cycle was found; it is told once.
type place struct {
	rule, path, name string
	line             int
}

func (l *look) problem(name string, line int, text string) {
	l.problems = append(l.problems, scan.Problem{Path: name, Line: line, Text: text})
}

// file looks at one file of a kind that names images or runtimes; template says that
// it is one of a chart.
func (l *look) file(ctx context.Context, name string, template bool) error {
	base := path.Base(name)
	read := func() ([]byte, bool) {
		data, err := l.tree.Read(ctx, name)
		if err != nil {
			l.problem(name, 0, err.Error())
		}
		return data, err == nil
	}
	switch {
	case dockerfile.Named(name):
		if data, ok := read(); ok {
			return l.dockerfile(name, data)
		}
	case pinning(base):
		if data, ok := read(); ok {
			return l.runtimes(name, data)
		}
	case slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(base)) && base != "package-lock.json":
		if data, ok := read(); ok && template {
			return l.literals(name, data)
		} else if ok {
			return l.manifest(name, data)
		}
	}
	return ctx.Err()
}

func (l *look) dockerfile(name string, data []byte) error {
	file, err := dockerfile.Parse(name, data)
	if err != nil {
		if !rendered(data) {
			l.problem(name, 0, err.Error())
		}
		return nil
	}
	for i := range file.Stages {
		stage := &file.Stages[i]
		if stage.Parent >= 0 || len(stage.Base.Unknown) > 0 {
			continue
		}
		ref, ok := kubernetes.ParseReference(stage.Base.Image)
		if !ok {
			continue
		}
		for _, u := range l.image(ref) {
			line, end := stage.Base.Line, stage.Base.EndLine
			if arg := decides(stage.Base.Args, ref.Tag, u.told); arg > 0 {
				line, end = arg, arg
			}
			if err := l.tell(u, spot{name, line, end, "the base image " + stage.Base.Image}, imagePackage(ref)); err != nil {
				return err
			}
		}
	}
	return nil
}

// decides gives the line of the variable that says what was told of a tag, 0 when the
// FROM says it itself.
func decides(args []dockerfile.Variable, tag, told string) int {
	for i := len(args) - 1; i >= 0; i-- {
		value := args[i].Value
		if value == "" || args[i].Line == 0 {
			continue
		}
		if strings.Contains(strings.ToLower(value), told) || strings.Contains(tag, value) && strings.Contains(told, strings.ToLower(value)) {
			return args[i].Line
		}
	}
	return 0
}

// rendered says whether a text is one that something fills in first.
func rendered(data []byte) bool {
	text := string(data)
	return strings.Contains(text, "{{") || strings.Contains(text, "{%")
}

var kustomizations = []string{"kustomization.yaml", "kustomization.yml"}

// manifest looks at the images of a Kubernetes manifest, a Kustomize file or a Compose
// file.
func (l *look) manifest(name string, data []byte) error {
	base, text := path.Base(name), string(data)
	compose := strings.Contains(base, "compose")
	kustomize := slices.Contains(kustomizations, base)
	if !strings.Contains(text, "image") || !compose && !kustomize && (!strings.Contains(text, "apiVersion") || !strings.Contains(text, "kind")) {
		return nil
	}
	docs, problems := kubernetes.Documents(name, data)
	switch {
	case len(problems) == 0:
	case rendered(data):
		return l.literals(name, data)
	default:
		l.problem(name, problems[0].Place.Line, problems[0].Text)
	}
	for _, doc := range docs {
		var err error
		switch {
		case kustomize:
			for _, image := range doc.List("images") {
				if tag := image.Get("newTag"); tag != nil && err == nil {
					from := image.String("name")
					if other := image.String("newName"); other != "" {
						from = other
					}
					err = l.named(from+":"+tag.Text, tag.Place)
				}
			}
		case compose:
			for _, service := range doc.Entries("services") {
				if image := service.Value.Get("image"); image != nil && err == nil {
					err = l.named(defaults(image.Text), image.Place)
				}
			}
		}
		if err != nil {
			return err
		}
	}
	if compose || kustomize {
		return nil
	}
	objects, _ := kubernetes.Objects(name, data) // its problems are those above
	for _, o := range objects {
		for _, c := range o.Containers() {
			field, err := kubernetes.ParsePath(c.Path)
			if err != nil {
				continue
			}
			if image, _ := o.Root.Find(field); image != nil {
				if err := l.named(c.Image, image.Place); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// literal is a line of a template that names an image without any placeholder.
var literal = regexp.MustCompile(`^[ \t]*(?:-[ \t]+)?image:[ \t]+["']?([^\s"'{}$#]+)["']?[ \t]*(?:#.*)?$`)

// literals looks at the images that a template names whatever it is rendered with.
func (l *look) literals(name string, data []byte) error {
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		if m := literal.FindStringSubmatch(strings.TrimRight(line, "\r\n")); m != nil {
			if err := l.named(m[1], kubernetes.Place{Path: name, Line: number, EndLine: number}); err != nil {
				return err
			}
		}
	}
	return nil
}

// named looks at an image that a manifest names.
func (l *look) named(image string, at kubernetes.Place) error {
	ref, ok := kubernetes.ParseReference(image)
	if !ok {
		return nil
	}
	for _, u := range l.image(ref) {
		if err := l.tell(u, spot{at.Path, at.Line, at.EndLine, "the image " + image}, imagePackage(ref)); err != nil {
			return err
		}
	}
	return nil
}

// defaults puts the defaults of Compose variables in: ${TAG:-3.7} and ${TAG-3.7}.
func defaults(text string) string {
	var out strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "${")
		out.WriteString(before)
		if !ok {
			return out.String()
		}
		inner, after, ok := strings.Cut(rest, "}")
		name, value, has := strings.Cut(inner, "-")
		if !ok || !has || strings.ContainsAny(name, "?+") {
			return "${" // a value that is not known
		}
		out.WriteString(value)
		text = after
	}
}

func (l *look) runtimes(name string, data []byte) error {
	for _, p := range pins(path.Base(name), string(data)) {
		product := l.byName[p.product]
		if product == nil {
			continue
		}
		cycle := cycleOf(product, p.version, true)
		if cycle < 0 {
			continue
		}
		pkg := fact.Package{Name: product.Name, Version: p.version, PURL: "pkg:generic/" + product.Name + "@" + p.version}
		if err := l.tell(use{product, cycle, p.version}, spot{name, p.line, p.line, product.Title + " " + p.version}, pkg); err != nil {
			return err
		}
	}
	return nil
}

// module looks at the locked packages of a module.
func (l *look) module(ctx context.Context, m *lockfile.Module) error {
	for _, p := range m.Problems {
		if !p.Conflict {
			l.problem(p.Path, p.Line, p.Text)
		}
	}
	for i := range m.Packages {
		p := &m.Packages[i]
		if i%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if p.Version == "" || p.Source == "path" || p.Source == "workspace" {
			continue
		}
		product := l.byPackage[packageKey(m.Ecosystem, p.Name)]
		if product == nil {
			continue
		}
		version := strings.TrimPrefix(p.Version, "v")
		cycle := cycleOf(product, version, false)
		if cycle < 0 {
			continue
		}
		at := spot{p.Path, p.Line, p.EndLine, p.Name + " " + p.Version}
		if len(p.Declared) > 0 { // the line that a person edits
			if d := &m.Declared[p.Declared[0]]; d.ValueLine > 0 {
				at.path, at.line, at.end = d.Path, d.ValueLine, d.ValueLine
				if d.ValuePath != "" {
					at.path = d.ValuePath
				}
			} else if d.Line > 0 {
				at.path, at.line, at.end = d.Path, d.Line, d.EndLine
			}
		}
		if err := l.tell(use{product, cycle, version}, at, m.Fact(i)); err != nil {
			return err
		}
	}
	return nil
}

// spot is the line that names a thing.
type spot struct {
	path      string
	line, end int
	what      string // for people
}

// longOver is how long a cycle must be out of support to weigh more.
const longOver = 365 * 24 * time.Hour

// tell gives the finding of a cycle that is out of support.
func (l *look) tell(u use, at spot, pkg fact.Package) error {
	c := &u.product.Cycles[u.cycle]
	if !c.Over(l.now.UnixMicro()) {
		return nil
	}
	rule := "eol/" + u.product.Name + "/" + c.Name
	key := place{rule, at.path, pkg.Name, at.line}
	if l.given[key] {
		return nil
	}
	l.given[key] = true
	label := u.product.Title + " " + c.Name
	if c.Codename != "" {
		label += " (" + c.Codename + ")"
	}
	f := fact.Finding{
		Kind: fact.EndOfLife, Rule: rule, Title: label + " is out of support", Severity: fact.SeverityMedium,
		Asset: fact.Asset{Kind: fact.AssetRepository}, Package: pkg, Anchor: rule,
		Path: at.path, Line: at.line, EndLine: at.end,
		Attributes: map[string]string{"product": u.product.Name, "cycle": c.Name},
	}
	if c.End != 0 {
		day := time.UnixMicro(c.End).UTC()
		f.Title += " since " + day.Format(time.DateOnly)
		f.Attributes["end"] = day.Format(time.DateOnly)
		if l.now.Sub(day) > longOver {
			f.Severity = fact.SeverityHigh
		}
	}
	f.SeverityText = f.Severity.String()
	f.Description = "It comes with " + at.what + "."
	if next := l.next(u); next != nil {
		version := next.Latest
		if version == "" {
			version = next.Name
		}
		f.FixedVersions = []string{version}
		f.Mitigation = fmt.Sprintf("Go to %s %s or newer", u.product.Title, next.Name)
		if next.End != 0 {
			f.Mitigation += ", which is supported until " + time.UnixMicro(next.End).UTC().Format(time.DateOnly)
		}
		f.Mitigation += "."
	}
	return l.found(f)
}
