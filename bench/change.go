package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/backstitch/backstitch/agent"
	"github.com/backstitch/backstitch/app"
	"github.com/backstitch/backstitch/eval/npmregistry"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/issue"
)

// measureChange goes from issues in a package-lock of 1,500 packages to a change
// that is proven, by the same functions as the commands and against a registry on
// the loopback interface. Our own time is that of this process, the registry
// included, and of all its children but npm; the baseline is what npm itself
// takes in the same run.
var measureChange = Measurement{ID: "change", Run: runChange}

const (
	changeFlaws = 20
	changeLimit = 15 * time.Second
)

func runChange(ctx context.Context) (rows []Row, err error) {
	dir, err := os.MkdirTemp("", "backstitch-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	repo, flaws, spent := filepath.Join(dir, "shop"), filepath.Join(dir, "flaws.jsonl"), filepath.Join(dir, "spent")
	if _, err := writeShop(ctx, repo); err != nil {
		return nil, err
	}
	packages, err := flawedPackages(filepath.Join(repo, "package-lock.json"), flaws)
	if err != nil {
		return nil, err
	}
	registry := npmregistry.New(packages)
	defer registry.Close()
	restore, err := timedNPM(dir, spent, registry.URL)
	if err != nil {
		return nil, err
	}
	defer restore()
	desk, err := app.Open(ctx, app.Config{
		State: filepath.Join(dir, "state"), Version: "bench", Now: func() time.Time { return time.Unix(1.7e9, 0) }, Progress: func(string, int, int) {},
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, desk.Close()) }()
	if _, err := desk.ImportAdvisories(ctx, []string{flaws}); err != nil {
		return nil, err
	}
	self, children := ownCPU(), childrenCPU()
	seen, err := desk.Triage(ctx, agent.Request{Repo: repo, Registries: true})
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(seen.Issues, func(i issue.Issue) bool { return len(i.FixPaths) > 0 && !i.FixPaths[0].Changes[0].Direct })
	if len(seen.Issues) != changeFlaws || at < 0 {
		return nil, fmt.Errorf("%d issues were found, expected %d, one of them of a transitive package with a fix path", len(seen.Issues), changeFlaws)
	}
	triaged := ownCPU() - self
	proof, err := desk.VerifyFix(ctx, agent.FixRequest{Issue: seen.Issues[at].ID, Repo: repo})
	if err != nil {
		return nil, err
	}
	if v := proof.Path.Verification; v.Status != fact.VerificationProven {
		return nil, fmt.Errorf("the change is %s: %+v", v.Status, v.Checks)
	}
	own, others := ownCPU()-self, childrenCPU()-children
	npm, err := readSpent(spent)
	if err != nil {
		return nil, err
	}
	own += max(others-npm, 0)
	return []Row{
		{
			What: "issue to proven change, package-lock of 1,500 packages, our own CPU", Value: own.Seconds(), Unit: "s",
			Baseline: npm.Seconds(), Against: "npm itself in the same run", Target: "under 15 s", OK: own < changeLimit,
		},
		{
			What: "of that, finding and comparing the ways to fix 20 issues", Value: triaged.Seconds(), Unit: "s",
			Target: "less than the whole", OK: triaged <= own,
		},
	}, nil
}

// flawedPackages gives what a registry needs to hold for a lock, writes one
// advisory for each of changeFlaws packages and adds the version that closes it.
func flawedPackages(lock, advisories string) (map[string]map[string]string, error) {
	data, err := os.ReadFile(lock)
	if err != nil {
		return nil, err
	}
	var document struct {
		Packages map[string]struct {
			Version      string
			Dependencies map[string]string
		}
	}
	if err := json.Unmarshal(data, &document); err != nil {
		return nil, fmt.Errorf("%s: %w", lock, err)
	}
	packages := map[string]map[string]string{}
	var names []string
	for key, p := range document.Packages {
		name, ok := strings.CutPrefix(key, "node_modules/")
		if !ok {
			continue
		}
		packages[name+"@"+p.Version] = p.Dependencies
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) < changeFlaws {
		return nil, fmt.Errorf("%s: %d packages, expected %d", lock, len(names), changeFlaws)
	}
	var text strings.Builder
	for i := range changeFlaws {
		name := names[i*len(names)/changeFlaws]
		version := document.Packages["node_modules/"+name].Version
		at := strings.LastIndex(version, ".") + 1
		patch, err := strconv.Atoi(version[at:])
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", lock, version, err)
		}
		closing := version[:at] + strconv.Itoa(patch+1)
		packages[name+"@"+closing] = packages[name+"@"+version]
		fmt.Fprintf(&text, `{"id":"BENCH-%d","modified":"2023-01-01T00:00:00Z","affected":[{"package":{"ecosystem":"npm","name":%q},`+
			`"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":%q}]}]}]}`+"\n", i, name, closing)
	}
	return packages, os.WriteFile(advisories, []byte(text.String()), 0o600)
}

// timedNPM puts a program before npm that notes how much CPU npm takes, and the
// registry into the environment. restore takes both back.
func timedNPM(dir, spent, registry string) (restore func(), err error) {
	real, err := exec.LookPath("npm")
	if err != nil {
		return nil, err
	}
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		return nil, err
	}
	script := fmt.Sprintf("#!/bin/sh\n'%s' \"$@\"\ncode=$?\ntimes >> '%s'\nexit $code\n", real, spent)
	if err := os.WriteFile(filepath.Join(bin, "npm"), []byte(script), 0o700); err != nil {
		return nil, err
	}
	restores := []func() error{}
	for name, value := range map[string]string{"PATH": bin + string(os.PathListSeparator) + os.Getenv("PATH"), "npm_config_registry": registry} {
		before, was := os.LookupEnv(name)
		if err := os.Setenv(name, value); err != nil {
			return nil, err
		}
		restores = append(restores, func() error {
			if was {
				return os.Setenv(name, before)
			}
			return os.Unsetenv(name)
		})
	}
	return func() {
		for _, restore := range restores {
			_ = restore()
		}
	}, nil
}

var spentTime = regexp.MustCompile(`(\d+)m([0-9.]+)s`)

// readSpent adds up what "times" wrote.
func readSpent(name string) (time.Duration, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, m := range spentTime.FindAllStringSubmatch(string(data), -1) {
		part, err := time.ParseDuration(m[1] + "m" + m[2] + "s")
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		sum += part
	}
	if sum == 0 {
		return 0, errors.New("npm was not run")
	}
	return sum, nil
}

// childrenCPU is the time of the children that ended.
func childrenCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
