// Package connector is the contract for outside systems. Every connector is
// optional; a connector is small and has only the powers it implements.
package connector

import "context"

// Description tells about a connector.
type Description struct {
	ID   string // path-like, for example "connector/gitremote"
	Name string
	Docs string
}

// Forge takes changes: branches, and where the system has them pull requests.
type Forge interface {
	Describe() Description
	// Propose publishes a change under its branch, once: when the branch
	// already holds the same change it does nothing, when it holds an older
	// form of it it is updated, when it holds anything else it fails.
	Propose(ctx context.Context, change Proposal) (Receipt, error)
}

// Proposal is a change to be published.
type Proposal struct {
	Repository string // folder of the local repository that holds Commit
	Remote     string // URL or path of the remote
	Branch     string // full branch name, without refs/heads/
	Base       string // branch or commit it is meant for
	Commit     string // commit to publish
	Key        string // once-only key, also in the commit's trailer
	Title      string
	Body       string // Markdown
}

// Receipt is what the outside system said.
type Receipt struct {
	URL     string // where a person can look at it, "" when there is no such place
	Ref     string // what was published, for example refs/heads/...
	Commit  string // the commit that stands there, which may be an equal older one
	Outcome string // created, updated, unchanged
}
