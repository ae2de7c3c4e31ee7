package app_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/app"
)

func open(t *testing.T) (*app.App, string) {
	t.Helper()
	state := t.TempDir()
	desk, err := app.Open(t.Context(), config(state))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := desk.Close(); err != nil {
			t.Error(err)
		}
	})
	return desk, filepath.Join(state, app.SourcesFile)
}

func TestSourcesAreDefinedInAFileThatHoldsNoSecret(t *testing.T) {
	t.Parallel()
	desk, file := open(t)
	for _, definition := range []app.Source{
		{Name: "prod", Type: "aws", Settings: map[string]string{"regions": "eu-west-1", "access-key": "env:KEY", "secret-key": "file:/run/secrets/aws"}},
		{Name: "infra", Type: "terraformstate", Settings: map[string]string{"path": "states"}},
		{Name: "prod", Type: "aws", Settings: map[string]string{"regions": "us-east-1"}},
	} {
		if _, err := desk.AddSource(definition); err != nil {
			t.Fatal(err)
		}
	}
	states, err := filepath.Abs("states")
	if err != nil {
		t.Fatal(err)
	}
	want := []app.Source{
		{Name: "infra", Type: "terraformstate", Settings: map[string]string{"path": states}},
		{Name: "prod", Type: "aws", Settings: map[string]string{"regions": "us-east-1"}},
	}
	got, err := desk.Sources()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	if err := desk.RemoveSource("prod"); err != nil {
		t.Fatal(err)
	}
	if err := desk.RemoveSource("prod"); !errors.Is(err, app.ErrNoSource) {
		t.Errorf("removed twice: %v", err)
	}
}

func TestDefinitionsThatCannotWorkAreRefusedWithoutTheirSecret(t *testing.T) {
	t.Parallel()
	desk, file := open(t)
	for _, test := range []struct {
		definition app.Source
		want       string
	}{
		{app.Source{Name: "Prod", Type: "aws"}, "expected small letters"},
		{app.Source{Name: "prod", Type: "cloud"}, "expected one of auditlog, aws,"},
		{app.Source{Name: "prod", Type: "aws", Settings: map[string]string{"secret-key": "hunter2"}}, "setting secret-key: expected env:NAME or file:PATH"},
		{app.Source{Name: "prod", Type: "aws", Settings: map[string]string{"endpoint": "https://me:hunter2@x.test"}}, "no credentials"},
		{app.Source{Name: "prod", Type: "aws", Settings: map[string]string{"zone": "x"}}, `no setting "zone"`},
		{app.Source{Name: "repos", Type: "gitlocal"}, "setting path is missing"},
	} {
		_, err := desk.AddSource(test.definition)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: error %v, want one that says %q", test.definition, err, test.want)
		}
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a file was written for definitions that were refused")
	}
	for text, want := range map[string]string{
		"sources: [{name: a, type: aws, sets: {}}]":             "sets",
		"sources: [{name: a, type: aws}, {name: a, type: aws}]": "defined twice",
		"sources: [{name: ../a, type: aws}]":                    "expected small letters",
		"sources: {":                                            app.SourcesFile,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := desk.Sources(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one that says %q", text, err, want)
		}
	}
}
