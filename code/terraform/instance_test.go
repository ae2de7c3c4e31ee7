package terraform_test

import (
	"context"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/terraform"
)

func loaded(t *testing.T, tree code.Files) *terraform.Configuration {
	t.Helper()
	c, err := terraform.Load(context.Background(), tree, "", terraform.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func address(t *testing.T, text string) terraform.Address {
	t.Helper()
	a, _, err := terraform.ParseAddress(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// shown writes a value as JSON, with what is not known as "?".
func shown(t *testing.T, v cty.Value) string {
	t.Helper()
	v, err := cty.Transform(v, func(_ cty.Path, v cty.Value) (cty.Value, error) {
		if !v.IsKnown() {
			return cty.StringVal("?"), nil
		}
		return v, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	data, err := ctyjson.Marshal(v, v.Type())
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestAnInstanceIsEvaluatedWithItsBlocks(t *testing.T) {
	c := loaded(t, code.Files{"main.tf": []byte(`
variable "open" {}
variable "secret" {
  default   = "s3cret"
  sensitive = true
}
variable "ports" { default = [22, 80] }
resource "aws_security_group" "g" {
  for_each = { a = "x" }
  name     = each.value
  vpc_id   = aws_vpc.v.id
  password = "p-${var.secret}"
  lifecycle { prevent_destroy = true }
  egress { from_port = 1 }
  dynamic "ingress" {
    for_each = var.ports
    content { from_port = ingress.value }
  }
  dynamic "timeouts" {
    for_each = var.open
    content {}
  }
}
`)})
	v, ok := c.Evaluated(address(t, `aws_security_group.g["a"]`))
	if want := `{"egress":[{"from_port":1}],"ingress":[{"from_port":22},{"from_port":80}],"name":"x","password":"?","timeouts":"?","vpc_id":"?"}`; !ok || shown(t, v) != want {
		t.Errorf("%s\nexpected\n%s", shown(t, v), want)
	}
	if _, ok := c.Evaluated(address(t, "aws_security_group.other")); ok {
		t.Error("an address that nothing declares is evaluated")
	}
}

func TestReferencesAreFollowedThroughModules(t *testing.T) {
	c := loaded(t, code.Files{
		"main.tf": []byte(`
resource "aws_s3_bucket" "b" { count = 2 }
module "m" {
  source = "./m"
  bucket = local.name
}
locals { name = aws_s3_bucket.b[1].id }
resource "aws_s3_bucket_logging" "l" {
  for_each = aws_s3_bucket.b
  bucket   = each.value.id
  target   = module.m.policy
}
`),
		"m/main.tf": []byte(`
variable "bucket" {}
resource "aws_s3_bucket_policy" "p" { bucket = var.bucket }
output "policy" { value = aws_s3_bucket_policy.p.id }
`),
	})
	for _, one := range []struct{ address, attribute, want string }{
		{"module.m.aws_s3_bucket_policy.p", "bucket", "aws_s3_bucket.b[1]"},
		{"aws_s3_bucket_logging.l", "bucket", "aws_s3_bucket.b"},
		{"aws_s3_bucket_logging.l", "target", "module.m.aws_s3_bucket_policy.p"},
		{"aws_s3_bucket_logging.l", "nothing", ""},
	} {
		var found []string
		for _, a := range c.Refers(address(t, one.address), one.attribute) {
			found = append(found, a.String())
		}
		if got := strings.Join(found, " "); got != one.want {
			t.Errorf("%s.%s refers to %q, expected %q", one.address, one.attribute, got, one.want)
		}
	}
	loop := loaded(t, code.Files{"main.tf": []byte("locals {\n  a = local.b\n  b = local.a\n}\nresource \"x_y\" \"z\" {\n  a = local.a\n}\n")})
	if found := loop.Refers(address(t, "x_y.z"), "a"); len(found) != 0 {
		t.Errorf("a loop refers to %v", found)
	}
}

func TestDocumentsAreReadWithTheirUnknownParts(t *testing.T) {
	c := loaded(t, code.Files{"main.tf": []byte(`
variable "x" {}
locals { doc = jsonencode({ a = [1, var.x] }) }
resource "t" "encoded" { d = jsonencode({ a = [1, aws_s3_bucket.b.arn], b = "c" }) }
resource "t" "written" {
  d = <<EOF
{"a": "${aws_s3_bucket.b.arn}/*", "b": ["*"]}
EOF
}
resource "t" "named" { d = local.doc }
resource "t" "broken" { d = "{" }
resource "t" "outside" { d = file("x.json") }
`)})
	for name, want := range map[string]string{
		"encoded": `{"a":[1,"?"],"b":"c"}`, "written": `{"a":"?","b":["*"]}`, "named": `{"a":[1,"?"]}`, "broken": "", "outside": "",
	} {
		v, ok := c.Document(address(t, "t."+name), "d")
		if (want == "") == ok || ok && shown(t, v) != want {
			t.Errorf("%s: %v %v, expected %s", name, ok, v, want)
		}
	}
}

func TestCompanionsAreWrittenAsFields(t *testing.T) {
	want := terraform.Companion{Kind: "aws_flow_log", Link: "vpc_id"}
	if got, ok := terraform.ParseCompanion(want.String()); !ok || got != want {
		t.Errorf("%v %v", got, ok)
	}
	for _, text := range []string{"", "+", "+a", "+.b", "a.b", "+a."} {
		if _, ok := terraform.ParseCompanion(text); ok {
			t.Errorf("%q is read as a companion", text)
		}
	}
}
