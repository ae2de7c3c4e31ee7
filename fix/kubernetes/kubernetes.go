// Package kubernetes fixes values of Kubernetes objects where they are decided: in a
// manifest, a Kustomize base or overlay, the values of a Helm chart or its template.
package kubernetes

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// ID names the fixer.
const ID = "fix/kubernetes"

// maxAlone bounds for how many flaws of a site paths of their own are planned.
const maxAlone = 8

type fixer struct {
	renderer kubernetes.Renderer
	mu       sync.Mutex
	key      string
	estate   *kubernetes.Estate // of the tree that key names
}

// New makes the fixer; without a renderer, charts are left to people.
func New(renderer kubernetes.Renderer) fix.Fixer { return &fixer{renderer: renderer} }

// Describe implements fix.Fixer.
func (f *fixer) Describe() fix.Description {
	return fix.Description{
		ID: ID, Name: "Kubernetes",
		Docs: "Edits the value that decides a field of a Kubernetes object: in a manifest, in a Kustomize base or overlay, in the values of a Helm chart, or in its template. " +
			"The bytes at the value are spliced; the objects are built again before and after, and every field that differs is listed. " +
			"Values that only people can choose, such as limits of memory, are steps to follow.",
	}
}

// Apply implements fix.Fixer.
func (f *fixer) Apply(_ context.Context, dir string, path fix.Path) ([]string, error) {
	if path.Manual {
		return nil, fmt.Errorf("path %s: people carry it out by its steps", path.ID)
	}
	return fix.EditFiles(dir, path.Edits)
}

// load reads what a tree declares; that of the last tree is kept, since a triage plans
// for many sites of one.
func (f *fixer) load(ctx context.Context, site *fix.Site) (*kubernetes.Estate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := ""
	if site.Commit != "" {
		key = site.Repository + " " + site.Commit
	}
	if key != "" && f.key == key {
		return f.estate, nil
	}
	e, err := kubernetes.Load(ctx, site.Tree, kubernetes.Options{Renderer: f.renderer, Repository: site.Repository, ObjectsOnly: true})
	if err != nil {
		return nil, fmt.Errorf("read the Kubernetes objects: %w", err)
	}
	f.key, f.estate = key, e
	return e, nil
}

// PlanSite implements fix.SiteFixer.
func (f *fixer) PlanSite(ctx context.Context, site *fix.Site) ([]fix.Path, error) {
	var tasks []task
	for i := range site.Flaws {
		t, err := taskOf(&site.Flaws[i])
		if err != nil {
			site.Block(err.Error())
			continue
		}
		if len(t.asks) > 0 {
			tasks = append(tasks, t)
		}
	}
	if len(tasks) == 0 {
		return nil, nil
	}
	e, err := f.load(ctx, site)
	if err != nil {
		return nil, err
	}
	var known []task
	for _, t := range tasks {
		if t.find(e, site.Location) {
			known = append(known, t)
		}
	}
	if len(known) == 0 {
		return nil, nil
	}
	p := &planner{fixer: f, site: site, estate: e}
	var paths []fix.Path
	var byHand, byEdit []task
	for _, t := range known {
		if t.question() {
			byHand = append(byHand, t)
		} else {
			byEdit = append(byEdit, t)
		}
	}
	for n, way := range p.ways(byEdit) {
		together, closed, err := p.plan(ctx, way, byEdit)
		if err != nil {
			return nil, err
		}
		if closed == 0 {
			continue
		}
		paths = append(paths, together)
		if n > 0 || closed < 2 || len(byEdit) > maxAlone {
			continue
		}
		for _, t := range byEdit {
			alone, closed, err := p.plan(ctx, way, []task{t})
			if err != nil {
				return nil, err
			}
			if closed > 0 {
				paths = append(paths, alone)
			}
		}
	}
	for _, t := range byHand {
		paths = append(paths, p.manual(ctx, t))
	}
	for _, t := range byEdit {
		if !slices.ContainsFunc(paths, func(path fix.Path) bool { return slices.Contains(path.Closes, t.flaw.Issue) }) {
			if path, ok := p.raise(ctx, t); ok {
				paths = append(paths, path)
			}
		}
	}
	if len(paths) == 0 {
		for _, why := range p.refused {
			site.Block(why)
		}
	}
	return distinct(paths), nil
}

