package gomod_test

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/backstitch/backstitch/fix/fixtest"
	"github.com/backstitch/backstitch/fix/gomod"
)

func TestSourcesOfAVersionAreFetched(t *testing.T) {
	fixtest.GoProxy(t, map[string]string{"example.org/p@v1.2.0": "module example.org/p\n"})
	registry, err := gomod.NewRegistry(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer registry.Close()
	sources, done, err := registry.Sources(t.Context(), "example.org/p", "v1.2.0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fs.Stat(sources, "it.go"); err != nil {
		t.Error(err)
	}
	if err := done(); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"example.org/never", "../up", "-x"} {
		if _, _, err := registry.Sources(t.Context(), name, "v1.0.0"); err == nil || errors.Is(err, fs.ErrExist) {
			t.Errorf("sources of %q were given", name)
		}
	}
}
