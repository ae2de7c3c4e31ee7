package connector_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/connector"
)

func TestSettingsAreCompletedAndWrongOnesRefusedByName(t *testing.T) {
	t.Parallel()
	settings := []connector.Setting{
		{Name: "path", Kind: connector.SettingPath, Help: "folder of exported files", Required: true},
		{Name: "mode", Kind: connector.SettingChoice, Default: "all", Choices: []string{"all", "tags"}},
		{Name: "address", Kind: connector.SettingURL},
		{Name: "regions", Kind: connector.SettingList},
	}
	values, err := connector.Check(settings, map[string]string{"path": "export", "regions": "eu-west-1, ,us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(connector.Values{"path": "export", "mode": "all", "address": "", "regions": "eu-west-1, ,us-east-1"}, values); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"eu-west-1", "us-east-1"}, values.List("regions")); diff != "" {
		t.Error(diff)
	}
	for _, test := range []struct {
		given map[string]string
		want  string
	}{
		{map[string]string{}, "setting path is missing: folder of exported files"},
		{map[string]string{"path": "x", "mode": "some"}, `setting mode is "some": expected one of all, tags`},
		{map[string]string{"path": "x", "address": "file:///etc"}, `setting address is "file:///etc": expected an http or https address`},
		{map[string]string{"path": "x", "zone": "1", "area": "2"}, `there is no setting "area"; expected one of path, mode, address, regions`},
	} {
		if _, err := connector.Check(settings, test.given); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: got %v, want %s", test.given, err, test.want)
		}
	}
}
