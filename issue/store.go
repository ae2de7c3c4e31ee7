package issue

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/store"
)

//go:embed queries.sql
var queryText string

var queries = store.ParseQueries("issue", queryText)

var (
	selectKey   = queries.Named("key")
	insertKey   = queries.Named("insert_key")
	takeKey     = queries.Named("take_key")
	moveKeys    = queries.Named("move_keys")
	selectRow   = queries.Named("row")
	insertRow   = queries.Named("insert")
	updateRow   = queries.Named("update")
	mergeRow    = queries.Named("merge")
	setState    = queries.Named("set_state")
	selectList  = queries.Named("list")
	insertEvent = queries.Named("insert_event")
	eventByKey  = queries.Named("event_by_key")
	selectEvent = queries.Named("events")
)

// row is an issue as it is stored. The state beside the document is the one
// that counts.
type row struct {
	id         string
	seq        int64
	state      State
	reason     string
	decided    bool // by somebody, not derived from findings
	stateAt    int64
	mergedInto string
	doc        string
	sum        [sha256.Size]byte // of doc, which is not held for many rows at once
}

func readRow(ctx context.Context, tx store.Tx, id string) (r row, found bool, err error) {
	err = tx.Query(ctx, selectRow, func(s store.Row) error {
		r = row{id: id, seq: s.Int(0), state: State(s.Text(1)), reason: s.Text(2), decided: s.Int(3) != 0, stateAt: s.Int(4), mergedInto: s.Text(5), doc: s.Text(6)}
		found = true
		return nil
	}, store.Text(id))
	return r, found, err
}

// sealed is the row with the digest of its document in the place of it.
func (r row) sealed() row {
	r.sum, r.doc = sha256.Sum256([]byte(r.doc)), ""
	return r
}

// known lists the stored issues that the keys of an issue name: the one that
// keeps its id first, which is one that somebody decided about, else the oldest.
func known(ctx context.Context, tx store.Tx, i *Issue) ([]row, error) {
	var rows []row
	for _, key := range i.keys() {
		id := ""
		if err := tx.Query(ctx, selectKey, func(s store.Row) error { id = s.Text(0); return nil }, store.Text(key)); err != nil {
			return nil, err
		}
		if id == "" || slices.ContainsFunc(rows, func(r row) bool { return r.id == id }) {
			continue
		}
		r, found, err := readRow(ctx, tx, id)
		if err != nil {
			return nil, err
		}
		if found {
			rows = append(rows, r.sealed())
		}
	}
	slices.SortFunc(rows, func(a, b row) int {
		if a.decided != b.decided {
			if a.decided {
				return -1
			}
			return 1
		}
		return int(a.seq - b.seq)
	})
	return rows, nil
}

// Adopt gives issues the ids under which they are already stored: an issue keeps
// its id when more ids of its alias class become known. References in FixPaths
// follow. It changes the issues in place.
func Adopt(ctx context.Context, db store.Engine, issues []Issue) error {
	return db.Read(ctx, func(tx store.Tx) error {
		_, err := adopt(ctx, tx, issues)
		return err
	})
}

// adopt also returns the stored issues of each.
func adopt(ctx context.Context, tx store.Tx, issues []Issue) ([][]row, error) {
	renamed := map[string]string{}
	taken := map[string]bool{}
	stored := make([][]row, len(issues))
	for n := range issues {
		rows, err := known(ctx, tx, &issues[n])
		if err != nil {
			return nil, fmt.Errorf("issue %s: %w", issues[n].ID, err)
		}
		rows = slices.DeleteFunc(rows, func(r row) bool { return taken[r.id] })
		stored[n] = rows
		if len(rows) > 0 && rows[0].id != issues[n].ID {
			renamed[issues[n].ID] = rows[0].id
			issues[n].ID = rows[0].id
		}
		for _, r := range rows {
			taken[r.id] = true
		}
	}
	for n := range issues {
		for p := range issues[n].FixPaths {
			closes := issues[n].FixPaths[p].Closes
			for c, id := range closes {
				if now, ok := renamed[id]; ok {
					closes[c] = now
				}
			}
		}
	}
	return stored, nil
}

