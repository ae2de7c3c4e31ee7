package report

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/fact"
)

// fill puts a text into every text below a value.
func fill(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("a " + text + " b")
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), text)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), text)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("k "+text), reflect.ValueOf("v "+text))
	}
}

func TestASecretIsTakenOutOfEveryTextOfAFinding(t *testing.T) {
	t.Parallel()
	var f fact.Finding
	fill(reflect.ValueOf(&f).Elem(), "hunter22")
	f.Kind = fact.Secret // is no text of the report
	ClearSecret(&f, " hunter22... ")
	if text := fmt.Sprintf("%+v", f); strings.Contains(text, "hunter22") || !strings.Contains(text, "a [removed] b") {
		t.Errorf("the secret is kept: %s", text)
	}
}

func TestWhatIsBlackenedIsNoSecret(t *testing.T) {
	t.Parallel()
	f := fact.Finding{Title: "ab REDACTED *** is xxx"}
	for _, word := range []string{"", "ab", "REDACTED", "***", "xxx", "[redacted]"} {
		ClearSecret(&f, word)
	}
	if f.Title != "ab REDACTED *** is xxx" {
		t.Errorf("title %q was changed", f.Title)
	}
}

func TestAnAnchorTellsSecretsApart(t *testing.T) {
	t.Parallel()
	one, two := SecretAnchor("hunter22", "x"), SecretAnchor("hunter22", "y")
	if one != two || !strings.HasPrefix(one, "sha256:") || one == SecretAnchor("hunter23", "x") {
		t.Errorf("anchors %q and %q of one secret at two places", one, two)
	}
	if a, b := SecretAnchor("REDACTED", "x"), SecretAnchor("REDACTED", "y"); a == b || !strings.HasPrefix(a, "context:") {
		t.Errorf("anchors %q and %q of blackened secrets at two places", a, b)
	}
	if got := SecretAnchor("", "", ""); got != "" {
		t.Errorf("anchor %q of nothing", got)
	}
}
