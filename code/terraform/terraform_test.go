package terraform_test

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/terraform"
)

// tree makes a tree of a text archive.
func tree(archive string) code.Files {
	files := code.Files{}
	for _, f := range txtar.Parse([]byte(archive)).Files {
		files[f.Name] = f.Data
	}
	return files
}

func load(t *testing.T, archive string, options terraform.Options) *terraform.Configuration {
	t.Helper()
	c, err := terraform.Load(t.Context(), tree(archive), "", options)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// follow gives the origin, the controls and what is missing of an attribute, as text.
func follow(t *testing.T, c *terraform.Configuration, address string) (origin, controls, missing string, trace terraform.Trace) {
	t.Helper()
	a, attribute, err := terraform.ParseAddress(address)
	if err != nil {
		t.Fatal(err)
	}
	trace = c.Trace(a, attribute)
	place := func(list []terraform.TraceStep) string {
		var texts []string
		for _, s := range list {
			texts = append(texts, s.Place.Path+":"+itoa(s.Place.Line))
		}
		return strings.Join(texts, " ")
	}
	return place(trace.Origins), place(trace.Controls), strings.Join(trace.Missing, "; "), trace
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}

const estate = `
-- main.tf --
module "platform" {
  source  = "./modules/platform"
  buckets = local.buckets
  public  = var.public
}
locals {
  buckets = {
    logs   = { acl = "log-delivery-write" }
    backup = { acl = "private", versioned = false }
  }
}
variable "public" {
  default = false
}
-- prod.auto.tfvars --
public = true
-- modules/platform/main.tf --
variable "buckets" {
  type = map(object({
    acl       = string
    versioned = optional(bool, true)
  }))
}
variable "public" {}
module "storage" {
  for_each  = var.buckets
  source    = "../storage"
  name      = each.key
  acl       = var.public ? "public-read" : each.value.acl
  versioned = each.value.versioned
}
-- modules/storage/main.tf --
variable "name" {}
variable "acl" {}
variable "versioned" {}
variable "force" {
  default = false
}
resource "aws_s3_bucket" "this" {
  bucket        = "acme-${var.name}"
  acl           = var.acl
  force_destroy = var.force
  versioning {
    enabled = var.versioned
  }
  policy = data.aws_iam_policy_document.p.json
}
output "arn" {
  value = aws_s3_bucket.this.arn
}
`

func TestAnAttributeLeadsToTheLiteralThatDecides(t *testing.T) {
	t.Parallel()
	c := load(t, estate, terraform.Options{})
	if len(c.Problems) > 0 {
		t.Fatal(c.Problems)
	}
	const logs = `module.platform.module.storage["logs"].aws_s3_bucket.this.`
	const backup = `module.platform.module.storage["backup"].aws_s3_bucket.this.`
	for _, test := range []struct{ address, origin, controls, missing, value string }{
		{logs + "acl", "modules/platform/main.tf:12", "prod.auto.tfvars:1", "", `"public-read"`},
		{logs + "force_destroy", "modules/storage/main.tf:5", "", "", "false"},
		{logs + "versioning[0].enabled", "modules/platform/main.tf:4", "", "", "true"},
		{backup + "versioning[0].enabled", "main.tf:9", "", "", "false"},
		{logs + "bucket", "main.tf:8 modules/storage/main.tf:8", "", "", `"acme-logs"`},
		{logs + "policy", "", "", "data.aws_iam_policy_document.p", ""},
	} {
		origin, controls, missing, trace := follow(t, c, test.address)
		if diff := cmp.Diff([]string{test.origin, test.controls, test.missing, test.value}, []string{origin, controls, missing, trace.Value}); diff != "" {
			t.Errorf("%s: %s\n%+v", test.address, diff, trace.Steps)
		}
	}
	_, _, _, trace := follow(t, c, logs+"acl")
	if diff := cmp.Diff([]string{backup[:len(backup)-1]}, trace.Shared); diff != "" {
		t.Errorf("instances that share the literal: %s", diff)
	}
	if _, _, missing, trace := follow(t, c, logs+"tags"); trace.Status != terraform.TraceAbsent {
		t.Errorf("an attribute that nothing sets is %s: %s", trace.Status, missing)
	}
}

func TestAddressesComeBackAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"aws_s3_bucket.a", "data.aws_ami.x", `module.a["x y"].module.b[3].aws_s3_bucket.c["k.l"]`, "aws_s3_bucket.a[0]"} {
		a, rest, err := terraform.ParseAddress(text)
		if err != nil || a.String() != text || len(rest) != 0 {
			t.Errorf("%s: %s, %v, %v", text, a, rest, err)
		}
	}
	for _, text := range []string{"", "a", "module.a", "module", "data.a", "a..b", "a[0].b", strings.Repeat("a.", 4000), "module.a.b"} {
		if a, _, err := terraform.ParseAddress(text); err == nil {
			t.Errorf("%.20q is read as %s", text, a)
		}
	}
}

