package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// measureStart is what a person at a prompt or a hook waits for: the program
// by itself, and the main job on a large lockfile against as many advisories
// as all of npm has. The baseline of the second reads the same advisories with
// the standard decoder and matches them one by one.
var measureStart = Measurement{ID: "start", Run: start}

const (
	startPackages   = 1500
	startAdvisories = 200_000
	startNames      = 60_000 // packages that advisories speak about
	startRuns       = 5
	versionLimit    = 20 * time.Millisecond
	triageLimit     = 300 * time.Millisecond
)

func start(ctx context.Context) (rows []Row, err error) {
	dir, err := os.MkdirTemp("", "backstitch-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	program := filepath.Join(dir, "backstitch")
	if _, err := cpu(ctx, "", "go", "build", "-trimpath", "-o", program, "./cmd/backstitch"); err != nil {
		return nil, err
	}
	version, err := medianCPU(ctx, program, "--version")
	if err != nil {
		return nil, err
	}
	rows = append(rows, Row{
		What: "backstitch --version, CPU", Value: milliseconds(version), Unit: "ms",
		Target: "under 20 ms", OK: version < versionLimit,
	})

	repo, state, dump := filepath.Join(dir, "shop"), filepath.Join(dir, "state"), filepath.Join(dir, "npm.jsonl")
	versions, err := writeShop(ctx, repo)
	if err != nil {
		return nil, err
	}
	if err := writeAdvisories(dump); err != nil {
		return nil, err
	}
	imported, err := cpu(ctx, "", program, "advisory", "import", dump, "--state", state)
	if err != nil {
		return nil, err
	}
	before := ownCPU()
	hits, err := matchNaively(dump, versions)
	if err != nil {
		return nil, err
	}
	naive := ownCPU() - before
	if hits == 0 {
		return nil, errors.New("the generated lock is affected by no generated advisory")
	}
	triage, err := medianCPU(ctx, program, "triage", "--repo", repo, "--state", state, "-o", "json")
	if err != nil {
		return nil, err
	}
	return append(rows,
		Row{
			What: "advisory import of 200,000 records, CPU", Value: imported.Seconds(), Unit: "s",
			Baseline: naive.Seconds(), Against: "read once with encoding/json", Target: "under 10 s", OK: imported < 10*time.Second,
		},
		Row{
			What: "triage of 1,500 packages against 200,000 advisories, CPU", Value: milliseconds(triage), Unit: "ms",
			Baseline: milliseconds(naive), Against: fmt.Sprintf("read with encoding/json and match one by one (%d hits)", hits),
			Target: "under 300 ms", OK: triage < triageLimit,
		}), nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// cpu runs a program and gives the CPU time of it and its children.
func cpu(ctx context.Context, dir, program string, args ...string) (time.Duration, error) {
	command := exec.CommandContext(ctx, program, args...)
	command.Dir = dir
	var said bytes.Buffer
	command.Stderr = &said
	if err := command.Run(); err != nil {
		return 0, fmt.Errorf("%s %s: %w: %s", filepath.Base(program), strings.Join(args, " "), err, said.String())
	}
	return command.ProcessState.UserTime() + command.ProcessState.SystemTime(), nil
}

func medianCPU(ctx context.Context, program string, args ...string) (time.Duration, error) {
	times := make([]time.Duration, startRuns)
	for i := range times {
		var err error
		if times[i], err = cpu(ctx, "", program, args...); err != nil {
			return 0, err
		}
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}

func ownCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// writeShop makes a repository with one package-lock of startPackages
// packages and gives the version of each.
func writeShop(ctx context.Context, dir string) (map[string]string, error) {
	random := rand.New(rand.NewPCG(1, 2))
	versions := map[string]string{}
	type locked struct {
		Version      string            `json:"version,omitempty"`
		Name         string            `json:"name,omitempty"`
		Resolved     string            `json:"resolved,omitempty"`
		Integrity    string            `json:"integrity,omitempty"`
		Dependencies map[string]string `json:"dependencies,omitempty"`
	}
	direct := map[string]string{}
	packages := map[string]locked{}
	var names []string
	for len(names) < startPackages {
		name := packageName(len(names) * startNames / startPackages)
		if len(names)%3 == 0 { // two of three are packages without any advisory
			versions[name] = fmt.Sprintf("%d.%d.%d", 1+random.IntN(4), random.IntN(10), random.IntN(10))
		} else {
			name = "quiet-" + name
			versions[name] = "1.0.0"
		}
		names = append(names, name)
	}
	for i, name := range names {
		entry := locked{
			Version: versions[name], Resolved: "https://packages.example/" + name + "/-/" + name + ".tgz",
			Integrity: "sha512-" + strings.Repeat("A", 86) + "==",
		}
		if i%30 == 0 {
			direct[name] = "^" + versions[name]
		}
		for next := i + 1; next < min(len(names), i+4); next++ {
			if next%30 != 0 {
				if entry.Dependencies == nil {
					entry.Dependencies = map[string]string{}
				}
				entry.Dependencies[names[next]] = "^" + versions[names[next]]
			}
		}
		packages["node_modules/"+name] = entry
	}
	packages[""] = locked{Name: "shop", Version: "1.0.0", Dependencies: direct}
	manifest := map[string]any{"name": "shop", "version": "1.0.0", "dependencies": direct}
	lock := map[string]any{"name": "shop", "version": "1.0.0", "lockfileVersion": 3, "requires": true, "packages": packages}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	for name, content := range map[string]any{"package.json": manifest, "package-lock.json": lock} {
		text, err := json.MarshalIndent(content, "", "  ")
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, name), append(text, '\n'), 0o644); err != nil {
			return nil, err
		}
	}
	for _, args := range [][]string{
		{"init", "-q"},
		{"add", "."},
		{"-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "-q", "-m", "Lock the shop's packages"},
	} {
		if _, err := cpu(ctx, dir, "git", args...); err != nil {
			return nil, err
		}
	}
	return versions, nil
}

func packageName(i int) string { return "part-" + strconv.Itoa(i) }

// writeAdvisories writes startAdvisories OSV records, a line each: a few
// packages with many, most with one or two, as in npm.
func writeAdvisories(name string) (err error) {
	random := rand.New(rand.NewPCG(3, 4))
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	out := bufio.NewWriterSize(file, 1<<20)
	words := strings.Fields("crafted input reaches the parser and is evaluated before it is checked so that an attacker who can send a request reads memory of the process or stops it")
	for i := range startAdvisories {
		target := random.IntN(startNames)
		if i%4 == 0 {
			target /= 1 + random.IntN(50)
		}
		major := 1 + random.IntN(3)
		details := make([]string, 40)
		for j := range details {
			details[j] = words[random.IntN(len(words))]
		}
		fmt.Fprintf(out, `{"schema_version":"1.6.0","id":"GHSA-%s","modified":"2025-01-%02dT00:00:00Z","published":"2024-01-%02dT00:00:00Z",`+
			`"aliases":["CVE-2024-%d"],"summary":"%s in %s","details":"%s","severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:%c/I:N/A:N"}],`+
			`"affected":[{"package":{"ecosystem":"npm","name":"%s"},"ranges":[{"type":"SEMVER","events":[{"introduced":"%d.0.0"},{"fixed":"%d.%d.%d"}]}]}],`+
			`"references":[{"type":"WEB","url":"https://example.org/advisories/%d"},{"type":"PACKAGE","url":"https://example.org/source/%s"}],`+
			`"database_specific":{"severity":"%s","cwe_ids":["CWE-20"],"github_reviewed":true}}`+"\n",
			ghsa(i), 1+i%28, 1+i%28, 10000+i, details[0], packageName(target), strings.Join(details, " "), "HLN"[i%3],
			packageName(target), major, major, random.IntN(10), random.IntN(10), i, packageName(target),
			[]string{"LOW", "MODERATE", "HIGH", "CRITICAL"}[i%4])
	}
	return out.Flush()
}

// ghsa writes a number the way GitHub writes advisory ids.
func ghsa(i int) string {
	const letters = "23456789cfghjmpqrvwx"
	var id [14]byte
	for at := len(id) - 1; at >= 0; at-- {
		if at == 4 || at == 9 {
			id[at] = '-'
			continue
		}
		id[at] = letters[i%len(letters)]
		i /= len(letters)
	}
	return string(id[:])
}

// matchNaively counts the advisories that affect the versions.
func matchNaively(name string, versions map[string]string) (hits int, err error) {
	file, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var record struct {
			Affected []struct {
				Package struct{ Name string }
				Ranges  []struct {
					Events []struct{ Introduced, Fixed string }
				}
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &record); err != nil {
			return 0, err
		}
		for _, affected := range record.Affected {
			version, ok := versions[affected.Package.Name]
			if !ok {
				continue
			}
			in := false
			for _, event := range affected.Ranges[0].Events {
				if event.Introduced != "" && !less(version, event.Introduced) {
					in = true
				}
				if event.Fixed != "" && !less(version, event.Fixed) {
					in = false
				}
			}
			if in {
				hits++
			}
		}
	}
	return hits, lines.Err()
}

// less orders versions of three numbers, which is all that is generated.
func less(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range as {
		x, _ := strconv.Atoi(as[i])
		y, _ := strconv.Atoi(bs[i])
		if x != y {
			return x < y
		}
	}
	return false
}
