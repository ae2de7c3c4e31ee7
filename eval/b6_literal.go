package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/terraform"
)

// b6LiteralCases is how many configurations are generated.
const b6LiteralCases = 100

// b6Mark is the text of the literal that decides; it stands in one line only.
const b6Mark = "the literal that decides"

// b6Literals generates configurations of modules three deep whose one attribute
// comes from one literal, over a random way of variables, locals, defaults, files
// of variables, for_each, count, conditionals and functions, with decoys beside
// it, and asks for the literal's line. Where the value comes from a data source,
// the answer has to be unknown and name it. It gives the share of right answers.
func b6Literals(ctx context.Context) (float64, []string, error) {
	random := rand.New(rand.NewPCG(20, 26))
	right := 0
	var notes []string
	for n := range b6LiteralCases {
		g := &b6Generator{random: random, files: map[string][]string{}}
		address, path := g.generate()
		tree := code.Files{}
		want := ""
		for name, blocks := range g.files {
			text := strings.Join(blocks, "\n") + "\n"
			tree[name] = []byte(text)
			if at := strings.Index(text, b6Mark); at >= 0 {
				want = fmt.Sprintf("%s:%d", name, 1+strings.Count(text[:at], "\n"))
			}
		}
		configuration, err := terraform.Load(ctx, tree, "", terraform.Options{})
		if err != nil {
			return 0, nil, err
		}
		asked, attribute, err := terraform.ParseAddress(address + "." + path)
		if err != nil {
			return 0, nil, err
		}
		trace := configuration.Trace(asked, attribute)
		got := ""
		if len(trace.Origins) > 0 && trace.Status == terraform.TraceFound {
			got = fmt.Sprintf("%s:%d", trace.Origins[0].Place.Path, trace.Origins[0].Place.Line)
		}
		ok := want != "" && got == want
		if g.blocked != "" {
			ok = trace.Status == terraform.TraceUnknown && slices.Contains(trace.Missing, g.blocked)
		}
		if ok {
			right++
			continue
		}
		note := fmt.Sprintf("literal case %d: %s.%s is %s at %q (%s), expected %q%s", n, address, path, trace.Status, got, strings.Join(trace.Missing, "; "), want, g.blocked)
		for _, name := range slices.Sorted(mapsKeys(tree)) {
			note += "\n--- " + name + "\n" + string(tree[name])
		}
		notes = append(notes, note)
	}
	return float64(right) / b6LiteralCases, notes, nil
}

func mapsKeys(files code.Files) func(func(string) bool) {
	return func(yield func(string) bool) {
		for name := range files {
			if !yield(name) {
				return
			}
		}
	}
}

// b6Generator builds one configuration. Module level 0 is the root, 3 the deepest.
type b6Generator struct {
	random  *rand.Rand
	files   map[string][]string // file -> blocks
	names   int
	blocked string // the data source, when there is one instead
}

func (g *b6Generator) folder(level int) string {
	return []string{"", "modules/one/", "modules/two/", "modules/three/"}[level]
}

func (g *b6Generator) add(level int, file, block string) {
	name := g.folder(level) + file
	g.files[name] = append(g.files[name], block)
}

func (g *b6Generator) name() string {
	g.names++
	return fmt.Sprintf("v%d", g.names)
}

// generate gives the address of the resource and the path of its attribute.
func (g *b6Generator) generate() (address, path string) {
	arguments := [4][]string{}
	keys, loops := [4]string{}, [4]string{}
	for level := 1; level <= 3; level++ {
		switch g.random.IntN(5) {
		case 0:
			keys[level], loops[level] = `["one"]`, "for_each = { one = \"decoy\", two = \"decoy\" }"
		case 1:
			keys[level], loops[level] = "[1]", "count = 2"
		}
	}
	value := g.provide(3, 0, &arguments)
	path = "setting"
	attribute := "  setting = " + value
	if g.random.IntN(4) == 0 {
		path = "part[1].setting"
		attribute = "  dynamic \"part\" {\n    for_each = [\"decoy\", " + value + "]\n    content {\n      setting = part.value\n    }\n  }"
	}
	g.add(3, "main.tf", "resource \"some_thing\" \"decoy\" {\n  setting = \"decoy\"\n}\n\nresource \"some_thing\" \"this\" {\n  other = \"decoy\"\n"+attribute+"\n}")
	for level := 1; level <= 3; level++ {
		name := []string{"", "one", "two", "three"}[level]
		source := "../" + name
		if level == 1 {
			source = "./modules/one"
		}
		block := fmt.Sprintf("module \"%s\" {\n  source = %q\n", name, source)
		if loops[level] != "" {
			block += "  " + loops[level] + "\n"
		}
		g.add(level-1, "main.tf", block+strings.Join(arguments[level], "\n")+"\n}")
		address += "module." + name + keys[level] + "."
	}
	return address + "some_thing.this", path
}

