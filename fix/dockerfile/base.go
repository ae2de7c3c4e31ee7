package dockerfile

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/osv-scalibr/semantic"

	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/image/advice"
)

// resolver is what may tell the digest of a tag, where registries may be asked.
type resolver interface {
	// Digest gives the digest that a reference has now, "" when it is not known.
	Digest(ctx context.Context, reference string) (string, error)
}

// releases is what may tell the versions of the product that an image is of.
type releases interface {
	Releases(ctx context.Context, repository string) ([]advice.Known, error)
}

// base plans other images for stages that start from the same one.
func (p *plan) base(ctx context.Context, stages []int, flaws []*fix.Flaw) error {
	stage := &p.file.Stages[stages[0]]
	from := &stage.Base
	if strings.EqualFold(from.Image, "scratch") {
		return nil
	}
	if len(from.Unknown) > 0 {
		p.site.Block(fmt.Sprintf("which image %s at %s:%d is depends on %s, which has no default", from.Written, p.name, from.Line, strings.Join(from.Unknown, ", ")))
		return nil
	}
	ref, ok := kubernetes.ParseReference(from.Image)
	if !ok {
		p.site.Block(fmt.Sprintf("%s at %s:%d is no reference of an image", from.Written, p.name, from.Line))
		return nil
	}
	known, err := p.known(ctx, ref)
	if err != nil {
		return err
	}
	b := &base{plan: p, stage: stages[0], ref: ref, flaws: flaws, now: from.Image, known: known}
	choices := advice.Choose(ref.Tag, known)
	b.newer(ctx, &choices)
	for _, choice := range advice.Others(ref.Tag, known) {
		what := "a smaller variant, which may lack what the program needs"
		if advice.ParseTag(choice.Tag).Distro == "alpine" {
			what = "a variant on Alpine, whose C library is another one"
		}
		b.move(ctx, &choice, fix.EffortMedium, fix.RiskMajor, what)
	}
	if now := advice.ParseTag(ref.Tag); now.Rolls() && len(now.Variant) <= 1 {
		b.name(ctx, known)
	}
	b.siblings(ctx)
	b.pin(ctx, choices.Same)
	p.hardened(ctx, flaws, stages[0])
	p.rebuild(flaws, from.Image, ref.Digest != "")
	p.upgrade(flaws, stages[0])
	p.layer(flaws)
	return nil
}

// known gathers what is known of an image's repository.
func (p *plan) known(ctx context.Context, ref kubernetes.Reference) ([]advice.Known, error) {
	name := ref.Registry + "/" + ref.Repository
	if p.site.Images == nil {
		p.site.Block("no tags of " + name + " are known; allow registries to be asked, or import the lists of products' cycles")
		return nil, nil
	}
	tags, err := p.site.Images.Tags(ctx, name)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		p.site.Block(fmt.Sprintf("tags of %s: %v", name, err))
	}
	var known []advice.Known
	for _, tag := range tags {
		known = append(known, advice.Known{Name: tag.Name, Digest: tag.Digest, Created: tag.Created, Source: tag.Source})
	}
	if more, ok := p.site.Images.(releases); ok {
		list, err := more.Releases(ctx, name)
		if err != nil {
			p.site.Block(fmt.Sprintf("releases of %s: %v", name, err))
		}
		known = append(known, list...)
	}
	if len(known) == 0 {
		p.site.Block("no tags of " + name + " are known; allow registries to be asked, or hand a newer image of it in")
	}
	return known, nil
}

// base is what is planned for one image.
type base struct {
	*plan
	stage int
	ref   kubernetes.Reference
	now   string // reference of the present image, in full as written
	known []advice.Known
	flaws []*fix.Flaw
}

// breaking are images whose minor versions take things away that programs use.
var breaking = []string{"python", "ruby", "php", "perl", "elixir", "rust"}

