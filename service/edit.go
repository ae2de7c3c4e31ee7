package service

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/store"
)

//go:embed queries.sql
var queryText string

var queries = store.ParseQueries("service", queryText)

// Queries lists the package's queries, for the conformance suite of engines.
func Queries() *store.Queries { return queries }

var (
	listEdits  = queries.Named("edits")
	insertEdit = queries.Named("insert_edit")
)

// Verb is what a person did to a service.
type Verb string

// Verbs.
const (
	Merge  Verb = "merge"  // Service into Into
	Split  Verb = "split"  // Member out of Service into Into, a new one called Name
	Rename Verb = "rename" // Service is called Name
)

// Edit is one thing that a person said. Edits are never changed; a later one
// counts after an earlier one.
type Edit struct {
	ID      int64      `json:"id"`
	At      int64      `json:"at"` // microseconds since 1970 UTC
	By      string     `json:"by"`
	Reason  string     `json:"reason,omitempty"`
	Verb    Verb       `json:"verb"`
	Service string     `json:"service"` // key
	Into    string     `json:"into,omitempty"`
	Member  fact.Asset `json:"member,omitzero"` // kind and key
	Name    string     `json:"name,omitempty"`
}

// Errors of edits.
var (
	ErrUnknown   = errors.New("there is no such service")
	ErrAmbiguous = errors.New("several services are called so")
)

// Keeper finds services, keeps what people say of them and writes both into the
// graph.
type Keeper struct {
	DB    store.Engine
	Graph *graph.Graph
	Now   func() time.Time
}

// Edits gives what people said, in its order.
func (k *Keeper) Edits(ctx context.Context) ([]Edit, error) {
	list := []Edit{}
	err := k.DB.Read(ctx, func(tx store.Tx) error {
		return tx.Query(ctx, listEdits, func(row store.Row) error {
			list = append(list, Edit{
				ID: row.Int(0), At: row.Int(1), By: row.Text(2), Reason: row.Text(3), Verb: Verb(row.Text(4)), Service: row.Text(5), Into: row.Text(6),
				Member: fact.Asset{Kind: row.Text(7), Key: row.Text(8)}, Name: row.Text(9),
			})
			return nil
		})
	})
	return list, err
}

// Find finds the services as they are now, and writes nothing.
func (k *Keeper) Find(ctx context.Context) (Found, error) {
	edits, err := k.Edits(ctx)
	if err != nil {
		return Found{}, err
	}
	return Find(ctx, k.Graph, edits)
}

// scope is the one scope of the source: which service a thing belongs to depends on
// all others.
const scope = "all"

// Sync finds the services and writes them into the graph.
func (k *Keeper) Sync(ctx context.Context) (Found, graph.Summary, error) {
	found, err := k.Find(ctx)
	if err != nil {
		return found, graph.Summary{}, err
	}
	run, err := k.Graph.Begin(ctx, Source, k.Now(), false)
	if err != nil {
		return found, graph.Summary{}, err
	}
	if err := tell(run, &found); err != nil {
		run.Abort()
		return found, graph.Summary{}, err
	}
	summary, err := run.Finish(ctx)
	return found, summary, err
}

// tell writes services into a run.
func tell(run *graph.Run, found *Found) error {
	for i := range found.Services {
		s := &found.Services[i]
		asset := fact.Asset{Kind: fact.AssetService, Key: s.Key, Name: s.Name}
		if len(s.Members) == 0 {
			continue // the catalog tells of it
		}
		if err := run.Node(scope, fact.Node{Asset: asset, Properties: map[string]string{"why": s.Why()}}); err != nil {
			return err
		}
		for _, m := range s.Members {
			err := run.Relation(scope, fact.Relation{From: m.Asset, Kind: fact.PartOf, To: asset, Evidence: fact.Evidence{Method: m.Reason, Source: m.By, Strength: m.Strength}})
			if err != nil {
				return err
			}
		}
		for _, repository := range s.Alone {
			if s.Catalog != "" {
				break // the catalog says what its entities are built from; ours would be taken for its word
			}
			from := fact.Asset{Kind: fact.AssetRepository, Key: repository, Name: repository[strings.LastIndex(repository, "/")+1:]}
			evidence := fact.Evidence{Method: "only this service is built from it", Source: Source, Strength: fact.Derived}
			if err := run.Relation(scope, fact.Relation{From: from, Kind: fact.PartOf, To: asset, Evidence: evidence}); err != nil {
				return err
			}
		}
		for _, same := range s.Same {
			err := run.Relation(scope, fact.Relation{From: asset, Kind: fact.PartOf, To: same.Asset, Properties: map[string]string{"same": "true"},
				Evidence: fact.Evidence{Method: same.Reason, Source: Source, Strength: same.Strength}})
			if err != nil {
				return err
			}
		}
	}
	for _, note := range found.Notes {
		run.Note(scope, note)
	}
	return run.Covered(scope)
}

