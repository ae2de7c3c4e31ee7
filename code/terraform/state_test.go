package terraform_test

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/backstitch/backstitch/code/terraform"
)

const stateFile = `{"version": 4, "terraform_version": "1.9.0", "resources": [
 {"module": "module.platform.module.storage[\"logs\"]", "mode": "managed", "type": "aws_s3_bucket", "name": "this", "provider": "p",
  "instances": [{"attributes": {"id": "acme-logs", "arn": "arn:aws:s3:::acme-logs", "bucket": "acme-logs", "acl": "public-read", "force_destroy": true,
    "versioning": [{"enabled": true}], "policy": "secret"}, "sensitive_attributes": [[{"type": "get_attr", "value": "policy"}], [{"type": "get_attr", "value": "bucket"}]]}]},
 {"mode": "managed", "type": "a_b", "name": "c", "instances": [{"index_key": 0, "attributes": {}}, {"index_key": "k", "attributes_flat": {"id": "x"}}]}]}`

func readState(t *testing.T, text string) *terraform.State {
	t.Helper()
	state, err := terraform.ReadState(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func TestATraceIsHeldAgainstWhatStands(t *testing.T) {
	t.Parallel()
	c := load(t, estate, terraform.Options{})
	state := readState(t, stateFile)
	for attribute, want := range map[string]string{
		"acl": terraform.Proven, "force_destroy": terraform.Drift, "versioning[0].enabled": terraform.Proven, "policy": terraform.Unverified, "bucket": terraform.Proven, "tags": terraform.Unverified,
	} {
		a, path, err := terraform.ParseAddress(`module.platform.module.storage["logs"].aws_s3_bucket.this.` + attribute)
		if err != nil {
			t.Fatal(err)
		}
		trace := c.Trace(a, path)
		if got := trace.Compare(state.Find(a), path); got != want {
			t.Errorf("%s is %s, want %s (%s)", attribute, got, want, trace.Value)
		}
		if (attribute == "bucket" || attribute == "policy") && trace.Value != "" {
			t.Errorf("%s is sensitive in the state and its value %s is told", attribute, trace.Value)
		}
	}
}

func TestStatesAndPlansOfEveryForm(t *testing.T) {
	t.Parallel()
	state := readState(t, stateFile)
	var got []string
	for _, i := range state.Instances {
		got = append(got, i.Address.String()+" "+i.ID+" "+i.ARN)
	}
	want := `a_b.c["k"] x |a_b.c[0]  |module.platform.module.storage["logs"].aws_s3_bucket.this acme-logs arn:aws:s3:::acme-logs`
	if strings.Join(got, "|") != want {
		t.Errorf("instances %q, want %q", strings.Join(got, "|"), want)
	}
	plan := readState(t, `{"format_version": "1.2", "planned_values": {"root_module": {"child_modules": [{"address": "module.m", "resources": [
	 {"address": "module.m.a_b.c", "type": "a_b", "name": "c", "values": {"x": "1", "secret": "s"}, "sensitive_values": {"secret": true}}]}]}},
	 "resource_changes": [{"address": "module.m.a_b.c", "change": {"actions": ["create"], "after": {}, "after_unknown": {"id": true}}},
	  {"address": "a_b.new", "change": {"actions": ["create"], "after": {"x": 2}}}, {"address": "a_b.gone", "change": {"actions": ["delete"], "after": null}}]}`)
	if plan.Kind != "plan" || len(plan.Instances) != 2 {
		t.Fatalf("%s with %d instances, want a plan of 2", plan.Kind, len(plan.Instances))
	}
	at := func(address string) (any, bool, bool) {
		a, path, err := terraform.ParseAddress(address)
		if err != nil {
			t.Fatal(err)
		}
		return plan.Find(a).Attribute(path)
	}
	if value, known, hidden := at("module.m.a_b.c.x"); value != "1" || !known || hidden {
		t.Errorf("x is %v, %v, %v", value, known, hidden)
	}
	if _, _, hidden := at("module.m.a_b.c.secret"); !hidden {
		t.Error("what the plan calls sensitive is not hidden")
	}
	if _, known, _ := at("module.m.a_b.c.id"); known {
		t.Error("what the plan cannot know is known")
	}
}

func TestStatesAreReadInTheEncodingsThatShellsWrite(t *testing.T) {
	t.Parallel()
	want := len(readState(t, stateFile).Instances)
	wide := func(order binary.AppendByteOrder, mark uint16) string {
		data := order.AppendUint16(nil, mark)
		for _, unit := range utf16.Encode([]rune(stateFile)) {
			data = order.AppendUint16(data, unit)
		}
		return string(data)
	}
	for name, text := range map[string]string{
		"UTF-8 with a mark": "\ufeff" + stateFile, "UTF-16, little end first": wide(binary.LittleEndian, 0xfeff), "UTF-16, big end first": wide(binary.BigEndian, 0xfeff),
	} {
		if got := readState(t, text); len(got.Instances) != want {
			t.Errorf("%s: %d instances, want %d", name, len(got.Instances), want)
		}
	}
	if plan := readState(t, `{"planned_values": {"root_module": {"resources": [{"address": "a_b.c", "type": "a_b", "name": "c", "values": {}}]}}}`); plan.Kind != "plan" || len(plan.Instances) != 1 {
		t.Errorf("a plan cut down to its values: %s of %d", plan.Kind, len(plan.Instances))
	}
}

func TestStatesThatAreNotReadSayWhy(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"version": 3}`: "before 0.12", `{"version": 5}`: "expected 4", `{"version": 4.5}`: "version", `{}`: "expected a state", `{"version": 4,`: "expected the JSON",
		"{\n\n]": "line 3", strings.Repeat("[", 1000): "nested deeper", "": "expected the JSON",
	} {
		_, err := terraform.ReadState(strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %q", text, err, want)
		}
		if strings.Contains(text, `"version": 3`) && !errors.Is(err, terraform.ErrStateVersion) {
			t.Errorf("%v is no ErrStateVersion", err)
		}
	}
}

func FuzzReadState(f *testing.F) {
	f.Add([]byte(stateFile))
	f.Add([]byte(`{"format_version": "1.2", "values": {"root_module": {"resources": [{"address": "a.b", "values": {"x": [1]}}]}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		state, err := terraform.ReadState(strings.NewReader(string(data)))
		if err != nil {
			return
		}
		for i := range state.Instances {
			if state.Instances[i].Address.Type == "" {
				t.Fatalf("%q: an instance without a type", data)
			}
			_, path, err := terraform.ParseAddress("a.b.x[0].y")
			if err != nil {
				t.Fatal(err)
			}
			state.Instances[i].Attribute(path)
		}
	})
}
