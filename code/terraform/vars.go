package terraform

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	hcljson "github.com/hashicorp/hcl/v2/json"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// readVars reads the files of variables in the order in which Terraform lets later
// ones win: terraform.tfvars, terraform.tfvars.json, *.auto.tfvars in the order of
// their names, then those of the options.
func (c *Configuration) readVars(ctx context.Context, paths []string) error {
	var auto []string
	for _, name := range paths {
		if clean(path.Dir(name)) == c.Dir && (strings.HasSuffix(name, ".auto.tfvars") || strings.HasSuffix(name, ".auto.tfvars.json")) {
			auto = append(auto, name)
		}
	}
	slices.Sort(auto)
	names := append([]string{path.Join(c.Dir, "terraform.tfvars"), path.Join(c.Dir, "terraform.tfvars.json")}, auto...)
	optional := len(names)
	names = append(names, c.options.VarFiles...)
	for i, name := range names {
		data, err := c.tree.Read(ctx, name)
		if errors.Is(err, fs.ErrNotExist) && i < optional {
			continue
		}
		if err != nil {
			c.Problems = append(c.Problems, Problem{Path: name, Text: err.Error()})
			continue
		}
		values, problems := parseVars(name, data, &c.meter)
		c.Problems = append(c.Problems, problems...)
		for variable, value := range values {
			c.vars[variable] = value
		}
	}
	return ctx.Err()
}

func parseVars(name string, data []byte, m *meter) (map[string]assigned, []Problem) {
	if len(data) > maxFile {
		return nil, []Problem{{Path: name, Text: "larger than 4 MiB"}}
	}
	var file *hcl.File
	var diags hcl.Diagnostics
	if strings.HasSuffix(name, ".json") {
		if line, why := jsonNesting(data); line > 0 {
			return nil, []Problem{{name, line, why}}
		}
		file, diags = hcljson.Parse(data, name)
	} else {
		if line, why := nesting(name, data, false); line > 0 {
			return nil, []Problem{{name, line, why}}
		}
		file, diags = hclsyntax.ParseConfig(data, name, hcl.InitialPos)
	}
	problems := diagnosed(name, diags)
	if file == nil {
		return nil, problems
	}
	if native, ok := file.Body.(*hclsyntax.Body); ok {
		measure(native, m)
	}
	attributes, _ := file.Body.JustAttributes()
	values := map[string]assigned{}
	for variable, a := range attributes {
		values[variable] = assigned{a.Expr, placeOf(a.Range)}
	}
	return values, problems
}

// jsonText writes a known value as JSON, "" when it is not wholly known.
func jsonText(v cty.Value) string {
	if v == cty.NilVal || !v.IsWhollyKnown() {
		return ""
	}
	text, err := ctyjson.Marshal(v, v.Type())
	if err != nil {
		return ""
	}
	return string(text)
}
