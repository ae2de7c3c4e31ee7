package auditlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/fact"
)

// ID names the source.
const ID = "connector/auditlog"

type source struct{}

// New makes the source of creators.
func New() connector.Source { return source{} }

func (source) Describe() connector.Description {
	return connector.Description{
		ID: ID, Name: "audit logs",
		Docs: "Who made which asset, from exported event logs: AWS CloudTrail (log files, lookup-events, EventBridge), Google Cloud audit logs, Azure activity logs and Kubernetes audit logs. " +
			"A failed call, a change, a tag and an attachment make nobody a creator. Assumed roles are followed to the session and, where the log says so, to the pipeline; services and root are marked as such.",
	}
}

func (source) Settings() []connector.Setting {
	return []connector.Setting{{Name: "path", Kind: connector.SettingPath, Required: true, Help: "a log file or a folder of log files: JSON or JSON lines, plain, .gz or .zst"}}
}

// Sync implements connector.Source. Each file is a scope. Events come in any order, and
// those of one session lie in several files, so that all files are read twice: for
// the sessions and for what was made once more later, and then for who made it.
func (source) Sync(ctx context.Context, values connector.Values, sink connector.Sink) error {
	names, err := files(values["path"])
	if err != nil {
		return err
	}
	known := &before{sessions: map[string]session{}, latest: map[string]moment{}}
	for i, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		sink.Progress("reading sessions of logs", i, len(names))
		// What cannot be read is told of below.
		_, _ = readFile(ctx, filepath.Join(values["path"], name), known.sessions, known.look)
	}
	for i, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		sink.Progress("reading logs", i, len(names))
		scope := filepath.ToSlash(name)
		if sink.Done(scope) {
			continue
		}
		var fault *sinkError
		_, err := readFile(ctx, filepath.Join(values["path"], name), known.sessions, func(c Creation) error {
			if err := tell(sink, scope, c, known.again(&c)); err != nil {
				return &sinkError{err}
			}
			return nil
		})
		switch {
		case errors.As(err, &fault):
			return fault.err
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			sink.Gap(scope, err)
		default:
			if err := sink.Covered(scope); err != nil {
				return err
			}
		}
	}
	sink.Progress("reading logs", len(names), len(names))
	return nil
}

// sinkError is an error of the sink, which ends the run.
type sinkError struct{ err error }

func (e *sinkError) Error() string { return e.err.Error() }

// before is what the first reading of all logs gave.
type before struct {
	sessions map[string]session
	latest   map[string]moment // by key, when something was made last
}

type moment struct {
	time int64
	id   string // of the event
}

// maxLatest bounds the assets of which it is known when they were made last.
const maxLatest = 1 << 21

func (b *before) look(c Creation) error {
	if last, known := b.latest[c.Asset.Key]; known && c.Time > last.time || !known && len(b.latest) < maxLatest {
		b.latest[c.Asset.Key] = moment{c.Time, c.EventID}
	}
	return nil
}

// again says when something of the same name was made once more, 0 when it was not.
func (b *before) again(c *Creation) int64 {
	if last := b.latest[c.Asset.Key]; last.time > c.Time && last.id != c.EventID {
		return last.time
	}
	return 0
}

// tell gives what one creation says about who made an asset, which was gone when another
// one of its name was made.
func tell(sink connector.Sink, scope string, c Creation, again int64) error {
	evidence := fact.Evidence{Method: c.Event, Source: scope + ", " + c.Item, Strength: fact.Attested, Detail: c.EventID}
	identity := fact.Asset{Kind: fact.AssetIdentity, Key: c.Actor.Principal, Name: c.Actor.Name}
	properties := map[string]string{"actor": string(c.Actor.Kind)}
	if c.Actor.Via != "" {
		properties["via"] = c.Actor.Via
	}
	if c.Actor.Service != "" {
		properties["service"] = c.Actor.Service
	}
	if identity.Key != "" && again == 0 {
		if err := sink.Relation(scope, fact.Relation{From: c.Asset, Kind: fact.CreatedBy, To: identity, Evidence: evidence, Properties: properties}); err != nil {
			return err
		}
	}
	if p := c.Actor.Pipeline; p != nil && p.Repository != "" && again == 0 {
		home := fact.Asset{Kind: fact.AssetRepository, Key: forge(p.System) + "/" + p.Repository, Name: p.Repository}
		said := map[string]string{"subject": p.Subject, "ref": p.Ref}
		if p.Commit != "" {
			said["commit"] = p.Commit
		}
		if err := sink.Relation(scope, fact.Relation{From: c.Asset, Kind: fact.CreatedBy, To: home, Evidence: evidence, Properties: said}); err != nil {
			return err
		}
	}
	confidence := map[ActorKind]float64{ActorUser: 0.8, ActorSession: 0.7}[c.Actor.Kind]
	if confidence == 0 || c.Actor.Name == "" || c.Actor.Pipeline != nil {
		return nil // nobody in particular
	}
	return sink.Claim(scope, fact.Claim{
		Subject: c.Asset, Owner: fact.Party{Kind: "person", ID: c.Actor.Name, Name: c.Actor.Name}, Role: "creator",
		Source: "auditlog:" + c.Log, Evidence: evidence, Confidence: confidence, Since: c.Time, Until: again,
	})
}

// forge gives the host of the repositories that an issuer of tokens speaks for.
func forge(issuer string) string {
	host, _, _ := strings.Cut(issuer, "/")
	if host == "token.actions.githubusercontent.com" {
		return "github.com"
	}
	return host
}

func readFile(ctx context.Context, name string, sessions map[string]session, found func(Creation) error) (Stats, error) {
	file, err := os.Open(name)
	if err != nil {
		return Stats{}, err
	}
	defer file.Close()
	return read(ctx, path.Base(filepath.ToSlash(name)), file, sessions, found)
}

// files lists the log files of a folder, sorted, as paths below it; of a file
// only itself, as ".".
func files(root string) ([]string, error) {
	info, err := os.Stat(root)
	if err != nil {
		return nil, fmt.Errorf("setting path: %w", err)
	}
	if !info.IsDir() {
		return []string{"."}, nil
	}
	var names []string
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.Type().IsRegular() && logLike(entry.Name()) {
			below, err := filepath.Rel(root, name)
			if err != nil {
				return err
			}
			names = append(names, below)
		}
		return nil
	})
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("setting path: %s holds no .json, .jsonl, .ndjson or .log file, plain or compressed", root)
	}
	return names, err
}

func logLike(name string) bool {
	name = strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(name), ".gz"), ".zst")
	switch path.Ext(name) {
	case ".json", ".jsonl", ".ndjson", ".log":
		return true
	}
	return false
}
