package terraform_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/fix/terraform"
)

// flaw is what a scanner of ours tells.
func flaw(issue, object, root, field, wanted string) fix.Flaw {
	f := fact.Finding{Kind: fact.Misconfiguration, Rule: "terraform/x", Attributes: map[string]string{"object": object, "root": root, "field": field, "wanted": wanted}}
	if wanted == "-" {
		delete(f.Attributes, "wanted")
		f.Attributes["remove"] = "true"
	}
	return fix.Flaw{Issue: issue, Kind: fact.Misconfiguration, Rules: []string{"terraform/x"}, Seen: []fact.Finding{f}}
}

func plan(t *testing.T, tree code.Files, flaws ...fix.Flaw) ([]fix.Path, *fix.Site) {
	t.Helper()
	site := &fix.Site{Location: fact.Location{Path: "main.tf", Line: 1}, Flaws: flaws, Tree: tree}
	paths, err := terraform.New().PlanSite(context.Background(), site)
	if err != nil {
		t.Fatal(err)
	}
	return paths, site
}

func apply(t *testing.T, tree code.Files, p fix.Path) map[string]string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range tree {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := terraform.New().Apply(context.Background(), dir, p); err != nil {
		t.Fatal(err)
	}
	after := map[string]string{}
	for name := range tree {
		data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		after[name] = string(data)
	}
	return after
}

const rds = "resource \"aws_db_instance\" \"d\" {\n  # who may reach it\n  publicly_accessible = true # for now\n  engine              = \"mysql\"\n}\n"

