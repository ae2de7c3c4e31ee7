package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/backstitch/backstitch/code/lockfile"
)

var b10Pin = regexp.MustCompile(`(?m)^\s*([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*==\s*([^\s;,#\\]+)`)

// b10Module reads the manifest as it was before the commit.
func b10Module(_ context.Context, data string, c *commit, change *upgrade) (*lockfile.Module, error) {
	name := strings.ReplaceAll(change.File, "/", "__")
	text, err := os.ReadFile(filepath.Join(data, filepath.FromSlash(c.Dir), "before", name))
	if err != nil {
		return nil, err
	}
	m := &lockfile.Module{Ecosystem: b10Ecosystem(c.Kind), Manifests: []string{change.File}}
	if m.Ecosystem == "Go" {
		file, err := modfile.ParseLax(change.File, text, nil)
		if err != nil {
			return nil, err
		}
		for _, r := range file.Require {
			m.Packages = append(m.Packages, lockfile.Package{Name: r.Mod.Path, Version: r.Mod.Version, Direct: !r.Indirect})
		}
		return m, nil
	}
	for _, match := range b10Pin.FindAllStringSubmatch(string(text), -1) {
		m.Packages = append(m.Packages, lockfile.Package{Name: b10Name("PyPI", match[1]), Version: match[2], Direct: true})
	}
	return m, nil
}
