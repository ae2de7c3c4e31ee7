package actiontest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/backstitch/backstitch/action"
	"github.com/backstitch/backstitch/store/sqlite"
)

// Storm sends effects from processes that are killed again and again.
type Storm struct {
	Effects   int
	Kills     int    // SIGKILLs to deal out; the storm goes on without them afterwards
	Processes int    // that send at the same time, on one database
	Seed      uint64 // of faults and kills
	Folder    string // of the database
	// Command gives a process that calls Child and nothing else.
	Command func() *exec.Cmd
}

// Figures are what a storm came to.
type Figures struct {
	Kills      int
	Duplicates int // objects beyond one of a key
	Lost       int // effects without an object, or not known as sent
	Wrong      int // deliveries that name another object than theirs
	Adopted    int // deliveries that a look found
	Resent     int // deliveries that were sent more than once
	Requests   int
	CPU        time.Duration // of all sending processes
	Took       time.Duration
}

// childEnv tells a process of a storm what to do.
const childEnv = "BACKSTITCH_STORM"

type orders struct {
	Database string
	URL      string
	Effects  int
	From     int // which effect it begins with
	Timeout  string
}

// Lag of the forge's list. The settle window of the policy is longer.
const lag = 200 * time.Millisecond

const policy = `
per_day: unlimited
rules:
  - {kind: pull_request, per_hour: unlimited, open: unlimited, timeout: %s, settle: 600ms, attempts: 100}
`

// Run runs the storm to its end: until everything is settled.
func (s Storm) Run(ctx context.Context) (Figures, error) {
	began := time.Now()
	killer := &killer{left: s.Kills, random: rand.New(rand.NewPCG(s.Seed, 2)), every: max(1, s.Effects/max(1, s.Kills)), processes: map[int]*exec.Cmd{}}
	killer.next = killer.draw()
	forge, err := newForge(s.Seed, false, killer.point)
	if err != nil {
		return Figures{}, err
	}
	defer forge.Close()
	database := filepath.Join(s.Folder, "storm.db")
	db, err := sqlite.Open(ctx, database) // made before the processes race to do it
	if err != nil {
		return Figures{}, err
	}
	if err := db.Close(); err != nil {
		return Figures{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	for n := range s.Processes {
		job, err := json.Marshal(orders{database, forge.url, s.Effects, n * s.Effects / s.Processes, "400ms"})
		if err != nil {
			return Figures{}, err
		}
		group.Go(func() {
			if err := s.lives(ctx, killer, childEnv+"="+string(job)); err != nil {
				cancel(err)
			}
		})
	}
	group.Wait()
	figures := Figures{Kills: s.Kills - killer.left, CPU: killer.cpu, Took: time.Since(began)}
	if err := context.Cause(ctx); err != nil {
		return figures, err
	}
	return figures, audit(ctx, database, s.Effects, forge, &figures)
}

// lives starts a process again as often as it is killed.
func (s Storm) lives(ctx context.Context, killer *killer, env string) error {
	for {
		cmd := s.Command()
		cmd.Env = append(os.Environ(), env)
		var said strings.Builder
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Start(); err != nil {
			return err
		}
		stop := context.AfterFunc(ctx, func() { cmd.Process.Kill() })
		killer.born(cmd)
		err := cmd.Wait()
		stop()
		killed := killer.died(cmd)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			return nil
		case !killed:
			return fmt.Errorf("a process of the storm: %w: %s", err, said.String())
		}
	}
}

// killer decides which process dies when.
type killer struct {
	mu        sync.Mutex
	random    *rand.Rand
	left      int
	every     int // points between two kills, in the mean
	next      int
	processes map[int]*exec.Cmd
	killed    map[int]bool
	cpu       time.Duration
}

func (k *killer) draw() int { return 1 + k.random.IntN(2*k.every) }

// point is called where a process may die: before the forge does something,
// after it, and after its answer.
func (k *killer) point(pid int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.next--; k.next > 0 {
		return
	}
	k.next = k.draw()
	k.end(pid)
}

// end kills a process; k.mu is held.
func (k *killer) end(pid int) {
	cmd := k.processes[pid]
	if k.left == 0 || cmd == nil || k.killed[pid] {
		return
	}
	if cmd.Process.Kill() == nil {
		k.left--
		k.killed[pid] = true
	}
}

// born takes a process up. Every third one dies at a time of its own, wherever
// it is then: between the answer and its record, or while it opens the database.
func (k *killer) born(cmd *exec.Cmd) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.killed == nil {
		k.killed = map[int]bool{}
	}
	k.processes[cmd.Process.Pid] = cmd
	if k.random.IntN(3) == 0 {
		after := time.Duration(20+k.random.IntN(600)) * time.Millisecond
		pid := cmd.Process.Pid
		time.AfterFunc(after, func() {
			k.mu.Lock()
			defer k.mu.Unlock()
			if k.processes[pid] == cmd {
				k.end(pid)
			}
		})
	}
}

// died says whether a process that ended was killed.
func (k *killer) died(cmd *exec.Cmd) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	pid := cmd.Process.Pid
	killed := k.killed[pid]
	delete(k.processes, pid)
	delete(k.killed, pid)
	k.cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return killed
}