func TestTheBestPathEditsTheBytesThatDecide(t *testing.T) {
	module := "variable \"public\" {\n  default = true\n}\nresource \"aws_db_instance\" \"d\" {\n  publicly_accessible = var.public\n}\n"
	for _, c := range []struct {
		name          string
		tree          code.Files
		object, root  string
		field, wanted string
		file, after   string // after the first path
		kind, reach   string
	}{
		{"a literal", code.Files{"main.tf": []byte(rds)}, ".:aws_db_instance.d", "", "publicly_accessible", "false",
			"main.tf", strings.Replace(rds, "= true", "= false", 1), fix.EditValue, "1 of 1"},
		{"line endings of Windows and a mark", code.Files{"main.tf": []byte("\xef\xbb\xbf" + strings.ReplaceAll(rds, "\n", "\r\n"))}, ".:aws_db_instance.d", "", "publicly_accessible", "false",
			"main.tf", "\xef\xbb\xbf" + strings.ReplaceAll(strings.Replace(rds, "= true", "= false", 1), "\n", "\r\n"), fix.EditValue, "1 of 1"},
		{"an attribute that is missing", code.Files{"main.tf": []byte(rds)}, ".:aws_db_instance.d", "", "storage_encrypted", "true",
			"main.tf", strings.Replace(rds, "\"mysql\"\n", "\"mysql\"\n  storage_encrypted   = true\n", 1), fix.AddBlock, "1 of 1"},
		{"a nested block that is missing", code.Files{"main.tf": []byte("resource \"aws_instance\" \"i\" {\n\tami = \"a\"\n}\n")}, ".:aws_instance.i", "", "metadata_options[0].http_tokens", `"required"`,
			"main.tf", "resource \"aws_instance\" \"i\" {\n\tami = \"a\"\n\n\tmetadata_options {\n\t\thttp_tokens = \"required\"\n\t}\n}\n", fix.AddBlock, "1 of 1"},
		{"an attribute of a nested block", code.Files{"main.tf": []byte("resource \"aws_instance\" \"i\" {\n  metadata_options {\n    http_endpoint = \"enabled\"\n  }\n}\n")}, ".:aws_instance.i", "", "metadata_options[0].http_tokens", `"required"`,
			"main.tf", "resource \"aws_instance\" \"i\" {\n  metadata_options {\n    http_endpoint = \"enabled\"\n    http_tokens   = \"required\"\n  }\n}\n", fix.AddBlock, "1 of 1"},
		{"a block on one line", code.Files{"main.tf": []byte("resource \"aws_kms_key\" \"k\" { is_enabled = true }\n")}, ".:aws_kms_key.k", "", "enable_key_rotation", "true",
			"main.tf", "resource \"aws_kms_key\" \"k\" {\n  is_enabled = true\n  enable_key_rotation = true\n}\n", fix.AddBlock, "1 of 1"},
		{"a file of variables", code.Files{"main.tf": []byte("variable \"p\" {}\nresource \"aws_db_instance\" \"d\" {\n  publicly_accessible = var.p\n}\n"), "terraform.tfvars": []byte("p = true # open\n")}, ".:aws_db_instance.d", "", "publicly_accessible", "false",
			"terraform.tfvars", "p = false # open\n", fix.EditValue, "1 of 1"},
		{"an argument of one of two calls", code.Files{"main.tf": []byte("module \"a\" {\n  source = \"./m\"\n  public = true\n}\nmodule \"b\" {\n  source = \"./m\"\n  public = false\n}\n"), "m/main.tf": []byte(module)}, ".:module.a.aws_db_instance.d", "", "publicly_accessible", "false",
			"main.tf", "module \"a\" {\n  source = \"./m\"\n  public = false\n}\nmodule \"b\" {\n  source = \"./m\"\n  public = false\n}\n", fix.EditValue, "1 of 2"},
		{"a member of for_each", code.Files{"main.tf": []byte("locals {\n  all = {\n    a = { public = true }\n    b = { public = false }\n  }\n}\nresource \"aws_db_instance\" \"d\" {\n  for_each            = local.all\n  publicly_accessible = each.value.public\n}\n")}, `.:aws_db_instance.d["a"]`, "", "publicly_accessible", "false",
			"main.tf", "locals {\n  all = {\n    a = { public = false }\n    b = { public = false }\n  }\n}\nresource \"aws_db_instance\" \"d\" {\n  for_each            = local.all\n  publicly_accessible = each.value.public\n}\n", fix.EditValue, "1 of 2"},
		{"the JSON syntax", code.Files{"main.tf.json": []byte("{\n  \"resource\": {\"aws_db_instance\": {\"d\": {\"publicly_accessible\": true}}}\n}\n")}, ".:aws_db_instance.d", "", "publicly_accessible", "false",
			"main.tf.json", "{\n  \"resource\": {\"aws_db_instance\": {\"d\": {\"publicly_accessible\": false}}}\n}\n", fix.EditValue, "1 of 1"},
		{"a member that the JSON syntax lacks", code.Files{"main.tf.json": []byte("{\n  \"resource\": {\"aws_db_instance\": {\"d\": {\"engine\": \"x\"}}}\n}\n")}, ".:aws_db_instance.d", "", "storage_encrypted", "true",
			"main.tf.json", "{\n  \"resource\": {\"aws_db_instance\": {\"d\": {\"engine\": \"x\", \"storage_encrypted\": true}}}\n}\n", fix.AddBlock, "1 of 1"},
		{"an override file", code.Files{"main.tf": []byte(rds), "override.tf": []byte("resource \"aws_db_instance\" \"d\" {\n  publicly_accessible = true\n}\n")}, ".:aws_db_instance.d", "", "publicly_accessible", "false",
			"override.tf", "resource \"aws_db_instance\" \"d\" {\n  publicly_accessible = false\n}\n", fix.EditValue, "1 of 1"},
		{"a companion", code.Files{"main.tf": []byte("resource \"aws_s3_bucket\" \"b\" {\n  count  = 2\n  bucket = \"n${count.index}\"\n}\n")}, ".:aws_s3_bucket.b[0]", "", "+aws_s3_bucket_public_access_block.bucket", `{"block_public_acls":true,"ignore_public_acls":true}`,
			"main.tf", "resource \"aws_s3_bucket\" \"b\" {\n  count  = 2\n  bucket = \"n${count.index}\"\n}\n\nresource \"aws_s3_bucket_public_access_block\" \"b\" {\n  count = 2\n\n  bucket = aws_s3_bucket.b[count.index].id\n\n  block_public_acls  = true\n  ignore_public_acls = true\n}\n", fix.AddBlock, "1 of 2"},
		{"a block that has to go", code.Files{"main.tf": []byte("resource \"aws_default_security_group\" \"g\" {\n  vpc_id = \"v\"\n  ingress {\n    from_port = 0\n  }\n}\n")}, ".:aws_default_security_group.g", "", "ingress", "-",
			"main.tf", "resource \"aws_default_security_group\" \"g\" {\n  vpc_id = \"v\"\n}\n", fix.EditValue, "1 of 1"},
		{"a condition that chooses", code.Files{"main.tf": []byte("variable \"open\" {\n  default = true\n}\nresource \"aws_s3_bucket_acl\" \"b\" {\n  acl = var.open ? \"public-read\" : \"private\"\n}\n")}, ".:aws_s3_bucket_acl.b", "", "acl", `"private"`,
			"main.tf", "variable \"open\" {\n  default = false\n}\nresource \"aws_s3_bucket_acl\" \"b\" {\n  acl = var.open ? \"public-read\" : \"private\"\n}\n", fix.EditValue, "1 of 1"},
		{"a member of a map", code.Files{"main.tf": []byte("resource \"google_compute_instance\" \"v\" {\n  metadata = {\n    foo = \"bar\"\n  }\n}\n")}, ".:google_compute_instance.v", "", "metadata.block-project-ssh-keys", `"true"`,
			"main.tf", "resource \"google_compute_instance\" \"v\" {\n  metadata = {\n    foo = \"bar\"\n    block-project-ssh-keys = \"true\"\n  }\n}\n", fix.AddBlock, "1 of 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			paths, site := plan(t, c.tree, flaw("i1", c.object, c.root, c.field, c.wanted))
			if len(paths) == 0 || paths[0].Manual {
				t.Fatalf("no path: %+v, blocked %v", paths, site.Blocked)
			}
			p := paths[0]
			if got := apply(t, c.tree, p)[c.file]; got != c.after {
				t.Errorf("%s became\n%s\nexpected\n%s", c.file, got, c.after)
			}
			if p.Kind != c.kind || !strings.Contains(p.Reach, c.reach) || !slices.Equal(p.Closes, []string{"i1"}) || p.Fixer != terraform.ID {
				t.Errorf("kind %s, reach %q, closes %v", p.Kind, p.Reach, p.Closes)
			}
			again, _ := plan(t, c.tree, flaw("i1", c.object, c.root, c.field, c.wanted))
			if len(again) != len(paths) || again[0].ID != p.ID {
				t.Error("the same site gives another plan")
			}
		})
	}
}

