package action

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/backstitch/backstitch/connector"
)

// Propose publishes a change through a forge, once. When the log says that the
// very payload was sent before, the forge is still asked, since it recognises
// its own branch; the answer is then "unchanged". target is the remote without
// credentials. At a forge with pull requests it counts as one of these.
func (l *Log) Propose(ctx context.Context, forge connector.Forge, change connector.Proposal, payload, target string) (connector.Receipt, error) {
	stored := change
	stored.Remote = target
	doc, err := json.Marshal(stored)
	if err != nil {
		return connector.Receipt{}, fmt.Errorf("delivery %s: %w", change.Key, err)
	}
	receipt := connector.Receipt{}
	e := proposal(forge, change, &receipt)
	e.Target, e.Payload, e.Plan, e.Base, e.Doc = target, payload, payload, change.Base, doc
	_, err = l.Do(ctx, e)
	return receipt, err
}

// ProposeBy makes stored proposals again, for the forge of their remote.
func ProposeBy(forgeOf func(remote string) (connector.Forge, error)) Revive {
	return func(_ context.Context, d Delivery) (Effect, error) {
		var change connector.Proposal
		if err := json.Unmarshal(d.Doc, &change); err != nil {
			return Effect{}, fmt.Errorf("its proposal is not stored: %w", err)
		}
		forge, err := forgeOf(change.Remote)
		if err != nil {
			return Effect{}, err
		}
		return proposal(forge, change, &connector.Receipt{}), nil
	}
}

func proposal(forge connector.Forge, change connector.Proposal, receipt *connector.Receipt) Effect {
	kind := KindPropose
	if _, pulls := forge.(connector.OpenForge); pulls {
		kind = KindPullRequest
	}
	var undo func(context.Context) (Answer, error)
	if follower, ok := forge.(connector.Follower); ok {
		undo = func(ctx context.Context) (Answer, error) { return withdraw(ctx, follower, change) }
	}
	return Effect{
		Key: change.Key, Kind: kind, Idempotent: true, Undo: undo,
		Send: func(ctx context.Context) (Answer, error) {
			var err error
			*receipt, err = forge.Propose(ctx, change)
			return Answer{Ref: receipt.Ref, URL: receipt.URL, Reply: receipt.Outcome + " " + receipt.Ref}, ForgeError(err)
		},
	}
}

// withdraw closes a change that nobody merged or wrote on.
func withdraw(ctx context.Context, forge connector.Follower, change connector.Proposal) (Answer, error) {
	place := connector.Place{Repository: change.Repository, Remote: change.Remote, Base: change.Base, Branch: change.Branch, Target: change.Target, Key: change.Key}
	standing, err := forge.Follow(ctx, place)
	switch {
	case errors.Is(err, connector.ErrNoChange), err == nil && standing.State == connector.ChangeClosed:
		return Answer{Ref: "refs/heads/" + change.Branch, Reply: "closed already"}, nil
	case err != nil:
		return Answer{}, ForgeError(err)
	case standing.State == connector.ChangeMerged:
		return Answer{}, Reject(fmt.Errorf("branch %s was merged as %.12s: it takes a change to revert it", change.Branch, standing.Merge))
	case len(standing.Authors) > 0:
		return Answer{}, Reject(fmt.Errorf("branch %s: %w", change.Branch, connector.ErrForeign))
	}
	place.Number = standing.Number
	receipt, err := forge.Withdraw(ctx, place, standing.Head, "taken back")
	return Answer{Ref: receipt.Ref, URL: receipt.URL, Reply: receipt.Outcome + " " + receipt.Ref}, ForgeError(err)
}

// limitedFor is how long an effect waits when a forge asks to come back later
// and its connector has waited already.
const limitedFor = 5 * time.Minute

// ForgeError says in the terms of Effect.Send what an error of a connector means.
func ForgeError(err error) error {
	var limit *connector.LimitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &limit) && limit.After > 0:
		return Postpone(limit.After, err)
	case errors.Is(err, connector.ErrLimited):
		return Postpone(limitedFor, err)
	case errors.Is(err, connector.ErrInDoubt):
		return fmt.Errorf("%w: %w", ErrUnclear, err)
	case errors.Is(err, connector.ErrForeign), errors.Is(err, connector.ErrNoChange), errors.Is(err, connector.ErrRights), errors.Is(err, connector.ErrProtected),
		errors.Is(err, connector.ErrArchived), errors.Is(err, connector.ErrRefused), errors.Is(err, connector.ErrGone), errors.Is(err, connector.ErrMoved):
		return Reject(err)
	}
	return err
}
