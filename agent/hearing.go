package agent

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/remediation"
	"github.com/backstitch/backstitch/store"
)

var (
	heardHook   = queries.Named("heard")
	forgetHooks = queries.Named("forget_heard")
)

// heardFor is how long a webhook's id is remembered; forges send one again for three days
// at most.
const heardFor = 30 * 24 * time.Hour

// Hear takes a webhook request of a source: it is judged by the secret, a duplicate is
// dropped, and it gives the ids of the changes that it may be about. What it says is no
// evidence: Follow asks the forge how they stand, so that neither order nor loss matters.
func (d *Desk) Hear(ctx context.Context, source string, forge connector.Forge, secret string, request connector.HookRequest) (ids []string, err error) {
	reader, ok := forge.(connector.HookReader)
	if !ok {
		return nil, fmt.Errorf("%s reads no webhooks", forge.Describe().ID)
	}
	event, err := reader.ReadHook(secret, request)
	if err != nil {
		return nil, err
	}
	now, fresh := d.Now(), true
	if event.ID != "" {
		err = d.DB.Write(ctx, store.Durable, func(tx store.Tx) error {
			if _, err := tx.Exec(ctx, forgetHooks, store.Int(now.Add(-heardFor).UnixMicro())); err != nil {
				return err
			}
			n, err := tx.Exec(ctx, heardHook, store.Text(source), store.Text(cut(event.ID, 200)), store.Int(now.UnixMicro()))
			fresh = n > 0
			return err
		})
	}
	if err != nil || !fresh || event.Kind == "ping" {
		return nil, err
	}
	list, err := remediation.List(ctx, d.DB)
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		if followable(r.State) && sameRemote(r.Remote, event.Remote) && (event.Number == 0 || event.Number == r.Number || event.Number == r.Ticket || event.Branch == r.Branch) {
			ids = append(ids, r.ID)
		}
	}
	return ids, nil
}

// sameRemote compares addresses of one repository, however they are written.
func sameRemote(a, b string) bool {
	plain := func(text string) string {
		text = strings.ToLower(strings.TrimSuffix(strings.TrimSuffix(text, "/"), ".git"))
		if _, rest, ok := strings.Cut(text, "://"); ok {
			text = rest
		}
		if host, way, ok := strings.Cut(text, ":"); ok && !strings.Contains(host, "/") && strings.Contains(host, "@") {
			text = host + "/" + way
		}
		if at := strings.Index(text, "@"); at >= 0 && at < strings.IndexByte(text+"/", '/') {
			text = text[at+1:]
		}
		return text
	}
	return a != "" && plain(a) == plain(b)
}