// distinct drops paths that edit the same for the same flaws.
func distinct(paths []fix.Path) []fix.Path {
	seen := map[string]bool{}
	return slices.DeleteFunc(paths, func(p fix.Path) bool {
		key := p.ID
		if len(p.Edits) > 0 {
			key = editsKey(p.Edits)
		}
		twice := seen[key]
		seen[key] = true
		return twice
	})
}

func editsKey(edits []fix.FileEdit) string {
	sum := sha256.New()
	for _, e := range edits {
		fmt.Fprintf(sum, "%s %d %d %q\n", e.Path, e.Start, e.End, e.New)
	}
	return hex.EncodeToString(sum.Sum(nil))[:12]
}

// planner plans for one site.
type planner struct {
	*fixer
	site    *fix.Site
	estate  *kubernetes.Estate
	firsts  map[string]*kubernetes.Estate // parts of the tree as they were, by what they hold
	refused []string
}

func (p *planner) refuse(format string, args ...any) {
	why := fmt.Sprintf(format, args...)
	if !slices.Contains(p.refused, why) && len(p.refused) < 10 {
		p.refused = append(p.refused, why)
	}
}

// way is one kind of place to edit.
type way struct {
	name string
	edit func(ctx context.Context, s *state, a *ask, o *kubernetes.Object) error
}

// ways lists the kinds of places that may do for some of the tasks, best first.
func (p *planner) ways(tasks []task) []way {
	chart, overlay := false, false
	for _, t := range tasks {
		for _, o := range t.objects {
			chart = chart || o.Release() != nil
			overlay = overlay || o.Release() == nil && o.Unit != ""
		}
	}
	all := []way{{"at the line that decides", editSource}}
	if chart {
		all = append(all, way{"in the values of the environment", editEnvironment}, way{"in the template", editTemplate})
	}
	if overlay {
		all = append(all, way{"in the overlay", editOverlay})
	}
	return all
}

// plan carries tasks out on a copy of the tree in one way and makes the path of what
// could be. A task is done whole or not at all.
func (p *planner) plan(ctx context.Context, w way, tasks []task) (path fix.Path, closed int, err error) {
	s, err := p.start(ctx, tasks)
	if err != nil {
		return path, 0, err
	}
	var asked []*ask
	path = fix.Path{Kind: fix.EditValue, Effort: fix.EffortSmall, Risk: "patch", Fixer: ID, Closes: []string{}, Steps: []fix.Step{}, Changes: []fix.Change{}}
	var titles []string
	for _, t := range tasks {
		before := s.save()
		ok := true
		for i := range t.asks {
			a := &t.asks[i]
			if err := p.carryOut(ctx, w, s, &t, a); err != nil {
				if ctx.Err() != nil {
					return path, 0, ctx.Err()
				}
				p.refuse("%s: %v", a, err)
				ok = false
				break
			}
		}
		if !ok {
			s.restore(before)
			continue
		}
		closed++
		path.Closes = append(path.Closes, t.flaw.Issue)
		path.Findings += t.flaw.Findings
		for i := range t.asks {
			asked = append(asked, &t.asks[i])
			titles = append(titles, t.asks[i].wish())
		}
	}
	if closed == 0 {
		return path, 0, nil
	}
	if path.Edits, err = s.edits(ctx); err != nil || len(path.Edits) == 0 {
		return path, 0, err
	}
	if _, err := s.reload(ctx); err != nil {
		return path, 0, err
	}
	for _, t := range tasks {
		if !slices.Contains(path.Closes, t.flaw.Issue) {
			continue
		}
		for i := range t.asks {
			for _, key := range t.keys {
				a := t.asks[i].after(s.gone[key])
				if o := s.object(key); !a.remove && (o == nil || !a.met(o)) {
					p.refuse("%s: another flaw of the place wants another value", a)
					return path, 0, nil
				}
			}
		}
	}
	now, err := s.whole(ctx)
	if err != nil {
		return path, 0, err
	}
	changes, err := changesOf(s.first, now)
	if err != nil {
		p.refuse("%s: %v", w.name, err)
		return path, 0, nil
	}
	if len(changes) == 0 {
		return path, 0, nil
	}
	path.Reach = reach(changes, s.first)
	for _, c := range changes {
		if slices.ContainsFunc(changes, func(c change) bool { return c.difference.From == nil }) {
			path.Kind = fix.AddBlock
		}
		if breaks(c.difference.Path) {
			path.Risk = "unknown"
		}
		path.Steps = append(path.Steps, fix.Step{Text: c.String()})
	}
	first := path.Edits[0]
	path.ID = fmt.Sprintf("%s:%s:%d:%s", path.Kind, first.Path, first.Line, editsKey(path.Edits))
	files := []string{}
	for _, e := range path.Edits {
		if at := fmt.Sprintf("%s:%d", e.Path, e.Line); !slices.Contains(files, at) {
			files = append(files, at)
		}
		path.Steps = slices.Insert(path.Steps, len(files)-1, fix.Step{Text: "edit " + e.Path, Location: fix.At(e.Path, e.Line, e.Line+strings.Count(e.Old, "\n"))})
		if len(files) == 20 {
			break
		}
	}
	titles = slices.Compact(titles)
	if len(titles) > 3 {
		titles = append(titles[:3:3], fmt.Sprintf("%d more", len(titles)-3))
	}
	if s.made > 0 && path.Effort == fix.EffortSmall && len(files) > 3 {
		path.Effort = fix.EffortMedium
	}
	path.Summary = fmt.Sprintf("%s: %s (%s)", asked[0].objectName(), strings.Join(titles, "; "), w.name)
	if s.aliases > 0 {
		path.Summary += fmt.Sprintf("; by an anchor the same line decides %d more values", s.aliases)
	}
	return path, closed, nil
}

