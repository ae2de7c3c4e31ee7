package kubernetes

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Release is one chart with the values of one environment.
type Release struct {
	Chart      string   // folder of the chart
	Name       string   // of the release
	Namespace  string   // of the release
	ValueFiles []string // in their order
	From       *Place   // the Application or HelmRelease that names it, nil when none does
	inline     []*Node  // values of From
	values     *Node    // merged, with the place of every leaf
	overlay    *Node    // those of ValueFiles and From alone
	switches   []leaf   // that were turned on to find what the values in the repository hide

	chartName, chartVersion string
	base                    map[string]string
	templates               map[string]string // rendered path -> path in the repository
	job                     RenderJob
}

// Label tells the release apart: chart, then what its values come from.
func (r *Release) Label() string {
	label := r.Chart
	if len(r.ValueFiles) > 0 {
		label += " with " + strings.Join(r.ValueFiles, ", ")
	}
	if r.From != nil {
		label += fmt.Sprintf(" as %s:%d says", r.From.Path, r.From.Line)
	}
	return label
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// mergeValues lays values over others as Helm does: maps merge, null removes a
// key, everything else replaces.
func mergeValues(under, with *Node) *Node {
	if under == nil || under.Shape != Map || with == nil || with.Shape != Map {
		if with == nil {
			return under.clone()
		}
		return with.clone()
	}
	out := under.clone()
	for _, f := range with.Fields {
		have := out.Get(f.Key)
		switch {
		case f.Value.Shape == Scalar && f.Value.Tag == "!!null":
			out.remove(f.Key)
		case have != nil && have.Shape == Map && f.Value.Shape == Map:
			out.set(f.Key, mergeValues(have, f.Value))
		default:
			v := f.Value.clone()
			v.Over = have
			out.set(f.Key, v)
		}
	}
	return out
}

// load reads the chart's files and its merged values.
func (r *Release) load(ctx context.Context, e *Estate) error {
	r.job = RenderJob{Files: map[string][]byte{}, Release: r.Name, Namespace: r.Namespace}
	r.overlay = &Node{Shape: Map}
	r.templates = map[string]string{}
	size := 0
	prefix := r.Chart + "/"
	if r.Chart == "." {
		prefix = ""
	}
	for _, name := range e.paths {
		below, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		top, _, nested := strings.Cut(below, "/")
		if r.Chart == "." && nested && top != "templates" && top != "charts" && top != "crds" && top != "files" {
			continue
		}
		data, err := e.tree.Read(ctx, name)
		if err != nil {
			e.problem(Place{Path: name}, "cannot read: %v", err)
			continue
		}
		if size += len(data); size > chartBytes || len(r.job.Files) > 10_000 {
			return fmt.Errorf("the chart is larger than 64 MiB or 10,000 files")
		}
		r.job.Files[below] = data
	}
	values, err := r.chartValues(ctx, e, r.Chart, r.job.Files, 0)
	if err != nil {
		return err
	}
	for _, name := range r.ValueFiles {
		data, err := e.tree.Read(ctx, name)
		if err != nil {
			e.problem(Place{Path: name}, "values file of %s: %v", r.Chart, err)
			continue
		}
		docs, problems := documents(name, data, 0, "values")
		e.problems = append(e.problems, problems...)
		if len(docs) > 0 && docs[0].Shape == Map {
			values, r.overlay = mergeValues(values, docs[0]), mergeValues(r.overlay, docs[0])
		}
	}
	for _, n := range r.inline {
		values, r.overlay = mergeValues(values, n), mergeValues(r.overlay, n)
	}
	r.values = values
	if docs, _ := documents(path.Join(r.Chart, "Chart.yaml"), r.job.Files["Chart.yaml"], 0, "chart"); len(docs) > 0 {
		r.chartName, r.chartVersion = docs[0].String("name"), docs[0].String("version")
	}
	return nil
}

// chartValues gives a chart's own values with those of its subcharts below their
// names; the parent's win.
func (r *Release) chartValues(ctx context.Context, e *Estate, dir string, files map[string][]byte, depth int) (*Node, error) {
	out := &Node{Shape: Map}
	if depth > 8 {
		return out, nil
	}
	aliases := map[string][]string{}
	if docs, _ := documents(path.Join(dir, "Chart.yaml"), files["Chart.yaml"], 0, "chart"); len(docs) > 0 {
		for _, d := range append(docs[0].List("dependencies"), requirements(files)...) {
			name := d.String("alias")
			if name == "" {
				name = d.String("name")
			}
			aliases[d.String("name")] = append(aliases[d.String("name")], name)
		}
	}
	subs := map[string]map[string][]byte{}
	for name, data := range files {
		rest, ok := strings.CutPrefix(name, "charts/")
		if !ok {
			continue
		}
		sub, below, nested := strings.Cut(rest, "/")
		if !nested && strings.HasSuffix(sub, ".tgz") {
			unpacked, top, err := unpack(data)
			if err != nil {
				e.problem(Place{Path: path.Join(dir, name)}, "packed chart: %v", err)
				continue
			}
			subs["charts/"+sub+"!"+top] = unpacked
			continue
		}
		if nested {
			if subs["charts/"+sub] == nil {
				subs["charts/"+sub] = map[string][]byte{}
			}
			subs["charts/"+sub][below] = data
		}
	}
	for _, at := range sorted(subs) {
		sub := subs[at]
		docs, _ := documents("", sub["Chart.yaml"], 0, "chart")
		if len(docs) == 0 {
			continue
		}
		values, err := r.chartValues(ctx, e, path.Join(dir, at), sub, depth+1)
		if err != nil {
			return nil, err
		}
		names := aliases[docs[0].String("name")]
		if len(names) == 0 {
			names = []string{docs[0].String("name")}
		}
		for _, name := range names {
			out.set(name, values.clone())
		}
	}
	if data, ok := files["values.yaml"]; ok {
		docs, problems := documents(path.Join(dir, "values.yaml"), data, 0, "values")
		e.problems = append(e.problems, problems...)
		if len(docs) > 0 && docs[0].Shape == Map {
			out = mergeValues(out, docs[0])
		}
	}
	return out, nil
}

func requirements(files map[string][]byte) []*Node {
	docs, _ := documents("requirements.yaml", files["requirements.yaml"], 0, "chart")
	if len(docs) == 0 {
		return nil
	}
	return docs[0].List("dependencies")
}

// unpack reads a packed chart in memory; links and names that leave it are left out.
func unpack(data []byte) (map[string][]byte, string, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, "", err
	}
	files, total, top := map[string][]byte{}, 0, ""
	for t := tar.NewReader(io.LimitReader(z, chartBytes+1)); ; {
		h, err := t.Next()
		if err == io.EOF {
			return files, top, nil
		}
		if err != nil {
			return nil, "", err
		}
		name := path.Clean(h.Name)
		first, below, ok := strings.Cut(name, "/")
		if h.Typeflag != tar.TypeReg || !ok || first == ".." || first == "" {
			continue
		}
		content, err := io.ReadAll(io.LimitReader(t, chartBytes-int64(total)+1))
		if err != nil {
			return nil, "", err
		}
		if total += len(content); total > chartBytes || len(files) > 10_000 {
			return nil, "", fmt.Errorf("larger than 64 MiB or 10,000 files when unpacked")
		}
		top, files[below] = first, content
	}
}

