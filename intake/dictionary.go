package intake

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash/maphash"

	"github.com/backstitch/backstitch/store"
)

// Bounds of what the dictionary keeps in memory.
const (
	maxKnown        = 200_000
	maxPending      = 2_000
	maxPendingBytes = 4 << 20
)

// entry is one text of the dictionary. Its id is known once it was flushed.
type entry struct {
	digest digest
	id     int64
	epss   float64
}

type fastKey [2]uint64

type pendingEntry struct {
	entry   int32
	flaw    bool
	kind    string
	rule    string
	aliases []string // ids of the class, for flaws that are advisories
	doc     string
}

var (
	selectFlaw = queries.Named("flaw")
	insertFlaw = queries.Named("insert_flaw")
	updateEPSS = queries.Named("update_epss")
	selectPart = queries.Named("part")
	insertPart = queries.Named("insert_part")
)

// dictionary interns the texts of findings. It writes them in small
// transactions while the report streams; until a finding refers to them they
// are invisible.
type dictionary struct {
	db      store.Engine
	seeds   [2]maphash.Seed
	known   map[fastKey]int32
	entries []entry
	pending []pendingEntry
	bytes   int
	classes *classes
	scores  map[int32]float64 // EPSS that this import gives to flaws
}

func newDictionary(db store.Engine) *dictionary {
	return &dictionary{
		db: db, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, known: map[fastKey]int32{},
		classes: &classes{ids: store.IDs{Sequence: "alias_class", Block: 64}}, scores: map[int32]float64{},
	}
}

// find gives the number of the entry of a key, when this import met it before.
func (d *dictionary) find(key []byte) (n int32, fast fastKey, ok bool) {
	fast = fastKey{maphash.Bytes(d.seeds[0], key), maphash.Bytes(d.seeds[1], key)}
	n, ok = d.known[fast]
	return n, fast, ok
}

// add makes an entry of a key that find did not know, to be stored as p says
// unless it is stored already.
func (d *dictionary) add(ctx context.Context, key []byte, fast fastKey, p pendingEntry) (int32, error) {
	sum := sha256.Sum256(key)
	p.entry = int32(len(d.entries))
	d.entries = append(d.entries, entry{digest: digest(sum[:16])})
	if len(d.known) >= maxKnown {
		clear(d.known)
	}
	d.known[fast] = p.entry
	d.pending = append(d.pending, p)
	d.bytes += len(p.doc)
	if len(d.pending) >= maxPending || d.bytes >= maxPendingBytes {
		if err := d.flush(ctx); err != nil {
			return 0, err
		}
	}
	return p.entry, nil
}

// flush gives every pending entry its id: those stored already are looked up
// beside the writer, the others are written.
func (d *dictionary) flush(ctx context.Context) error {
	missing := func(tx store.Tx) (flaws, parts []*pendingEntry, err error) {
		for i := range d.pending {
			p := &d.pending[i]
			e := &d.entries[p.entry]
			query := selectPart
			if p.flaw {
				query = selectFlaw
			}
			err := tx.Query(ctx, query, func(row store.Row) error {
				e.id = row.Int(0)
				if p.flaw {
					e.epss = row.Float(1)
				}
				return nil
			}, store.Blob(e.digest[:]))
			switch {
			case err != nil:
				return nil, nil, err
			case e.id != 0:
			case p.flaw:
				flaws = append(flaws, p)
			default:
				parts = append(parts, p)
			}
		}
		return flaws, parts, nil
	}
	any := false
	err := d.db.Read(ctx, func(tx store.Tx) error {
		flaws, parts, err := missing(tx)
		any = len(flaws)+len(parts) > 0
		return err
	})
	if err == nil && any {
		err = d.db.Write(ctx, store.Replayable, func(tx store.Tx) error {
			// Again: another import may have written them in between.
			flaws, parts, err := missing(tx)
			if err != nil {
				return err
			}
			return d.write(ctx, tx, flaws, parts)
		})
	}
	if err != nil {
		return fmt.Errorf("dictionary: %w", err)
	}
	clear(d.pending)
	d.pending, d.bytes = d.pending[:0], 0
	return nil
}

func (d *dictionary) write(ctx context.Context, tx store.Tx, flaws, parts []*pendingEntry) error {
	if len(parts) > 0 {
		id, err := store.ReserveIDs(ctx, tx, "part", int64(len(parts)))
		if err != nil {
			return err
		}
		for _, p := range parts {
			e := &d.entries[p.entry]
			if _, err := tx.Exec(ctx, insertPart, store.Int(id), store.Blob(e.digest[:]), store.Text(p.doc)); err != nil {
				return err
			}
			e.id = id
			id++
		}
	}
	if len(flaws) == 0 {
		return nil
	}
	id, err := store.ReserveIDs(ctx, tx, "flaw", int64(len(flaws)))
	if err != nil {
		return err
	}
	d.classes.ids.Forget()
	for _, p := range flaws {
		e, score := &d.entries[p.entry], d.scores[p.entry]
		if _, err := tx.Exec(ctx, insertFlaw, store.Int(id), store.Blob(e.digest[:]), store.Text(p.kind), store.Text(p.rule),
			store.Float(score), store.Text(p.doc)); err != nil {
			return err
		}
		e.id, e.epss = id, score
		id++
		if err := d.classes.join(ctx, tx, p.aliases); err != nil {
			return err
		}
	}
	return nil
}
