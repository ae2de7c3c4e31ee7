// Package terraform evaluates Terraform configurations and traces values to the
// literal that decides them.
//
// Load reads a root module with the modules that it calls from the same tree, and
// from .terraform/modules when that is there; modules that are not are named as
// not evaluated. Locate leads from an address, as state and plans have it, to the
// block that declares it, through the chain of module calls. Trace leads from an
// attribute of an instance through variables, locals, defaults, tfvars, for_each,
// count, dynamic blocks, conditionals and functions to the literal that decides
// it, with every step's file, line and module, and the condition that chose a
// branch as control. A value that depends on something outside (a data source, an
// attribute that the provider computes, a file) is unknown, with the name that
// blocks it.
//
// Nothing is run and nothing is read but the tree: functions that look at files,
// clocks or random numbers are unknown. Sensitive values are marked and never
// written. Every file's nesting is measured before it is parsed, since the parser
// recurses and an overflow of the stack would end the process.
package terraform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	hcljson "github.com/hashicorp/hcl/v2/json"

	"github.com/backstitch/backstitch/code"
)

// Bounds of what is read.
const (
	maxFile  = 4 << 20
	maxCalls = 5000 // module calls of one configuration
	maxDepth = 30   // of module calls
)

// Problem is something of a configuration that could not be read or evaluated.
type Problem struct {
	Path string
	Line int
	Text string
}

func (p Problem) String() string {
	if p.Line > 0 {
		return fmt.Sprintf("%s:%d: %s", p.Path, p.Line, p.Text)
	}
	return p.Path + ": " + p.Text
}

// Place is a range of a file; lines and columns count from 1, bytes from 0.
type Place struct {
	Path       string `json:"path"`
	Line       int    `json:"line"`
	Column     int    `json:"column"`
	EndLine    int    `json:"end_line"`
	Start, End int    `json:"-"`
}

func placeOf(r hcl.Range) Place {
	return Place{Path: r.Filename, Line: r.Start.Line, Column: r.Start.Column, EndLine: max(r.Start.Line, r.End.Line), Start: r.Start.Byte, End: r.End.Byte}
}

// Options say what the caller knows.
type Options struct {
	// VarFiles are files of variables below the root of the tree, later ones win,
	// after those that Terraform loads by itself.
	VarFiles []string
	// Workspace is the selected workspace, "" for unknown.
	Workspace string
}

// Configuration is a root module with everything that it calls.
type Configuration struct {
	Dir      string // of the root module
	Problems []Problem
	// Unevaluated are module calls whose source is not at hand: address and source.
	Unevaluated []Unevaluated

	tree      code.Tree
	options   Options
	modules   map[string]*module
	root      *call
	calls     int
	vars      map[string]assigned // of the root, by files of variables
	others    map[string][]Place  // where files that were not given set them
	meter     meter
	budget    int // evaluations so far
	depth     int // of the evaluation under way
	rootFrame *frame
}

// Unevaluated is a module call that could not be followed.
type Unevaluated struct {
	Address string
	Source  string
	Place   Place
}

// module is one folder, parsed once.
type module struct {
	dir       string
	resources map[string]*block // "type.name", "data.type.name"
	order     []string
	variables map[string]*block
	locals    map[string]*attribute
	outputs   map[string]*block
	callsOf   map[string]*block
	callOrder []string
	moved     []moved
	problems  []Problem
}

type moved struct{ from, to string }

// block is a block with the blocks that override it.
type block struct {
	kind   string
	labels []string
	body   body
	place  Place // in JSON of its first line only
}

// attribute is one expression with its place.
type attribute struct {
	expr  hcl.Expression
	place Place
}

// body gives attributes and nested blocks, whatever the syntax.
type body struct {
	attributes map[string]*attribute
	blocks     []*block
}

// call is one module call in the tree of calls, whatever its instances.
type call struct {
	parent   *call
	name     string
	declared *block // nil for the root
	module   *module
	children map[string]*call
}

// address is the path of names: "module.a.module.b".
func (c *call) address() string {
	if c.parent == nil {
		return ""
	}
	own := "module." + c.name
	if above := c.parent.address(); above != "" {
		return above + "." + own
	}
	return own
}

