package app_test

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/backstitch/backstitch/app"
	"github.com/backstitch/backstitch/connector"
)

func TestEveryForgeThatReadsWebhooksIsToldItsSecret(t *testing.T) {
	forges := 0
	for _, source := range app.SourceTypes() {
		kind, ok := source.(connector.ForgeSource)
		if !ok {
			continue
		}
		given := map[string]string{}
		for _, setting := range source.Settings() {
			if setting.Name == "address" && setting.Default == "" {
				given["address"] = "https://git.example.org"
			}
		}
		values, err := connector.Check(source.Settings(), given)
		if err != nil {
			t.Fatal(err)
		}
		forge, err := kind.Forge(values)
		if err != nil {
			t.Fatalf("%s: %v", source.Describe().ID, err)
		}
		if _, reads := forge.(connector.HookReader); !reads {
			continue
		}
		forges++
		if !slices.ContainsFunc(source.Settings(), func(s connector.Setting) bool {
			return s.Name == connector.HookSecret && s.Kind == connector.SettingSecret
		}) {
			t.Errorf("%s has no setting %s", source.Describe().ID, connector.HookSecret)
		}
	}
	if forges < 5 {
		t.Errorf("%d forges read webhooks", forges)
	}
}

func TestASourceThatTakesNoWebhooksSaysSo(t *testing.T) {
	a, _ := open(t)
	if _, err := a.AddSource(app.Source{Name: "people", Type: "people", Settings: map[string]string{"path": filepath.Join(t.TempDir(), "people.yaml")}}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Hear(t.Context(), "people", connector.HookRequest{}); !errors.Is(err, app.ErrNoHooks) {
		t.Errorf("people: %v", err)
	}
	if _, err := a.Hear(t.Context(), "nobody", connector.HookRequest{}); !errors.Is(err, app.ErrNoSource) {
		t.Errorf("nobody: %v", err)
	}
}
