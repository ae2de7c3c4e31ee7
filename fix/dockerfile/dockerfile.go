// Package dockerfile plans and carries out changes of Dockerfiles: another base image
// (a newer release of its family, another family, a hardened one, a digest), upgrades
// of packages of the system, and the edits that rules of good practice ask for.
//
// It edits bytes of instructions and leaves the rest as it is; after every edit the
// file is read again, and a plan that changed anything else is no plan. It builds
// nothing. What an image holds that is not known here is said, not assumed.
package dockerfile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	docker "github.com/backstitch/backstitch/code/dockerfile"
	"github.com/backstitch/backstitch/code/dockerfile/practice"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/image/advice"
)

// ID names the fixer in paths.
const ID = "fix/dockerfile"

type fixer struct{ catalogue advice.Catalogue }

// New makes the fixer. catalogue is where hardened images are; one without a prefix
// offers none.
func New(catalogue advice.Catalogue) fix.Fixer { return fixer{catalogue} }

// Describe implements fix.Fixer.
func (fixer) Describe() fix.Description {
	return fix.Description{
		ID: ID, Name: "Dockerfile",
		Docs: "Changes base images within their family, to the next cycle, to another family or to hardened ones, pins digests, upgrades packages of the system, and mends what rules of good practice find. Edits bytes of instructions; builds nothing.",
	}
}

// Apply implements fix.Fixer.
func (fixer) Apply(_ context.Context, dir string, path fix.Path) ([]string, error) {
	if path.Manual || len(path.Edits) == 0 {
		return nil, fmt.Errorf("%s: nothing to carry out; it is done by its steps", path.ID)
	}
	return fix.EditFiles(dir, path.Edits)
}

// Examine implements fix.Examiner: it says what was shown and what only a build shows.
func (fixer) Examine(_ context.Context, before, after string, path fix.Path) ([]fact.Check, error) {
	check := fact.Check{Name: "only planned instructions changed", Status: fact.CheckPass}
	var names []string
	for _, edit := range path.Edits {
		if slices.Contains(names, edit.Path) {
			continue
		}
		names = append(names, edit.Path)
		old, err := fix.ReadFile(before, edit.Path)
		if err != nil {
			return nil, err
		}
		now, err := fix.ReadFile(after, edit.Path)
		if err != nil {
			return nil, err
		}
		var edits []fix.FileEdit
		for _, e := range path.Edits {
			if e.Path == edit.Path {
				edits = append(edits, e)
			}
		}
		if err := onlyPlanned(edit.Path, old, now, edits); err != nil {
			check.Status, check.Detail = fact.CheckFail, err.Error()
			return []fact.Check{check}, nil
		}
	}
	check.Detail = strings.Join(names, ", ")
	return []fact.Check{check, {Name: "build", Status: fact.CheckSkip, Detail: "layer arithmetic, not rebuilt"}}, nil
}