func TestConfigurationsOfEveryShape(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ archive, address, origin, missing string }{
		"JSON syntax": {`
-- main.tf.json --
{
  "variable": {"acl": {"default": "private"}},
  "resource": {"aws_s3_bucket": {"b": {"acl": "${var.acl}",
    "versioning": {"enabled": true}}}}
}`, "aws_s3_bucket.b.acl", "main.tf.json:2", ""},
		"a nested block in JSON": {`
-- main.tf.json --
{"resource": {"aws_s3_bucket": {"b": {
  "versioning": {
    "enabled": true}}}}}`, "aws_s3_bucket.b.versioning[0].enabled", "main.tf.json:3", ""},
		"an override file": {`
-- main.tf --
resource "aws_s3_bucket" "b" { acl = "public" }
-- b_override.tf --
resource "aws_s3_bucket" "b" {
  acl = "private"
}`, "aws_s3_bucket.b.acl", "b_override.tf:2", ""},
		"count": {`
-- main.tf --
resource "aws_s3_bucket" "b" {
  count = 2
  acl   = element(["private",
    "public"], count.index)
}`, "aws_s3_bucket.b[1].acl", "main.tf:4", ""},
		"a set": {`
-- main.tf --
resource "aws_s3_bucket" "b" {
  for_each = toset([
    "one",
    "two"])
  bucket = each.key
}`, `aws_s3_bucket.b["two"].bucket`, "main.tf:4", ""},
		"an element that is a reference": {`
-- main.tf --
variable "range" {
  default = "0.0.0.0/0"
}
resource "aws_security_group_rule" "r" { cidr_blocks = [var.range] }`, "aws_security_group_rule.r.cidr_blocks", "main.tf:2", ""},
		"an element among others": {`
-- main.tf --
variable "range" {
  default = "0.0.0.0/0"
}
resource "aws_security_group_rule" "r" {
  cidr_blocks = [var.range, "10.0.0.0/8"]
}`, "aws_security_group_rule.r.cidr_blocks", "main.tf:5 main.tf:2", ""},
		"a document": {`
-- main.tf --
variable "action" {
  default = "*"
}
resource "aws_iam_policy" "p" {
  policy = jsonencode({
    Effect = "Allow", Action = var.action })
}`, "aws_iam_policy.p.policy", "main.tf:5 main.tf:2", ""},
		"the number of an instance": {`
-- main.tf --
resource "aws_db_instance" "b" {
  count             = 2
  storage_encrypted = count.index == 0
}`, "aws_db_instance.b[1].storage_encrypted", "main.tf:3", ""},
		"an instance that is not made": {`
-- main.tf --
module "m" {
  source   = "./m"
  for_each = toset(["a"])
}
-- m/main.tf --
resource "aws_s3_bucket" "b" {
  count  = 1
  bucket = "b-${count.index}"
}`, `module.m["a"].aws_s3_bucket.b[3].bucket`, "", `with the variables that are known there is no module.m["a"].aws_s3_bucket.b[3]: other files of variables or another commit may give it`},
		"an empty text is passed over": {`
-- main.tf --
resource "aws_s3_bucket" "b" {
  acl = coalesce(null,
    "",
    "private")
  tag = coalesce("", "x") == "x" ? "one" : (
    "two")
}`, "aws_s3_bucket.b.tag", "main.tf:5", ""},
		"a moved block": {`
-- main.tf --
moved {
  from = aws_s3_bucket.old
  to   = aws_s3_bucket.new
}
resource "aws_s3_bucket" "new" {
  acl = "private"
}`, "aws_s3_bucket.old.acl", "main.tf:6", ""},
		"an installed module": {`
-- main.tf --
module "m" {
  source  = "acme/bucket/aws"
  version = "1.0.0"
}
-- .terraform/modules/modules.json --
{"Modules": [{"Key": "", "Dir": "."}, {"Key": "m", "Source": "registry/acme/bucket/aws", "Version": "1.0.0", "Dir": ".terraform/modules/m"}]}
-- .terraform/modules/m/main.tf --
resource "aws_s3_bucket" "b" {
  acl = "private"
}`, "module.m.aws_s3_bucket.b.acl", ".terraform/modules/m/main.tf:2", ""},
		"a module that is not at hand": {`
-- main.tf --
module "m" { source = "acme/bucket/aws" }`, "module.m.aws_s3_bucket.b.acl", "", "module.m comes from acme/bucket/aws, which is not in the tree; terraform init would bring it to .terraform/modules"},
		"a resource's computed attribute": {`
-- main.tf --
resource "aws_kms_key" "k" {}
resource "aws_s3_bucket" "b" { key = aws_kms_key.k.arn }`, "aws_s3_bucket.b.key", "", "aws_kms_key.k.arn"},
		"a file": {`
-- main.tf --
resource "aws_s3_bucket" "b" { policy = file("${path.module}/p.json") }`, "aws_s3_bucket.b.policy", "main.tf:1", "file()"},
		"a variable without a value": {`
-- main.tf --
variable "acl" {}
resource "aws_s3_bucket" "b" { acl = var.acl }`, "aws_s3_bucket.b.acl", "", "var.acl"},
		"a circle": {`
-- main.tf --
locals {
  a = local.b
  b = local.a
}
resource "aws_s3_bucket" "b" { acl = local.a }`, "aws_s3_bucket.b.acl", "", "local.a, which refers to itself"},
		"an output": {`
-- main.tf --
module "m" {
  source = "./m"
}
resource "aws_s3_bucket" "b" { acl = module.m.acl }
-- m/main.tf --
output "acl" {
  value = local.acl
}
locals {
  acl = "private"
}`, "aws_s3_bucket.b.acl", "m/main.tf:5", ""},
	} {
		c := load(t, test.archive, terraform.Options{})
		origin, _, missing, trace := follow(t, c, test.address)
		if origin != test.origin || missing != test.missing {
			t.Errorf("%s: origin %q, missing %q; want %q, %q\n%+v\n%v", name, origin, missing, test.origin, test.missing, trace, c.Problems)
		}
	}
}

