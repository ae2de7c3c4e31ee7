package action

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/backstitch/backstitch/connector"
)

// Propose publishes a change through a forge, once. When the log says that the
// very payload was sent before, the forge is still asked, since it recognises
// its own branch; the answer is then "unchanged". target is the remote without
// credentials.
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

// ProposeBy makes stored proposals again for a forge.
func ProposeBy(forge connector.Forge) Revive {
	return func(_ context.Context, d Delivery) (Effect, error) {
		var change connector.Proposal
		if err := json.Unmarshal(d.Doc, &change); err != nil {
			return Effect{}, fmt.Errorf("its proposal is not stored: %w", err)
		}
		return proposal(forge, change, &connector.Receipt{}), nil
	}
}

func proposal(forge connector.Forge, change connector.Proposal, receipt *connector.Receipt) Effect {
	return Effect{
		Key: change.Key, Kind: KindPropose, Idempotent: true,
		Send: func(ctx context.Context) (Answer, error) {
			var err error
			*receipt, err = forge.Propose(ctx, change)
			return Answer{Ref: receipt.Ref, URL: receipt.URL, Reply: receipt.Outcome + " " + receipt.Ref}, err
		},
	}
}