// PlanSite implements fix.SiteFixer.
func (f fixer) PlanSite(ctx context.Context, site *fix.Site) ([]fix.Path, error) {
	name := site.Location.Path
	if !docker.Named(name) || len(site.Flaws) == 0 || site.Tree == nil {
		return nil, nil
	}
	data, err := site.Tree.Read(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	file, err := docker.Parse(name, data)
	if errors.Is(err, docker.ErrTooLarge) {
		site.Block(err.Error())
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p := &plan{fixer: f, site: site, name: name, data: data, file: file, text: docker.NewText(data, file)}
	if err := p.all(ctx); err != nil {
		return nil, err
	}
	return p.paths, nil
}

// plan is one call of PlanSite.
type plan struct {
	fixer fixer
	site  *fix.Site
	name  string
	data  []byte
	file  *docker.File
	text  *docker.Text
	paths []fix.Path
	// verdicts are those on the file, once a flaw asked for them.
	verdicts []practice.Verdict
}

func (p *plan) all(ctx context.Context) error {
	var inherited []*fix.Flaw // flaws of what a FROM brings
	var own []*fix.Flaw       // of what a RUN installs
	stages := p.stages(p.site.Location.Line)
	in := p.instruction(p.site.Location.Line)
	for i := range p.site.Flaws {
		flaw := &p.site.Flaws[i]
		switch flaw.Kind {
		case fact.Vulnerability, fact.EndOfLife:
			switch {
			case len(stages) > 0:
				inherited = append(inherited, flaw)
			case in != nil && in.Kind == "RUN":
				own = append(own, flaw)
			}
		default:
			if err := p.practice(ctx, flaw); err != nil {
				return err
			}
		}
	}
	if len(inherited) > 0 {
		if err := p.base(ctx, stages, inherited); err != nil {
			return err
		}
	}
	if len(own) > 0 {
		p.installed(in, own)
	}
	return nil
}

// stages are those whose image a line decides: by its FROM, or by an ARG before the
// first one.
func (p *plan) stages(line int) []int {
	var list []int
	for i := range p.file.Stages {
		stage := &p.file.Stages[i]
		if stage.Parent >= 0 {
			continue
		}
		if stage.Base.Line <= line && line <= stage.Base.EndLine || slices.ContainsFunc(stage.Base.Args, func(v docker.Variable) bool { return v.Line == line }) {
			list = append(list, i)
		}
	}
	return list
}

// instruction is the one that a line is part of, nil for none.
func (p *plan) instruction(line int) *docker.Instruction {
	for i := range p.file.Stages {
		for k := range p.file.Stages[i].Instructions {
			if in := &p.file.Stages[i].Instructions[k]; in.Line <= line && line <= in.EndLine {
				return in
			}
		}
	}
	return nil
}

// edit makes the edit of bytes [start, end) of the file.
func (p *plan) edit(start, end int, text string) fix.FileEdit {
	return fix.NewFileEdit(p.name, p.data, start, end, text)
}

// offer adds a path, completed. One whose edits change more than what was planned is
// left out, and the site says so.
func (p *plan) offer(path fix.Path) {
	if len(path.Edits) > 0 {
		slices.SortStableFunc(path.Edits, func(a, b fix.FileEdit) int { return a.Start - b.Start })
		after, err := spliced(p.data, path.Edits)
		if err == nil {
			err = onlyPlanned(p.name, p.data, after, path.Edits)
		}
		if err != nil {
			p.site.Block(fmt.Sprintf("%s: %s: %v", p.name, path.Summary, err))
			return
		}
	}
	path.Fixer, path.Module = ID, p.dir()
	slices.Sort(path.Closes)
	path.Closes = slices.Compact(path.Closes)
	sum := sha256.New()
	fmt.Fprintf(sum, "%s %q", path.Summary, path.Closes)
	for _, e := range path.Edits {
		fmt.Fprintf(sum, "%d %d %q", e.Start, e.End, e.New)
	}
	path.ID = fmt.Sprintf("%s:%s:%d:%s", path.Kind, p.name, p.site.Location.Line, hex.EncodeToString(sum.Sum(nil)[:6]))
	p.paths = append(p.paths, path)
}

func (p *plan) dir() string {
	if dir := path.Dir(p.name); dir != "." {
		return dir
	}
	return ""
}

func (p *plan) at(line, end int) *fact.Location {
	return &fact.Location{Repository: p.site.Repository, Commit: p.site.Commit, Path: p.name, Line: line, EndLine: end}
}

func ids(flaws []*fix.Flaw) []string {
	list := make([]string, 0, len(flaws))
	for _, flaw := range flaws {
		list = append(list, flaw.Issue)
	}
	return list
}

// spliced carries edits out on bytes.
func spliced(data []byte, edits []fix.FileEdit) ([]byte, error) {
	list := make([]fix.Edit, 0, len(edits))
	for _, e := range edits {
		list = append(list, fix.Edit{Start: e.Start, End: e.End, Old: e.Old, New: e.New})
	}
	return fix.Splice(data, list...)
}

// onlyPlanned reads a file before and after edits, and fails when an instruction
// differs that no edit stands in.
func onlyPlanned(name string, before, after []byte, edits []fix.FileEdit) error {
	old, err := docker.Parse(name, before)
	if err != nil {
		return err
	}
	now, err := docker.Parse(name, after)
	if err != nil {
		return fmt.Errorf("after the edit the file cannot be read: %w", err)
	}
	if len(now.Problems) > len(old.Problems) {
		return fmt.Errorf("after the edit: %s", now.Problems[len(now.Problems)-1])
	}
	text := docker.NewText(before, old)
	touched := func(line, end int) bool {
		from, to := text.Span(line, end)
		return slices.ContainsFunc(edits, func(e fix.FileEdit) bool { return e.Start <= to && e.End >= from })
	}
	kept := map[string]int{}
	for _, one := range listed(now) {
		kept[one.text]++
	}
	for _, one := range listed(old) {
		if touched(one.line, one.end) {
			continue
		}
		if kept[one.text]--; kept[one.text] < 0 {
			return fmt.Errorf("the instruction at line %d would change, which was not planned", one.line)
		}
	}
	if len(now.Stages) != len(old.Stages) {
		return fmt.Errorf("the edit changes the number of stages from %d to %d", len(old.Stages), len(now.Stages))
	}
	return nil
}

type written struct {
	line, end int
	text      string
}

// listed gives every instruction as written, with its stage.
func listed(file *docker.File) []written {
	var list []written
	for i := range file.Stages {
		stage := &file.Stages[i]
		list = append(list, written{stage.Base.Line, stage.Base.EndLine, fmt.Sprintf("%d FROM %s %s %s", i, stage.Base.Written, stage.Name, stage.Base.Platform)})
		for k := range stage.Instructions {
			in := &stage.Instructions[k]
			list = append(list, written{in.Line, in.EndLine, fmt.Sprintf("%d %s %q", i, in.Source, in.Heredocs)})
		}
	}
	return list
}