// Load reads the root module in a folder of the tree ("" for the tree's root).
func Load(ctx context.Context, tree code.Tree, dir string, options Options) (*Configuration, error) {
	c := &Configuration{Dir: clean(dir), tree: tree, options: options, modules: map[string]*module{}, vars: map[string]assigned{}, others: map[string][]Place{}}
	paths, err := tree.Paths(ctx)
	if err != nil {
		return nil, err
	}
	files := byFolder(paths)
	if len(files[c.Dir]) == 0 {
		return nil, fmt.Errorf("%s holds no Terraform files: %w", folderName(c.Dir), fs.ErrNotExist)
	}
	installed, err := c.installed(ctx)
	if err != nil {
		return nil, err
	}
	if c.root, err = c.open(ctx, files, installed, nil, "", nil, c.Dir, ""); err != nil {
		return nil, err
	}
	if err := c.readVars(ctx, paths); err != nil {
		return nil, err
	}
	slices.SortStableFunc(c.Problems, func(a, b Problem) int { return strings.Compare(a.Path, b.Path) })
	return c, nil
}

func clean(dir string) string {
	if dir = path.Clean(dir); dir == "." {
		return ""
	}
	return dir
}

func folderName(dir string) string {
	if dir == "" {
		return "the root of the tree"
	}
	return dir
}

// byFolder lists the Terraform files of each folder, sorted.
func byFolder(paths []string) map[string][]string {
	files := map[string][]string{}
	for _, name := range paths {
		if strings.HasSuffix(name, ".tf") || strings.HasSuffix(name, ".tf.json") {
			dir := clean(path.Dir(name))
			files[dir] = append(files[dir], name)
		}
	}
	return files
}

// Roots lists the folders that look like root modules: those with Terraform files
// that no other folder calls, sorted.
func Roots(ctx context.Context, tree code.Tree) ([]string, error) {
	paths, err := tree.Paths(ctx)
	if err != nil {
		return nil, err
	}
	files := byFolder(paths)
	called := map[string]bool{}
	c := &Configuration{tree: tree, modules: map[string]*module{}}
	var dirs []string
	for dir := range files {
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs)
	for _, dir := range dirs {
		m, err := c.parse(ctx, dir, files[dir])
		if err != nil {
			return nil, err
		}
		for _, name := range m.callOrder {
			if source, ok := literal(m.callsOf[name].body.attributes["source"]); ok && local(source) {
				called[clean(path.Join(dir, source))] = true
			}
		}
	}
	return slices.DeleteFunc(dirs, func(dir string) bool { return called[dir] }), nil
}

func local(source string) bool {
	return strings.HasPrefix(source, "./") || strings.HasPrefix(source, "../") || source == "." || source == ".."
}