func TestFilesOfVariablesThatAreNotGivenAreNamed(t *testing.T) {
	t.Parallel()
	const archive = `
-- deploy/app/main.tf --
variable "size" {
  default = "small"
}
variable "zone" {}
resource "a_b" "c" {
  size = var.size
  zone = var.zone
}
-- deploy/app/env/prod.tfvars --
zone = "z"
size = "large"
-- variables/prod/app.tfvars.json --
{"size": "larger"}
-- variables/prod/other.tfvars --
size = "of another"
`
	for name, c := range map[string]struct {
		options           terraform.Options
		attribute, status string
		want              []string
	}{
		"a default":      {terraform.Options{}, "size", "found", []string{"deploy/app/env/prod.tfvars:2", "variables/prod/app.tfvars.json:1"}},
		"none is stated": {terraform.Options{}, "zone", "unknown", []string{"deploy/app/env/prod.tfvars:1"}},
		"one is given":   {terraform.Options{VarFiles: []string{"deploy/app/env/prod.tfvars"}}, "size", "found", nil},
	} {
		configuration, err := terraform.Load(t.Context(), tree(archive), "deploy/app", c.options)
		if err != nil {
			t.Fatal(err)
		}
		address, attribute, err := terraform.ParseAddress("a_b.c." + c.attribute)
		if err != nil {
			t.Fatal(err)
		}
		trace := configuration.Trace(address, attribute)
		var got []string
		for _, p := range trace.Elsewhere {
			got = append(got, p.Path+":"+itoa(p.Line))
		}
		if trace.Status != c.status || !slices.Equal(got, c.want) {
			t.Errorf("%s: %s, elsewhere %v, want %s, %v", name, trace.Status, got, c.status, c.want)
		}
	}
}

func TestWhatIsSensitiveIsNeverWritten(t *testing.T) {
	t.Parallel()
	c := load(t, `
-- main.tf --
variable "password" {
  sensitive = true
  default   = "hunter2"
}
resource "aws_db_instance" "d" {
  password = "x-${var.password}"
  name     = nonsensitive(sensitive("quiet"))
}`, terraform.Options{})
	for _, attribute := range []string{"password", "name"} {
		origin, _, _, trace := follow(t, c, "aws_db_instance.d."+attribute)
		if !trace.Sensitive || trace.Value != "" || origin == "" {
			t.Errorf("%s: %+v", attribute, trace)
		}
		if _, known := trace.Known(); known {
			t.Errorf("%s is given away", attribute)
		}
	}
}

