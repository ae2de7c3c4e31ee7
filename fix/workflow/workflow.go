// Package workflow fixes what policies find in workflows of GitHub Actions: rights of
// the token, credentials that a checkout leaves, foreign text in scripts, and actions
// that are not pinned.
package workflow

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// ID names the fixer.
const ID = "fix/workflow"

// Resolver knows which commit a tag or branch of an action is. It may ask a forge.
type Resolver interface {
	// Tags gives the commits of the tags of a repository "owner/name".
	Tags(ctx context.Context, repository string) (map[string]string, error)
}

type fixer struct{ resolver Resolver }

// New makes the fixer. The resolver is asked only for sites that allow it; otherwise
// pinning is left to people, with the command that tells the commit.
func New(resolver Resolver) fix.Fixer { return fixer{resolver} }

// Describe implements fix.Fixer.
func (fixer) Describe() fix.Description {
	return fix.Description{
		ID: ID, Name: "Workflows",
		Docs: "Restricts the token of a workflow, keeps credentials out of working copies, hands foreign text to scripts by the environment, and pins actions to commits where a forge may be asked. " +
			"What only people know, such as the rights that a job needs to write, are steps to follow.",
	}
}

// Apply implements fix.Fixer.
func (fixer) Apply(_ context.Context, dir string, path fix.Path) ([]string, error) {
	if path.Manual {
		return nil, fmt.Errorf("path %s: people carry it out by its steps", path.ID)
	}
	return fix.EditFiles(dir, path.Edits)
}

// task is one finding with the flaw that it belongs to.
type task struct {
	flaw                        *fix.Flaw
	finding                     *fact.Finding
	file, field, wanted, detail string
	remove                      bool
}

// is says whether the finding is of a rule of our scanner.
func (t *task) is(rule string) bool { return t.finding.Rule == "workflow/"+rule }

// PlanSite implements fix.SiteFixer.
func (f fixer) PlanSite(ctx context.Context, site *fix.Site) ([]fix.Path, error) {
	if !site.Ask {
		f.resolver = nil
	}
	var tasks []task
	for i := range site.Flaws {
		for j := range site.Flaws[i].Seen {
			found := &site.Flaws[i].Seen[j]
			if !strings.HasPrefix(found.Rule, "workflow/") || found.Attributes[fix.AttributeField] == "" {
				continue
			}
			if found.Rule == "workflow/unpinned-action" && slices.ContainsFunc(site.Planned, func(p fix.Path) bool {
				return p.Kind == fix.PinDigest && !p.Manual && slices.Contains(p.Closes, site.Flaws[i].Issue)
			}) {
				continue // another fixer pins it
			}
			tasks = append(tasks, task{&site.Flaws[i], found, code.CleanPath(found.Path), found.Attributes[fix.AttributeField], found.Attributes[fix.AttributeWanted],
				found.Attributes["expression"], found.Attributes[fix.AttributeRemove] == "true"})
		}
	}
	var paths []fix.Path
	if path, err := f.plan(ctx, site, tasks); err != nil {
		return nil, err
	} else if path != nil {
		paths = append(paths, *path)
	}
	if len(site.Flaws) > 1 && len(site.Flaws) <= 8 {
		for i := range site.Flaws {
			own := slices.DeleteFunc(slices.Clone(tasks), func(t task) bool { return t.flaw != &site.Flaws[i] })
			path, err := f.plan(ctx, site, own)
			if err != nil {
				return nil, err
			}
			if path != nil && !slices.ContainsFunc(paths, func(p fix.Path) bool { return p.ID == path.ID }) {
				paths = append(paths, *path)
			}
		}
	}
	for i := range site.Flaws {
		own := slices.DeleteFunc(slices.Clone(tasks), func(t task) bool { return t.flaw != &site.Flaws[i] })
		if len(own) > 0 && !slices.ContainsFunc(paths, func(p fix.Path) bool { return slices.Contains(p.Closes, site.Flaws[i].Issue) }) {
			paths = append(paths, manual(own))
		}
	}
	return paths, nil
}

var errPeople = errors.New("only people can choose it")