// carryOut does one ask for each object that it is about.
func (p *planner) carryOut(ctx context.Context, w way, s *state, t *task, asked *ask) error {
	edited, met := false, false
	for _, key := range t.keys {
		o := s.object(key)
		if o == nil {
			return fmt.Errorf("%s is not there any more", key.id)
		}
		a := asked.after(s.gone[key])
		if a.met(o) {
			met = true
			continue // an edit for another object reached it
		}
		before := s.save()
		if err := w.edit(ctx, s, a, o); err != nil {
			s.restore(before)
			return err
		}
		if _, err := s.reload(ctx); err != nil {
			s.restore(before)
			return err
		}
		if o = s.object(key); o == nil || !a.met(o) {
			s.restore(before)
			return errors.New("the edit does not make it so")
		}
		edited = true
	}
	if !edited && !met {
		return errors.New("nothing to edit")
	}
	if last := len(asked.path) - 1; asked.remove && asked.path[last].Key == "" {
		for _, key := range t.keys {
			s.gone[key] = append(slices.Clone(s.gone[key]), asked.path)
		}
	}
	return nil
}

// breaks says whether programs may rely on what a field allows.
func breaks(path []kubernetes.Segment) bool {
	for _, s := range path {
		switch s.Key {
		case "securityContext", "hostNetwork", "hostPID", "hostIPC", "hostPort", "hostPath", "volumes", "volumeMounts", "rules", "verbs", "resources", "roleRef", "subjects",
			"automountServiceAccountToken", "serviceAccountName", "command", "args", "env", "envFrom", "type", "image", "namespace", "limits":
			return true
		}
	}
	return false
}

