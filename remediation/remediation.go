// Package remediation keeps chosen fix paths and what became of them, until an
// independent look shows that they worked.
//
// A remediation moves through states; every move names its actor, its evidence and a
// key under which it happens once. The package judges no proof and asks no forge: it
// says which moves there are and remembers them.
package remediation

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/store"
)

// State is the state of a remediation.
type State string

// States of a remediation. Those from Rejected on are exits, some of which can be left.
const (
	Proposed         State = "proposed"
	AwaitingApproval State = "awaiting_approval"
	Approved         State = "approved"
	Applying         State = "applying"
	ChangeOpen       State = "change_open"
	Merged           State = "merged"
	Built            State = "built"
	Deployed         State = "deployed"
	Verifying        State = "verifying"
	Verified         State = "verified"

	Rejected   State = "rejected" // people said no
	Superseded State = "superseded"
	Failed     State = "failed"
	Abandoned  State = "abandoned"
	RolledBack State = "rolled_back"
	Regressed  State = "regressed"
)

// States lists the states, in the order in which a remediation goes through them.
func States() []State {
	return []State{Proposed, AwaitingApproval, Approved, Applying, ChangeOpen, Merged, Built, Deployed, Verifying, Verified,
		Rejected, Superseded, Failed, Abandoned, RolledBack, Regressed}
}

// moves lists where a remediation may go from each state. A state may be kept with a
// new event, such as when an open change is brought up to date.
var moves = map[State][]State{
	"":               {Proposed},
	Proposed:         {Proposed, AwaitingApproval, Applying, Superseded, Rejected, Failed, Abandoned},
	AwaitingApproval: {AwaitingApproval, Approved, Applying, Superseded, Rejected, Failed, Abandoned},
	Approved:         {Applying, Superseded, Rejected, Failed, Abandoned},
	Applying:         {Applying, AwaitingApproval, ChangeOpen, Superseded, Rejected, Failed, Abandoned},
	ChangeOpen:       {ChangeOpen, Applying, Merged, Superseded, Rejected, Failed, Abandoned},
	Merged:           {Merged, Built, Deployed, Verifying, Verified, RolledBack, Regressed},
	Built:            {Built, Deployed, Verifying, Verified, RolledBack, Regressed},
	Deployed:         {Deployed, Verifying, Verified, RolledBack, Regressed},
	Verifying:        {Deployed, Verified, RolledBack, Regressed},
	Verified:         {RolledBack, Regressed},
	Rejected:         {Proposed, Merged},
	Superseded:       {Proposed, Merged},
	Failed:           {Failed, Proposed, Applying, ChangeOpen, Merged, Superseded, Rejected, Abandoned},
	Abandoned:        {Proposed, Merged},
	RolledBack:       {Proposed},
	Regressed:        {Proposed, Verified, RolledBack},
}

// Active says whether something is still expected to happen by itself.
func (s State) Active() bool {
	return !slices.Contains([]State{Verified, Rejected, Superseded, Failed, Abandoned, RolledBack, Regressed}, s)
}

// Remediation is one chosen fix path with its life. Its id is the change's key.
type Remediation struct {
	ID         string   `json:"id"`
	Repository string   `json:"repository"`
	Issues     []string `json:"issues"` // ids, worst first
	Path       fix.Path `json:"path"`   // as it was last proven
	State      State    `json:"state"`
	Reason     string   `json:"reason,omitempty"` // why it stands where it stands, for people

	Forge  string `json:"forge"`  // id of the connector
	Remote string `json:"remote"` // without credentials
	Branch string `json:"branch"`
	Target string `json:"target,omitempty"` // branch that it is meant for, "" the default
	Number int    `json:"number,omitempty"` // of the pull request
	URL    string `json:"url,omitempty"`
	Base   string `json:"base"`            // commit that it is made on
	Head   string `json:"head,omitempty"`  // our commit on the branch
	Merge  string `json:"merge,omitempty"` // commit of the target that holds it
	Draft  bool   `json:"draft,omitempty"` // offered although not proven

	// HandsOff names those who put commits on the branch: it is theirs, and not
	// touched until somebody says otherwise.
	HandsOff []string `json:"hands_off,omitempty"`
	// AskedWhy says that the question for the reason of a "no" was put.
	AskedWhy bool `json:"asked_why,omitempty"`
	// Ticket is the number of the ticket by which it was handed over, Agent to whom.
	Ticket int    `json:"ticket,omitempty"`
	Agent  string `json:"agent,omitempty"`
	// Images are the digests that hold the merged change, Workloads what runs them.
	Images    []string `json:"images,omitempty"`
	Workloads []string `json:"workloads,omitempty"`

	Opened  int64 `json:"opened,omitempty"` // microseconds since 1970 UTC
	Settled int64 `json:"settled,omitempty"`
	Changed int64 `json:"changed"`
}

// Event is one move of a remediation.
type Event struct {
	At       int64           `json:"at"`
	From     State           `json:"from"`
	To       State           `json:"to"`
	Actor    string          `json:"actor"`
	Reason   string          `json:"reason,omitempty"`
	Evidence []fact.Evidence `json:"evidence"`
	Key      string          `json:"key"`
}

// Move is a step to be taken.
type Move struct {
	To       State
	Actor    string
	Reason   string
	Evidence []fact.Evidence
	Key      string // the same move again changes nothing
}