// provide gives an expression of a module level whose value is the literal's,
// adding what it needs to the files and to the arguments of the calls.
func (g *b6Generator) provide(level, depth int, arguments *[4][]string) string {
	inner := func() string { return g.provide(level, depth+1, arguments) }
	if depth > 6 || level == 0 && depth > 0 && g.random.IntN(3) == 0 {
		return g.end(level, arguments)
	}
	switch choice := g.random.IntN(28) - 4; {
	case choice < 8 && level > 0: // handed in by the call
		name := g.name()
		g.add(level, "variables.tf", fmt.Sprintf("variable %q {\n  default = \"decoy\"\n}", name))
		(*arguments)[level] = append((*arguments)[level], "  "+name+" = "+g.provide(level-1, depth+1, arguments))
		return "var." + name
	case choice < 9 && level > 0: // handed in as a member of an object with a type
		name := g.name()
		g.add(level, "variables.tf", fmt.Sprintf("variable %q {\n  type = object({ a = string, b = optional(string, \"decoy\") })\n}", name))
		(*arguments)[level] = append((*arguments)[level], "  "+name+" = {\n    a = \"decoy\"\n    b = "+g.provide(level-1, depth+1, arguments)+"\n  }")
		return "var." + name + ".b"
	case choice < 11:
		name := g.name()
		g.add(level, "locals.tf", fmt.Sprintf("locals {\n  %s = %s\n}", name, inner()))
		return "local." + name
	case choice < 13:
		flag := g.name()
		g.add(level, "variables.tf", fmt.Sprintf("variable %q {\n  type    = bool\n  default = true\n}", flag))
		if g.random.IntN(2) == 0 {
			return fmt.Sprintf("(var.%s ? %s : \"decoy\")", flag, inner())
		}
		return fmt.Sprintf("(!var.%s ? \"decoy\" : %s)", flag, inner())
	case choice == 13:
		return `merge({ a = "decoy" }, { a = ` + inner() + `, b = "decoy" })["a"]`
	case choice == 14:
		return `lookup({ k = ` + inner() + ` }, "k", "decoy")`
	case choice == 15:
		return `lookup({ j = "decoy" }, "k", ` + inner() + `)`
	case choice == 16:
		return `element(["decoy", ` + inner() + `], 1)`
	case choice == 17:
		return `coalesce(null, ` + inner() + `, "decoy")`
	case choice == 18:
		name := g.name()
		g.add(level, "locals.tf", fmt.Sprintf("locals {\n  %s = {}\n}", name))
		return fmt.Sprintf("try(local.%s.missing, %s, \"decoy\")", name, inner())
	case choice == 19:
		return `{ for k, v in { x = ` + inner() + `, y = "decoy" } : k => v }["x"]`
	case choice == 20:
		return `[for v in ["decoy", ` + inner() + `] : v if v != "decoy"][0]`
	case choice == 21:
		return `concat(["decoy"], [` + inner() + `])[1]`
	case choice == 22:
		return `([{ n = "decoy" }, { n = ` + inner() + ` }][*].n)[1]`
	case choice == 23:
		return `zipmap(["a", "b"], ["decoy", ` + inner() + `])["b"]`
	}
	return g.end(level, arguments)
}

// end places the literal, or the data source in its stead.
func (g *b6Generator) end(level int, arguments *[4][]string) string {
	literal := `"` + b6Mark + `"`
	name := g.name()
	switch choice := g.random.IntN(8); {
	case choice == 0:
		g.blocked = "data.some_source." + name
		g.add(level, "main.tf", fmt.Sprintf("data \"some_source\" %q {}", name))
		return g.blocked + ".result"
	case choice < 3:
		g.add(level, "variables.tf", fmt.Sprintf("variable %q {\n  type    = string\n  default = %s\n}", name, literal))
		return "var." + name
	case choice == 3:
		g.add(level, "variables.tf", fmt.Sprintf("variable %q {\n  type = object({\n    a = optional(string, \"decoy\")\n    b = optional(string, %s)\n  })\n  default = {}\n}", name, literal))
		return "var." + name + ".b"
	case choice < 6 && level == 0:
		g.add(0, "variables.tf", fmt.Sprintf("variable %q {\n  default = \"decoy\"\n}", name))
		file := []string{"terraform.tfvars", "a.auto.tfvars"}[g.random.IntN(2)]
		g.add(0, file, fmt.Sprintf("%s = %s", name, literal))
		return "var." + name
	}
	g.add(level, "locals.tf", fmt.Sprintf("locals {\n  %s = %s\n}", name, literal))
	return "local." + name
}