// newer offers newer tags of the family; cycles that are not supported are no way out.
func (b *base) newer(ctx context.Context, choices *advice.Choices) {
	words := map[string]string{advice.StepPatch: "the newest build of the same release", advice.StepNone: "the newest build of the same release", advice.StepMinor: "a newer release", advice.StepMajor: "the next cycle"}
	risks := map[string]string{advice.StepPatch: fix.RiskPatch, advice.StepNone: fix.RiskPatch, advice.StepMinor: fix.RiskMinor, advice.StepMajor: fix.RiskMajor}
	if name, ok := advice.Official(b.ref.Registry + "/" + b.ref.Repository); ok && slices.Contains(breaking, name) {
		risks[advice.StepMinor] = fix.RiskMajor
	}
	for _, choice := range choices.All() {
		what := words[choice.Step]
		switch {
		case choice.Step == advice.StepPatch || choice.Step == advice.StepNone:
		case b.cycles() && !b.supported(choice.Tag):
			continue
		case choice == choices.After:
			what = "the next release"
		case choice == choices.Newer && choice != choices.Next && choice.Step == advice.StepMajor:
			what = "the newest cycle"
		}
		b.move(ctx, choice, fix.EffortSmall, risks[choice.Step], what)
	}
}

// move offers another tag of the same repository.
func (b *base) move(ctx context.Context, choice *advice.Choice, effort, risk, what string) {
	name := strings.TrimSuffix(b.now, "@"+b.ref.Digest)
	name = strings.TrimSuffix(name, ":"+b.ref.Tag)
	to := name + ":" + choice.Tag
	path := fix.Path{
		Kind: fix.ChangeBase, Effort: effort, Risk: risk,
		Summary: fmt.Sprintf("change the base image %s to %s, %s", b.now, choice.Tag, what),
		Changes: []fix.Change{{Package: b.ref.Registry + "/" + b.ref.Repository, From: b.ref.Tag, To: choice.Tag, Direct: true}},
	}
	full := b.ref
	full.Tag, full.Digest = choice.Tag, choice.Digest
	target := to
	if b.ref.Digest != "" {
		digest := choice.Digest
		if digest == "" {
			digest = b.digest(ctx, to)
		}
		if digest == "" {
			path.Manual = true
		} else {
			target = to + "@" + digest
		}
	}
	closes, told := b.closes(ctx, full, choice)
	if len(closes) == 0 {
		return
	}
	path.Closes = closes
	b.steps(&path, target, told)
	if !choice.Listed {
		path.Steps = append(path.Steps, fix.Step{Text: fmt.Sprintf("%s is a release by %s; that the tag %s exists was not checked", versionOf(choice.Tag), choice.Source, choice.Tag), Command: "docker manifest inspect " + to})
	}
	if path.Manual {
		path.Steps = append(path.Steps, fix.Step{Text: "ask for the digest of " + to + ", which is pinned here, and write both", Command: "docker buildx imagetools inspect " + to})
	}
	b.offer(path)
}

// siblings offers repositories whose names tell a newer release of what they hold.
func (b *base) siblings(ctx context.Context) {
	told, ok := b.site.Images.(releases)
	if !ok {
		return
	}
	list := advice.Siblings(b.ref.Registry+"/"+b.ref.Repository, func(repository string) []advice.Known {
		known, err := told.Releases(ctx, repository)
		if err != nil {
			b.site.Block(fmt.Sprintf("releases of %s: %v", repository, err))
		}
		return known
	})
	for _, sibling := range list {
		to := sibling.Repository
		if b.ref.Tag != "" {
			to += ":" + b.ref.Tag
		}
		ref, ok := kubernetes.ParseReference(to)
		if !ok {
			continue
		}
		closes, what := b.closes(ctx, ref, &advice.Choice{Tag: b.ref.Tag, Step: advice.StepMajor})
		if len(closes) == 0 {
			continue
		}
		path := fix.Path{
			Kind: fix.ChangeBase, Effort: fix.EffortSmall, Risk: fix.RiskMajor, Closes: closes,
			Summary: fmt.Sprintf("change the base image %s to %s, with %s", b.now, to, sibling.What),
			Changes: []fix.Change{{Package: b.ref.Registry + "/" + b.ref.Repository, From: b.now, To: to, Direct: true}},
		}
		target := to
		if b.ref.Digest != "" {
			if digest := b.digest(ctx, to); digest != "" {
				target += "@" + digest
			} else {
				path.Manual = true
			}
		}
		b.steps(&path, target, what)
		path.Steps = append(path.Steps, fix.Step{Text: "that the repository exists follows from the release and was not checked", Command: "docker manifest inspect " + to})
		b.offer(path)
	}
}