// manual makes the path of a task that needs a person's choice.
func (p *planner) manual(ctx context.Context, t task) fix.Path {
	path := fix.Path{
		Kind: fix.AddBlock, Effort: fix.EffortMedium, Risk: "unknown", Fixer: ID, Manual: true, Closes: []string{t.flaw.Issue}, Findings: t.flaw.Findings,
		Steps: []fix.Step{}, Changes: []fix.Change{}, Reach: fmt.Sprintf("%d objects", len(t.objects)),
	}
	if len(t.objects) == 1 {
		path.Reach = "this one only"
	}
	o := t.objects[0]
	var wishes []string
	for i := range t.asks {
		a := &t.asks[i]
		value, nearest := o.Root.Find(a.path)
		if value != nil {
			path.Kind, nearest = fix.EditValue, value
		}
		at := p.estate.Where(ctx, o, nearest)
		step := fix.Step{Text: fmt.Sprintf("%s: %s", a.objectName(), a.wish())}
		if a.remove {
			step.Text += "; check first that nothing needs it"
		}
		if at.Path != "" {
			step.Location = fix.At(at.Path, at.Line, at.Line)
		}
		if o.Release() != nil {
			step.Text += "; the object is from a chart: set it in the values where they decide it, else in the template"
		}
		if !slices.ContainsFunc(path.Steps, func(s fix.Step) bool {
			return s.Text == step.Text && (s.Location == step.Location || s.Location != nil && step.Location != nil && *s.Location == *step.Location)
		}) {
			path.Steps = append(path.Steps, step)
		}
		if !slices.Contains(wishes, a.wish()) {
			wishes = append(wishes, a.wish())
		}
	}
	sum := sha256.Sum256([]byte(strings.Join(wishes, "\n") + o.Unit + o.ID()))
	path.ID = fmt.Sprintf("%s:%s:by-hand:%s", path.Kind, o.Place.Path, hex.EncodeToString(sum[:6]))
	path.Summary = fmt.Sprintf("%s: %s", t.asks[0].objectName(), strings.Join(wishes[:min(3, len(wishes))], "; "))
	path.Reason = "the value is a person's choice"
	return path
}

// raise makes the path of a task in a chart that the repository takes from elsewhere and
// whose values do not decide it: another version of that chart, which people choose.
func (p *planner) raise(ctx context.Context, t task) (fix.Path, bool) {
	o := t.objects[0]
	if o.Release() == nil {
		return fix.Path{}, false
	}
	_, template := o.Template()
	below, ok := strings.CutPrefix(template, o.Release().Chart+"/charts/")
	if !ok {
		return fix.Path{}, false
	}
	sub, _, _ := strings.Cut(below, "/")
	for _, file := range []string{"Chart.yaml", "requirements.yaml"} {
		file = o.Release().Chart + "/" + file
		data, err := p.site.Tree.Read(ctx, file)
		if err != nil {
			continue
		}
		docs, _ := kubernetes.Documents(file, data)
		if len(docs) == 0 {
			continue
		}
		for _, d := range docs[0].List("dependencies") {
			name, version := d.String("name"), d.Get("version")
			if name == "" || version == nil || sub != name && !strings.HasPrefix(sub, name+"-") {
				continue
			}
			path := fix.Path{
				Kind: fix.RaiseModule, Effort: fix.EffortMedium, Risk: "unknown", Fixer: ID, Manual: true, Closes: []string{t.flaw.Issue}, Findings: t.flaw.Findings,
				ID:      fmt.Sprintf("%s:%s:%d:%s", fix.RaiseModule, file, version.Place.Line, name),
				Summary: fmt.Sprintf("%s: raise the chart %s from %s to a version that can be set so, or ask its makers", o.Kind+"/"+o.Name, name, version.Text),
				Reason:  "the chart is made elsewhere, and none of its values decides the field",
				Reach:   "all objects of the chart " + name, Changes: []fix.Change{},
				Steps: []fix.Step{{Text: fmt.Sprintf("look in the newer versions of %s for %s", name, t.asks[0].wish()), Location: fix.At(file, version.Place.Line, version.Place.Line)},
					{Text: "set the version, update the lock and the packed chart", Command: "helm dependency update " + o.Release().Chart}},
			}
			if strings.ContainsAny(o.Release().Chart, " '\"$`\\;&|<>(){}*?!#~\n") {
				path.Steps[1].Command = ""
			}
			return path, true
		}
	}
	return fix.Path{}, false
}

