package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/backstitch/backstitch/app"
	"github.com/backstitch/backstitch/connector"
)

// Bounds of the listener.
const (
	maxHookBody  = 26 << 20
	maxHooks     = 8 // webhooks that are read at a time
	hookTimeout  = 10 * time.Second
	shutdownTime = 5 * time.Second
)

func newChangeListen(s *streams) *cobra.Command {
	var address string
	var every time.Duration
	command := &cobra.Command{
		Use:   "listen",
		Short: "Follow changes as webhooks come in, and by looking every now and then",
		Long: "Takes webhooks of forges that are sources at /hooks/SOURCE; each is judged by the source's\n" +
			"hook-secret before it is read, and is only a reason to ask the forge. Every interval all changes are\n" +
			"looked at, so that a webhook that was lost is made up for. What was left in doubt by an earlier run\n" +
			"is settled first. It ends with an interrupt.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if every <= 0 {
				return fmt.Errorf("--every %s: expected a time between looks, for example 10m", every)
			}
			desk, err := s.open(cmd.Context())
			if err != nil {
				return err
			}
			defer desk.Close()
			listener, err := net.Listen("tcp", address)
			if err != nil {
				return err
			}
			fmt.Fprintf(s.err, "listening at %s\n", listener.Addr())
			return s.listen(cmd.Context(), desk, listener, every)
		},
	}
	command.Flags().StringVar(&address, "address", "127.0.0.1:8088", "where webhooks are taken")
	command.Flags().DurationVar(&every, "every", 10*time.Minute, "how often all changes are looked at")
	return command
}

// ears takes webhooks and hands the ids of changes on. A look, which may take minutes,
// keeps no webhook waiting: forges give up after seconds.
type ears struct {
	desk  *app.App
	turns chan struct{} // as many requests as may be read at a time
	mu    sync.Mutex    // of due
	due   map[string]bool
	wake  chan struct{}
}

func newEars(desk *app.App) *ears {
	return &ears{desk: desk, turns: make(chan struct{}, maxHooks), due: map[string]bool{}, wake: make(chan struct{}, 1)}
}

func (e *ears) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutPrefix(r.URL.Path, "/hooks/")
	if !ok || name == "" || strings.Contains(name, "/") {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "expected POST", http.StatusMethodNotAllowed)
		return
	}
	select {
	case e.turns <- struct{}{}:
		defer func() { <-e.turns }()
	default:
		w.Header().Set("Retry-After", "10")
		http.Error(w, "too many webhooks at a time", http.StatusServiceUnavailable)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxHookBody))
	if err != nil {
		http.Error(w, "the body is too large or was cut", http.StatusRequestEntityTooLarge)
		return
	}
	request := connector.HookRequest{Header: map[string]string{}, Body: body}
	for header, values := range r.Header {
		request.Header[strings.ToLower(header)] = values[0]
	}
	ids, err := e.desk.Hear(r.Context(), name, request)
	e.mu.Lock()
	for _, id := range ids {
		e.due[id] = true
	}
	e.mu.Unlock()
	switch {
	case errors.Is(err, app.ErrNoSource), errors.Is(err, app.ErrNoHooks):
		http.NotFound(w, r)
		return
	case err != nil:
		http.Error(w, "not taken", http.StatusUnauthorized) // why is nothing for whoever sent it
		return
	}
	if len(ids) > 0 {
		select {
		case e.wake <- struct{}{}:
		default:
		}
	}
	w.WriteHeader(http.StatusAccepted)
}

// look follows what is due, or everything.
func (e *ears) look(ctx context.Context, s *streams, all bool) error {
	e.mu.Lock()
	ids := slices.Sorted(maps.Keys(e.due))
	clear(e.due)
	e.mu.Unlock()
	if all {
		ids = nil
	} else if len(ids) == 0 {
		return nil
	}
	followed, err := e.desk.Follow(ctx, ids...)
	if err != nil {
		return err
	}
	for _, one := range followed {
		if one.Problem != "" {
			fmt.Fprintf(s.err, "%s: %s\n", one.Remediation.ID, plain(one.Problem))
		}
		if one.Before != one.Remediation.State {
			fmt.Fprintf(s.out, "%s  %s -> %s: %s\n", one.Remediation.ID, one.Before, one.Remediation.State, plain(one.Remediation.Reason))
		}
	}
	return nil
}

// listen serves until the context ends.
func (s *streams) listen(ctx context.Context, desk *app.App, listener net.Listener, every time.Duration) error {
	if _, err := desk.Deliveries().Reconcile(ctx); err != nil {
		return errors.Join(err, listener.Close())
	}
	e := newEars(desk)
	server := &http.Server{Handler: e, ReadHeaderTimeout: hookTimeout, ReadTimeout: hookTimeout, WriteTimeout: hookTimeout, MaxHeaderBytes: 64 << 10}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	tick := time.NewTicker(every)
	defer tick.Stop()
	err := e.look(ctx, s, true)
	for err == nil {
		select {
		case <-ctx.Done():
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
			defer cancel()
			err = server.Shutdown(stop)
			<-served
			return err
		case err = <-served:
		case <-tick.C:
			err = e.look(ctx, s, true)
		case <-e.wake:
			err = e.look(ctx, s, false)
		}
	}
	if ctx.Err() != nil {
		err = nil // it was told to end in the middle of a look
	}
	return errors.Join(err, server.Close())
}