func TestADefaultReachesEveryCallAndAnArgumentOne(t *testing.T) {
	tree := code.Files{
		"main.tf":   []byte("module \"a\" {\n  source = \"./m\"\n}\nmodule \"b\" {\n  source = \"./m\"\n}\n"),
		"m/main.tf": []byte("variable \"public\" {\n  default = true\n}\nresource \"aws_db_instance\" \"d\" {\n  publicly_accessible = var.public\n}\n"),
	}
	one := flaw("i1", ".:module.a.aws_db_instance.d", "", "publicly_accessible", "false")
	paths, _ := plan(t, tree, one)
	if len(paths) < 2 || paths[0].Edits[0].Path != "main.tf" || !strings.Contains(paths[0].Reach, "1 of 2") {
		t.Errorf("for one of two the argument comes first: %+v", paths)
	}
	both := one
	both.Seen = append(both.Seen, flaw("i1", ".:module.b.aws_db_instance.d", "", "publicly_accessible", "false").Seen...)
	paths, _ = plan(t, tree, both)
	if len(paths) < 2 || paths[0].Edits[0].Path != "m/main.tf" || !strings.Contains(paths[0].Reach, "2 of 2") {
		t.Errorf("for both the default comes first: %+v", paths)
	}
}

func TestWhatOnlyAPersonCanChooseIsDoneByHand(t *testing.T) {
	tree := code.Files{"main.tf": []byte("resource \"aws_security_group\" \"g\" {\n  ingress {\n    from_port   = 22\n    cidr_blocks = [\"10.0.0.0/8\", \"0.0.0.0/0\"]\n  }\n  ingress {\n    from_port   = 23\n    cidr_blocks = [\"0.0.0.0/0\"]\n  }\n}\n")}
	open := func(field string) fix.Flaw {
		f := flaw("i1", ".:aws_security_group.g", "", field, "?who may connect")
		f.Seen[0].Attributes["close"] = "true"
		return f
	}
	if paths, _ := plan(t, tree, flaw("i1", ".:aws_security_group.g", "", "ingress[1].cidr_blocks", "?who may connect")); len(paths) != 1 || !paths[0].Manual {
		t.Errorf("a port that the world may need is closed: %+v", paths)
	}
	paths, _ := plan(t, tree, open("ingress[0].cidr_blocks"))
	if len(paths) != 2 || !paths[0].Manual || paths[0].Steps[0].Location.Line != 4 || paths[1].Manual || paths[1].Risk != "major" {
		t.Fatalf("paths %+v", paths)
	}
	if got := apply(t, tree, paths[1])["main.tf"]; !strings.Contains(got, "cidr_blocks = [\"10.0.0.0/8\"]") {
		t.Errorf("the open range is not taken out:\n%s", got)
	}
	paths, _ = plan(t, tree, open("ingress[1].cidr_blocks"))
	if len(paths) != 2 || strings.Contains(apply(t, tree, paths[1])["main.tf"], "23") {
		t.Errorf("the rule is not taken out: %+v", paths)
	}
}

