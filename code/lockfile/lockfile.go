// Package lockfile reads manifests and lockfiles: which packages a module of a
// repository declares, which versions it resolved, on which lines, and along
// which path each package came in.
//
// It reads text only: nothing is run and nothing is fetched. Lines count from
// 1. Contents are untrusted; sizes, depth and element counts are bounded, and
// a file that cannot be read becomes a Problem of its module while the rest
// goes on.
package lockfile

import (
	"fmt"

	"github.com/backstitch/backstitch/fact"
)

// Module is one manifest of a repository with the lockfiles beside it.
type Module struct {
	Dir       string // folder in the repository, "" for the root
	Ecosystem string // OSV name: Go, npm, PyPI, Maven, crates.io, RubyGems, Packagist, GitHub Actions
	Tool      string // gomod, npm, yarn, pnpm, pip, poetry, uv, pipenv, maven, gradle, cargo, bundler, composer, actions
	Name      string // the module's own name, when it has one
	Version   string

	Manifests []string // paths in the repository, the main one first
	Locks     []string // paths in the repository; empty when versions are pinned in the manifest only

	Declared []Declaration // direct dependencies, in file order
	Packages []Package     // resolved packages, in file order of the lock (or of the manifest)
	Problems []Problem
}

// Declaration is one direct dependency as a manifest states it.
type Declaration struct {
	Name       string // canonical name within the ecosystem
	Constraint string // as written: "^4.17.1", "v1.2.3", "==2.0", "${guava.version}"
	Group      string // production, development, optional, peer, build, test, override
	Alias      string // the name used locally when it differs from Name
	Path       string
	Line       int
	EndLine    int
	// ValueLine is the line of the literal that decides the version when that
	// is elsewhere (a Maven property, a dependencyManagement entry, a Cargo
	// workspace entry, a constraints file), 0 when it is Line.
	ValuePath string
	ValueLine int
}

// Package is one resolved package of a module.
type Package struct {
	Name    string // canonical name within the ecosystem
	Version string // "" when only a constraint is known
	Key     string // the lock's own key, unique within the module: "node_modules/a/node_modules/b"
	Path    string // file it is locked in
	Line    int
	EndLine int

	Direct   bool
	Dev      bool // only reached through development dependencies, as far as the file says
	Optional bool
	Source   string // "" for the ecosystem's registry, else git, path, url, workspace
	// Reported names who told of the package, or of its version, when the files do
	// not: Complete adds what scanners resolved. Line is then that of what brings it.
	Reported string

	// Declared are indexes into Module.Declared of the declarations that ask
	// for this very package. Requires are indexes into Module.Packages of
	// what it depends on itself; EdgesKnown says whether the file tells.
	Declared   []int
	Requires   []int
	EdgesKnown bool
}

// Problem is something in a file that could not be understood, or that
// contradicts another file.
type Problem struct {
	Path string
	Line int // 0 unknown
	Text string
	// Conflict says that the file was read whole and contradicts another one.
	Conflict bool
}

// String formats p as path:line: text.
func (p Problem) String() string {
	if p.Line > 0 {
		return fmt.Sprintf("%s:%d: %s", p.Path, p.Line, p.Text)
	}
	return fmt.Sprintf("%s: %s", p.Path, p.Text)
}

// Fact gives the package as a fact, with its package URL.
func (m *Module) Fact(i int) fact.Package {
	p := m.Packages[i]
	return fact.Package{Ecosystem: m.Ecosystem, Name: p.Name, Version: p.Version, PURL: fact.PURL(m.Ecosystem, p.Name, p.Version)}
}
