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
	if err := ctx.Err(); err != nil || len(c.options.VarFiles) > 0 {
		return err
	}
	return c.readOthers(ctx, paths, names)
}

// maxOthers bounds the files of variables that are looked at beside those that count.
const maxOthers = 100

// readOthers notes what the files of variables set that Terraform reads only when it
// is told to, as those of environments are: those below the folder, and those that are
// called like it.
func (c *Configuration) readOthers(ctx context.Context, paths, read []string) error {
	looked := 0
	for _, name := range paths {
		stem, isVars := strings.CutSuffix(strings.TrimSuffix(path.Base(name), ".json"), ".tfvars")
		if !isVars || slices.Contains(read, name) || looked == maxOthers {
			continue
		}
		inside := c.Dir == "" || strings.HasPrefix(name, c.Dir+"/")
		if !inside && stem != path.Base(c.Dir) {
			continue
		}
		looked++
		data, err := c.tree.Read(ctx, name)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			continue // it counts only where it is given
		}
		values, _ := parseVars(name, data, &c.meter)
		for variable, value := range values {
			c.others[variable] = append(c.others[variable], value.place)
		}
	}
	return nil
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