// render renders the release once and gives its objects.
func (r *Release) render(ctx context.Context, e *Estate, open *sessions) ([]*Object, error) {
	session, err := open.of(ctx, e.options.Renderer, r)
	if err != nil {
		return nil, err
	}
	values, _ := r.values.Value().(map[string]any)
	files, err := session.Render(ctx, values)
	if err != nil {
		open.drop(r.Chart)
		return nil, err
	}
	r.base = files
	return r.objects(files), nil
}

// sessions are the renderings that are open, by chart, since starting one takes longer
// than a render.
type sessions struct {
	by    map[string]Rendering
	order []string
}

const maxSessions = 4

func (s *sessions) of(ctx context.Context, renderer Renderer, r *Release) (Rendering, error) {
	if session := s.by[r.Chart]; session != nil {
		session.As(r.job.Release, r.job.Namespace)
		return session, nil
	}
	session, err := renderer.Open(ctx, r.job)
	if err != nil {
		return nil, err
	}
	if len(s.order) >= maxSessions {
		s.drop(s.order[0])
	}
	if s.by == nil {
		s.by = map[string]Rendering{}
	}
	s.by[r.Chart] = session
	s.order = append(s.order, r.Chart)
	return session, nil
}

// drop closes the rendering of a chart.
func (s *sessions) drop(chart string) {
	if session := s.by[chart]; session != nil {
		_ = session.Close()
		delete(s.by, chart)
		s.order = slices.DeleteFunc(s.order, func(other string) bool { return other == chart })
	}
}

