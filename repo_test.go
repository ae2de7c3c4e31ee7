// Package backstitch_test holds the rules that carry the design, as tests over
// the repository's own text. Nothing in this module is a public Go API.
package backstitch_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/backstitch/backstitch/"

// source is one package of the module: its folder and its parsed files.
type source struct {
	files map[string]*ast.File
}

// sources parses imports and comments of every package, tests apart.
func sources(t *testing.T) (code, tests map[string]*source) {
	t.Helper()
	code, tests = map[string]*source{}, map[string]*source{}
	set := token.NewFileSet()
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if base := entry.Name(); name != "." && (strings.HasPrefix(base, ".") || base == "testdata" || base == "build") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		file, err := parser.ParseFile(set, name, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		into := code
		if strings.HasSuffix(name, "_test.go") {
			into = tests
		}
		folder := filepath.ToSlash(filepath.Dir(name))
		if into[folder] == nil {
			into[folder] = &source{files: map[string]*ast.File{}}
		}
		into[folder].files[name] = file
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(code) < 10 {
		t.Fatalf("only %d packages found", len(code))
	}
	return code, tests
}

// imports lists the folders of this module that a package imports.
func (s *source) imports() []string {
	var own []string
	for _, file := range s.files {
		for _, spec := range file.Imports {
			if name, ok := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module); ok {
				own = append(own, name)
			}
		}
	}
	slices.Sort(own)
	return slices.Compact(own)
}

// plugins are the contracts whose child folders are plugins.
var plugins = []string{"report", "scan", "fix", "connector"}

// harness are folders below a contract that are no plugins: its test harness,
// and how connectors ask over HTTP.
var harness = []string{"report/reporttest", "fix/fixtest", "store/storetest", "connector/connectortest", "connector/forgetest", "connector/rest"}

func contractOf(folder string) (string, bool) {
	parent := path.Dir(folder)
	return parent, slices.Contains(plugins, parent) && !slices.Contains(harness, folder)
}

// level is the line of the house a folder stands on; each may import only
// lower levels, and the packages named beside its own.
func level(folder string) int {
	top, _, nested := strings.Cut(folder, "/")
	switch {
	case folder == "fact":
		return 0
	case top == "store" || folder == "advisory" || folder == "config":
		return 1
	case top == "code" || top == "image" || folder == "graph" || !nested && slices.Contains(plugins, folder):
		return 2
	case folder == "issue" || folder == "owner" || folder == "cause" || folder == "service" || folder == "outcome" || folder == "campaign" || folder == "remediation" || nested && slices.Contains(plugins, top):
		return 3
	case folder == "intake" || folder == "verify" || folder == "action":
		return 4
	case folder == "agent":
		return 5
	case folder == "builtin":
		return 6
	}
	return 7 // app, cli, cmd, demo, eval, bench
}

func TestEachLineOfTheHouseImportsOnlyLinesBelowIt(t *testing.T) {
	code, _ := sources(t)
	for folder, pkg := range code {
		for _, imported := range pkg.imports() {
			from, to := level(folder), level(imported)
			sameContract := path.Dir(folder) == imported || strings.Split(folder, "/")[0] == strings.Split(imported, "/")[0]
			contracts := from == 2 && to == 2
			if to > from || to == from && from < 7 && !sameContract && !contracts {
				t.Errorf("%s imports %s, which stands on the same line of the house or above it (ARCHITECTURE.md, rules)", folder, imported)
			}
		}
	}
}

func TestFactImportsNothingOfOurs(t *testing.T) {
	code, _ := sources(t)
	if own := code["fact"].imports(); len(own) > 0 {
		t.Errorf("fact imports %v: facts are the words everyone shares, so they may depend on nobody", own)
	}
}

func TestAPluginImportsItsContractFactAndCodeOnly(t *testing.T) {
	code, _ := sources(t)
	for folder, pkg := range code {
		contract, ok := contractOf(folder)
		if !ok {
			continue
		}
		for _, imported := range pkg.imports() {
			if imported != contract && imported != "connector/rest" && imported != "fact" && imported != "code" && !strings.HasPrefix(imported, "code/") && imported != "image" && !strings.HasPrefix(imported, "image/") {
				t.Errorf("%s imports %s: a plugin knows its contract, fact, code/* and image (what repositories and images say), so that it can be added or dropped alone", folder, imported)
			}
		}
	}
}

func TestOnlyBuiltinNamesConcretePlugins(t *testing.T) {
	code, _ := sources(t)
	for folder, pkg := range code {
		for _, imported := range pkg.imports() {
			if _, ok := contractOf(imported); ok && folder != "builtin" {
				t.Errorf("%s imports the plugin %s: only builtin names concrete plugins", folder, imported)
			}
		}
	}
}

func TestEveryPluginFolderIsListedInBuiltin(t *testing.T) {
	code, _ := sources(t)
	listed := code["builtin"].imports()
	for folder := range code {
		if _, ok := contractOf(folder); ok && !slices.Contains(listed, folder) {
			t.Errorf("plugin %s is not listed in builtin", folder)
		}
	}
}

func TestDomainsKnowNothingOfHTTP(t *testing.T) {
	code, _ := sources(t)
	for folder, pkg := range code {
		if level(folder) > 5 || strings.HasPrefix(folder, "connector/") {
			continue
		}
		for name, file := range pkg.files {
			for _, spec := range file.Imports {
				if spec.Path.Value == `"net/http"` {
					t.Errorf("%s imports net/http: the button, the command and the tool call the same functions, which know no transport", name)
				}
			}
		}
	}
}

func TestEveryPackageHasOnePackageDoc(t *testing.T) {
	code, _ := sources(t)
	for folder, pkg := range code {
		var docs []string
		for name, file := range pkg.files {
			if file.Doc != nil {
				docs = append(docs, name)
			}
		}
		if len(docs) != 1 {
			t.Errorf("%s has %d package docs %v, expected one", folder, len(docs), docs)
		}
	}
}

func TestEveryPluginHasATest(t *testing.T) {
	code, tests := sources(t)
	for folder := range code {
		if _, ok := contractOf(folder); ok && tests[folder] == nil {
			t.Errorf("plugin %s has no test", folder)
		}
	}
}

func TestNoInitAndNoJunkDrawer(t *testing.T) {
	code, _ := sources(t)
	for folder, pkg := range code {
		switch path.Base(folder) {
		case "util", "utils", "helper", "helpers", "common", "shared", "models", "types", "pkg", "internal", "misc":
			t.Errorf("%s: a package is named for a noun of the problem", folder)
		}
		for name, file := range pkg.files {
			for _, declaration := range file.Decls {
				if f, ok := declaration.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
					t.Errorf("%s registers by init(): what is built in stands in builtin, in order", name)
				}
			}
		}
	}
}

func TestTheLicenceIsThere(t *testing.T) {
	text, err := os.ReadFile("LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "Apache License") || !strings.Contains(string(text), "Version 2.0") {
		t.Error("LICENSE is not the Apache License 2.0")
	}
}