// plan carries out what can be of the tasks; a flaw is closed whole or not at all. It is
// nil when none is.
func (f fixer) plan(ctx context.Context, site *fix.Site, tasks []task) (*fix.Path, error) {
	files := code.Files{}
	path := &fix.Path{Kind: fix.EditValue, Effort: fix.EffortSmall, Risk: "patch", Fixer: ID, Closes: []string{}, Steps: []fix.Step{}, Changes: []fix.Change{}, Reach: "this workflow only"}
	var wishes []string
	for i := 0; i < len(tasks); {
		last := i
		for last < len(tasks) && tasks[last].flaw == tasks[i].flaw {
			last++
		}
		before := code.Files{}
		for name, data := range files {
			before[name] = data
		}
		changes, steps := len(path.Changes), len(path.Steps)
		ok := true
		var done []string
		for _, t := range tasks[i:last] {
			data, known := files[t.file]
			if !known {
				var err error
				if data, err = site.Tree.Read(ctx, t.file); err != nil {
					return nil, fmt.Errorf("read %s: %w", t.file, err)
				}
			}
			fresh, wish, err := f.edit(ctx, data, &t, path)
			if err != nil {
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				if !errors.Is(err, errPeople) {
					site.Block(fmt.Sprintf("%s %s: %v", t.file, t.field, err))
				}
				ok = false
				break
			}
			files[t.file] = fresh
			done = append(done, wish)
			path.Steps = append(path.Steps, fix.Step{Text: wish, Location: fix.At(t.file, t.finding.Line, t.finding.Line)})
		}
		if ok && len(done) > 0 {
			path.Closes = append(path.Closes, tasks[i].flaw.Issue)
			path.Findings += tasks[i].flaw.Findings
			wishes = append(wishes, done...)
		} else {
			files, path.Changes, path.Steps = before, path.Changes[:changes], path.Steps[:steps]
		}
		i = last
	}
	if len(path.Closes) == 0 {
		return nil, nil
	}
	names, err := files.Paths(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		before, err := site.Tree.Read(ctx, name)
		if err != nil {
			return nil, err
		}
		path.Edits = append(path.Edits, fix.LineEdits(name, before, files[name])...)
	}
	if len(path.Edits) == 0 {
		return nil, nil
	}
	sum := sha256.New()
	for _, e := range path.Edits {
		fmt.Fprintf(sum, "%s %d %d %q\n", e.Path, e.Start, e.End, e.New)
	}
	path.ID = fmt.Sprintf("%s:%s:%d:%s", path.Kind, path.Edits[0].Path, path.Edits[0].Line, hex.EncodeToString(sum.Sum(nil))[:12])
	if len(names) > 1 {
		path.Reach = fmt.Sprintf("%d workflows", len(names))
	}
	path.Summary = path.Edits[0].Path + ": " + strings.Join(wishes[:min(3, len(wishes))], "; ")
	if len(wishes) > 3 {
		path.Summary += fmt.Sprintf("; %d more", len(wishes)-3)
	}
	return path, nil
}

// edit carries out one task on the text of its file.
func (f fixer) edit(ctx context.Context, data []byte, t *task, path *fix.Path) (fresh []byte, wish string, err error) {
	if t.is("unpinned-action") {
		return f.pin(ctx, data, t, path)
	}
	if strings.HasPrefix(t.wanted, "?") {
		return nil, "", errPeople
	}
	field, err := kubernetes.ParsePath(t.field)
	if err != nil {
		return nil, "", err
	}
	root, err := rootOf(data)
	if err != nil {
		return nil, "", err
	}
	at := root.Below(field...)
	if t.is("script-injection") {
		return handOver(data, root, field, t)
	}
	path.Risk = "unknown" // a job may need what is taken from it
	if t.remove {
		edited, err := kubernetes.Remove(data, at)
		return edited.Data, "remove " + t.field, err
	}
	want, err := kubernetes.ParseValue(t.wanted)
	if err != nil {
		return nil, "", err
	}
	if t.is("no-permissions") {
		path.Kind = fix.AddBlock
		fresh, err = addPermissions(data, want)
		return fresh, "give the token the right to read only; jobs that write name the rights that they need", err
	}
	edited, err := kubernetes.Set(data, at, want)
	return edited.Data, fmt.Sprintf("set %s to %s", t.field, want.JSON()), err
}

func rootOf(data []byte) (kubernetes.Spot, error) {
	docs, problems := kubernetes.Documents("", data)
	if len(docs) == 0 {
		if len(problems) > 0 {
			return kubernetes.Spot{}, errors.New(problems[0].Text)
		}
		return kubernetes.Spot{}, errors.New("an empty workflow")
	}
	root, ok := kubernetes.Locate(data, docs[0])
	if !ok {
		return root, errors.New("the workflow is no map")
	}
	return root, nil
}

var jobsLine = regexp.MustCompile(`(?m)^jobs[ \t]*:`)

