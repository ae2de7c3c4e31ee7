// Package gitremote offers changes to a plain git remote, by pushing a branch.
// There is no pull request: the text of one is the commit's message.
package gitremote

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/connector"
)

// Forge pushes branches. The branch is the lock: it is created only where there
// is none, and replaced only while it holds an older form of the same change.
type Forge struct {
	token string
}

var _ connector.Forge = (*Forge)(nil)

// New makes the connector. The token, which may be empty, goes to https remotes
// only.
func New(token string) *Forge { return &Forge{token} }

// Describe implements connector.Forge.
func (f *Forge) Describe() connector.Description {
	return connector.Description{
		ID:   "connector/gitremote",
		Name: "plain git remote",
		Docs: "Pushes a change as one branch to any git remote (https, ssh or a path). The branch's commit carries the pull-request text. " +
			"ssh uses your own keys; for https set BACKSTITCH_REMOTE_TOKEN.",
	}
}

// Propose implements connector.Forge.
func (f *Forge) Propose(ctx context.Context, change connector.Proposal) (connector.Receipt, error) {
	receipt := connector.Receipt{Ref: "refs/heads/" + change.Branch, Commit: change.Commit}
	repository, err := git.Open(ctx, change.Repository)
	if err != nil {
		return receipt, err
	}
	defer repository.Close()
	remote := git.Remote{URL: change.Remote, Token: f.token}
	present, err := repository.RemoteBranch(ctx, remote, change.Branch)
	if err != nil {
		return receipt, err
	}
	receipt, err = f.publish(ctx, repository, remote, change, present)
	if err == nil || errors.Is(err, connector.ErrForeign) {
		return receipt, err
	}
	// Somebody who publishes the same at the same time may have been first.
	now, lookErr := repository.RemoteBranch(ctx, remote, change.Branch)
	if lookErr != nil || now == present {
		return receipt, err
	}
	return f.publish(ctx, repository, remote, change, now)
}

// publish puts the change on its branch, which stands at present.
func (f *Forge) publish(ctx context.Context, repository *git.Repository, remote git.Remote, change connector.Proposal, present string) (connector.Receipt, error) {
	receipt := connector.Receipt{Ref: "refs/heads/" + change.Branch, Commit: change.Commit}
	switch present {
	case change.Commit:
		receipt.Outcome = "unchanged"
		return receipt, nil
	case "":
		receipt.Outcome = "created"
	default:
		former, err := repository.Head(ctx, remote, change.Branch, present)
		if err != nil {
			return receipt, fmt.Errorf("look at %s: %w", change.Branch, err)
		}
		if git.Trailer(former.Message, keyTrailer) != change.Key {
			return receipt, fmt.Errorf("%s at %.12s: %w; it was left as it is", change.Branch, present, connector.ErrForeign)
		}
		ours, err := repository.Head(ctx, remote, change.Branch, change.Commit)
		if err != nil {
			return receipt, fmt.Errorf("look at %s: %w", change.Commit, err)
		}
		if former.Tree == ours.Tree && slices.Equal(former.Parents, ours.Parents) {
			// Only the time of the work differs: reviewers keep their commit.
			receipt.Outcome, receipt.Commit = "unchanged", present
			return receipt, nil
		}
		receipt.Outcome = "updated"
	}
	return receipt, repository.Push(ctx, remote, change.Commit, change.Branch, present)
}

// keyTrailer carries a change's key in its commit.
const keyTrailer = "Backstitch-Key"
