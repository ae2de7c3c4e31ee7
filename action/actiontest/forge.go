// Package actiontest storms the delivery log: a forge that executes and then
// fails, shows what it has late, and has its caller killed at every point. It
// is used by the tests of package action and by bench.
package actiontest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/backstitch/backstitch/action"
)

// Faults of a forge, as shares of the requests that make something.
const (
	executedThenFailed = 0.13 // in thirds: server error, stall until the caller gives up, cut connection
	cutBefore          = 0.03 // cut before anything was made
)

// Forge is a forge that makes whatever it is asked to as often as it is asked.
type Forge struct {
	lag  time.Duration // until its list shows what was made
	hang bool          // every request that makes something makes it and never answers
	kill func(pid int) // called at points where a caller may die; never nil

	mu       sync.Mutex
	random   *rand.Rand
	objects  map[string][]object // by target
	made     map[string]int      // by key
	requests int
	server   *http.Server
	url      string
}

type object struct {
	Key string `json:"key"`
	ID  int    `json:"id"`
	at  time.Time
}

// newForge starts a forge on a port of this machine.
func newForge(seed uint64, hang bool, kill func(pid int)) (*Forge, error) {
	f := &Forge{lag: lag, hang: hang, kill: kill, random: rand.New(rand.NewPCG(seed, 1)), objects: map[string][]object{}, made: map[string]int{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f.url = "http://" + listener.Addr().String() + "/effects"
	f.server = &http.Server{Handler: f, ReadHeaderTimeout: time.Minute}
	go f.server.Serve(listener)
	return f, nil
}

// Close ends the forge.
func (f *Forge) Close() error { return f.server.Close() }

// ServeHTTP implements http.Handler.
func (f *Forge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	pid, _ := strconv.Atoi(r.Header.Get("Pid"))
	target, key := r.FormValue("target"), r.FormValue("key")
	f.mu.Lock()
	f.requests++
	dice := f.random.Float64()
	f.mu.Unlock()
	f.kill(pid)
	if r.Method == http.MethodGet {
		shown := []object{}
		f.mu.Lock()
		for _, o := range f.objects[target] {
			if time.Since(o.at) >= f.lag {
				shown = append(shown, o)
			}
		}
		f.mu.Unlock()
		json.NewEncoder(w).Encode(shown)
		f.kill(pid)
		return
	}
	if dice < cutBefore && !f.hang {
		cut(w)
		return
	}
	f.mu.Lock()
	f.made[key]++
	made := object{key, 1 + f.total(), time.Now()}
	f.objects[target] = append(f.objects[target], made)
	f.mu.Unlock()
	f.kill(pid)
	switch dice -= cutBefore; {
	case f.hang:
		<-r.Context().Done()
	case dice < executedThenFailed/3:
		http.Error(w, "internal error", http.StatusInternalServerError)
	case dice < executedThenFailed*2/3:
		<-r.Context().Done()
	case dice < executedThenFailed:
		cut(w)
	default:
		json.NewEncoder(w).Encode(made)
		f.kill(pid)
	}
}

// total counts the objects; f.mu is held.
func (f *Forge) total() (n int) {
	for _, list := range f.objects {
		n += len(list)
	}
	return n
}

// cut closes the connection of a request.
func cut(w http.ResponseWriter) {
	if hijacker, ok := w.(http.Hijacker); ok {
		if conn, _, err := hijacker.Hijack(); err == nil {
			conn.Close()
		}
	}
}

// client asks a forge.
type client struct {
	url string
	pid string
}

func (c client) ask(ctx context.Context, method, target, key string, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, c.url+"?"+url.Values{"target": {target}, "key": {key}}.Encode(), nil)
	if err != nil {
		return action.Reject(err)
	}
	request.Header.Set("Pid", c.pid)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	switch {
	case err != nil:
		return err
	case response.StatusCode != http.StatusOK:
		return errors.New(response.Status)
	}
	return json.Unmarshal(body, into)
}

func (c client) create(ctx context.Context, target, key string) (action.Answer, error) {
	var made object
	err := c.ask(ctx, http.MethodPost, target, key, &made)
	return action.Answer{Ref: strconv.Itoa(made.ID)}, err
}

func (c client) find(ctx context.Context, target, key string) (action.Answer, bool, error) {
	var list []object
	if err := c.ask(ctx, http.MethodGet, target, "", &list); err != nil {
		return action.Answer{}, false, err
	}
	for _, o := range list {
		if o.Key == key {
			return action.Answer{Ref: strconv.Itoa(o.ID)}, true, nil
		}
	}
	return action.Answer{}, false, nil
}

// effect is the n-th effect of a storm.
func (c client) effect(n int) action.Effect {
	key, target := fmt.Sprintf("backstitch/change-%06d", n), fmt.Sprintf("repository-%03d", n%targets)
	return action.Effect{
		Key: key, Kind: action.KindPullRequest, Target: target, Payload: "sha256:" + key, Plan: "sha256:" + key, Base: "main",
		Doc:  json.RawMessage(strconv.Itoa(n)),
		Look: func(ctx context.Context) (action.Answer, bool, error) { return c.find(ctx, target, key) },
		Send: func(ctx context.Context) (action.Answer, error) { return c.create(ctx, target, key) },
	}
}

// targets is how many targets the effects of a storm are spread over.
const targets = 200