// Examine implements fix.Examiner: the objects are built before and after, and what
// differs must be what was planned.
func (f *fixer) Examine(ctx context.Context, before, after string, path fix.Path) ([]fact.Check, error) {
	one := func(dir string) (*kubernetes.Estate, error) {
		tree, err := code.OpenDir(dir)
		if err != nil {
			return nil, err
		}
		defer tree.Close()
		only, err := touched(ctx, tree, path)
		if err != nil {
			return nil, err
		}
		return kubernetes.Load(ctx, tree, kubernetes.Options{Renderer: f.renderer, ObjectsOnly: true, Only: only})
	}
	a, err := one(before)
	if err != nil {
		return nil, err
	}
	b, err := one(after)
	if err != nil {
		return nil, err
	}
	check := fact.Check{Name: "only the planned fields of the built objects differ"}
	changes, err := changesOf(a, b)
	if err != nil {
		check.Status, check.Detail = fact.CheckFail, err.Error()
		return []fact.Check{check}, nil
	}
	planned := map[string]bool{}
	for _, step := range path.Steps {
		if step.Location == nil {
			planned[step.Text] = true
		}
	}
	var lines, other []string
	for _, c := range changes {
		line := c.String()
		if !planned[line] {
			other = append(other, line)
		}
		delete(planned, line)
		lines = append(lines, line)
	}
	switch {
	case len(other) > 0:
		check.Status, check.Detail = fact.CheckFail, "not planned: "+strings.Join(other[:min(len(other), 20)], "; ")
	case len(planned) > 0:
		missing := []string{}
		for line := range planned {
			missing = append(missing, line)
		}
		slices.Sort(missing)
		check.Status, check.Detail = fact.CheckFail, "planned and not there: "+strings.Join(missing[:min(len(missing), 20)], "; ")
	default:
		check.Status, check.Detail = fact.CheckPass, strings.Join(lines[:min(len(lines), 20)], "; ")
	}
	return []fact.Check{check}, nil
}

// touched says which releases an edit can reach: those of whose chart, values or
// Application a file is edited, and those of charts that make Applications.
func touched(ctx context.Context, tree code.Tree, path fix.Path) (func(*kubernetes.Release) bool, error) {
	names, err := tree.Paths(ctx)
	if err != nil {
		return nil, err
	}
	var makers []string // templates that make Applications or HelmReleases
	for _, name := range names {
		if !strings.Contains("/"+name, "/templates/") {
			continue
		}
		data, err := tree.Read(ctx, name)
		if err != nil {
			return nil, err
		}
		if bytes.Contains(data, []byte("kind: Application")) || bytes.Contains(data, []byte("kind: HelmRelease")) {
			makers = append(makers, name)
		}
	}
	return func(r *kubernetes.Release) bool {
		in := func(name string) bool { return within(r.Chart, name) }
		if slices.ContainsFunc(makers, in) {
			return true
		}
		return slices.ContainsFunc(path.Edits, func(e fix.FileEdit) bool {
			return in(e.Path) || slices.Contains(r.ValueFiles, e.Path) || r.From != nil && r.From.Path == e.Path
		})
	}, nil
}

var _ fix.Examiner = (*fixer)(nil)
var _ fix.SiteFixer = (*fixer)(nil)

// reach tells which objects the edit changes.
func reach(changes []change, before *kubernetes.Estate) string {
	var names []string
	kinds := map[string]bool{}
	carrier := func(c change) bool { return c.key.kind() == "Application" || c.key.kind() == "HelmRelease" }
	deployed := slices.ContainsFunc(changes, func(c change) bool { return !carrier(c) })
	for _, c := range changes {
		if deployed && carrier(c) {
			continue // it carries the values that are edited
		}
		name := c.key.String()
		if !slices.Contains(names, name) {
			names = append(names, name)
			kinds[c.key.kind()] = true
		}
	}
	if len(names) == 1 {
		return "this one only"
	}
	total := 0
	for _, o := range before.Objects {
		if kinds[o.Kind] {
			total++
		}
	}
	slices.SortFunc(names, cmp.Compare[string])
	shown := strings.Join(names[:min(len(names), 6)], ", ")
	if len(names) > 6 {
		shown += fmt.Sprintf(" and %d more", len(names)-6)
	}
	return fmt.Sprintf("%d of %d objects of their kinds: %s", len(names), total, shown)
}
