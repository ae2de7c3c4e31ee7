package graph

import (
	"context"
	"time"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/store"
)

// Listed is an asset with what sources say of it and where its relations lead.
type Listed struct {
	Asset fact.Asset
	Said  []Said // by source and scope; never empty
	Out   []Link // at most 2000
}

// Link is a relation without its evidence.
type Link struct {
	Kind fact.RelationKind
	To   fact.Asset
}

// List gives every asset of some kinds, by kind in the order given and then by key,
// as long as fn returns nil. It holds one asset at a time.
func (g *Graph) List(ctx context.Context, kinds []string, fn func(Listed) error) error {
	return g.read(ctx, time.Time{}, func(b *book) error {
		x, err := g.indexOf(b)
		if err != nil {
			return err
		}
		all := x.mask([]Follow{{Way: Forward}})
		for _, kind := range kinds {
			for after, more := "", true; more; {
				var page []int64
				err := b.tx.Query(ctx, assetsAfter, func(row store.Row) error {
					page, after = append(page, row.Int(0)), row.Text(1)
					return nil
				}, store.Text(kind), store.Text(after), store.Int(pageSize))
				if err != nil {
					return err
				}
				more = len(page) == pageSize
				for _, id := range page {
					one, err := b.listed(x, all, id)
					if err != nil {
						return err
					}
					if len(one.Said) == 0 {
						continue // gone, or only in findings
					}
					if err := fn(one); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
}

// Told gives those of some assets that sources tell of, as List does.
func (g *Graph) Told(ctx context.Context, assets []fact.Asset, fn func(Listed) error) error {
	return g.read(ctx, time.Time{}, func(b *book) error {
		x, err := g.indexOf(b)
		if err != nil {
			return err
		}
		all := x.mask([]Follow{{Way: Forward}})
		for _, a := range assets {
			id, err := number(ctx, b.tx, selectAsset, store.Text(a.Kind), store.Text(a.Key))
			if err != nil {
				return err
			}
			if id == 0 {
				continue
			}
			one, err := b.listed(x, all, id)
			if err == nil && len(one.Said) > 0 {
				err = fn(one)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *book) listed(x *Index, all *mask, id int64) (Listed, error) {
	one := Listed{}
	var err error
	if one.Said, err = b.said(id); err != nil || len(one.Said) == 0 {
		return one, err
	}
	if one.Asset, err = b.asset(id); err != nil {
		return one, err
	}
	if name := nameOf(one.Said); name != "" {
		one.Asset.Name = name
	}
	n, ok := x.Node(id)
	if !ok {
		return one, nil
	}
	x.each(n, all, func(to uint32, verb uint8, _ Direction) bool {
		var a fact.Asset
		if a, err = b.asset(x.Asset(to)); err == nil {
			one.Out = append(one.Out, Link{x.Verb(verb), a})
		}
		return err == nil && len(one.Out) < maxNeighbours
	})
	return one, err
}
