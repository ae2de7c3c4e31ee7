package app

import (
	"context"
	"sync"

	"github.com/backstitch/backstitch/intake"
)

// SyncSource reads a source once into the graph and the findings. What could not
// be read is a gap of the result's summary. A run that ctx ends, or that the
// source ends with an error, can be taken up: what it covered stays, and the next
// sync of the source goes on from there. Each of change may change how it is read.
// What the internet reaches in the graph is judged anew at the end.
func (a *App) SyncSource(ctx context.Context, definition Source, change ...func(*intake.SyncOptions)) (intake.Synced, error) {
	source, values, err := prepared(definition)
	if err != nil {
		return intake.Synced{Source: definition.Name}, err
	}
	var mu sync.Mutex // sources tell of their progress from several places at once
	progress := func(stage string, done, total int) {
		mu.Lock()
		defer mu.Unlock()
		a.config.Progress(stage, done, total)
	}
	defer progress("", 0, 0)
	options := intake.SyncOptions{
		Readers: a.Readers, Now: a.config.Now(),
		Progress: func(stage string, done, total int) { progress(definition.Name+": "+stage, done, total) },
	}
	for _, fn := range change {
		fn(&options)
	}
	synced, err := intake.Sync(ctx, a.db, a.Graph(), definition.Name, source, values, options)
	if err != nil {
		return synced, err
	}
	exposed, err := intake.Exposures(ctx, a.db, a.Graph(), options.Now)
	synced.Exposures = exposed.Seen()
	synced.Graph.Notes = append(synced.Graph.Notes, exposed.Problems...)
	return synced, err
}