// name offers the newest release where no tag says which one is meant.
func (b *base) name(ctx context.Context, known []advice.Known) {
	if tag := b.ref.Tag; tag != "" && tag != "latest" {
		return
	}
	newest, _ := advice.Newest(known, "")
	switch {
	case newest != nil:
		b.move(ctx, newest, fix.EffortSmall, fix.RiskUnknown, "the newest release; which one it is now, no tag says")
	case b.ref.Digest != "":
		closes, told := b.closes(ctx, b.ref, &advice.Choice{})
		name, stage := strings.TrimSuffix(b.now, "@"+b.ref.Digest), &b.file.Stages[b.stage].Base
		b.offer(fix.Path{
			Kind: fix.ChangeBase, Effort: fix.EffortMedium, Risk: fix.RiskUnknown, Manual: true, Closes: closes,
			Summary: "find out which release of " + name + " the digest is of, and name the newest one with its digest",
			Steps: []fix.Step{
				{Text: "no tag says which release is meant", Location: b.at(stage.Line, stage.EndLine)},
				{Text: "list the tags, and ask for the digest of the one that is chosen", Command: "docker buildx imagetools inspect " + name},
				{Text: told},
			},
		})
	}
}

func versionOf(tag string) string {
	if version := advice.ParseTag(tag).Version; version != "" {
		return version
	}
	return tag
}

// digest asks for the digest of a reference, "" when nobody may be asked.
func (b *base) digest(ctx context.Context, reference string) string {
	if asked, ok := b.site.Images.(resolver); ok {
		if digest, err := asked.Digest(ctx, reference); err == nil {
			return digest
		}
	}
	return ""
}

// steps completes a path with the edits that write a reference and what to do about them.
func (b *base) steps(path *fix.Path, target string, told string) {
	edits, lines, stages, err := b.point(b.stage, target)
	if err != nil {
		path.Manual = true
		path.Steps = append(path.Steps, fix.Step{Text: err.Error(), Location: b.at(b.file.Stages[b.stage].Base.Line, b.file.Stages[b.stage].Base.EndLine)})
		return
	}
	for i, line := range lines {
		path.Steps = append(path.Steps, fix.Step{Text: fmt.Sprintf("write %s instead of %s", edits[i].New, edits[i].Old), Location: b.at(line, line)})
	}
	if !path.Manual {
		path.Edits = edits
	}
	switch {
	case len(stages) > len(lines):
		path.Reach = fmt.Sprintf("%d stages of this file, by the variable at line %d", len(stages), lines[0])
	case len(stages) > 1:
		path.Reach = fmt.Sprintf("%d stages of this file that start from the image", len(stages))
	default:
		path.Reach = "this stage only"
	}
	if told != "" {
		path.Steps = append(path.Steps, fix.Step{Text: told})
	}
	path.Steps = append(path.Steps, fix.Step{Text: "build the image and run its tests", Command: b.build()})
}

// build is the command that builds the file.
func (p *plan) build() string {
	dir := p.dir()
	if dir == "" {
		dir = "."
	}
	return fmt.Sprintf("docker build --pull -f %s %s", quoted(p.name), quoted(dir))
}

