package intake

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/issue"
	"github.com/backstitch/backstitch/store"
)

var (
	selectClass  = queries.Named("class")
	classMembers = queries.Named("class_members")
	insertAlias  = queries.Named("insert_alias")
	mergeClass   = queries.Named("merge_class")
)

// classes joins alias classes in the store. A class holds at most one CVE id; a
// join that would bring two together is refused and kept as a problem.
type classes struct {
	refused []string
	ids     store.IDs
}

func (c *classes) join(ctx context.Context, tx store.Tx, ids []string) error {
	if len(ids) < 2 {
		return nil
	}
	var found []int64
	var unknown []string
	for _, id := range ids {
		class := int64(0)
		if err := tx.Query(ctx, selectClass, func(row store.Row) error { class = row.Int(0); return nil }, store.Text(id)); err != nil {
			return err
		}
		if class == 0 {
			unknown = append(unknown, id)
		} else if !slices.Contains(found, class) {
			found = append(found, class)
		}
	}
	if len(found) == 1 && len(unknown) == 0 {
		return nil
	}
	slices.Sort(found)
	if len(found) > 0 {
		cves := slices.DeleteFunc(slices.Clone(unknown), func(id string) bool { return !issue.IsCVE(id) })
		for _, class := range found {
			err := tx.Query(ctx, classMembers, func(row store.Row) error {
				if id := row.Text(0); issue.IsCVE(id) {
					cves = append(cves, id)
				}
				return nil
			}, store.Int(class))
			if err != nil {
				return err
			}
		}
		if len(cves) > 1 {
			slices.Sort(cves)
			c.refused = append(c.refused, fmt.Sprintf("%s: not joined, they would make %s one flaw", strings.Join(ids, ", "), strings.Join(cves, " and ")))
			return nil
		}
	}
	var class int64
	if len(found) > 0 {
		class = found[0]
	} else {
		id, err := c.ids.Next(ctx, tx)
		if err != nil {
			return err
		}
		class = id
	}
	for _, other := range found[min(1, len(found)):] {
		if _, err := tx.Exec(ctx, mergeClass, store.Int(class), store.Int(other)); err != nil {
			return err
		}
	}
	for _, id := range unknown {
		if _, err := tx.Exec(ctx, insertAlias, store.Text(id), store.Int(class)); err != nil {
			return err
		}
	}
	return nil
}
