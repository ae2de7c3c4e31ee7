package graph

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/store"
)

// NotFoundError says that no asset fits a text, and which come closest.
type NotFoundError struct {
	Text    string
	Closest []fact.Asset // at most 5
}

func (e *NotFoundError) Error() string {
	text := e.Text + ": " + ErrNotFound.Error()
	if len(e.Closest) == 0 {
		return text
	}
	var names []string
	for _, a := range e.Closest {
		names = append(names, a.Kind+":"+a.Key)
	}
	return text + "; close to it are " + strings.Join(names, ", ")
}

func (e *NotFoundError) Unwrap() error { return ErrNotFound }

// maxFound is how many assets Find gives.
const maxFound = 50

// Find looks an asset up, of a kind or of any when kind is empty: by its key or name,
// else by the end of its key behind a slash or colon, else by a part of either. It
// gives all that fit equally well, at most 50, so that one alone is what was meant.
// Without a kind, text may be "kind:key". When nothing fits it returns a
// NotFoundError.
func (g *Graph) Find(ctx context.Context, kind, text string) ([]fact.Asset, error) {
	var found []fact.Asset
	err := g.read(ctx, time.Time{}, func(b *book) error {
		var err error
		found, err = b.find(kind, text)
		return err
	})
	return found, err
}

func (b *book) find(kind, text string) ([]fact.Asset, error) {
	missed := &NotFoundError{Text: text}
	if kind == "" {
		if before, after, ok := strings.Cut(text, ":"); ok && slices.Contains(Kinds(), before) {
			kind, text = before, after
		}
	} else {
		missed.Text = kind + ":" + text
	}
	if text == "" {
		return nil, missed
	}
	var found []fact.Asset
	var ids []int64
	collect := func(row store.Row) error {
		a := fact.Asset{Kind: row.Text(1), Key: row.Text(2), Name: row.Text(3)}
		if kind == "" || a.Kind == kind {
			found, ids = append(found, a), append(ids, row.Int(0))
		}
		return nil
	}
	// By its key in every kind that is known of, which is quick.
	all := Kinds()
	if kind != "" {
		all = []string{kind}
	}
	for _, k := range all {
		id, err := number(b.ctx, b.tx, selectAsset, store.Text(k), store.Text(text))
		if err != nil {
			return nil, err
		}
		if id != 0 {
			a, err := b.asset(id)
			if err != nil {
				return nil, err
			}
			found, ids = append(found, a), append(ids, id)
		}
	}
	looks := []func() error{
		func() error { return nil },
		func() error { return b.tx.Query(b.ctx, assetsNamed, collect, store.Text(text)) },
		func() error { return b.like(kind, "%/"+likeText(text), "%:"+likeText(text), collect) },
		func() error { return b.like(kind, "%"+likeText(text)+"%", "", collect) },
	}
	for _, look := range looks {
		if err := look(); err != nil {
			return nil, err
		}
		kept := found[:0]
		for i, a := range found {
			if there, err := b.there(ids[i]); err != nil {
				return nil, err
			} else if there {
				kept = append(kept, a)
			}
		}
		if len(kept) > 0 {
			slices.SortFunc(kept, compareAssets)
			return kept[:min(len(kept), maxFound)], nil
		}
		found, ids = nil, nil
	}
	var err error
	missed.Closest, err = b.closest(kind, text)
	if err != nil {
		return nil, err
	}
	return nil, missed
}

func (b *book) like(kind, one, other string, collect func(store.Row) error) error {
	if kind == "" {
		return b.tx.Query(b.ctx, assetsLike, collect, store.Text(one), store.Text(other))
	}
	return b.tx.Query(b.ctx, assetsLikeOfKind, collect, store.Text(kind), store.Text(one), store.Text(other))
}

// there says whether a source or a finding has told of an asset.
func (b *book) there(id int64) (bool, error) {
	n, err := number(b.ctx, b.tx, assetTold, store.Int(id))
	return n != 0, err
}

// Bounds of the search for what comes close.
const (
	maxCompared = 200_000
	maxCompare  = 200 // bytes of a text
)

// closest lists the assets whose name, key or end of the key differs least from a
// text.
func (b *book) closest(kind, text string) ([]fact.Asset, error) {
	type near struct {
		asset    fact.Asset
		id       int64
		distance int
	}
	text = strings.ToLower(text)
	if len(text) > maxCompare {
		return nil, nil
	}
	limit := max(2, len(text)/3)
	var best []near
	err := b.tx.Query(b.ctx, everyAsset, func(row store.Row) error {
		a := fact.Asset{Kind: row.Text(1), Key: row.Text(2), Name: row.Text(3)}
		if kind != "" && a.Kind != kind {
			return nil
		}
		least := limit + 1
		for _, other := range []string{a.Name, a.Key, a.Key[strings.LastIndexAny(a.Key, "/:")+1:]} {
			least = min(least, distance(text, strings.ToLower(other), limit))
		}
		if least > limit || len(best) >= 50 && best[len(best)-1].distance <= least {
			return nil
		}
		at, _ := slices.BinarySearchFunc(best, least+1, func(n near, d int) int { return n.distance - d })
		best = slices.Insert(best, at, near{a, row.Int(0), least})
		best = best[:min(len(best), 50)]
		return nil
	}, store.Int(maxCompared))
	var list []fact.Asset
	for _, n := range best {
		if err != nil || len(list) == 5 {
			break
		}
		var there bool
		if there, err = b.there(n.id); there {
			list = append(list, n.asset)
		}
	}
	return list, err
}

// distance counts the bytes to change, add or drop between two texts, up to a limit.
func distance(a, b string, limit int) int {
	if max(len(a), len(b))-min(len(a), len(b)) > limit || len(b) > maxCompare+limit {
		return limit + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return min(row[len(b)], limit+1)
}