// Why says in a few words why the service exists.
func (s *Service) Why() string {
	const most = 3
	var parts []string
	for _, reason := range s.Reasons[:min(most, len(s.Reasons))] {
		parts = append(parts, reason.Text)
	}
	if more := len(s.Reasons) - most; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	return strings.Join(parts, "; ")
}

// Service gives the one service that a text means: by key, by a key that means it
// too, or by name.
func (f *Found) Service(text string) (*Service, error) {
	var named []*Service
	for i := range f.Services {
		s := &f.Services[i]
		if s.Key == text {
			return s, nil
		}
		for _, key := range s.Also {
			if key == text {
				return s, nil
			}
		}
		if strings.EqualFold(s.Name, text) {
			named = append(named, s)
		}
	}
	switch {
	case len(named) == 1:
		return named[0], nil
	case len(named) > 1:
		var keys []string
		for _, s := range named[:min(len(named), 8)] {
			keys = append(keys, s.Key)
		}
		return nil, fmt.Errorf("%q: %w, name one by its key: %s", text, ErrAmbiguous, strings.Join(keys, ", "))
	}
	return nil, fmt.Errorf("%q: %w", text, ErrUnknown)
}

// Merge makes one service a part of another, for good.
func (k *Keeper) Merge(ctx context.Context, by, reason, from, into string) error {
	found, err := k.Find(ctx)
	if err != nil {
		return err
	}
	a, err := found.Service(from)
	if err != nil {
		return err
	}
	b, err := found.Service(into)
	if err != nil {
		return err
	}
	if a.Key == b.Key {
		return fmt.Errorf("merge %s into %s: they are one service already", from, into)
	}
	return k.keep(ctx, Edit{By: by, Reason: reason, Verb: Merge, Service: a.Key, Into: b.Key})
}

// maxName bounds the name of a service.
const maxName = 200

func checkName(name string) (string, error) {
	name = strings.TrimSpace(name)
	if name == "" || len(name) > maxName || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", fmt.Errorf("name %.40q: expected 1 to %d characters in one line", name, maxName)
	}
	return name, nil
}

// Rename gives a service a name.
func (k *Keeper) Rename(ctx context.Context, by, reason, which, name string) error {
	name, err := checkName(name)
	if err != nil {
		return err
	}
	found, err := k.Find(ctx)
	if err != nil {
		return err
	}
	s, err := found.Service(which)
	if err != nil {
		return err
	}
	return k.keep(ctx, Edit{By: by, Reason: reason, Verb: Rename, Service: s.Key, Name: name})
}

// Split takes members out of a service into one called name, which may be there
// already when a split made it. Members are named by "kind:key", key or name; with a
// workload goes the object that it is.
func (k *Keeper) Split(ctx context.Context, by, reason, which, name string, members []string) error {
	name, err := checkName(name)
	if err != nil {
		return err
	}
	found, err := k.Find(ctx)
	if err != nil {
		return err
	}
	s, err := found.Service(which)
	if err != nil {
		return err
	}
	if len(members) == 0 {
		return fmt.Errorf("split %s: expected members to split off", which)
	}
	into := Prefix + "split/" + strings.ToLower(name)
	var edits []Edit
	for _, text := range members {
		whole := text // a workload and the object that it is have one key, and go together
		for _, m := range s.Members {
			if text == m.Asset.Kind+":"+m.Asset.Key {
				whole = m.Asset.Key
			}
		}
		var fits []fact.Asset
		for _, m := range s.Members {
			if whole == m.Asset.Key || text == m.Asset.Name {
				fits = append(fits, m.Asset)
			}
		}
		if len(fits) == 0 {
			return fmt.Errorf("split %s: %q is none of its %d members", which, text, len(s.Members))
		}
		if len(fits) > 1 && fits[0].Key != fits[len(fits)-1].Key {
			return fmt.Errorf("split %s: %q are %d members, name each by KIND:KEY, for example %s:%s", which, text, len(fits), fits[0].Kind, fits[0].Key)
		}
		for _, a := range fits {
			edits = append(edits, Edit{By: by, Reason: reason, Verb: Split, Service: s.Key, Into: into, Member: fact.Asset{Kind: a.Kind, Key: a.Key}, Name: name})
		}
	}
	return k.keep(ctx, edits...)
}

// keep writes edits, all or none.
func (k *Keeper) keep(ctx context.Context, edits ...Edit) error {
	now := k.Now().UnixMicro()
	return k.DB.Write(ctx, store.Durable, func(tx store.Tx) error {
		id, err := store.ReserveIDs(ctx, tx, "service_edit", int64(len(edits)))
		for i := range edits {
			if err != nil {
				return err
			}
			e := &edits[i]
			_, err = tx.Exec(ctx, insertEdit, store.Int(id+int64(i)), store.Int(now), store.Text(e.By), store.Text(e.Reason), store.Text(string(e.Verb)),
				store.Text(e.Service), store.Text(e.Into), store.Text(e.Member.Kind), store.Text(e.Member.Key), store.Text(e.Name))
		}
		return err
	})
}
