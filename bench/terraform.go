package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/terraform"
)

// measureTerraform loads a small configuration of three nested modules and traces an
// attribute to its literal, against only parsing its files; and refuses a file that
// the parser would recurse into until the process ends.
var measureTerraform = Measurement{ID: "terraform", Run: runTerraform}

const terraformRounds = 200

func runTerraform(ctx context.Context) ([]Row, error) {
	files := code.Files{
		"main.tf":            []byte("variable \"class\" {\n  default = \"db.t3.micro\"\n}\nmodule \"shop\" {\n  source  = \"./shop\"\n  classes = { main = var.class, spare = \"db.t3.small\" }\n}\n"),
		"shop/main.tf":       []byte("variable \"classes\" {}\nmodule \"data\" {\n  for_each = var.classes\n  source   = \"./data\"\n  class    = each.value\n}\n"),
		"shop/data/m.tf":     []byte("variable \"class\" {}\nlocals {\n  class = var.class == \"\" ? \"db.t3.nano\" : var.class\n}\nmodule \"db\" {\n  source = \"./db\"\n  class  = local.class\n}\n"),
		"shop/data/db/db.tf": []byte("variable \"class\" {}\nresource \"aws_db_instance\" \"this\" {\n  instance_class = var.class\n  engine         = \"postgres\"\n}\n"),
	}
	address, attribute, err := terraform.ParseAddress(`module.shop.module.data["main"].module.db.aws_db_instance.this.instance_class`)
	if err != nil {
		return nil, err
	}
	start := ownCPU()
	for range terraformRounds {
		c, err := terraform.Load(ctx, files, "", terraform.Options{})
		if err != nil {
			return nil, err
		}
		trace := c.Trace(address, attribute)
		if trace.Status != terraform.TraceFound || trace.Origins[0].Place.Path != "main.tf" || trace.Origins[0].Place.Line != 2 {
			return nil, fmt.Errorf("the literal is not found: %+v", trace)
		}
	}
	traced := (ownCPU() - start) / terraformRounds
	start = ownCPU()
	for range terraformRounds {
		for name, data := range files {
			if _, diags := hclsyntax.ParseConfig(data, name, hcl.InitialPos); diags.HasErrors() {
				return nil, diags
			}
		}
	}
	parsed := (ownCPU() - start) / terraformRounds
	start = ownCPU()
	c, err := terraform.Load(ctx, code.Files{"main.tf": []byte("locals {\n  a = " + strings.Repeat("(", 160<<10) + "\n}\n")}, "", terraform.Options{})
	if err != nil {
		return nil, err
	}
	if len(c.Problems) == 0 {
		return nil, errors.New("160 KB of brackets are not refused")
	}
	refused := ownCPU() - start
	return []Row{
		{What: "literal behind an attribute, four files, three modules deep", Value: milliseconds(traced), Unit: "CPU ms", Baseline: milliseconds(parsed), Against: "only parsing the files", Target: "under 10 ms", OK: milliseconds(traced) < 10},
		{What: "160 KB of opening brackets, refused", Value: milliseconds(refused), Unit: "CPU ms", Target: "under 100 ms", OK: milliseconds(refused) < 100},
	}, nil
}
