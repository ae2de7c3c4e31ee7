// Package fix is the contract for fixers and the comparison of fix paths.
//
// A fixer knows one way of changing files so that findings go away. It lists
// candidate paths for a target without touching anything (Plan), and carries
// one out in a working folder (Apply). Which path is recommended is decided
// here, by the same arithmetic for all fixers, with the reason in words.
package fix

import (
	"context"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
)

// Fixer carries out fix paths. What it plans for is said by ModuleFixer and SiteFixer,
// of which it is at least one.
type Fixer interface {
	Describe() Description
	// Apply carries out path in dir, a working copy of the repository that it
	// may write to. It edits manifests in place, bytes outside the changed
	// values untouched, and lets the ecosystem's own tool rewrite locks with
	// no credentials in its environment. It returns the paths it changed.
	Apply(ctx context.Context, dir string, path Path) (changed []string, err error)
}

// ModuleFixer plans for packages of modules of some tools.
type ModuleFixer interface {
	Fixer
	// Handles says whether the fixer knows the tool of a module.
	Handles(module *lockfile.Module) bool
	// Plan lists candidate paths for the target, best guess first, without
	// changing anything. No path and no error means that nothing resolves:
	// Target.Blocked then says why, or is empty when no fixed version is known.
	Plan(ctx context.Context, target *Target) ([]Path, error)
}

// Description tells about a fixer.
type Description struct {
	ID   string // path-like, for example "fix/gomod"
	Name string
	Docs string
	// Commands are the programs that Apply runs.
	Commands []string
}

// Target is one vulnerable package of one module, and all that is known of it.
type Target struct {
	Module     *lockfile.Module
	Modules    []lockfile.Module // all modules of the repository
	Package    int               // index into Module.Packages
	Others     []int             // other copies of the package in the module that must change too, rising
	Tree       code.Tree
	Advisories Advisories
	// Close are the ids that the change is to close (any id of a class).
	Close []string
	// Registry tells which versions exist. It is nil without a network; then
	// only versions that advisories name are proposed, and each path says that
	// their existence was not checked.
	Registry Registry

	// Blocked is set by Plan: constraints, with their lines, that stand
	// between the package and a version that closes everything.
	Blocked []Block
}

// Block is a constraint that keeps a package from a version that would do.
type Block struct {
	Location   fact.Location
	Constraint string // as written, with who states it
	Needs      string // the version that it does not allow
}

// Advisories is what fixers ask of an advisory index.
type Advisories interface {
	// Of lists all standing advisories that name a package.
	Of(ecosystem, name string) ([]fact.Advisory, error)
	// Affecting lists those that affect it at its version.
	Affecting(pkg fact.Package) ([]fact.Advisory, error)
	// Compare orders two versions of an ecosystem: -1, 0, 1.
	Compare(ecosystem, a, b string) (int, error)
}

// Registry is what fixers ask of an ecosystem's registry, through its own tool.
type Registry interface {
	// Versions lists the versions of a package that exist and are not
	// retracted, in the ecosystem's order.
	Versions(ctx context.Context, name string) ([]string, error)
	// Requirements gives what one version of a package requires: name to
	// constraint as written.
	Requirements(ctx context.Context, name, version string) (map[string]string, error)
}

// Kinds of fix paths.
const (
	// RaiseLocked raises the package in the lock; what the manifests say
	// already allows it.
	RaiseLocked   = "raise_locked"
	RaiseDirect   = "raise_direct"
	RaiseAncestor = "raise_ancestor"
	Override      = "override"
	Replace       = "replace"

	ChangeBase     = "change_base"     // another tag or image in FROM
	PinDigest      = "pin_digest"      // the same content, named by digest
	UpgradePackage = "upgrade_package" // an OS package, in a line of the Dockerfile
	Rebuild        = "rebuild"         // no line changes
	PatchLayer     = "patch_layer"     // a layer on top, until the next build
	EditValue      = "edit_value"      // a literal of Terraform, Kubernetes, Helm, a Dockerfile ...
	AddBlock       = "add_block"       // a block or entry that was missing
	RaiseModule    = "raise_module"    // the version of a Terraform module or of a chart
	Reconcile      = "reconcile"       // what runs differs from what is declared
	Stopgap        = "stopgap"         // on what runs, until the durable fix is there
	Rotate         = "rotate"          // a credential
	EditSource     = "edit_source"     // program text, by a person or a coding agent
	Accept         = "accept"          // an exception, that ends
)

// Path is one way to close issues. Its JSON is that of an issue's fix_paths.
type Path struct {
	ID          string `json:"id"`
	Kind        string `json:"kind"`
	Summary     string `json:"summary"`
	Recommended bool   `json:"recommended"`
	Reason      string `json:"reason"` // why recommended, or why not
	Effort      string `json:"effort"` // small, medium, large
	Risk        string `json:"risk"`   // patch, minor, major, unknown: what may break
	// Closes are issue ids. Plan gives the ids of Target.Close that the path
	// closes; whoever asked knows the issues behind them.
	Closes       []string           `json:"closes"`
	Steps        []Step             `json:"steps"`
	Diff         string             `json:"diff"`
	Verification *fact.Verification `json:"verification,omitempty"`

	Fixer     string   `json:"fixer"`  // id of the fixer that carries it out
	Module    string   `json:"module"` // folder of the module
	Changes   []Change `json:"changes"`
	Findings  int      `json:"findings"`            // how many findings it closes
	Residual  []string `json:"residual,omitempty"`  // advisories that stay
	Brings    []string `json:"brings,omitempty"`    // advisories that are new
	Temporary bool     `json:"temporary,omitempty"` // to be taken back later: an override, a stopgap

	// Edits are what the path changes in files, when it is not a tool that does it.
	Edits []FileEdit `json:"edits,omitempty"`
	// Manual says that people carry it out by Steps; nothing applies it and no proof
	// is made.
	Manual bool `json:"manual,omitempty"`
	// Undo are the steps that take it back, when that is more than a revert.
	Undo []Step `json:"undo,omitempty"`
	// Expires is how long a temporary path may stand, in hours.
	Expires int `json:"expires_hours,omitempty"`
	// Reach says which instances the edited place decides about: "this one only",
	// "3 of 3 workloads of the chart".
	Reach string `json:"reach,omitempty"`

	Weighed

	// Moves are the keys of the packages of the module that it raises; none
	// stands for the target's own. It only lives while paths are planned.
	Moves []string `json:"-"`
}

// Change is one version that moves.
type Change struct {
	Package string `json:"package"`
	From    string `json:"from"`
	To      string `json:"to"`
	Direct  bool   `json:"direct"`
	Reason  string `json:"reason,omitempty"` // "companion of ..." when it is not the vulnerable package
}

// Step is one thing to do, for a person to follow.
type Step struct {
	Text     string         `json:"text"`
	Command  string         `json:"command,omitempty"`
	Location *fact.Location `json:"location,omitempty"`
}