func (s *sessions) close() {
	for len(s.order) > 0 {
		s.drop(s.order[0])
	}
}

func (r *Release) objects(files map[string]string) []*Object {
	var all []*Object
	for _, name := range sorted(files) {
		if strings.HasSuffix(name, "NOTES.txt") || strings.TrimSpace(files[name]) == "" {
			continue
		}
		docs, _ := documents(name, []byte(files[name]), 0, "template")
		for _, doc := range docs {
			for _, o := range objectsOf(doc) {
				o.Unit, o.release, o.file = r.Label(), r, name
				o.Place = Place{Path: r.source(name)}
				all = append(all, o)
			}
		}
	}
	return all
}

// source gives the template's path in the repository for a rendered path
// "chart/templates/x.yaml" or "chart/charts/sub/templates/x.yaml".
func (r *Release) source(rendered string) string {
	_, below, _ := strings.Cut(rendered, "/")
	if _, ok := r.job.Files[below]; ok {
		return path.Join(r.Chart, below)
	}
	// An alias or a packed chart: the chart's folder is not its name.
	for _, name := range sorted(r.job.Files) {
		if at := strings.Index(below, "/templates/"); at > 0 && strings.HasSuffix(name, below[at:]) {
			return path.Join(r.Chart, name)
		}
	}
	return path.Join(r.Chart, below)
}

// leaf is one value of the merged values.
type leaf struct {
	path []string
	node *Node
	gone bool // flipping it removes the object
}

// Key writes the leaf as Helm's --set does.
func (l leaf) Key() string { return strings.Join(l.path, ".") }

const maxLeaves = 5000

func leaves(n *Node, at []string, all []leaf) []leaf {
	if len(all) >= maxLeaves || n == nil || len(at) > 64 {
		return all
	}
	switch n.Shape {
	case Map:
		for _, f := range n.Fields {
			all = leaves(f.Value, append(slices.Clone(at), f.Key), all)
		}
	case List:
		for i, item := range n.Items {
			all = leaves(item, append(slices.Clone(at), strconv.Itoa(i)), all)
		}
	default:
		all = append(all, leaf{path: at, node: n})
	}
	return all
}

// flipped gives another value of the same type.
func flipped(n *Node) any {
	switch v := n.Value().(type) {
	case bool:
		return !v
	case int64:
		return v + 1
	case float64:
		return v + 1
	case string:
		if i, err := strconv.ParseInt(v, 10, 32); err == nil {
			return strconv.FormatInt(i+1, 10)
		}
		return v + "-moved"
	}
	return "moved"
}

func setValue(root any, at []string, value any) {
	for i, key := range at {
		last := i == len(at)-1
		switch v := root.(type) {
		case map[string]any:
			if last {
				v[key] = value
			}
			root = v[key]
		case []any:
			n, err := strconv.Atoi(key)
			if err != nil || n < 0 || n >= len(v) {
				return
			}
			if last {
				v[n] = value
			}
			root = v[n]
		default:
			return
		}
	}
}

// perturbation finds the values that move one field of a rendered object.
type perturbation struct {
	ctx     context.Context
	r       *Release
	session Rendering
	target  *Object
	field   []Segment
	want    *Node
	renders int
}

const maxRenders = 400

// outcome of rendering with other values.
const (
	same = iota
	moved
	gone   // the object is not there any more
	broken // does not render
)

func (p *perturbation) try(set []leaf) int {
	if p.renders++; p.renders > maxRenders || p.ctx.Err() != nil {
		return same
	}
	values, _ := p.r.values.Value().(map[string]any)
	for _, l := range set {
		setValue(values, l.path, flipped(l.node))
	}
	files, err := p.session.Render(p.ctx, values)
	if err != nil {
		return broken
	}
	o := p.find(files)
	if o == nil {
		return gone
	}
	got, _ := o.Root.Find(p.field)
	if got.same(p.want) {
		return same
	}
	return moved
}

// find gives the object in another render: that of the same kind and name, else the
// first of the kind at the same template.
func (p *perturbation) find(files map[string]string) *Object {
	docs, _ := documents(p.target.file, []byte(files[p.target.file]), 0, "template")
	var named, alike []*Object
	for _, doc := range docs {
		for _, o := range objectsOf(doc) {
			if o.Kind != p.target.Kind {
				continue
			}
			alike = append(alike, o)
			if o.Name == p.target.Name {
				named = append(named, o)
			}
		}
	}
	if len(named) == 0 {
		named = alike
	}
	if len(named) == 0 {
		return nil
	}
	return named[0]
}