// quoted writes a text as one word for a shell; people copy it from a step.
func quoted(text string) string {
	if text != "" && strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-") == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// products are the packages by which detectors call what an official image is of.
var products = map[string][]string{
	"python": {"python", "cpython"}, "golang": {"stdlib", "go", "toolchain"}, "node": {"node", "nodejs", "node.js"}, "ruby": {"ruby"}, "php": {"php"},
	"nginx": {"nginx"}, "httpd": {"httpd", "apache2"}, "postgres": {"postgresql", "postgres"}, "redis": {"redis"}, "mysql": {"mysql"}, "openjdk": {"openjdk", "jdk"}, "eclipse-temurin": {"openjdk", "jdk"}, "rust": {"rust"},
}

// closes says which flaws another tag closes, with a sentence about what that rests on.
func (b *base) closes(ctx context.Context, to kubernetes.Reference, choice *advice.Choice) (closed []string, told string) {
	packages, known := b.packages(ctx, to)
	for _, flaw := range b.flaws {
		switch {
		case flaw.Kind == fact.EndOfLife:
			if (choice.Step == advice.StepMinor || choice.Step == advice.StepMajor) && b.supported(choice.Tag) {
				closed = append(closed, flaw.Issue)
			}
		case known:
			if gone(flaw, packages) {
				closed = append(closed, flaw.Issue)
			}
		case slices.Contains(products[b.ref.Repository[strings.LastIndexByte(b.ref.Repository, '/')+1:]], strings.ToLower(flaw.Package.Name)):
			if slices.ContainsFunc(flaw.Fixed, func(fixed string) bool { return reaches(choice.Tag, fixed) }) {
				closed = append(closed, flaw.Issue)
			}
		case len(flaw.Fixed) > 0:
			closed = append(closed, flaw.Issue)
		default:
			b.site.Block(fmt.Sprintf("no fixed version of %s is known; whether another base is without it shows once that was looked into", flaw.Package.Name))
		}
	}
	if known {
		return closed, fmt.Sprintf("by the packages that %s holds", to)
	}
	return closed, fmt.Sprintf("what %s holds is not known here; that released fixes are in it is to be expected and not shown; triage --image with it once settles it", to)
}

// supported says whether a tag is of a cycle that is known to be supported; where no
// cycles are known, only the newest release is taken to be.
func (b *base) supported(tag string) bool {
	if !b.cycles() {
		newer := advice.Choose(b.ref.Tag, b.known).Newer
		return newer == nil || newer.Tag == tag
	}
	version := advice.ParseTag(tag)
	return slices.ContainsFunc(b.known, func(k advice.Known) bool {
		cycle := advice.ParseTag(k.Name)
		n := len(cycle.Numbers)
		return isCycle(k) && len(version.Numbers) >= n && slices.Equal(version.Numbers[:n], cycle.Numbers)
	})
}

// cycles says whether the cycles of the product are known.
func (b *base) cycles() bool { return slices.ContainsFunc(b.known, isCycle) }

func isCycle(k advice.Known) bool {
	cycle := advice.ParseTag(k.Name)
	return k.Release && len(cycle.Numbers) > 0 && len(cycle.Numbers) <= 2
}

// packages are those of an image, where they are known.
func (p *plan) packages(ctx context.Context, ref kubernetes.Reference) ([]fact.Package, bool) {
	if p.site.Images == nil {
		return nil, false
	}
	packages, known, err := p.site.Images.Packages(ctx, ref.String())
	return packages, known && err == nil
}

// reaches says whether a tag's version is at least another in the same cycle, or above.
func reaches(tag, fixed string) bool {
	a, b := advice.ParseTag(tag), advice.ParseTag(strings.TrimPrefix(fixed, "go"))
	return len(a.Numbers) > 0 && len(b.Numbers) > 0 && slices.Compare(a.Numbers, b.Numbers) >= 0
}

// gone says whether packages no longer hold what a flaw is about.
func gone(flaw *fix.Flaw, packages []fact.Package) bool {
	for _, pkg := range packages {
		if pkg.Name != flaw.Package.Name || family(pkg.Ecosystem) != family(flaw.Package.Ecosystem) {
			continue
		}
		if !slices.ContainsFunc(flaw.Fixed, func(fixed string) bool { return atLeast(pkg.Ecosystem, pkg.Version, fixed) }) {
			return false
		}
	}
	return len(packages) > 0
}

func family(ecosystem string) string { name, _, _ := strings.Cut(ecosystem, ":"); return name }

func atLeast(ecosystem, version, fixed string) bool {
	parsed, err := semantic.Parse(version, family(ecosystem))
	if err != nil {
		return false
	}
	order, err := parsed.CompareStr(fixed)
	return err == nil && order >= 0
}

// pin offers the digest of the same tag: as a newer build where another one is pinned,
// else so that what is built is the same each time.
func (b *base) pin(ctx context.Context, same *advice.Choice) {
	if b.ref.Tag == "" {
		return
	}
	name := strings.TrimSuffix(b.now, "@"+b.ref.Digest)
	digest := ""
	if same != nil {
		digest = same.Digest
	}
	if digest == "" {
		digest = b.digest(ctx, name)
	}
	full := b.ref
	full.Digest = digest
	choice := advice.Choice{Tag: b.ref.Tag, Digest: digest, Listed: true}
	if b.ref.Digest == "" || digest == b.ref.Digest || digest == "" && advice.ParseTag(b.ref.Tag).Version == "" {
		return
	}
	closes, told := b.closes(ctx, full, &choice)
	if len(closes) == 0 {
		return
	}
	path := fix.Path{
		Kind: fix.ChangeBase, Effort: fix.EffortSmall, Risk: fix.RiskPatch, Closes: closes, Manual: digest == "",
		Summary: fmt.Sprintf("move the digest of %s to its newest build", name),
		Changes: []fix.Change{{Package: b.ref.Registry + "/" + b.ref.Repository, From: b.ref.Tag + "@" + b.ref.Digest, To: b.ref.Tag, Direct: true}},
	}
	if digest != "" {
		path.Changes[0].To += "@" + digest
	}
	if digest == "" {
		stage := &b.file.Stages[b.stage].Base
		path.Steps = []fix.Step{
			{Text: "ask for the digest that the tag has now, and write it", Command: "docker buildx imagetools inspect " + name, Location: b.at(stage.Line, stage.EndLine)},
			{Text: told},
		}
	} else {
		b.steps(&path, name+"@"+digest, told)
	}
	b.offer(path)
}

// hardened offers the whole file on hardened images.
func (p *plan) hardened(ctx context.Context, flaws []*fix.Flaw, stage int) {
	if p.fixer.catalogue.Prefix == "" {
		return
	}
	conversion := advice.Convert(p.file, p.text, &p.fixer.catalogue)
	to := conversion.Images[p.file.Stages[stage].Line]
	if to == "" {
		return
	}
	var closes []string
	ref, _ := kubernetes.ParseReference(to)
	packages, known := p.packages(ctx, ref)
	for _, flaw := range flaws {
		if known && gone(flaw, packages) || !known && (len(flaw.Fixed) > 0 || flaw.Kind == fact.EndOfLife) {
			closes = append(closes, flaw.Issue)
		}
	}
	if len(closes) == 0 {
		return
	}
	path := fix.Path{
		Kind: fix.ChangeBase, Effort: fix.EffortLarge, Risk: fix.RiskMajor, Closes: closes,
		Summary: fmt.Sprintf("hardened: build on %s instead of %s, and convert the file", to, p.file.Stages[stage].Base.Image),
		Changes: []fix.Change{{Package: p.file.Stages[stage].Base.Image, From: p.file.Stages[stage].Base.Image, To: to, Direct: true}},
		Reach:   "all stages of this file",
	}
	for _, e := range conversion.Edits {
		path.Edits = append(path.Edits, p.edit(e.Start, e.End, e.New))
	}
	for _, line := range conversion.Lines {
		path.Steps = append(path.Steps, fix.Step{Text: "converted", Location: p.at(line, line)})
	}
	for _, note := range conversion.Notes {
		path.Steps = append(path.Steps, fix.Step{Text: note})
	}
	if !known {
		path.Steps = append(path.Steps, fix.Step{Text: "what " + to + " holds is not known here; the catalogue's own statement of flaws tells whether they are gone"})
	}
	path.Steps = append(path.Steps,
		fix.Step{Text: "an image without a shell runs no entry point that is a script, and its account is not root: check ports below 1024 and folders that are written to"},
		fix.Step{Text: "build the image and run its tests", Command: p.build()})
	p.offer(path)
}