func TestBadConfigurationsAreNamedAndTheRestIsRead(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("(", 80_000)
	files := tree(`
-- good.tf --
resource "a_b" "c" { d = "e" }
module "self" { source = "./loop" }
module "out" { source = "../outside" }
module "none" { source = "./none" }
-- loop/main.tf --
module "again" { source = "../loop" }
-- broken.tf --
resource "a_b" {
`)
	files["deep.tf"] = []byte("locals {\n  a = " + deep + "\n}\n")
	files["deep.tf.json"] = []byte(strings.Repeat("[", 80_000))
	files["branches.tf"] = []byte("locals {\n a = " + strings.Repeat("true ? 1 : ", 50_000) + "2\n}\n")
	files["unary.tf"] = []byte("locals {\n a = " + strings.Repeat("!", 80_000) + "true\n}\n")
	files["template.tf"] = []byte("locals {\n a = \"" + strings.Repeat("${\"", 30_000) + "\n}\n")
	files["terraform.tfvars"] = []byte("a = " + deep)
	c, err := terraform.Load(t.Context(), files, "", terraform.Options{VarFiles: []string{"absent.tfvars"}})
	if err != nil {
		t.Fatal(err)
	}
	var about []string
	for _, p := range c.Problems {
		about = append(about, p.Path)
	}
	for _, name := range []string{"deep.tf", "deep.tf.json", "branches.tf", "unary.tf", "template.tf", "terraform.tfvars", "broken.tf", "loop/main.tf", "good.tf", "absent.tfvars"} {
		if !slices.Contains(about, name) {
			t.Errorf("no problem names %s: %v", name, c.Problems)
		}
	}
	if origin, _, _, _ := follow(t, c, "a_b.c.d"); origin != "good.tf:1" {
		t.Errorf("the good file is not read: %q", origin)
	}
	if _, err := terraform.Load(t.Context(), files, "nowhere", terraform.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder without files: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := terraform.Load(ended, files, "", terraform.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of its context: %v", err)
	}
}

func TestTheRootOfAPlanIsFoundByItsAddresses(t *testing.T) {
	t.Parallel()
	files := tree(`
-- live/prod/main.tf --
module "m" { source = "../../modules/m" }
resource "a_b" "prod" {}
-- live/dev/main.tf --
module "m" { source = "../../modules/m" }
resource "a_b" "dev" {}
-- modules/m/main.tf --
resource "a_b" "c" {}
`)
	dirs := func(addresses ...string) string {
		var list []terraform.Address
		for _, text := range addresses {
			a, _, err := terraform.ParseAddress(text)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, a)
		}
		roots, err := terraform.RootsOf(t.Context(), files, list, "")
		if err != nil {
			t.Fatal(err)
		}
		var dirs []string
		for _, c := range roots {
			dirs = append(dirs, c.Dir)
		}
		return strings.Join(dirs, " ")
	}
	for addresses, want := range map[string]string{
		"a_b.prod module.m.a_b.c": "live/prod", "module.m.a_b.c": "live/dev live/prod", "a_b.c": "modules/m", "a_b.nowhere": "",
	} {
		if got := dirs(strings.Fields(addresses)...); got != want {
			t.Errorf("%s: roots %q, want %q", addresses, got, want)
		}
	}
}

func FuzzLoad(f *testing.F) {
	for _, file := range txtar.Parse([]byte(estate)).Files {
		f.Add(file.Data, path.Ext(file.Name) == ".tfvars")
	}
	f.Add([]byte(`{"resource": {"a_b": {"c": {"d": "${var.x[0]}"}}}}`), false)
	f.Fuzz(func(t *testing.T, data []byte, vars bool) {
		files := code.Files{"main.tf": data, "j.tf.json": data}
		if vars {
			files["terraform.tfvars"] = data
		}
		c, err := terraform.Load(t.Context(), files, "", terraform.Options{})
		if err != nil {
			t.Fatal(err)
		}
		lines := 1 + strings.Count(string(data), "\n") + strings.Count(string(data), "\r")
		for _, d := range c.Declarations(true) {
			if d.Place.Line < 1 || d.Place.Line > lines || d.Place.EndLine < d.Place.Line {
				t.Fatalf("%q: %+v", data, d)
			}
			a, _, err := terraform.ParseAddress(d.Address)
			if err != nil {
				continue // names that no address can write
			}
			_, attribute, err := terraform.ParseAddress("x.y.d[0]")
			if err != nil {
				t.Fatal(err)
			}
			if trace := c.Trace(a, attribute); trace.Status == "" {
				t.Fatalf("%q: %+v", data, trace)
			}
		}
	})
}