// addPermissions adds the rights of the token where people write them, before the jobs.
func addPermissions(data []byte, want *kubernetes.Node) ([]byte, error) {
	root, err := rootOf(data)
	if err != nil {
		return nil, err
	}
	plain, err := kubernetes.Set(data, root.Below(kubernetes.Segment{Key: "permissions", Index: -1}), want)
	if err != nil {
		return nil, err
	}
	at := jobsLine.FindIndex(data)
	if at == nil {
		return plain.Data, nil
	}
	// Comments above the jobs stay with them.
	start := at[0]
	for start > 0 {
		line := bytes.LastIndexByte(data[:start-1], '\n') + 1
		if !bytes.HasPrefix(data[line:start], []byte("#")) {
			break
		}
		start = line
	}
	eol := "\n"
	if i := bytes.IndexByte(data, '\n'); i > 0 && data[i-1] == '\r' {
		eol = "\r\n"
	}
	block := kubernetes.BlockText(kubernetes.NewMap(kubernetes.Field{Key: "permissions", Value: want}), 0, eol, false) + eol + eol
	fresh := slices.Concat(data[:start], []byte(block), data[start:])
	a, _ := kubernetes.Documents("", fresh)
	b, _ := kubernetes.Documents("", plain.Data)
	if len(a) != 1 || len(b) != 1 || !a[0].Same(b[0]) {
		return plain.Data, nil
	}
	return fresh, nil
}

var quotedHere = regexp.MustCompile(`<<-?\s*['"\\]`)

var expression = regexp.MustCompile(`\$\{\{\s*([^{}]+?)\s*\}\}`)

// handOver puts an expression of foreign text into the environment of the step and its
// variable into the script, wherever the script holds it.
func handOver(data []byte, root kubernetes.Spot, field []kubernetes.Segment, t *task) ([]byte, string, error) {
	docs, _ := kubernetes.Documents("", data)
	run, _ := docs[0].Find(field)
	if run == nil || run.Shape != kubernetes.Scalar {
		return nil, "", errors.New("the script is not there")
	}
	if quotedHere.MatchString(run.Text) {
		return nil, "", fmt.Errorf("the script holds a quoted here-document, in which no variable is read: %w", errPeople)
	}
	step, _ := docs[0].Find(field[:len(field)-1])
	lines := bytes.SplitAfter(data, []byte("\n"))
	if run.Place.Line < 1 || run.Place.EndLine > len(lines) {
		return nil, "", errors.New("the script's lines are not clear")
	}
	names := map[string]string{}
	var order []string
	var wrong error
	for i := run.Place.Line - 1; i < run.Place.EndLine; i++ {
		line := string(lines[i])
		lines[i] = []byte(expression.ReplaceAllStringFunc(line, func(text string) string {
			inner := expression.FindStringSubmatch(text)[1]
			if !foreignText(inner) {
				return text
			}
			if before := line[:strings.Index(line, text)]; strings.Count(before, "'")%2 == 1 {
				wrong = fmt.Errorf("%s stands in single quotes, in which no variable is read: %w", inner, errPeople)
			}
			name, known := names[inner]
			if !known {
				name = variable(inner)
				if step.Get("env", name) != nil && step.String("env", name) != "${{ "+inner+" }}" {
					name += "_TEXT"
				}
				names[inner] = name
				order = append(order, inner)
			}
			return "${" + name + "}"
		}))
	}
	if wrong != nil {
		return nil, "", wrong
	}
	if len(order) == 0 {
		return nil, "", errors.New("the expression is not literally in the script")
	}
	fresh := bytes.Join(lines, nil)
	for _, inner := range order {
		at := root.Below(field[:len(field)-1]...).Below(kubernetes.Segment{Key: "env", Index: -1}, kubernetes.Segment{Key: names[inner], Index: -1})
		edited, err := kubernetes.Set(fresh, at, kubernetes.TextValue("${{ "+inner+" }}"))
		if err != nil {
			return nil, "", err
		}
		fresh = edited.Data
	}
	after, _ := kubernetes.Documents("", fresh)
	if len(after) != 1 {
		return nil, "", errors.New("the result is no workflow")
	}
	for _, d := range kubernetes.Differences(docs[0], after[0]) {
		if len(d.Path) < len(field) || !slices.Equal(d.Path[:len(field)-1], field[:len(field)-1]) {
			return nil, "", errors.New("the result holds other changes")
		}
	}
	return fresh, fmt.Sprintf("hand %s to the script by the environment", strings.Join(order, ", ")), nil
}

