package action_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/backstitch/backstitch/action/actiontest"
)

func TestMain(m *testing.M) {
	if is, err := actiontest.Child(); is {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestEveryEffectHappensOnceThoughItsSendersAreKilled(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	storm := actiontest.Storm{Effects: 400, Kills: 48, Processes: 2, Seed: 1, Folder: t.TempDir(), Command: func() *exec.Cmd { return exec.Command(self) }}
	figures, err := storm.Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", figures)
	if figures.Duplicates != 0 || figures.Lost != 0 || figures.Wrong != 0 {
		t.Errorf("%+v, want no duplicate, nothing lost and every delivery with its own object", figures)
	}
	if figures.Kills != storm.Kills || figures.Adopted == 0 || figures.Resent == 0 {
		t.Errorf("%+v: the storm was too calm to show anything", figures)
	}
}

func TestTheKillSwitchEndsTheRequestsOfAnotherProcess(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// How fast it is depends on the machine's load; bench holds it to a second.
	took, err := actiontest.HaltTime(ctx, t.TempDir(), func() *exec.Cmd { return exec.Command(self) })
	if err != nil {
		t.Fatal(err)
	}
	t.Log(took)
}

func TestTheForgeOfTheStormCatchesAProgramWithoutALog(t *testing.T) {
	duplicates, err := actiontest.FindThenCreate(t.Context(), 200, 1)
	if err != nil {
		t.Fatal(err)
	}
	if duplicates == 0 {
		t.Error("find-then-create made no duplicate, so that the storm shows nothing")
	}
}
