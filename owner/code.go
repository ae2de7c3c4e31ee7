package owner

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/store"
)

// Bounds of what code claims.
const (
	maxClaimedFiles   = 20_000
	maxClaimedPersons = 3
	leastClaim        = .1
)

// anywhere is no file: asked about it, a repository answers by what holds for all of
// it.
const anywhere = "-"

// Extend takes the commits up to one into the index. It must not run beside other
// uses of the index.
func (x *Index) Extend(ctx context.Context, commit string) error {
	before := x.history.Len()
	if err := x.repo.Extend(ctx, x.history, commit); err != nil {
		return err
	}
	for i := before; i < x.history.Len(); i++ {
		x.machine = append(x.machine, machineSubject(x.history.Entry(int32(i)).Subject))
		x.learner.consider(x, int32(i))
	}
	return nil
}

// Claim writes who owns a repository, and the files of it that the graph knows, into
// the graph, as CODEOWNERS and history say at a commit: what is built from them
// inherits it. With changed, only these files are looked at again, and all when the
// files that name people are among them.
func (x *Index) Claim(ctx context.Context, db store.Engine, g *graph.Graph, commit string, changed []string, now time.Time) (graph.Summary, error) {
	r, err := x.At(ctx, commit, now)
	if err != nil {
		return graph.Summary{}, err
	}
	files, err := x.claimable(ctx, db)
	if err != nil {
		return graph.Summary{}, err
	}
	if changed != nil && !slices.ContainsFunc(changed, namesPeople) {
		files = slices.DeleteFunc(files, func(a fact.Asset) bool { return !slices.Contains(changed, x.pathOf(a)) })
	}
	paths, err := r.tree.Paths(ctx)
	if err != nil {
		return graph.Summary{}, err
	}
	there := make(map[string]bool, len(paths))
	for _, name := range paths {
		there[name] = true
	}
	run, err := g.Begin(ctx, SourceCode+":"+x.identity, now, false)
	if err != nil {
		return graph.Summary{}, err
	}
	defer run.Abort()
	home := fact.Asset{Kind: fact.AssetRepository, Key: x.identity, Name: x.identity[strings.LastIndexByte(x.identity, '/')+1:]}
	if err := r.claimOn(ctx, run, home, anywhere); err != nil {
		return graph.Summary{}, err
	}
	for _, a := range files {
		name := x.pathOf(a)
		if !there[name] { // the file is gone, and what was said of it
			if err := run.Covered(a.Kind + " " + name); err != nil {
				return graph.Summary{}, err
			}
			continue
		}
		if err := r.claimOn(ctx, run, a, name); err != nil {
			return graph.Summary{}, err
		}
	}
	return run.Finish(ctx)
}

// namesPeople says whether a file says who is who, or who owns what.
func namesPeople(name string) bool {
	base := name[strings.LastIndexByte(name, '/')+1:]
	return base == "CODEOWNERS" || base == ".mailmap" || base == ".git-blame-ignore-revs"
}

func (x *Index) pathOf(a fact.Asset) string { return strings.TrimPrefix(a.Key, x.identity+"//") }

// claimable lists the files of the repository that the graph knows.
func (x *Index) claimable(ctx context.Context, db store.Engine) ([]fact.Asset, error) {
	var list []fact.Asset
	prefix := x.identity + "//"
	err := db.Read(ctx, func(tx store.Tx) error {
		for _, kind := range []string{fact.AssetDockerfile, fact.AssetFile} {
			if err := tx.Query(ctx, assetsFrom, func(row store.Row) error {
				list = append(list, fact.Asset{Kind: kind, Key: row.Text(0), Name: row.Text(1)})
				return nil
			}, store.Text(kind), store.Text(prefix), store.Text(prefix[:len(prefix)-1]+"0"), store.Int(maxClaimedFiles)); err != nil { // "0" follows "/"
				return err
			}
		}
		return nil
	})
	return list, err
}

// claimOn claims one asset by a path.
func (r *Resolver) claimOn(ctx context.Context, run *graph.Run, a fact.Asset, name string) error {
	owners, err := r.Suggest(ctx, Subject{Path: name})
	if err != nil {
		return fmt.Errorf("owner of %s: %w", name, err)
	}
	scope := a.Kind + " " + name
	persons := 0
	for _, o := range owners {
		if o.Kind == fact.AssetPerson {
			if persons++; persons > maxClaimedPersons || o.Confidence < leastClaim {
				continue
			}
		}
		party := fact.Asset{Kind: o.Kind, Key: o.ID, Name: o.Name}
		properties := map[string]string{}
		if strings.Contains(o.ID, "@") && !strings.HasPrefix(o.ID, "@") {
			properties["email"] = o.ID
		}
		if err := run.Node(scope, fact.Node{Asset: party, Properties: properties}); err != nil {
			return err
		}
		evidence := fact.Evidence{Method: "history", Source: r.index.identity + " " + short(r.commit), Strength: fact.Derived}
		if len(o.Evidence) > 0 {
			evidence.Method, evidence.Source, evidence.Detail = o.Evidence[0].Kind, o.Evidence[0].Source, o.Evidence[0].Detail
		}
		if evidence.Method == "codeowners" {
			evidence.Strength = fact.Declared
		}
		claim := fact.Claim{Subject: a, Owner: fact.Party{Kind: o.Kind, ID: o.ID, Name: o.Name}, Role: o.Role, Source: SourceCode, Evidence: evidence, Confidence: o.Confidence}
		if err := run.Claim(scope, claim); err != nil {
			return err
		}
	}
	return run.Covered(scope)
}

// Checkout is where a repository was last looked at on this machine.
type Checkout struct{ Repository, Dir, Commit string }

// Checkouts lists where repositories were looked at.
func Checkouts(ctx context.Context, db store.Engine) ([]Checkout, error) {
	var list []Checkout
	err := db.Read(ctx, func(tx store.Tx) error {
		return tx.Query(ctx, everyCheckout, func(row store.Row) error {
			list = append(list, Checkout{row.Text(0), row.Text(1), row.Text(2)})
			return nil
		})
	})
	return list, err
}
