package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/backstitch/backstitch/action/actiontest"
)

const (
	onceEffects  = 10_000
	onceKills    = 300
	onceCalm     = 2_000
	onceBaseline = 1_000 // effects of the way without a log
)

// measureOnce sends effects through the delivery log from two processes that are
// killed again and again, to a forge that executes and then fails 13 % of the
// time and lists what it has 200 ms later. The baseline looks for what it is about
// to create, without being killed.
var measureOnce = Measurement{ID: "once", Run: func(ctx context.Context) (rows []Row, err error) {
	if is, err := actiontest.Child(); is {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "backstitch-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	duplicates, err := actiontest.FindThenCreate(ctx, onceBaseline, 1)
	if err != nil {
		return nil, err
	}
	storm := actiontest.Storm{Effects: onceEffects, Kills: onceKills, Processes: 2, Seed: 1, Folder: filepath.Join(folder, "storm"), Command: func() *exec.Cmd {
		return exec.Command(self, "-only", "once", "-o", "json")
	}}
	calm := storm
	calm.Effects, calm.Kills, calm.Processes, calm.Folder = onceCalm, 0, 1, filepath.Join(folder, "calm")
	var figures [2]actiontest.Figures
	for i, s := range []actiontest.Storm{storm, calm} {
		if err := os.Mkdir(s.Folder, 0o700); err != nil {
			return nil, err
		}
		if figures[i], err = s.Run(ctx); err != nil {
			return nil, err
		}
	}
	f := figures[0]
	halt, err := actiontest.HaltTime(ctx, folder, storm.Command)
	if err != nil {
		return nil, err
	}
	if f.Kills != onceKills || f.Adopted == 0 || f.Resent == 0 {
		return nil, fmt.Errorf("the storm was too calm to show anything: %+v", f)
	}
	per, calmPer := f.CPU/onceEffects, figures[1].CPU/onceCalm
	return []Row{
		{
			What: fmt.Sprintf("duplicates of %d effects, %d SIGKILLs, %d adopted, %d sent again", onceEffects, f.Kills, f.Adopted, f.Resent), Value: float64(f.Duplicates),
			Baseline: float64(duplicates), Against: fmt.Sprintf("find-then-create, %d effects, no kill", onceBaseline), Target: "0", OK: f.Duplicates == 0,
		},
		{What: "lost of them, or not known as sent", Value: float64(f.Lost), Target: "0", OK: f.Lost == 0},
		{What: "known by another object than theirs", Value: float64(f.Wrong), Target: "0", OK: f.Wrong == 0},
		{
			What: "CPU of the senders for each, all their starts and the HTTP client included", Value: milliseconds(per), Unit: "ms",
			Baseline: milliseconds(calmPer), Against: fmt.Sprintf("%d effects of one process that nobody kills", onceCalm), Target: "under 5 ms", OK: per < 5*time.Millisecond,
		},
		{What: "from the kill switch until nothing is under way in another process", Value: halt.Seconds(), Unit: "s", Target: "under 1", OK: halt < time.Second},
	}, nil
}}