// Save stores issues with all that is known of them, under the ids that Adopt
// gives. The state of each becomes the one that counts: decisions of people
// outlast what findings say, except that a finding seen after its issue was
// resolved reopens it. Saving the same issues again changes nothing.
func Save(ctx context.Context, db store.Engine, issues []Issue, at time.Time) error {
	err := db.Write(ctx, store.Replayable, func(tx store.Tx) error {
		stored, err := adopt(ctx, tx, issues)
		if err != nil {
			return err
		}
		for n := range issues {
			if err := save(ctx, tx, &issues[n], stored[n], at.UnixMicro()); err != nil {
				return fmt.Errorf("issue %s: %w", issues[n].ID, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("save issues: %w", err)
	}
	return nil
}

func save(ctx context.Context, tx store.Tx, i *Issue, stored []row, at int64) error {
	if len(stored) == 0 {
		// A class that was split: the issue was merged into another one before.
		merged, found, err := readRow(ctx, tx, i.ID)
		if err != nil {
			return err
		}
		if found {
			if _, err := tx.Exec(ctx, mergeRow, store.Text(""), store.Int(at), store.Text(i.ID)); err != nil {
				return err
			}
			stored = []row{merged.sealed()}
		}
	}
	if len(stored) == 0 {
		if i.State == Resolved || i.State == InProgress {
			return fmt.Errorf("%w: a new issue is %s, which only a decision makes it", ErrTransition, i.State)
		}
		seq, err := store.ReserveIDs(ctx, tx, "issue", 1)
		if err != nil {
			return err
		}
		doc, err := json.Marshal(i)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, insertRow, store.Text(i.ID), store.Int(seq), store.Text(string(i.State)), store.Text(i.Reason), store.Int(at),
			store.Text(i.repository()), store.Float(i.Risk), store.Int(at), store.Text(string(doc))); err != nil {
			return err
		}
	} else {
		kept := stored[0]
		derived, reason := i.State, i.Reason
		i.State, i.Reason = settle(kept, i)
		moved := i.State != kept.state || i.Reason != kept.reason
		decided, stateAt := kept.decided, kept.stateAt
		if moved {
			decided, stateAt = false, at
			if err := event(ctx, tx, i.ID, kept.state, at, Move{
				To: i.State, Reason: i.Reason, Actor: "backstitch",
				Evidence: []fact.Evidence{{Method: "findings", Source: i.source(), Strength: fact.Attested, Detail: derivedDetail(derived, reason, i)}},
				Key:      fmt.Sprintf("findings/%s/%d/%s/%s", i.ID, at, i.State, i.Reason),
			}); err != nil {
				return err
			}
		}
		doc, err := json.Marshal(i)
		if err != nil {
			return err
		}
		if moved || sha256.Sum256(doc) != kept.sum {
			if _, err := tx.Exec(ctx, updateRow, store.Text(string(i.State)), store.Text(i.Reason), store.Bool(decided), store.Int(stateAt),
				store.Text(i.repository()), store.Float(i.Risk), store.Int(at), store.Text(string(doc)), store.Text(i.ID)); err != nil {
				return err
			}
		}
		for _, other := range stored[1:] {
			if _, err := tx.Exec(ctx, mergeRow, store.Text(i.ID), store.Int(at), store.Text(other.id)); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, moveKeys, store.Text(i.ID), store.Text(other.id)); err != nil {
				return err
			}
		}
	}
	if _, err := tx.Exec(ctx, takeKey, store.Text(i.Key), store.Text(i.ID)); err != nil {
		return err
	}
	for _, key := range i.keys()[1:] {
		if _, err := tx.Exec(ctx, insertKey, store.Text(key), store.Text(i.ID)); err != nil {
			return err
		}
	}
	return nil
}

// settle gives the state that counts when findings say one thing and the stored
// issue another.
func settle(kept row, i *Issue) (State, string) {
	switch {
	case i.State == Resolved || i.State == InProgress: // no finding says so; SetState does
	case !kept.decided && kept.state != Resolved:
		return i.State, i.Reason
	case kept.state == Resolved:
		if i.State == Open && i.LastSeen > kept.stateAt {
			return Open, ""
		}
	case kept.state == Open && i.State == Unconfirmed, kept.state == Unconfirmed && i.State == Open:
		return i.State, i.Reason
	}
	return kept.state, kept.reason
}

func derivedDetail(derived State, reason string, i *Issue) string {
	text := "its findings say " + string(derived)
	if reason != "" {
		text += ", " + reason
	}
	if i.Analysis != "" {
		text += ": " + i.Analysis
	}
	return text
}

func (i *Issue) source() string {
	if len(i.Tools) == 0 {
		return "findings"
	}
	return strings.Join(i.Tools, ", ")
}

// repository is that of the first location of the cause, or of the first asset
// that is one.
func (i *Issue) repository() string {
	for _, l := range i.Cause.Locations {
		if l.Repository != "" {
			return l.Repository
		}
	}
	for _, a := range i.Assets {
		if a.Kind == fact.AssetRepository {
			return a.Key
		}
	}
	return ""
}

func event(ctx context.Context, tx store.Tx, id string, from State, at int64, m Move) error {
	seq, err := store.ReserveIDs(ctx, tx, "issue_event", 1)
	if err != nil {
		return err
	}
	evidence, err := json.Marshal(append([]fact.Evidence{}, m.Evidence...))
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, insertEvent, store.Text(m.Key), store.Int(seq), store.Text(id), store.Int(at), store.Text(m.Actor),
		store.Text(string(from)), store.Text(string(m.To)), store.Text(m.Reason), store.Text(string(evidence)))
	return err
}

func decode(doc string, state State, reason string) (Issue, error) {
	var i Issue
	if err := json.Unmarshal([]byte(doc), &i); err != nil {
		return Issue{}, err
	}
	i.State, i.Reason = state, reason
	if i.RiskTerms == nil {
		i.RiskTerms = []Term{} // written before terms were kept
	}
	return i, nil
}

// Unsee makes open issues of a repository unconfirmed that no finding leads to
// any more, although all of their assets were looked at: the findings belong to
// other issues now, as when a manifest was moved, or are gone. Kept are the
// issues that findings lead to. It returns the ids that it moved.
func Unsee(ctx context.Context, db store.Engine, repository string, looked []fact.Asset, kept []Issue, at time.Time) ([]string, error) {
	covered, alive := map[[2]string]bool{}, map[string]bool{}
	for _, a := range looked {
		covered[[2]string{a.Kind, a.Key}] = true
	}
	for n := range kept {
		alive[kept[n].ID] = true
	}
	moved := []string{}
	err := db.Write(ctx, store.Replayable, func(tx store.Tx) error {
		moved = moved[:0]
		var lost []Issue
		err := tx.Query(ctx, selectList, func(r store.Row) error {
			i, err := decode(r.Text(2), State(r.Text(0)), r.Text(1))
			if err != nil {
				return err
			}
			uncovered := func(a fact.Asset) bool { return !covered[[2]string{a.Kind, a.Key}] }
			if i.State == Open && !alive[i.ID] && !slices.ContainsFunc(i.Assets, uncovered) {
				lost = append(lost, i)
			}
			return nil
		}, store.Text(repository))
		if err != nil {
			return err
		}
		for n := range lost {
			i := &lost[n]
			i.State, i.Reason = Unconfirmed, ""
			if err := event(ctx, tx, i.ID, Open, at.UnixMicro(), Move{
				To: Unconfirmed, Actor: "backstitch",
				Evidence: []fact.Evidence{{Method: "findings", Source: i.source(), Strength: fact.Attested, Detail: "all of its assets were looked at and no finding leads to it any more"}},
				Key:      fmt.Sprintf("findings/%s/%d/unseen", i.ID, at.UnixMicro()),
			}); err != nil {
				return err
			}
			doc, err := json.Marshal(i)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, updateRow, store.Text(string(i.State)), store.Text(i.Reason), store.Bool(false), store.Int(at.UnixMicro()),
				store.Text(i.repository()), store.Float(i.Risk), store.Int(at.UnixMicro()), store.Text(string(doc)), store.Text(i.ID)); err != nil {
				return err
			}
			moved = append(moved, i.ID)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("issues that nothing leads to: %w", err)
	}
	return moved, nil
}

// resolve follows merges to the row that counts.
func resolve(ctx context.Context, tx store.Tx, id string) (row, error) {
	for range 100 {
		r, found, err := readRow(ctx, tx, id)
		if err != nil {
			return row{}, err
		}
		if !found {
			return row{}, fmt.Errorf("issue %s: %w", id, store.ErrNotFound)
		}
		if r.mergedInto == "" {
			return r, nil
		}
		id = r.mergedInto
	}
	return row{}, fmt.Errorf("issue %s: merged in a circle", id)
}

// Load reads one issue, or the one that it was merged into. It returns
// store.ErrNotFound when there is none.
func Load(ctx context.Context, db store.Engine, id string) (Issue, error) {
	var i Issue
	err := db.Read(ctx, func(tx store.Tx) error {
		r, err := resolve(ctx, tx, strings.ToUpper(id))
		if err != nil {
			return err
		}
		i, err = decode(r.doc, r.state, r.reason)
		return err
	})
	return i, err
}

// Filter restricts List. Empty fields restrict nothing.
type Filter struct {
	Repository string
	States     []State
}

// List reads issues, worst first.
func List(ctx context.Context, db store.Engine, filter Filter) ([]Issue, error) {
	issues := []Issue{}
	err := db.Read(ctx, func(tx store.Tx) error {
		return tx.Query(ctx, selectList, func(r store.Row) error {
			state := State(r.Text(0))
			if len(filter.States) > 0 && !slices.Contains(filter.States, state) {
				return nil
			}
			i, err := decode(r.Text(2), state, r.Text(1))
			if err != nil {
				return err
			}
			issues = append(issues, i)
			return nil
		}, store.Text(filter.Repository))
	})
	if err != nil {
		return nil, fmt.Errorf("list issues: %w", err)
	}
	Sort(issues)
	return issues, nil
}

// ErrReused says that an idempotency key was used for another move before.
var ErrReused = errors.New("idempotency key was used for something else")

// SetState moves an issue by a decision, with its event, durably. A move whose
// key was seen before changes nothing. It returns the issue as it is now.
func SetState(ctx context.Context, db store.Engine, id string, move Move, at time.Time) (Issue, error) {
	var i Issue
	err := db.Write(ctx, store.Durable, func(tx store.Tx) error {
		r, err := resolve(ctx, tx, strings.ToUpper(id))
		if err != nil {
			return err
		}
		again := false
		err = tx.Query(ctx, eventByKey, func(e store.Row) error {
			again = true
			if e.Text(0) != r.id || State(e.Text(1)) != move.To || e.Text(2) != move.Reason {
				return fmt.Errorf("issue %s: %w: %q moved %s to %s", id, ErrReused, move.Key, e.Text(0), e.Text(1))
			}
			return nil
		}, store.Text(move.Key))
		if err != nil {
			return err
		}
		if !again {
			if err := move.Check(r.state, r.reason); err != nil {
				return fmt.Errorf("issue %s: %w", id, err)
			}
			if err := event(ctx, tx, r.id, r.state, at.UnixMicro(), move); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, setState, store.Text(string(move.To)), store.Text(move.Reason), store.Int(at.UnixMicro()), store.Text(r.id)); err != nil {
				return err
			}
			r.state, r.reason = move.To, move.Reason
		}
		i, err = decode(r.doc, r.state, r.reason)
		return err
	})
	return i, err
}

// Event is one move of an issue.
type Event struct {
	ID       int64           `json:"id"`
	At       int64           `json:"at"` // microseconds since 1970 UTC
	Actor    string          `json:"actor"`
	From     State           `json:"from"`
	To       State           `json:"to"`
	Reason   string          `json:"reason,omitempty"`
	Evidence []fact.Evidence `json:"evidence"`
	Key      string          `json:"key"`
}

// Events lists what happened to an issue, oldest first.
func Events(ctx context.Context, db store.Engine, id string) ([]Event, error) {
	events := []Event{}
	err := db.Read(ctx, func(tx store.Tx) error {
		r, err := resolve(ctx, tx, strings.ToUpper(id))
		if err != nil {
			return err
		}
		return tx.Query(ctx, selectEvent, func(s store.Row) error {
			e := Event{ID: s.Int(0), At: s.Int(1), Actor: s.Text(2), From: State(s.Text(3)), To: State(s.Text(4)), Reason: s.Text(5), Key: s.Text(7)}
			if err := json.Unmarshal([]byte(s.Text(6)), &e.Evidence); err != nil {
				return err
			}
			events = append(events, e)
			return nil
		}, store.Text(r.id))
	})
	return events, err
}

// Queries lists the package's queries, for the conformance suite of engines.
func Queries() *store.Queries { return queries }