// halve gives the leaves of a set that move the field, each tried alone in the end.
// Those that make the whole object go away are switches of it.
func (p *perturbation) halve(set []leaf) []leaf {
	if len(set) == 0 {
		return nil
	}
	outcome := p.try(set)
	if outcome == same || outcome == broken && len(set) == 1 {
		return nil
	}
	if len(set) == 1 {
		set[0].gone = outcome == gone
		return set
	}
	half := len(set) / 2
	return append(p.halve(set[:half]), p.halve(set[half:])...)
}

// Decider is a value of a chart that moves a field.
type Decider struct {
	Key     string `json:"key"`
	Place   Place  `json:"place"`
	Control bool   `json:"control,omitempty"` // a switch that decides whether, not what
	node    *Node
	path    []string
}

// Deciders finds the values that move a field of an object of a chart by changing
// one leaf at a time and comparing the renders. None means that the field is
// literal in the template.
func (e *Estate) Deciders(ctx context.Context, o *Object, field []Segment) ([]Decider, error) {
	if o.release == nil || e.options.Renderer == nil {
		return nil, fmt.Errorf("%s is no object of a rendered chart", o.ID())
	}
	session, err := e.options.Renderer.Open(ctx, o.release.job)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	want, _ := o.Root.Find(field)
	p := &perturbation{ctx: ctx, r: o.release, session: session, target: o, field: field, want: want}
	if p.try(nil) != same {
		return nil, fmt.Errorf("%s: two renders of one chart differ in the field, which nothing can be compared with", o.ID())
	}
	var likely, plain, switches []leaf
	for _, l := range leaves(o.release.values, nil, nil) {
		switch {
		case l.node.Tag == "!!bool":
			switches = append(switches, l)
		case want != nil && want.Shape == Scalar && len(l.node.Text) > 1 && strings.Contains(want.Text, l.node.Text):
			likely = append(likely, l)
		default:
			plain = append(plain, l)
		}
	}
	found := p.halve(likely)
	found = append(found, p.halve(plain)...)
	controls := p.halve(switches)
	var out []Decider
	for _, l := range found {
		out = append(out, Decider{l.Key(), l.node.Place, l.gone, l.node, l.path})
	}
	for _, l := range controls {
		control := l.gone || want == nil || want.Shape != Scalar || want.Tag != "!!bool" || len(found) > 0
		out = append(out, Decider{l.Key(), l.node.Place, control, l.node, l.path})
	}
	if p.renders > maxRenders {
		return out, fmt.Errorf("more than %d renders; some values were not tried", maxRenders)
	}
	// The value whose text makes up most of the field comes first.
	slices.SortStableFunc(out, func(a, b Decider) int {
		if a.Control != b.Control {
			if a.Control {
				return 1
			}
			return -1
		}
		return share(b.node, want) - share(a.node, want)
	})
	return out, ctx.Err()
}

// maxSwitches bounds how many values that are off are turned on to find what they hide.
const maxSwitches = 300

// hidden finds an object that no chart renders with the values of the repository,
// but one does with values that are off turned on: those alone that it needs.
func (e *Estate) hidden(ctx context.Context, r Request, live *Object) ([]*Object, error) {
	if e.options.Renderer == nil {
		return nil, nil
	}
	var all []*Object
	seen := map[string]bool{}
	for _, release := range e.Releases {
		if seen[release.Chart] || ctx.Err() != nil {
			continue
		}
		seen[release.Chart] = true
		if live != nil {
			if name := live.Root.String("metadata", "annotations", "meta.helm.sh/release-name"); name != "" {
				own := *release // names of objects hold that of the release
				own.Name, own.job.Release = name, name
				release = &own
			}
		}
		found, err := e.switchedOn(ctx, release, r)
		if err != nil {
			return all, fmt.Errorf("%s: looking for what its values hide: %w", release.Label(), err)
		}
		all = append(all, found...)
	}
	return all, ctx.Err()
}