func TestARuleOfItsOwnIsRemovedUnlessItIsReferredTo(t *testing.T) {
	rule := "# for the old office\nresource \"aws_vpc_security_group_ingress_rule\" \"ssh\" {\n  cidr_ipv4 = \"0.0.0.0/0\"\n}\n"
	tree := code.Files{"main.tf": []byte("locals {}\n" + rule)}
	asked := flaw("i1", ".:aws_vpc_security_group_ingress_rule.ssh", "", "cidr_ipv4", "?who may connect")
	asked.Seen[0].Attributes["close"] = "true"
	paths, site := plan(t, tree, asked)
	if len(paths) != 2 || paths[1].Manual || strings.Contains(apply(t, tree, paths[1])["main.tf"], "resource") {
		t.Errorf("the rule stays: %+v %v", paths, site.Blocked)
	}
	tree["out.tf"] = []byte("output \"x\" {\n  value = aws_vpc_security_group_ingress_rule.ssh.id\n}\n")
	if paths, _ = plan(t, tree, asked); len(paths) != 1 || !paths[0].Manual {
		t.Errorf("what an output refers to is removed: %+v", paths)
	}
}

func TestHostileTreesEndInNoPath(t *testing.T) {
	for name, tree := range map[string]code.Files{
		"nesting":  {"main.tf": []byte(rds), "deep.tf": []byte("x = " + strings.Repeat("[", 80000))},
		"heredoc":  {"main.tf": []byte("resource \"aws_db_instance\" \"d\" {\n  tags = <<EOT\n" + strings.Repeat("${", 3000) + "\nEOT\n}\n")},
		"no end":   {"main.tf": []byte("resource \"aws_db_instance\" \"d\" {\n  publicly_accessible = true")},
		"bytes":    {"main.tf": {0xff, 0xfe, 0, 1, 2}},
		"loop":     {"main.tf": []byte("module \"m\" {\n  source = \"./\"\n}\nresource \"aws_db_instance\" \"d\" {\n  publicly_accessible = local.a\n}\nlocals {\n  a = local.b\n  b = local.a\n}\n")},
		"branches": {"main.tf": []byte("resource \"aws_db_instance\" \"d\" {\n  publicly_accessible = " + strings.Repeat("true ? ", 5000) + "true\n}\n")},
	} {
		for _, address := range []string{"aws_db_instance.d", "module.x[\"", "", strings.Repeat("module.a.", 5000) + "b.c", "data.x.y"} {
			for _, field := range []string{"publicly_accessible", "a[99999999]", "+x.y", "", strings.Repeat("a.", 3000) + "b", "tags[\"\u0000\"]"} {
				site := &fix.Site{Location: fact.Location{Path: "main.tf"}, Tree: tree, Flaws: []fix.Flaw{flaw("i", ".:"+address, "", field, "false")}}
				paths, err := terraform.New().PlanSite(context.Background(), site)
				if err != nil {
					t.Fatalf("%s, %.30q, %.30q: %v", name, address, field, err)
				}
				for _, p := range paths {
					for _, e := range p.Edits {
						if e.Path != "main.tf" && e.Path != "deep.tf" {
							t.Errorf("%s: an edit of %s", name, e.Path)
						}
					}
				}
			}
		}
	}
}

