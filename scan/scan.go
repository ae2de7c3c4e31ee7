// Package scan is the contract for Backstitch's own scanners.
//
// A scanner looks at a tree of files and gives findings. It runs nothing of
// what it looks at and needs no network.
package scan

import (
	"context"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fact"
)

// Scanner looks for flaws in a tree. A Scanner is safe for concurrent use and
// deterministic: the same tree and rules give the same findings in the same order.
type Scanner interface {
	// Describe says what the scanner is and which rules it judges by.
	Describe() Description
	// Scan looks at the tree and gives every finding to found, whose error
	// ends the scan. Problems are files that could not be looked at; when
	// there are any, the look was incomplete.
	Scan(ctx context.Context, tree code.Tree, found func(fact.Finding) error) (problems []Problem, err error)
}

// Selective is a scanner that finds flaws of some kinds in files of some names only, so
// that it need not look where a question is about others.
type Selective interface {
	Scanner
	// Concerns says whether the scanner may find flaws of a kind that a file decides
	// about.
	Concerns(kind fact.Kind, path string) bool
}

// Description tells about a scanner; a verification record names it.
type Description struct {
	ID    string // path-like, for example "scan/dependencies"
	Name  string
	Docs  string
	Rules string // digest of the rules or advisory index, "sha256:..."
}

// Problem is a file that could not be looked at, or only in part.
type Problem struct {
	Path string
	Line int
	Text string
	// Unknown says that the file was read, and that what it refers to is not known here.
	Unknown bool
}

// Advisories is what a dependency scanner asks of an advisory index.
type Advisories interface {
	// Affecting lists the standing advisories that affect a package at its
	// version, in order of id. It fails on a version that its ecosystem
	// cannot order.
	Affecting(pkg fact.Package) ([]fact.Advisory, error)
	// Digest identifies the index's content, "sha256:...".
	Digest() string
}

// Lives is what a scanner of products' support asks of an advisory index.
type Lives interface {
	// Lives lists the products whose cycles are known; nobody changes them.
	Lives() ([]fact.Product, error)
	// Digest identifies the index's content, "sha256:...".
	Digest() string
}
