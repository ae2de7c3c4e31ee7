package store

import (
	"context"
	_ "embed"
	"fmt"
)

//go:embed queries.sql
var queryText string

var queries = ParseQueries("store", queryText)

// OwnQueries lists the queries of this package, for the conformance suite.
func OwnQueries() *Queries { return queries }

var reserveIDs = queries.Named("reserve_ids")

// ReserveIDs takes n consecutive ids of a sequence, from 1, and returns the
// first. Ids of a transaction that is rolled back are given out again.
func ReserveIDs(ctx context.Context, tx Tx, sequence string, n int64) (first int64, err error) {
	if n < 1 {
		return 0, fmt.Errorf("reserve %d ids of %s: expected at least 1", n, sequence)
	}
	err = tx.Query(ctx, reserveIDs, func(row Row) error {
		first = row.Int(0) - n
		return nil
	}, Text(sequence), Int(n))
	if err != nil {
		return 0, fmt.Errorf("reserve ids of %s: %w", sequence, err)
	}
	return first, nil
}

// IDs gives out ids of a sequence one by one, reserving them in blocks. It
// serves one transaction; what is left of a block at its end is never used.
type IDs struct {
	Sequence string
	Block    int64
	next     int64
	left     int64
}

// Next takes one id.
func (i *IDs) Next(ctx context.Context, tx Tx) (int64, error) {
	if i.left == 0 {
		first, err := ReserveIDs(ctx, tx, i.Sequence, max(1, i.Block))
		if err != nil {
			return 0, err
		}
		i.next, i.left = first, max(1, i.Block)
	}
	i.next++
	i.left--
	return i.next - 1, nil
}

// Forget drops what is left of the block. It is called at the beginning of
// another transaction, since the one before may have been rolled back.
func (i *IDs) Forget() { i.left = 0 }
