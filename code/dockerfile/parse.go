package dockerfile

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

const (
	maxInstructions = 20000
	maxExpansion    = 64 << 10 // bytes that an expanded word may have
)

// ErrTooLarge says that a file is over MaxFile.
var ErrTooLarge = errors.New("a Dockerfile is larger than 1 MiB")

// nested is an ONBUILD within an ONBUILD, which the grammar forbids.
var nested = regexp.MustCompile(`(?i)\bONBUILD\s+(?:\\\s*)*ONBUILD\b`)

// Parse reads a Dockerfile. An error means that nothing could be read; an
// instruction that is wrong in itself is a Problem and the rest is kept.
func Parse(name string, data []byte) (file *File, err error) {
	if len(data) > MaxFile {
		return nil, fmt.Errorf("%s: %w", name, ErrTooLarge)
	}
	if bytes.IndexByte(data, 0) >= 0 {
		return nil, fmt.Errorf("%s: expected text, found a zero byte", name)
	}
	if at := nested.FindIndex(data); at != nil {
		return nil, fmt.Errorf("%s:%d: ONBUILD within ONBUILD is not allowed", name, 1+bytes.Count(data[:at[0]], []byte("\n")))
	}
	defer func() {
		if broken := recover(); broken != nil {
			file, err = nil, fmt.Errorf("%s: the Dockerfile grammar gave up: %v", name, broken)
		}
	}()
	parsed, err := parser.Parse(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(parsed.AST.Children) > maxInstructions {
		return nil, fmt.Errorf("%s: more than %d instructions", name, maxInstructions)
	}
	syntax, _, _, _ := parser.DetectSyntax(data)
	r := &reader{file: &File{Path: name, Escape: parsed.EscapeToken, Syntax: syntax}, lex: shell.NewLex(parsed.EscapeToken), global: scope{}}
	r.lex.SkipUnsetEnv = true
	for _, node := range parsed.AST.Children {
		r.node(node)
	}
	if len(r.file.Stages) == 0 {
		return nil, fmt.Errorf("%s: expected a FROM instruction, found none", name)
	}
	return r.file, nil
}

// scope is the variables in force, by name.
type scope map[string]Variable

// Get implements the lexer's environment.
func (s scope) Get(name string) (string, bool) {
	v, ok := s[name]
	return v.Value, ok && v.Set
}

// Keys implements the lexer's environment.
func (s scope) Keys() []string {
	keys := make([]string, 0, len(s))
	for name := range s {
		keys = append(keys, name)
	}
	slices.Sort(keys)
	return keys
}

// state is what a stage leaves to the stages that start from it.
type state struct {
	vars    scope
	workdir string // "" unknown: that of the base
	shell   []string
}

type reader struct {
	file   *File
	lex    *shell.Lex
	global scope
	states []state // by stage
}

func (r *reader) problem(line int, format string, args ...any) {
	if len(r.file.Problems) < 100 {
		r.file.Problems = append(r.file.Problems, Problem{r.file.Path, line, fmt.Sprintf(format, args...)})
	}
}

// expand replaces variables by their values; what has none stays. A word whose
// expansion could grow beyond bounds stays as it is.
func (r *reader) expand(vars scope, word string) (string, map[string]struct{}, map[string]struct{}) {
	dollars := strings.Count(word, "$")
	if len(word) > maxExpansion {
		return word, nil, nil
	}
	longest := 0
	if dollars > 0 {
		for _, v := range vars {
			longest = max(longest, len(v.Value))
		}
	}
	if len(word)+dollars*longest > maxExpansion || strings.Count(word, "${") > 1000 {
		return word, nil, nil
	}
	result, err := r.lex.ProcessWordWithMatches(word, vars)
	if err != nil {
		return word, nil, nil
	}
	return result.Result, result.Matched, result.Unmatched
}

func (r *reader) text(vars scope, word string) string {
	text, _, _ := r.expand(vars, word)
	return text
}

func (r *reader) node(node *parser.Node) {
	if strings.EqualFold(node.Value, "ONBUILD") && (node.Next == nil || len(node.Next.Children) == 0) {
		r.problem(node.StartLine, "ONBUILD without an instruction")
		return
	}
	command, err := instructions.ParseInstruction(node)
	if err != nil {
		r.problem(node.StartLine, "%v", err)
		if !strings.EqualFold(node.Value, "FROM") || node.Next == nil {
			return
		}
		// A stage that cannot be understood still ends the one before it.
		command = &instructions.Stage{BaseName: node.Next.Value}
	}
	switch command := command.(type) {
	case *instructions.Stage:
		r.from(node, command)
		return
	case *instructions.ArgCommand:
		if len(r.file.Stages) == 0 {
			for _, arg := range command.Args {
				v := Variable{Name: arg.Key, Line: node.StartLine}
				if arg.Value != nil {
					v.Set, v.Value = true, r.text(r.global, *arg.Value)
				}
				r.global[v.Name] = v
				r.file.Args = append(r.file.Args, v)
			}
			return
		}
	}
	if len(r.file.Stages) == 0 {
		r.problem(node.StartLine, "%s before the first FROM", strings.ToUpper(node.Value))
		return
	}
	stage := &r.file.Stages[len(r.file.Stages)-1]
	in := r.instruction(node, command, &r.states[len(r.states)-1], stage.Index)
	stage.Instructions = append(stage.Instructions, in)
	stage.EndLine = max(stage.EndLine, node.EndLine)
}

// platforms are the variables that BuildKit sets by itself.
var platforms = []string{"TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT", "BUILDPLATFORM", "BUILDOS", "BUILDARCH", "BUILDVARIANT"}

func (r *reader) from(node *parser.Node, command *instructions.Stage) {
	ref := Reference{Written: command.BaseName, Line: node.StartLine, EndLine: node.EndLine}
	image, matched, unmatched := r.expand(r.global, command.BaseName)
	ref.Image = image
	ref.Platform = r.text(r.global, command.Platform)
	for name := range unmatched {
		ref.Unknown = append(ref.Unknown, name)
	}
	slices.Sort(ref.Unknown)
	for name := range matched {
		ref.Args = append(ref.Args, r.global[name])
	}
	slices.SortFunc(ref.Args, func(a, b Variable) int { return strings.Compare(a.Name, b.Name) })
	index := len(r.file.Stages)
	stage := Stage{Index: index, Name: strings.ToLower(command.Name), Base: ref, Line: node.StartLine, EndLine: node.EndLine, Parent: -1}
	// A stage is named, never numbered, in FROM.
	for i := index - 1; i >= 0; i-- {
		if name := r.file.Stages[i].Name; name != "" && strings.EqualFold(name, image) {
			stage.Parent = i
			break
		}
	}
	now := state{vars: scope{}, shell: []string{"/bin/sh", "-c"}}
	if stage.Parent >= 0 {
		parent := r.states[stage.Parent]
		now.workdir, now.shell = parent.workdir, parent.shell
		for name, v := range parent.vars {
			now.vars[name] = v
		}
	}
	r.file.Stages = append(r.file.Stages, stage)
	r.states = append(r.states, now)
}

// instruction reads one instruction and moves the stage's state on.
func (r *reader) instruction(node *parser.Node, command any, now *state, stage int) Instruction {
	in := Instruction{
		Kind: strings.ToUpper(node.Value), Line: node.StartLine, EndLine: max(node.EndLine, node.StartLine),
		Source: node.Original, Flags: node.Flags, JSON: node.Attributes["json"], FromStage: -1,
	}
	for _, doc := range node.Heredocs {
		content := doc.Content
		if doc.Chomp {
			content = parser.ChompHeredocContent(content)
		}
		in.Heredocs = append(in.Heredocs, Heredoc{doc.Name, content})
	}
	switch c := command.(type) {
	case *instructions.RunCommand:
		in.Text = Space(r.run(c, in.Heredocs))
		for _, flag := range node.Flags {
			if mount, ok := strings.CutPrefix(flag, "--mount="); ok {
				for part := range strings.SplitSeq(mount, ",") {
					if from, ok := strings.CutPrefix(part, "from="); ok {
						in.Mounts = append(in.Mounts, from)
					}
				}
			}
		}
	case *instructions.CopyCommand:
		r.copied(&in, &c.SourcesAndDest, now)
		in.From = r.text(r.global, c.From)
		if in.From != "" {
			in.FromStage = r.file.StageOf(in.From, stage)
		}
	case *instructions.AddCommand:
		r.copied(&in, &c.SourcesAndDest, now)
	case *instructions.EnvCommand:
		r.pairs(&in, c.Env, now, true)
	case *instructions.LabelCommand:
		r.pairs(&in, c.Labels, now, false)
	case *instructions.ArgCommand:
		r.arg(&in, c, now)
	case *instructions.WorkdirCommand:
		dir := r.text(now.vars, c.Path)
		if !path.IsAbs(dir) {
			dir = path.Join(now.workdir, dir)
		}
		now.workdir = dir
		in.Text = Canonical("WORKDIR", dir)
	case *instructions.CmdCommand:
		in.Text = r.list(c.ShellDependantCmdLine, now)
	case *instructions.EntrypointCommand:
		in.Text = r.list(c.ShellDependantCmdLine, now)
	case *instructions.ShellCommand:
		now.shell = c.Shell
		in.Text = Canonical("SHELL", strings.Join(c.Shell, " "))
	case *instructions.ExposeCommand:
		var ports []string
		for _, port := range c.Ports {
			ports = append(ports, r.text(now.vars, port))
		}
		in.Text = Canonical("EXPOSE", strings.Join(ports, " "))
	case *instructions.VolumeCommand:
		var volumes []string
		for _, volume := range c.Volumes {
			volumes = append(volumes, r.text(now.vars, volume))
		}
		in.Text = Space(strings.Join(volumes, " "))
	case *instructions.UserCommand:
		in.Text = Space(r.text(now.vars, c.User))
	case *instructions.StopSignalCommand:
		in.Text = Space(r.text(now.vars, c.Signal))
	case *instructions.MaintainerCommand:
		in.Text = Space(c.Maintainer)
	case *instructions.HealthCheckCommand:
		in.Text = "NONE"
		if c.Health != nil {
			in.Text = Canonical("HEALTHCHECK", strings.Join(c.Health.Test, " "))
		}
	case *instructions.OnbuildCommand:
		in.Text = Space(c.Expression)
		r.trigger(&in, node, now, stage)
	}
	return in
}

func (r *reader) trigger(in *Instruction, node *parser.Node, now *state, stage int) {
	child := node.Next.Children[0]
	child.StartLine, child.EndLine, child.Heredocs = node.StartLine, node.EndLine, node.Heredocs
	command, err := instructions.ParseInstruction(child)
	if err != nil {
		r.problem(node.StartLine, "ONBUILD: %v", err)
		return
	}
	// The trigger runs in the child's state, which begins as this one ends; it
	// does not change this one.
	later := state{vars: scope{}, workdir: now.workdir, shell: now.shell}
	for name, v := range now.vars {
		later.vars[name] = v
	}
	trigger := r.instruction(child, command, &later, stage)
	in.Trigger = &trigger
}

// run gives a RUN's command as builders hand it to the shell.
func (r *reader) run(c *instructions.RunCommand, docs []Heredoc) string {
	text := strings.Join(c.CmdLine, " ")
	if len(docs) == 0 {
		return text
	}
	if len(docs) == 1 {
		if doc, err := parser.ParseHeredoc(text); err == nil && doc != nil && !strings.HasPrefix(docs[0].Content, "#!") {
			return docs[0].Content
		}
	}
	for _, doc := range docs {
		text += "\n" + doc.Content + doc.Name
	}
	return text
}

func (r *reader) copied(in *Instruction, c *instructions.SourcesAndDest, now *state) {
	written := make([]string, 0, len(c.SourcePaths)+len(c.SourceContents)+1)
	for _, source := range c.SourcePaths {
		in.Sources = append(in.Sources, r.text(now.vars, source))
	}
	written = append(written, in.Sources...)
	for _, content := range c.SourceContents {
		written = append(written, "<<"+content.Path)
	}
	dest := r.text(now.vars, c.DestPath)
	written = append(written, dest)
	in.Text = Space(strings.Join(written, " "))
	in.Dest = dest
	if !path.IsAbs(dest) && now.workdir != "" {
		in.Dest = path.Join(now.workdir, dest)
		if strings.HasSuffix(dest, "/") || dest == "." || dest == "./" {
			in.Dest = strings.TrimSuffix(in.Dest, "/") + "/"
		}
	}
}

func (r *reader) pairs(in *Instruction, pairs []instructions.KeyValuePair, now *state, environment bool) {
	before := scope{}
	for name, v := range now.vars {
		before[name] = v
	}
	var list []string
	for _, pair := range pairs {
		key, value := r.text(before, pair.Key), r.text(before, pair.Value)
		list = append(list, key+"="+value)
		if environment {
			now.vars[key] = Variable{Name: key, Value: value, Line: in.Line, Set: true}
		}
	}
	in.Text = Canonical(in.Kind, strings.Join(list, " "))
}

func (r *reader) arg(in *Instruction, c *instructions.ArgCommand, now *state) {
	var list []string
	for _, arg := range c.Args {
		v := Variable{Name: arg.Key, Line: in.Line}
		if arg.Value != nil {
			v.Set, v.Value = true, r.text(now.vars, *arg.Value)
		} else if global, ok := r.global[arg.Key]; ok && global.Set {
			v = global
		}
		text := v.Name
		if v.Set {
			text += "=" + v.Value
		}
		list = append(list, text)
		// A variable without a value hides nothing, and what the builder sets by
		// itself has no value here.
		if v.Set && !slices.Contains(platforms, v.Name) {
			now.vars[v.Name] = v
		}
	}
	in.Text = Canonical("ARG", strings.Join(list, " "))
}

func (r *reader) list(c instructions.ShellDependantCmdLine, now *state) string {
	line := c.CmdLine
	if c.PrependShell {
		line = append(slices.Clone(now.shell), line...)
	}
	return Space(strings.Join(line, " "))
}