func TestValuesInsideDocumentsAreEditedInPlace(t *testing.T) {
	encoded := "resource \"aws_batch_job_definition\" \"j\" {\n  container_properties = jsonencode({\n    image      = var.image # which\n    privileged = true\n  })\n}\nvariable \"image\" {}\n"
	heredoc := "resource \"aws_batch_job_definition\" \"j\" {\n  container_properties = <<EOT\n{ \"image\": \"${var.image}\",\n  \"privileged\" : true }\nEOT\n}\nvariable \"image\" {}\n"
	for _, text := range []string{encoded, heredoc} {
		tree := code.Files{"main.tf": []byte(text)}
		paths, site := plan(t, tree, flaw("i1", ".:aws_batch_job_definition.j", "", "container_properties#privileged", "false"))
		if len(paths) != 1 || paths[0].Manual {
			t.Fatalf("%+v %v", paths, site.Blocked)
		}
		if got := apply(t, tree, paths[0])["main.tf"]; got != strings.Replace(text, "true", "false", 1) {
			t.Errorf("became\n%s", got)
		}
	}
	policy := "resource \"aws_iam_policy\" \"p\" {\n  policy = <<EOT\n{\"Statement\": [\n  {\"Effect\": \"Deny\"},\n  {\"Effect\": \"Allow\",\n   \"Action\": \"*\",\n   \"Resource\": \"*\"}\n]}\nEOT\n}\n"
	paths, _ := plan(t, code.Files{"main.tf": []byte(policy)}, flaw("i1", ".:aws_iam_policy.p", "", "policy#Statement[1].Action", "?the actions"))
	if len(paths) != 1 || !paths[0].Manual || paths[0].Steps[0].Location.Line != 6 {
		t.Errorf("the line inside the policy: %+v", paths)
	}
}

