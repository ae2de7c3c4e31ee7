// Package app turns a configuration into a running process: what is opened, in
// which order and why, and what is closed.
package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/backstitch/backstitch/advisory"
	"github.com/backstitch/backstitch/agent"
	"github.com/backstitch/backstitch/builtin"
	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/egress"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/store"
	"github.com/backstitch/backstitch/store/sqlite"
	"github.com/backstitch/backstitch/verify"
)

// Config is the whole configuration of a process.
type Config struct {
	// State is the folder of the database, the advisory index and the caches.
	// It is created, readable by its owner only, when it is absent.
	State string
	// Now is the clock.
	Now func() time.Time
	// Progress hears of the stages of long work; total is 0 when unknown.
	Progress func(stage string, done, total int)
	// Version is that of the program.
	Version string
	// SigningKey is the path of a PEM private key that signs proofs, "" for none.
	SigningKey string
	// Consent says that the operator takes bubblewrap for enough to run a repository's
	// own build and tests in; gVisor needs none.
	Consent bool
	// Egress is the path of the list of hosts that the ecosystems' tools may reach, "" for
	// the way that this process has.
	Egress string
	// RemoteToken is sent to https remotes when a change is pushed, "" for none.
	RemoteToken string
	// Actor is who asks for outside effects, "" when nobody knows.
	Actor string
	// OverrideLimits lets the effects of this process pass limits and quiet hours,
	// in the name of Actor.
	OverrideLimits bool
	// Reindex says that the advisory index will be made anew, so that one that
	// cannot be read is no hindrance.
	Reindex bool
}

// App is a running process: the desk where the work is done, over its state.
type App struct {
	*agent.Desk
	config Config
	db     store.Engine
	index  *advisory.Index // nil when nothing was imported yet
	graph  *graph.Graph
	trial  string // the folder of a copy, which goes when it is closed
	proxy  *egress.Proxy
}

// Open opens the state. The database comes first, since without it nothing may
// be done; then the advisory index, which may be absent; then what is built in.
func Open(ctx context.Context, config Config) (*App, error) {
	if err := os.MkdirAll(config.State, 0o700); err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	app := &App{config: config}
	var err error
	if app.db, err = sqlite.Open(ctx, filepath.Join(config.State, "backstitch.db")); err != nil {
		return nil, err
	}
	app.graph = graph.Open(app.db)
	app.index, err = advisory.Open(app.indexPath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !config.Reindex {
		return nil, errors.Join(fmt.Errorf("advisory index %s: %w", app.indexPath(), err), app.db.Close())
	}
	var signer verify.Signer
	if config.SigningKey != "" {
		if signer, err = verify.LoadSigner(config.SigningKey); err != nil {
			return nil, errors.Join(err, app.Close())
		}
	}
	if err := app.wayOut(); err != nil {
		return nil, errors.Join(err, app.Close())
	}
	self, err := os.Executable()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("this program: %w", err), app.Close())
	}
	renderer := kubernetes.ChildRenderer(self)
	app.Desk = &agent.Desk{
		DB:         app.db,
		Graph:      app.graph,
		Advisories: app.index,
		Readers:    builtin.Readers(),
		Scanner:    builtin.Dependencies,
		Lifecycle:  builtin.Lifecycle,
		Detectors:  builtin.Detectors,
		Fixers:     builtin.Fixers(renderer),
		Registry:   builtin.Registry,
		Renderer:   renderer,
		Owned:      app.owned,
		Forge:      app.forge,
		Log:        app.deliveries(),
		Cache:      filepath.Join(config.State, "cache"),
		Signer:     signer,
		Version:    config.Version,
		Consent:    config.Consent,
		Self:       self,
		Modules:    moduleCache(),
		Now:        config.Now,
		Progress:   config.Progress,
	}
	return app, nil
}

// Close releases the state, in the opposite order of Open.
func (a *App) Close() error {
	var err error
	if a.index != nil {
		err = a.index.Close()
	}
	err = errors.Join(err, a.db.Close())
	if a.proxy != nil {
		err = errors.Join(err, os.Unsetenv(fix.ToolProxy), a.proxy.Close())
	}
	if a.trial != "" {
		err = errors.Join(err, os.RemoveAll(a.trial))
	}
	return err
}

// Trial gives a copy of the state's database to try something on: nothing that is done
// there reaches the state. Closing it removes it.
func (a *App) Trial(ctx context.Context) (*App, error) {
	folder, err := os.MkdirTemp(a.config.State, "trial.*")
	if err != nil {
		return nil, err
	}
	config := a.config
	config.State = folder
	var trial *App
	if err = sqlite.Copy(ctx, a.db, filepath.Join(folder, "backstitch.db")); err == nil {
		trial, err = Open(ctx, config)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	trial.trial = folder
	return trial, nil
}

func (a *App) indexPath() string { return filepath.Join(a.config.State, "advisory.index") }

// ImportAdvisories builds the advisory index from files and folders and puts it
// in the place of the former one, which the desk uses from then on.
func (a *App) ImportAdvisories(ctx context.Context, paths []string) (advisory.Summary, error) {
	summary, err := advisory.Import(ctx, a.indexPath(), paths, a.config.Now())
	if err != nil {
		return summary, err
	}
	fresh, err := advisory.Open(a.indexPath())
	if err != nil {
		return summary, fmt.Errorf("advisory index %s: %w", a.indexPath(), err)
	}
	former := a.index
	a.index, a.Desk.Advisories = fresh, fresh
	if former != nil {
		return summary, former.Close()
	}
	return summary, nil
}

// AdvisoryStatus tells the sources and age of the index; false when there is none.
func (a *App) AdvisoryStatus() (advisory.Status, bool) {
	if a.index == nil {
		return advisory.Status{}, false
	}
	return a.index.Status(), true
}
