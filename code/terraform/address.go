package terraform

import (
	"fmt"
	"path"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

var ctyString = cty.String

// Address names a resource or one of its instances, as plans and states do.
type Address struct {
	Modules []Step // calls from the root down
	Data    bool
	Type    string
	Name    string
	Key     cty.Value // instance key, cty.NilVal for none
}

// Step is a module call with its instance key, cty.NilVal for none.
type Step struct {
	Name string
	Key  cty.Value
}

// ParseAddress reads an address such as module.a["x"].aws_s3_bucket.logs[0]. What
// follows it, an attribute's path, is returned beside it.
func ParseAddress(text string) (Address, []cty.Value, error) {
	fail := func() (Address, []cty.Value, error) {
		return Address{}, nil, fmt.Errorf("address %q: expected one like module.name[\"key\"].type.name[0], with an attribute's path after it", text)
	}
	if len(text) > 4096 {
		return fail()
	}
	traversal, diags := hclsyntax.ParseTraversalAbs([]byte(text), "address", hcl.InitialPos)
	if diags.HasErrors() {
		return fail()
	}
	var rest []cty.Value
	var a Address
	next := func() (string, cty.Value, bool) {
		if len(traversal) == 0 {
			return "", cty.NilVal, false
		}
		name := ""
		switch s := traversal[0].(type) {
		case hcl.TraverseRoot:
			name = s.Name
		case hcl.TraverseAttr:
			name = s.Name
		default:
			return "", cty.NilVal, false
		}
		traversal = traversal[1:]
		key := cty.NilVal
		if len(traversal) > 0 {
			if index, ok := traversal[0].(hcl.TraverseIndex); ok {
				key = index.Key
				traversal = traversal[1:]
			}
		}
		return name, key, true
	}
	for {
		name, key, ok := next()
		switch {
		case !ok || name != "module" && key != cty.NilVal:
			return fail()
		case name == "module":
			called, key, ok := next()
			if !ok {
				return fail()
			}
			a.Modules = append(a.Modules, Step{called, key})
			continue
		case name == "data":
			a.Data = true
			if name, key, ok = next(); !ok || key != cty.NilVal {
				return fail()
			}
		}
		a.Type = name
		if a.Name, a.Key, ok = next(); !ok {
			return fail()
		}
		break
	}
	for _, step := range traversal {
		switch s := step.(type) {
		case hcl.TraverseAttr:
			rest = append(rest, cty.StringVal(s.Name))
		case hcl.TraverseIndex:
			rest = append(rest, s.Key)
		default:
			return fail()
		}
	}
	return a, rest, nil
}

// String writes the address as Terraform does.
func (a Address) String() string {
	var b strings.Builder
	for _, m := range a.Modules {
		b.WriteString("module." + m.Name + indexText(m.Key) + ".")
	}
	if a.Data {
		b.WriteString("data.")
	}
	b.WriteString(a.Type + "." + a.Name + indexText(a.Key))
	return b.String()
}

func indexText(key cty.Value) string {
	if key == cty.NilVal {
		return ""
	}
	key, _ = key.Unmark()
	if !key.IsKnown() || key.IsNull() {
		return "[*]"
	}
	if key.Type() == cty.Number {
		return "[" + key.AsBigFloat().Text('f', -1) + "]"
	}
	text, err := convert.Convert(key, cty.String)
	if err != nil {
		return "[*]"
	}
	return fmt.Sprintf("[%q]", text.AsString())
}

func (a Address) resource() string {
	key := a.Type + "." + a.Name
	if a.Data {
		key = "data." + key
	}
	return key
}

// ModuleCall is one link of the chain from the root module to a block.
type ModuleCall struct {
	Address string `json:"address"` // "module.a.module.b"
	Source  string `json:"source"`
	Place   Place  `json:"place"`
}

// Declaration is where an address is declared.
type Declaration struct {
	Address string       `json:"address"`
	Module  string       `json:"module"` // folder of the module that holds the block
	Place   Place        `json:"place"`
	Calls   []ModuleCall `json:"calls"` // from the root down
}

// Locate leads from an address to its block. Instance keys do not matter. False
// with what is missing when there is no such block.
func (c *Configuration) Locate(a Address) (Declaration, []string, bool) {
	d, _, missing, ok := c.locate(a)
	return d, missing, ok
}

func (c *Configuration) locate(a Address) (Declaration, *call, []string, bool) {
	a = c.follow(a)
	d := Declaration{Address: a.String(), Calls: []ModuleCall{}}
	at := c.root
	for _, step := range a.Modules {
		child := at.children[step.Name]
		if child == nil {
			return d, nil, []string{fmt.Sprintf("%s calls no module %q", folderName(at.module.dir), step.Name)}, false
		}
		source, _ := literal(child.declared.body.attributes["source"])
		d.Calls = append(d.Calls, ModuleCall{child.address(), source, child.declared.place})
		if child.module == nil {
			return d, nil, []string{fmt.Sprintf("%s comes from %s, which is not in the tree; terraform init would bring it to .terraform/modules", child.address(), source)}, false
		}
		at = child
	}
	d.Module = at.module.dir
	b := at.module.resources[a.resource()]
	if b == nil {
		return d, nil, []string{fmt.Sprintf("%s declares no %s", folderName(at.module.dir), a.resource())}, false
	}
	d.Place = b.place
	return d, at, nil, true
}

// follow applies moved blocks of the module that holds the resource, as long as
// its address is not declared there itself.
func (c *Configuration) follow(a Address) Address {
	at := c.root
	for _, step := range a.Modules {
		if at = at.children[step.Name]; at == nil || at.module == nil {
			return a
		}
	}
	for range 20 {
		if at.module.resources[a.resource()] != nil {
			return a
		}
		moved := false
		for _, m := range at.module.moved {
			if strings.SplitN(m.from, "[", 2)[0] != a.resource() {
				continue
			}
			to, _, err := ParseAddress(m.to)
			if err != nil || len(to.Modules) > 0 {
				continue
			}
			a.Type, a.Name, a.Data, moved = to.Type, to.Name, to.Data, true
			if to.Key != cty.NilVal {
				a.Key = to.Key
			}
			break
		}
		if !moved {
			return a
		}
	}
	return a
}

// Declarations lists every resource of the configuration by its address without
// instance keys, in the order of calls and files.
func (c *Configuration) Declarations(data bool) []Declaration {
	var list []Declaration
	var walk func(at *call, steps []Step)
	walk = func(at *call, steps []Step) {
		for _, key := range at.module.order {
			if strings.HasPrefix(key, "data.") && !data {
				continue
			}
			a := Address{Modules: steps}
			name := key
			if a.Data = strings.HasPrefix(key, "data."); a.Data {
				name = key[len("data."):]
			}
			a.Type, a.Name, _ = strings.Cut(name, ".")
			if d, _, ok := c.Locate(a); ok {
				list = append(list, d)
			}
		}
		for _, name := range at.module.callOrder {
			if child := at.children[name]; child != nil && child.module != nil {
				walk(child, append(steps[:len(steps):len(steps)], Step{Name: name}))
			}
		}
	}
	walk(c.root, nil)
	return list
}

// Key names the address in the whole estate: "repository//root:address".
func Key(repository, root, address string) string {
	return repository + "//" + path.Clean(root) + ":" + address
}