// mentions says whether a template of the chart writes objects of a kind, as far as
// its text shows.
func (r *Release) mentions(kind string) bool {
	want := "kind: " + strings.ToLower(kind)
	for name, data := range r.job.Files {
		if strings.Contains(name, "templates/") && strings.Contains(strings.ToLower(string(data)), want) {
			return true
		}
	}
	return false
}

func (e *Estate) switchedOn(ctx context.Context, release *Release, r Request) ([]*Object, error) {
	var off []leaf
	for _, l := range leaves(release.values, nil, nil) {
		if l.node.Tag == "!!bool" && l.node.Value() == false && len(off) < maxSwitches {
			off = append(off, l)
		}
	}
	if len(off) == 0 || !release.mentions(r.Kind) {
		return nil, nil
	}
	session, err := e.options.Renderer.Open(ctx, release.job)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	renders := 0
	// with renders with switches on, and gives the object when it is there.
	with := func(on []leaf) (*Release, []*Object) {
		if renders++; renders > maxRenders || ctx.Err() != nil {
			return nil, nil
		}
		values, _ := release.values.Value().(map[string]any)
		for _, l := range on {
			setValue(values, l.path, true)
		}
		files, err := session.Render(ctx, values)
		if err != nil {
			return nil, nil // not every pair of switches goes together
		}
		changed := *release
		changed.base, changed.switches = files, on
		changed.values = release.values.clone()
		for _, l := range on {
			if n := valueAt(changed.values, l.path); n != nil {
				n.Text = "true"
			}
		}
		var found []*Object
		for _, o := range changed.objects(files) {
			if strings.EqualFold(o.Kind, r.Kind) && o.Name == r.Name {
				found = append(found, o)
			}
		}
		return &changed, found
	}
	on := off
	if _, found := with(on); len(found) == 0 {
		// Together they may not go: each with those above it, such as a.enabled for a.b.enabled.
		on = nil
		for _, l := range off {
			if _, found := with([]leaf{l}); len(found) > 0 {
				on = []leaf{l}
				break
			}
		}
		if on == nil {
			return nil, nil
		}
	}
	// What is not needed is turned off again, in halves.
	for size := (len(on) + 1) / 2; size > 0 && len(on) > 1; size /= 2 {
		for at := 0; at < len(on) && len(on) > 1; {
			fewer := slices.Concat(on[:at:at], on[min(at+size, len(on)):])
			if _, found := with(fewer); len(fewer) > 0 && len(found) > 0 {
				on = fewer
			} else {
				at += size
			}
		}
	}
	renders = 0
	_, found := with(on)
	return found, ctx.Err()
}

func share(n, of *Node) int {
	if n == nil || of == nil || of.Shape != Scalar || !strings.Contains(of.Text, n.Text) {
		return 0
	}
	return len(n.Text)
}

// templateLine aligns a rendered line with the lines of its template. 0 is unknown.
func templateLine(template, rendered string, line int) (at int, exact bool) {
	a, b := trimmedLines(template), trimmedLines(rendered)
	if line < 1 || line > len(b) {
		return 0, false
	}
	lines, same := templateLines(a, b)
	return lines[line-1], same[line-1]
}

// templateLines aligns rendered lines with the lines of their template, by the longest
// common subsequence of the lines without indentation. 0 is unknown; same says that the
// two are one text.
func templateLines(a, b []string) (lines []int, same []bool) {
	lines, same = make([]int, len(b)), make([]bool, len(b))
	if len(a)*len(b) > 16_000_000 {
		return lines, same
	}
	// A line with an action counts as equal to a rendered one that begins alike.
	alike := func(t, r string) bool {
		if t == r {
			return t != ""
		}
		head, _, ok := strings.Cut(t, "{{")
		return ok && len(strings.TrimSpace(head)) > 1 && strings.HasPrefix(r, strings.TrimRight(head, `"' `))
	}
	width := len(b) + 1
	best := make([]int32, (len(a)+1)*width)
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			v := max(best[(i+1)*width+j], best[i*width+j+1])
			if alike(a[i], b[j]) {
				v = max(v, best[(i+1)*width+j+1]+1)
			}
			best[i*width+j] = v
		}
	}
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case alike(a[i], b[j]) && best[i*width+j] == best[(i+1)*width+j+1]+1:
			lines[j], same[j] = i+1, a[i] == b[j]
			i, j = i+1, j+1
		case best[(i+1)*width+j] >= best[i*width+j+1]:
			i++
		default:
			j++
		}
	}
	return lines, same
}

func trimmedLines(s string) []string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return lines
}