var foreignRoots = regexp.MustCompile(`^github\.(head_ref$|event\.)`)

func foreignText(inner string) bool { return foreignRoots.MatchString(inner) }

var notWord = regexp.MustCompile(`[^A-Z0-9]+`)

// variable makes the name of an environment variable of an expression.
func variable(inner string) string {
	inner = strings.TrimPrefix(strings.TrimPrefix(inner, "github.event."), "github.")
	return strings.Trim(notWord.ReplaceAllString(strings.ToUpper(inner), "_"), "_")
}

var used = regexp.MustCompile(`^([\w.-]+/[\w.-]+)((?:/[^@\s]+)?)@([^\s@]+)$`)

// pin writes the commit of an action's tag in its place, the tag as a comment behind it.
func (f fixer) pin(ctx context.Context, data []byte, t *task, path *fix.Path) ([]byte, string, error) {
	m := used.FindStringSubmatch(t.detail)
	if m == nil {
		return nil, "", errPeople
	}
	if f.resolver == nil {
		return nil, "", errPeople
	}
	tags, err := f.resolver.Tags(ctx, m[1])
	if err != nil {
		return nil, "", fmt.Errorf("tags of %s: %w", m[1], err)
	}
	commit := tags[m[3]]
	if len(commit) != 40 {
		return nil, "", fmt.Errorf("%s has no tag %s", m[1], m[3])
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	n := t.finding.Line
	if n < 1 || n > len(lines) || bytes.Count(lines[n-1], []byte(t.detail)) != 1 {
		return nil, "", errors.New("the action is not literally on its line")
	}
	line := string(lines[n-1])
	body := strings.TrimRight(line, "\r\n")
	eol := line[len(body):]
	before, after, _ := strings.Cut(body, t.detail)
	body = before + m[1] + m[2] + "@" + commit + after
	if !strings.Contains(after, "#") {
		body = strings.TrimRight(body, " \t") + " # " + m[3]
	}
	lines[n-1] = []byte(body + eol)
	fresh := bytes.Join(lines, nil)
	field, err := kubernetes.ParsePath(t.field)
	if err != nil {
		return nil, "", err
	}
	docs, _ := kubernetes.Documents("", fresh)
	if len(docs) == 0 {
		return nil, "", errors.New("the result is no workflow")
	}
	if got, _ := docs[0].Find(field); got == nil || got.Text != m[1]+m[2]+"@"+commit {
		return nil, "", errors.New("the result does not use the commit")
	}
	path.Kind = fix.PinDigest
	path.Changes = append(path.Changes, fix.Change{Package: m[1], From: m[3], To: commit, Direct: true})
	return fresh, fmt.Sprintf("pin %s to the commit of %s", m[1]+m[2], m[3]), nil
}

// manual makes the path of a flaw that people have to mend.
func manual(tasks []task) fix.Path {
	path := fix.Path{
		Kind: fix.EditValue, Effort: fix.EffortMedium, Risk: "unknown", Fixer: ID, Manual: true, Closes: []string{tasks[0].flaw.Issue}, Findings: tasks[0].flaw.Findings,
		Steps: []fix.Step{}, Changes: []fix.Change{}, Reach: "this workflow only", Reason: "only people can choose it",
	}
	for _, t := range tasks {
		step := fix.Step{Text: fmt.Sprintf("%s: choose %s", t.field, strings.TrimPrefix(t.wanted, "?")), Location: fix.At(t.file, t.finding.Line, t.finding.Line)}
		if !strings.HasPrefix(t.wanted, "?") {
			step.Text = t.field + ": " + t.finding.Title
		}
		if m := used.FindStringSubmatch(t.detail); m != nil && t.is("unpinned-action") {
			step.Text = fmt.Sprintf("%s: put the commit of %s in the place of the tag, and the tag in a comment behind it", t.field, t.detail)
			step.Command = fmt.Sprintf("git ls-remote https://github.com/%s 'refs/tags/%s^{}' 'refs/tags/%s' 'refs/heads/%s'", m[1], m[3], m[3], m[3])
			if strings.ContainsAny(m[3], "'\\$`") {
				step.Command = ""
			}
		}
		path.Steps = append(path.Steps, step)
	}
	sum := sha256.Sum256([]byte(tasks[0].file + tasks[0].field + tasks[0].finding.Rule))
	path.ID = fmt.Sprintf("%s:%s:by-hand:%s", path.Kind, tasks[0].file, hex.EncodeToString(sum[:6]))
	path.Summary = path.Steps[0].Text
	return path
}