// audit compares what the forge has with what the log says.
func audit(ctx context.Context, database string, effects int, forge *Forge, figures *Figures) error {
	db, err := sqlite.Open(ctx, database)
	if err != nil {
		return err
	}
	deliveries, err := action.New(db, time.Now).List(ctx)
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	known := map[string]action.Delivery{}
	for _, d := range deliveries {
		known[d.Key] = d
		if strings.HasPrefix(d.Why, "adopted") {
			figures.Adopted++
		}
		if d.Attempts > 1 {
			figures.Resent++
		}
	}
	forge.mu.Lock()
	defer forge.mu.Unlock()
	figures.Requests = forge.requests
	ids := map[string]string{}
	for _, list := range forge.objects {
		for _, o := range list {
			if ids[o.Key] == "" {
				ids[o.Key] = strconv.Itoa(o.ID)
			}
		}
	}
	for n := range effects {
		key := client{}.effect(n).Key
		d := known[key]
		figures.Duplicates += max(0, forge.made[key]-1)
		switch {
		case forge.made[key] == 0 || d.State != action.Sent:
			figures.Lost++
		case d.Ref != ids[key]:
			figures.Wrong++
		}
	}
	return nil
}

// Child does what a process of a storm has to do, and says whether this is one.
func Child() (is bool, err error) {
	text := os.Getenv(childEnv)
	if text == "" {
		return false, nil
	}
	var job orders
	if err := json.Unmarshal([]byte(text), &job); err != nil {
		return true, err
	}
	return true, job.run(context.Background())
}

// width is how many effects a process sends at a time.
const width = 8

func (o orders) run(ctx context.Context) error {
	db, err := sqlite.OpenWith(ctx, o.Database, sqlite.Options{BusyTimeout: time.Minute})
	if err != nil {
		return err
	}
	c := client{o.URL, strconv.Itoa(os.Getpid())}
	log := action.New(db, time.Now)
	log.Holder = c.pid
	log.Use(action.ReadPolicy("policy of the storm", strings.NewReader(fmt.Sprintf(policy, o.Timeout))))
	log.RegisterKind(action.KindPullRequest, func(_ context.Context, d action.Delivery) (action.Effect, error) {
		n, err := strconv.Atoi(string(d.Doc))
		return c.effect(n), err
	})
	known, err := log.List(ctx)
	if err != nil {
		return err
	}
	asked := make(map[string]bool, len(known))
	for _, d := range known {
		asked[d.Key] = true
	}
	next := make(chan int)
	failed := make(chan error, width)
	var group sync.WaitGroup
	for range width {
		group.Go(func() {
			for n := range next {
				var waiting *action.Waiting
				if _, err := log.Do(ctx, c.effect(n)); err != nil && !errors.As(err, &waiting) && !errors.Is(err, action.ErrTakenOver) {
					select {
					case failed <- err:
					default:
					}
				}
			}
		})
	}
	go func() {
		defer close(next)
		for i := range o.Effects {
			n := (o.From + i) % o.Effects
			if !asked[c.effect(n).Key] {
				next <- n
			}
		}
	}()
	over := make(chan struct{})
	go func() { group.Wait(); close(over) }()
	ticker := time.NewTicker(25 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case err := <-failed:
			return err
		case <-ticker.C:
		}
		done, err := log.Reconcile(ctx)
		if err != nil {
			return err
		}
		if len(done.Problems) > 0 {
			return errors.New(strings.Join(done.Problems, "; "))
		}
		select {
		case <-over:
		default:
			continue
		}
		list, err := log.List(ctx)
		if err != nil {
			return err
		}
		settled := 0
		for _, d := range list {
			if d.State.Settled() {
				settled++
			}
		}
		if settled == o.Effects {
			return db.Close()
		}
	}
}

// HaltTime measures how long after the kill switch is thrown nothing is under way
// any more in another process, all of whose requests hang. command is as in Storm.
func HaltTime(ctx context.Context, folder string, command func() *exec.Cmd) (took time.Duration, err error) {
	forge, err := newForge(1, true, func(int) {})
	if err != nil {
		return 0, err
	}
	defer forge.Close()
	database := filepath.Join(folder, "halt.db")
	db, err := sqlite.Open(ctx, database)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	job, err := json.Marshal(orders{database, forge.url, width, 0, "10m"})
	if err != nil {
		return 0, err
	}
	cmd := command()
	cmd.Env = append(os.Environ(), childEnv+"="+string(job))
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	log := action.New(db, time.Now)
	// until waits for a number of deliveries in a state.
	until := func(state action.State, want int) error {
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for {
			list, err := log.List(ctx)
			if err != nil {
				return err
			}
			n := 0
			for _, d := range list {
				if d.State == state {
					n++
				}
			}
			if n == want {
				return nil
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%d deliveries are %s, want %d: %w", n, state, want, ctx.Err())
			case <-ticker.C:
			}
		}
	}
	if err := until(action.Sending, width); err != nil {
		return 0, err
	}
	began := time.Now()
	if _, err := log.Throw(ctx, true, "bench", "measured"); err != nil {
		return 0, err
	}
	if err := until(action.Doubt, width); err != nil {
		return 0, err
	}
	return time.Since(began), nil
}

// FindThenCreate is the way without a log, as a baseline: look, create what is
// not there, and do both again after an error. It gives the duplicates it made.
func FindThenCreate(ctx context.Context, effects int, seed uint64) (duplicates int, err error) {
	forge, err := newForge(seed, false, func(int) {})
	if err != nil {
		return 0, err
	}
	defer forge.Close()
	c := client{url: forge.url}
	next := make(chan int)
	var group sync.WaitGroup
	for range width {
		group.Go(func() {
			for n := range next {
				e := c.effect(n)
				for range 10 {
					ctx, cancel := context.WithTimeout(ctx, 400*time.Millisecond)
					_, found, err := c.find(ctx, e.Target, e.Key)
					if err == nil && !found {
						_, err = c.create(ctx, e.Target, e.Key)
					}
					cancel()
					if err == nil {
						break
					}
				}
			}
		})
	}
	for n := range effects {
		next <- n
	}
	close(next)
	group.Wait()
	forge.mu.Lock()
	defer forge.mu.Unlock()
	for _, made := range forge.made {
		duplicates += made - 1
	}
	return duplicates, ctx.Err()
}