func TestValuesFromOutsideAreNotEdited(t *testing.T) {
	tree := code.Files{
		"main.tf": []byte("# Code generated by a program; DO NOT EDIT.\nvariable \"x\" {}\nresource \"aws_db_instance\" \"d\" {\n  publicly_accessible = var.x\n}\nresource \"aws_db_instance\" \"e\" {\n  publicly_accessible = true\n}\n"),
		"r.tf":    []byte("module \"r\" {\n  source = \"terraform-aws-modules/rds/aws\"\n}\n"),
	}
	paths, _ := plan(t, tree, flaw("i1", ".:aws_db_instance.e", "", "publicly_accessible", "false"))
	if len(paths) == 0 || !paths[0].Manual || !strings.Contains(paths[0].Summary, "made by a program") {
		t.Errorf("a generated file is edited: %+v", paths)
	}
	told := fix.Flaw{Issue: "i2", Kind: fact.Misconfiguration, Rules: []string{"CKV_X"}, Told: []fact.Finding{{Anchor: "module.r.aws_db_instance.this"}}}
	paths, _ = plan(t, tree, told)
	if len(paths) != 1 || paths[0].Kind != fix.RaiseModule || !paths[0].Manual {
		t.Errorf("a module that is not here: %+v", paths)
	}
	drift := fix.Flaw{Issue: "i3", Kind: fact.Misconfiguration, Cause: fact.Cause{Missing: []string{"another value stands than the configuration gives: it was changed elsewhere"}}}
	paths, _ = plan(t, tree, drift)
	if len(paths) != 1 || paths[0].Kind != fix.Reconcile || !paths[0].Manual || paths[0].Steps[0].Command == "" {
		t.Errorf("drift: %+v", paths)
	}
}

func TestExaminingTellsWhatDiffers(t *testing.T) {
	before, after := t.TempDir(), t.TempDir()
	text := "resource \"aws_db_instance\" \"d\" {\n  publicly_accessible = true\n}\nresource \"aws_db_instance\" \"e\" {\n}\n"
	for dir, data := range map[string]string{before: text, after: strings.Replace(text, "true", "false", 1)} {
		if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	examiner := terraform.New().(fix.Examiner)
	p := fix.Path{Edits: []fix.FileEdit{{Path: "main.tf"}}}
	checks, err := examiner.Examine(context.Background(), before, after, p)
	if err != nil {
		t.Fatal(err)
	}
	if checks[0].Status != fact.CheckPass || !strings.Contains(checks[0].Detail, "publicly_accessible true -> false; nothing else of 2") {
		t.Errorf("%+v", checks)
	}
	if checks, err = examiner.Examine(context.Background(), before, before, p); err != nil || checks[0].Status != fact.CheckFail {
		t.Errorf("a change of nothing: %+v %v", checks, err)
	}
}

// A change for which the provider destroys a resource says so, and comes alone.
func TestWhatMakesAResourceAnewSaysSo(t *testing.T) {
	both := flaw("i1", ".:aws_db_instance.d", "", "publicly_accessible", "false")
	anew := flaw("i2", ".:aws_db_instance.d", "", "storage_encrypted", "true")
	paths, _ := plan(t, code.Files{"main.tf": []byte(rds)}, both, anew)
	if len(paths) != 2 {
		t.Fatalf("%d paths: %+v", len(paths), paths)
	}
	for _, p := range paths {
		gone := slices.Contains(p.Closes, "i2")
		if gone != (p.Risk == "major") || gone != strings.Contains(p.Summary, "anew") || gone != strings.Contains(p.Steps[0].Text, "copy") || len(p.Closes) != 1 {
			t.Errorf("%s: risk %s, closes %v, steps %+v", p.Summary, p.Risk, p.Closes, p.Steps)
		}
	}
}

func TestARemovedBlockLeavesNoBlankEnd(t *testing.T) {
	tree := code.Files{"main.tf": []byte("resource \"google_compute_network\" \"n\" {\n}\n\nresource \"google_compute_firewall\" \"f\" {\n  source_ranges = [\"0.0.0.0/0\"]\n}\n")}
	open := flaw("i1", ".:google_compute_firewall.f", "", "source_ranges", "?who may connect")
	open.Seen[0].Attributes["close"] = "true"
	paths, site := plan(t, tree, open)
	at := slices.IndexFunc(paths, func(p fix.Path) bool { return !p.Manual })
	if at < 0 {
		t.Fatalf("no path: %+v, blocked %v", paths, site.Blocked)
	}
	if got := apply(t, tree, paths[at])["main.tf"]; got != "resource \"google_compute_network\" \"n\" {\n}\n" {
		t.Errorf("became %q", got)
	}
}