// ErrMove says that a move is not allowed.
var ErrMove = errors.New("the remediation cannot go there")

func (m Move) check(from State) error {
	switch {
	case m.Actor == "" || m.Key == "":
		return fmt.Errorf("%w: a move names its actor and a key", ErrMove)
	case !slices.Contains(moves[from], m.To):
		return fmt.Errorf("%w: from %q to %q", ErrMove, from, m.To)
	case m.To == Verified && !slices.ContainsFunc(m.Evidence, func(e fact.Evidence) bool { return e.Strength == fact.Proven }):
		return fmt.Errorf("%w: verified needs evidence of strength %s", ErrMove, fact.Proven)
	case m.Reason == "" && slices.Contains([]State{Rejected, Superseded, Failed, Abandoned, RolledBack, Regressed}, m.To):
		return fmt.Errorf("%w: %s needs a reason", ErrMove, m.To)
	}
	return nil
}

//go:embed queries.sql
var queryText string

var queries = store.ParseQueries("remediation", queryText)

// Queries lists the queries of this package, for the conformance suite.
func Queries() *store.Queries { return queries }

var (
	getRow     = queries.Named("get")
	putRow     = queries.Named("put")
	listRows   = queries.Named("list")
	eventByKey = queries.Named("event_by_key")
	lastEvent  = queries.Named("last")
	addEvent   = queries.Named("add_event")
	listEvents = queries.Named("events")
)

// Take moves a remediation durably and keeps what changed in it with the move. A new
// one starts from the empty state. A move whose key is known changes nothing and is no
// error; what is stored is given back in every case.
func Take(ctx context.Context, db store.Engine, r Remediation, move Move, now time.Time) (Remediation, error) {
	if r.ID == "" {
		return r, errors.New("remediation: it has no id")
	}
	err := db.Write(ctx, store.Durable, func(tx store.Tx) error {
		stored, _, err := get(ctx, tx, r.ID)
		if err != nil {
			return err
		}
		known := false
		if err := tx.Query(ctx, eventByKey, func(row store.Row) error {
			if row.Text(0) != r.ID {
				return fmt.Errorf("%w: key %q belongs to %s", ErrMove, move.Key, row.Text(0))
			}
			known = true
			return nil
		}, store.Text(move.Key)); err != nil {
			return err
		}
		if known {
			r = stored
			return nil
		}
		if err := move.check(stored.State); err != nil {
			return fmt.Errorf("remediation %s: %w", r.ID, err)
		}
		last := int64(0)
		if err := tx.Query(ctx, lastEvent, func(row store.Row) error { last = row.Int(0); return nil }, store.Text(r.ID)); err != nil {
			return err
		}
		event := Event{At: now.UnixMicro(), From: stored.State, To: move.To, Actor: move.Actor, Reason: move.Reason, Evidence: move.Evidence, Key: move.Key}
		if event.Evidence == nil {
			event.Evidence = []fact.Evidence{}
		}
		doc, err := json.Marshal(event)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, addEvent, store.Text(move.Key), store.Text(r.ID), store.Int(last+1), store.Int(event.At), store.Text(string(doc))); err != nil {
			return err
		}
		r.State, r.Reason, r.Changed = move.To, move.Reason, now.UnixMicro()
		return put(ctx, tx, &r)
	})
	return r, err
}

func put(ctx context.Context, tx store.Tx, r *Remediation) error {
	doc, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, putRow, store.Text(r.ID), store.Text(r.Repository), store.Text(string(r.State)), store.Int(r.Changed), store.Text(string(doc)))
	return err
}

func get(ctx context.Context, tx store.Tx, id string) (r Remediation, found bool, err error) {
	err = tx.Query(ctx, getRow, func(row store.Row) error {
		found = true
		return json.Unmarshal([]byte(row.Text(0)), &r)
	}, store.Text(id))
	return r, found, err
}

// Load reads one remediation; store.ErrNotFound when there is none.
func Load(ctx context.Context, db store.Engine, id string) (r Remediation, err error) {
	found := false
	err = db.Read(ctx, func(tx store.Tx) error {
		r, found, err = get(ctx, tx, id)
		return err
	})
	if err == nil && !found {
		err = fmt.Errorf("remediation %s: %w", id, store.ErrNotFound)
	}
	return r, err
}

// List reads all remediations, the one that changed last first.
func List(ctx context.Context, db store.Engine) (list []Remediation, err error) {
	err = db.Read(ctx, func(tx store.Tx) error {
		list = list[:0]
		return tx.Query(ctx, listRows, func(row store.Row) error {
			var r Remediation
			if err := json.Unmarshal([]byte(row.Text(0)), &r); err != nil {
				return err
			}
			list = append(list, r)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("remediations: %w", err)
	}
	return list, nil
}

// Events reads the life of a remediation, oldest first.
func Events(ctx context.Context, db store.Engine, id string) (list []Event, err error) {
	err = db.Read(ctx, func(tx store.Tx) error {
		list = list[:0]
		return tx.Query(ctx, listEvents, func(row store.Row) error {
			var e Event
			if err := json.Unmarshal([]byte(row.Text(0)), &e); err != nil {
				return err
			}
			list = append(list, e)
			return nil
		}, store.Text(id))
	})
	if err != nil {
		return nil, fmt.Errorf("life of remediation %s: %w", id, err)
	}
	return list, nil
}