// installed reads .terraform/modules/modules.json: call path to folder.
func (c *Configuration) installed(ctx context.Context) (map[string]string, error) {
	name := path.Join(c.Dir, ".terraform/modules/modules.json")
	data, err := c.tree.Read(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list struct {
		Modules []struct{ Key, Dir string }
	}
	if err := json.Unmarshal(data, &list); err != nil {
		c.Problems = append(c.Problems, Problem{Path: name, Text: "expected the list of installed modules: " + err.Error()})
		return nil, nil
	}
	found := map[string]string{}
	for _, m := range list.Modules {
		dir := clean(path.Join(c.Dir, strings.ReplaceAll(m.Dir, `\`, "/")))
		if m.Key != "" && dir != ".." && !strings.HasPrefix(dir, "../") {
			found[m.Key] = dir
		}
	}
	return found, nil
}

// open makes the call of a module in a folder, and those that it makes in turn.
func (c *Configuration) open(ctx context.Context, files map[string][]string, installed map[string]string, parent *call, name string, declared *block, dir, key string) (*call, error) {
	if c.calls++; c.calls > maxCalls {
		return nil, fmt.Errorf("%s: more than %d module calls", folderName(c.Dir), maxCalls)
	}
	m := c.modules[dir]
	if m == nil {
		var err error
		if m, err = c.parse(ctx, dir, files[dir]); err != nil {
			return nil, err
		}
		c.modules[dir] = m
		c.Problems = append(c.Problems, m.problems...)
	}
	own := &call{parent: parent, name: name, declared: declared, module: m, children: map[string]*call{}}
	depth := 0
	for up := parent; up != nil; up = up.parent {
		if depth++; up.module == m || depth > maxDepth {
			c.Problems = append(c.Problems, Problem{declared.place.Path, declared.place.Line, fmt.Sprintf("module %s calls itself", own.address())})
			return own, nil
		}
	}
	for _, childName := range m.callOrder {
		declaration := m.callsOf[childName]
		source, _ := literal(declaration.body.attributes["source"])
		childKey := childName
		if key != "" {
			childKey = key + "." + childName
		}
		target, ok := "", false
		if local(source) {
			target = clean(path.Join(dir, source))
			ok = len(files[target]) > 0
			if target == ".." || strings.HasPrefix(target, "../") {
				c.Problems = append(c.Problems, Problem{declaration.place.Path, declaration.place.Line, "source " + source + " leads out of the tree"})
			} else if !ok {
				c.Problems = append(c.Problems, Problem{declaration.place.Path, declaration.place.Line, "source " + source + " holds no Terraform files"})
			}
		} else if target, ok = installed[childKey]; ok {
			ok = len(files[target]) > 0
		}
		if !ok {
			closed := &call{parent: own, name: childName, declared: declaration}
			own.children[childName] = closed
			c.Unevaluated = append(c.Unevaluated, Unevaluated{closed.address(), source, declaration.place})
			continue
		}
		child, err := c.open(ctx, files, installed, own, childName, declaration, target, childKey)
		if err != nil {
			return nil, err
		}
		own.children[childName] = child
	}
	return own, ctx.Err()
}

// parse reads the files of one folder: the plain ones, then those that override.
func (c *Configuration) parse(ctx context.Context, dir string, names []string) (*module, error) {
	m := &module{
		dir: dir, resources: map[string]*block{}, variables: map[string]*block{}, locals: map[string]*attribute{}, outputs: map[string]*block{}, callsOf: map[string]*block{},
	}
	overriding := func(name string) bool {
		base := strings.TrimSuffix(strings.TrimSuffix(path.Base(name), ".json"), ".tf")
		return base == "override" || strings.HasSuffix(base, "_override")
	}
	for pass := range 2 {
		for _, name := range names {
			if overriding(name) != (pass == 1) {
				continue
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			data, err := c.tree.Read(ctx, name)
			if err != nil {
				m.problems = append(m.problems, Problem{Path: name, Text: err.Error()})
				continue
			}
			blocks, problems := parseFile(name, data, &c.meter)
			m.problems = append(m.problems, problems...)
			for _, b := range blocks {
				m.add(b, pass == 1)
			}
		}
	}
	return m, nil
}

// add puts a top-level block in its place. A later one of the same name overrides
// attributes and nested blocks in override files, and is a mistake elsewhere, of
// which the first counts.
func (m *module) add(b *block, override bool) {
	put := func(into map[string]*block, key string) bool {
		first := into[key]
		switch {
		case first == nil:
			into[key] = b
			return true
		case override:
			first.body.override(b.body)
		}
		return false
	}
	switch {
	case (b.kind == "resource" || b.kind == "data") && len(b.labels) == 2:
		key := b.labels[0] + "." + b.labels[1]
		if b.kind == "data" {
			key = "data." + key
		}
		if put(m.resources, key) {
			m.order = append(m.order, key)
		}
	case b.kind == "variable" && len(b.labels) == 1:
		put(m.variables, b.labels[0])
	case b.kind == "output" && len(b.labels) == 1:
		put(m.outputs, b.labels[0])
	case b.kind == "module" && len(b.labels) == 1:
		if put(m.callsOf, b.labels[0]) {
			m.callOrder = append(m.callOrder, b.labels[0])
		}
	case b.kind == "locals":
		for name, attr := range b.body.attributes {
			if m.locals[name] == nil || override {
				m.locals[name] = attr
			}
		}
	case b.kind == "moved":
		from, to := traversalText(b.body.attributes["from"]), traversalText(b.body.attributes["to"])
		if from != "" && to != "" {
			m.moved = append(m.moved, moved{from, to})
		}
	}
}

func traversalText(a *attribute) string {
	if a == nil || !parsable(a.expr) {
		return ""
	}
	traversal, diags := hcl.AbsTraversalForExpr(a.expr)
	if diags.HasErrors() {
		return ""
	}
	text := ""
	for _, step := range traversal {
		switch s := step.(type) {
		case hcl.TraverseRoot:
			text = s.Name
		case hcl.TraverseAttr:
			text += "." + s.Name
		case hcl.TraverseIndex:
			text += indexText(s.Key)
		}
	}
	return text
}

func (b *body) override(by body) {
	for name, attr := range by.attributes {
		b.attributes[name] = attr
	}
	replaced := map[string]bool{}
	for _, nested := range by.blocks {
		replaced[nested.kind] = true
	}
	b.blocks = slices.DeleteFunc(b.blocks, func(nested *block) bool { return replaced[nested.kind] })
	b.blocks = append(b.blocks, by.blocks...)
}

// parseFile reads one file in either syntax.
func parseFile(name string, data []byte, m *meter) (blocks []*block, problems []Problem) {
	if len(data) > maxFile {
		return nil, []Problem{{Path: name, Text: fmt.Sprintf("larger than %d MiB", maxFile>>20)}}
	}
	if strings.HasSuffix(name, ".json") {
		if line, why := jsonNesting(data); line > 0 {
			return nil, []Problem{{name, line, why}}
		}
		file, diags := hcljson.Parse(data, name)
		problems = diagnosed(name, diags)
		if file == nil || file.Body == nil {
			return nil, problems
		}
		content, diags := file.Body.Content(topLevel)
		problems = append(problems, diagnosed(name, diags)...)
		for _, b := range content.Blocks {
			blocks = append(blocks, &block{kind: b.Type, labels: b.Labels, body: jsonBody(b.Body), place: placeOf(b.DefRange)})
		}
		return blocks, problems
	}
	if line, why := nesting(name, data, false); line > 0 {
		return nil, []Problem{{name, line, why}}
	}
	file, diags := hclsyntax.ParseConfig(data, name, hcl.InitialPos)
	problems = diagnosed(name, diags)
	if file == nil {
		return nil, problems
	}
	if native, ok := file.Body.(*hclsyntax.Body); ok {
		measure(native, m)
		for _, b := range native.Blocks {
			blocks = append(blocks, nativeBlock(b))
		}
	}
	return blocks, problems
}

var topLevel = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
	{Type: "resource", LabelNames: []string{"type", "name"}}, {Type: "data", LabelNames: []string{"type", "name"}},
	{Type: "variable", LabelNames: []string{"name"}}, {Type: "output", LabelNames: []string{"name"}}, {Type: "module", LabelNames: []string{"name"}},
	{Type: "locals"}, {Type: "moved"}, {Type: "terraform"}, {Type: "provider", LabelNames: []string{"name"}}, {Type: "import"}, {Type: "removed"},
	{Type: "check", LabelNames: []string{"name"}},
}}

func diagnosed(name string, diags hcl.Diagnostics) []Problem {
	var problems []Problem
	for _, d := range diags {
		if d.Severity != hcl.DiagError {
			continue
		}
		p := Problem{Path: name, Text: d.Summary}
		if d.Subject != nil {
			p.Line = d.Subject.Start.Line
		}
		if d.Detail != "" {
			p.Text += ": " + d.Detail
		}
		if problems = append(problems, p); len(problems) == 10 {
			break
		}
	}
	return problems
}

func nativeBlock(b *hclsyntax.Block) *block {
	return &block{kind: b.Type, labels: b.Labels, body: nativeBody(b.Body), place: placeOf(hcl.RangeBetween(b.TypeRange, b.CloseBraceRange))}
}

func nativeBody(b *hclsyntax.Body) body {
	own := body{attributes: map[string]*attribute{}}
	for name, a := range b.Attributes {
		own.attributes[name] = &attribute{a.Expr, placeOf(a.SrcRange)}
	}
	for _, nested := range b.Blocks {
		own.blocks = append(own.blocks, nativeBlock(nested))
	}
	return own
}

// jsonBody takes every member for an attribute; nested blocks are objects and
// lists of them, which tracing walks into by itself.
func jsonBody(b hcl.Body) body {
	own := body{attributes: map[string]*attribute{}}
	attributes, _ := b.JustAttributes()
	for name, a := range attributes {
		own.attributes[name] = &attribute{a.Expr, placeOf(a.Range)}
	}
	return own
}

// literal gives the text of an expression that is a plain string.
func literal(a *attribute) (string, bool) {
	if a == nil {
		return "", false
	}
	value, diags := a.expr.Value(nil)
	if diags.HasErrors() || value.IsNull() || !value.IsKnown() || !value.Type().Equals(ctyString) {
		return "", false
	}
	return value.AsString(), true
}
