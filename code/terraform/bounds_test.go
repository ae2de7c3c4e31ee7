package terraform_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/terraform"
)

// Each of these would overflow the stack, fill the memory or never end if it were
// parsed or computed as it stands. The process lives, and says what it did not follow.
func TestHostileConfigurationsAreBounded(t *testing.T) {
	t.Parallel()
	repeat := strings.Repeat
	resource := func(expr string) code.Files {
		return code.Files{"main.tf": []byte("resource \"x\" \"y\" {\n d = " + expr + "\n}\n")}
	}
	doubled := func(first, format string) code.Files {
		text := "locals {\n a0 = " + first + "\n"
		for i := 1; i < 45; i++ {
			text += fmt.Sprintf(" a%d = "+format+"\n", i, i-1, i-1)
		}
		return code.Files{"main.tf": []byte(text + "}\nresource \"x\" \"y\" {\n d = local.a44\n}\n")}
	}
	const asJSON = `{"variable":{"x":{"type":"%s","default":1}},"moved":{"from":"%s","to":"x.y"},"resource":{"x":{"y":{"d":"%s"}}}}`
	for name, c := range map[string]struct {
		files code.Files
		want  string // in the problems or in what is missing; "" where there is an answer
	}{
		"operators":          {resource("1" + repeat("+1", 500_000)), "more operators"},
		"directives":         {resource("\"" + repeat("%{ if true }", 100_000) + "\""), "more operators"},
		"heredoc":            {resource("<<E\n" + repeat("%{ if true }", 100_000) + "\nE"), "more operators"},
		"splats":             {resource("a" + repeat("[*]", 300_000)), "more operators"},
		"indexes":            {resource("a" + repeat("[b]", 300_000)), "more operators"},
		"attribute splats":   {resource("a" + repeat(".*", 300_000)), "more operators"},
		"members":            {resource("a()" + repeat(".b", 300_000)), "more operators"},
		"type in JSON":       {code.Files{"main.tf.json": fmt.Appendf(nil, asJSON, repeat("(", 1_000_000), "a.b", "${var.x}")}, ""},
		"address in JSON":    {code.Files{"main.tf.json": fmt.Appendf(nil, asJSON, "number", repeat("a[", 300_000), "${var.x}")}, ""},
		"template in JSON":   {code.Files{"main.tf.json": fmt.Appendf(nil, asJSON, "number", "a.b", "${"+repeat("(", 1_000_000))}, ""},
		"doubled texts":      {doubled(`"xxxxxxxxxxxxxxxx"`, `"${local.a%d}${local.a%d}"`), "a value of this size"},
		"doubled lists":      {doubled(`["x"]`, `[local.a%d, local.a%d]`), ""},
		"loops in loops":     {resource("[for a in range(1024): [for b in range(1024): [for c in range(1024): c]]]"), "this many elements"},
		"width":              {resource(`format("%2000000000d", 1)`), "Error in function call"},
		"exponent":           {resource(`"${1e999999999}"`), "a number too long"},
		"exponent in JSON":   {code.Files{"main.tf.json": []byte(`{"resource":{"x":{"y":{"d":1e999999999}}}}`)}, "a number too long"},
		"exponent as key":    {code.Files{"main.tf": []byte("resource \"x\" \"y\" {\n for_each = { (1e999999999) = 1 }\n d = each.key\n}\n")}, "a number too long"},
		"digits":             {resource(repeat("9", 1_000_000)), "a number too long"},
		"digits of a text":   {resource(`parseint("` + repeat("9", 1_000_000) + `", 10)`), "Error in function call"},
		"product":            {resource(`setproduct(range(1024),range(1024),range(1024))`), "Error in function call"},
		"indent":             {resource(`indent(1000000000, "a\nb")`), "Error in function call"},
		"network of no bits": {resource(`cidrsubnet("10.0.0.0/8", 9999999999999999999999, 1)`), "Invalid function argument"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			configuration, err := terraform.Load(t.Context(), c.files, "", terraform.Options{})
			if err != nil {
				t.Fatal(err)
			}
			address, attribute, err := terraform.ParseAddress("x.y.d")
			if err != nil {
				t.Fatal(err)
			}
			trace := configuration.Trace(address, attribute)
			said := fmt.Sprint(configuration.Problems, trace.Missing)
			if c.want == "" && trace.Status != "found" {
				t.Errorf("status %s, %.300s; expected an answer", trace.Status, said)
			}
			if !strings.Contains(said, c.want) {
				t.Errorf("it says %.300s, expected %q", said, c.want)
			}
		})
	}
}
