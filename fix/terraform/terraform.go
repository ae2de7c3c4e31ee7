// Package terraform plans changes to Terraform configurations.
//
// Where a value is edited is chosen by what the place decides about. The tracer of
// code/terraform leads from the attribute of an instance to the literal that decides
// it, which may stand in the block, in a call, in a default or in a file of variables;
// other places are an argument of the call, the condition that chose, the block itself.
// Each candidate is carried out in memory and the configurations that read the file are
// evaluated before and after: it counts only when every failing instance gets the wanted
// value, and what else would change is its reach. The one that changes the least beside
// what is asked for comes first, the others are offered.
//
// Bytes are spliced at the place; nothing is written anew, so that comments, order and
// line endings stay. Where only a person can choose a value (who may connect, which key)
// the path says where and what to choose, and is carried out by hand. Nothing is run: no
// provider is downloaded and no program of Terraform started.
package terraform

import (
	"context"
	"sync"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/terraform"
	"github.com/backstitch/backstitch/fix"
)

// ID names the fixer in paths.
const ID = "fix/terraform"

type fixer struct {
	mu sync.Mutex
	// known is the last commit that was planned for; sites of one commit share its
	// evaluated configurations.
	known *estate
}

// New makes the fixer.
func New() fix.SiteFixer { return &fixer{} }

func (f *fixer) Describe() fix.Description {
	return fix.Description{
		ID: ID, Name: "Terraform",
		Docs: "Edits the literal that decides a value, an argument of a module's call, or adds an attribute, a nested block or a resource, chosen by which instances each place decides about.",
	}
}

// Apply implements fix.Fixer.
func (f *fixer) Apply(_ context.Context, dir string, path fix.Path) ([]string, error) {
	return fix.EditFiles(dir, path.Edits)
}

// estate is the root modules of a tree, loaded when they are asked for.
type estate struct {
	repository, commit string
	tree               code.Tree
	roots              []string
	loaded             map[string]*terraform.Configuration
	reads              map[string]map[string]bool // root -> folders that it reads
	states             map[string]states
}

func (f *fixer) estate(ctx context.Context, site *fix.Site) (*estate, error) {
	if k := f.known; k != nil && site.Commit != "" && k.commit == site.Commit && k.repository == site.Repository {
		return k, nil
	}
	e, err := newEstate(ctx, site.Tree)
	if err != nil {
		return nil, err
	}
	e.repository, e.commit = site.Repository, site.Commit
	f.known = e
	return e, nil
}

func newEstate(ctx context.Context, tree code.Tree) (*estate, error) {
	roots, err := terraform.Roots(ctx, tree)
	if err != nil {
		return nil, err
	}
	return &estate{tree: tree, roots: roots, loaded: map[string]*terraform.Configuration{}, reads: map[string]map[string]bool{}, states: map[string]states{}}, nil
}

// load gives the configuration of a root module.
func (e *estate) load(ctx context.Context, dir string) (*terraform.Configuration, error) {
	if c := e.loaded[dir]; c != nil {
		return c, nil
	}
	c, err := terraform.Load(ctx, e.tree, dir, terraform.Options{})
	if err != nil {
		return nil, err
	}
	e.loaded[dir] = c
	folders := map[string]bool{dir: true}
	for _, d := range c.Declarations(true) {
		folders[d.Module] = true
	}
	e.reads[dir] = folders
	return c, nil
}

// overlay is a tree with some files changed.
type overlay struct {
	code.Tree
	files map[string][]byte
}

// Read implements code.Tree.
func (o overlay) Read(ctx context.Context, name string) ([]byte, error) {
	if data, ok := o.files[name]; ok {
		return data, nil
	}
	return o.Tree.Read(ctx, name)
}
