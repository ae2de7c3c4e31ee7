// Package campaign keeps sets of issues that people set out to close together, with
// who leads them and until when.
//
// Which issues belong to a campaign is settled when it is made, so that its progress
// is measured against one thing; how they are closed is chosen anew each time.
package campaign

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/backstitch/backstitch/store"
)

// Campaign is one set of issues.
type Campaign struct {
	Name    string   `json:"name"`
	About   string   `json:"about"`             // how its issues were chosen, in words
	Manager string   `json:"manager,omitempty"` // who leads it
	Due     int64    `json:"due,omitempty"`     // microseconds since 1970 UTC, 0 for no date
	Created int64    `json:"created"`
	By      string   `json:"by"`
	Ended   int64    `json:"ended,omitempty"`
	Note    string   `json:"note,omitempty"` // why it ended
	Issues  []Member `json:"issues"`         // worst first
}

// Member is an issue of a campaign as it was when the campaign was made.
type Member struct {
	ID    string  `json:"id"`
	Title string  `json:"title"`
	Risk  float64 `json:"risk"` // 0..100
}

// Errors of a campaign.
var (
	ErrExists = errors.New("there is a campaign of this name")
	ErrEnded  = errors.New("the campaign has ended")
)

//go:embed queries.sql
var queryText string

var queries = store.ParseQueries("campaign", queryText)

// Queries lists the queries of this package, for the conformance suite.
func Queries() *store.Queries { return queries }

var (
	getRow   = queries.Named("get")
	putRow   = queries.Named("put")
	listRows = queries.Named("list")
)

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Create keeps a new campaign. A campaign needs a name of lower-case letters, digits and
// hyphens that no other has, and at least one issue.
func Create(ctx context.Context, db store.Engine, c Campaign, now time.Time) (Campaign, error) {
	c.Created = now.UnixMicro()
	switch {
	case !nameForm.MatchString(c.Name):
		return c, fmt.Errorf("campaign %q: expected a name of 1 to 63 lower-case letters, digits and hyphens, for example log4shell-2026", c.Name)
	case len(c.Issues) == 0:
		return c, fmt.Errorf("campaign %s: no open issue was chosen", c.Name)
	case c.Due != 0 && c.Due <= c.Created:
		return c, fmt.Errorf("campaign %s: due on %s, expected a day to come", c.Name, time.UnixMicro(c.Due).UTC().Format(time.DateOnly))
	}
	err := db.Write(ctx, store.Durable, func(tx store.Tx) error {
		_, found, err := get(ctx, tx, c.Name)
		if err == nil && found {
			err = fmt.Errorf("campaign %s: %w", c.Name, ErrExists)
		}
		if err != nil {
			return err
		}
		return put(ctx, tx, &c)
	})
	return c, err
}

// End ends a campaign, which keeps it for the record.
func End(ctx context.Context, db store.Engine, name, note string, now time.Time) (c Campaign, err error) {
	err = db.Write(ctx, store.Durable, func(tx store.Tx) error {
		if c, err = load(ctx, tx, name); err != nil {
			return err
		}
		if c.Ended != 0 {
			return fmt.Errorf("campaign %s: %w", name, ErrEnded)
		}
		c.Ended, c.Note = now.UnixMicro(), note
		return put(ctx, tx, &c)
	})
	return c, err
}

// Load reads one campaign; store.ErrNotFound when there is none of the name.
func Load(ctx context.Context, db store.Engine, name string) (c Campaign, err error) {
	err = db.Read(ctx, func(tx store.Tx) error {
		c, err = load(ctx, tx, name)
		return err
	})
	return c, err
}

// List reads all campaigns, the newest first.
func List(ctx context.Context, db store.Engine) (list []Campaign, err error) {
	err = db.Read(ctx, func(tx store.Tx) error {
		list = []Campaign{}
		return tx.Query(ctx, listRows, func(row store.Row) error {
			var c Campaign
			if err := json.Unmarshal([]byte(row.Text(0)), &c); err != nil {
				return err
			}
			list = append(list, c)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("campaigns: %w", err)
	}
	return list, nil
}

func load(ctx context.Context, tx store.Tx, name string) (Campaign, error) {
	c, found, err := get(ctx, tx, name)
	if err == nil && !found {
		err = fmt.Errorf("campaign %s: %w", name, store.ErrNotFound)
	}
	return c, err
}

func get(ctx context.Context, tx store.Tx, name string) (c Campaign, found bool, err error) {
	err = tx.Query(ctx, getRow, func(row store.Row) error {
		found = true
		return json.Unmarshal([]byte(row.Text(0)), &c)
	}, store.Text(name))
	return c, found, err
}

func put(ctx context.Context, tx store.Tx, c *Campaign) error {
	doc, err := json.Marshal(c)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, putRow, store.Text(c.Name), store.Int(c.Created), store.Text(string(doc)))
	return err
}
