package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// gvisor runs commands in gVisor: system calls meet a kernel of its own.
type gvisor struct{ program, limiter, version string }

// findGVisor looks for gVisor and tries it.
func findGVisor(ctx context.Context) (Sandbox, error) {
	program, err := exec.LookPath("runsc")
	if err != nil {
		return nil, fmt.Errorf("%w: gVisor (runsc) is not installed", ErrNoSandbox)
	}
	limiter, err := exec.LookPath("prlimit")
	if err != nil {
		return nil, fmt.Errorf("%w: prlimit of util-linux is not installed", ErrNoSandbox)
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	said, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("%w: runsc --version: %w", ErrNoSandbox, err)
	}
	g := &gvisor{program, limiter, "gVisor " + strings.TrimPrefix(firstLine(string(said)), "runsc version ")}
	work, err := os.MkdirTemp("", "backstitch-probe-")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoSandbox, err)
	}
	defer os.RemoveAll(work)
	// Old releases start here and cannot read folders.
	outcome, err := g.Run(ctx, Command{Work: work, Argv: []string{"ls", "/usr", "/work", "/"}, Timeout: 15 * time.Second})
	if err != nil || outcome.Exit != 0 {
		return nil, fmt.Errorf("%w: %s does not work here: %s", ErrNoSandbox, g.version, firstLine(string(outcome.Output)+errText(err)))
	}
	return g, nil
}

// Name implements Sandbox.
func (g *gvisor) Name() string { return g.version }

type ociMount struct {
	Destination string   `json:"destination"`
	Type        string   `json:"type"`
	Source      string   `json:"source"`
	Options     []string `json:"options,omitempty"`
}

// bundle writes the folder that runsc is told: an empty root, the system's programs
// read-only, the work folder.
func (g *gvisor) bundle(dir string, c Command) error {
	root := filepath.Join(dir, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	mounts := []ociMount{
		{"/proc", "proc", "proc", nil}, {"/dev", "tmpfs", "tmpfs", nil},
		{"/tmp", "tmpfs", "tmpfs", []string{"size=" + fmt.Sprint(maxTemporary)}},
	}
	bind := func(name, at, mode string) {
		mounts = append(mounts, ociMount{at, "bind", name, []string{mode, "rbind", "nosuid", "nodev"}})
	}
	bind("/usr", "/usr", "ro")
	for _, name := range []string{"/bin", "/sbin", "/lib", "/lib32", "/lib64"} {
		if target, err := os.Readlink(name); err == nil {
			if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
				return err
			}
		} else if info, err := os.Stat(name); err == nil && info.IsDir() {
			bind(name, name, "ro")
		}
	}
	for _, name := range systemFiles {
		if _, err := os.Stat(name); err == nil {
			bind(name, name, "ro")
		}
	}
	for _, name := range c.ReadOnly {
		if !strings.HasPrefix(name, "/usr/") {
			bind(name, name, "ro")
		}
	}
	bind(c.Work, "/work", "rw")
	if c.Cache != "" {
		bind(c.Cache, "/cache", "rw")
	}
	argv := append([]string{"/bin/sh", "-c", `mkdir -p /tmp/home && exec "$@"`, "sh"}, c.Argv...)
	spec := map[string]any{
		"ociVersion": "1.0.2", "hostname": "sandbox",
		"root":   map[string]any{"path": "root", "readonly": true},
		"mounts": mounts,
		"process": map[string]any{
			"user": map[string]int{"uid": 0, "gid": 0}, "args": argv, "env": c.environment(), "cwd": "/work/" + c.Dir,
			"noNewPrivileges": true, "capabilities": map[string]any{},
		},
		"linux": map[string]any{"namespaces": []map[string]string{{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}}},
	}
	data, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), data, 0o600)
}

// Run implements Sandbox. The user inside is root of nothing but the sandbox.
func (g *gvisor) Run(ctx context.Context, c Command) (Outcome, error) {
	c.complete()
	dir, err := os.MkdirTemp("", "backstitch-gvisor-")
	if err != nil {
		return Outcome{}, fmt.Errorf("sandbox: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := g.bundle(dir, c); err != nil {
		return Outcome{}, fmt.Errorf("sandbox: %w", err)
	}
	state := filepath.Join(dir, "state")
	common := []string{g.program, "--root", state, "--network=none", "--ignore-cgroups"}
	if os.Geteuid() != 0 {
		common = append(common, "--rootless")
	}
	outcome, err := c.bounded(ctx, g.limiter, slices.Concat(common, []string{"run", "--bundle", dir, filepath.Base(dir)}))
	if outcome.Exit == -1 || err != nil { // what was ended may have left processes behind
		gone, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if kill := exec.CommandContext(gone, common[0], slices.Concat(common[1:], []string{"delete", "--force", filepath.Base(dir)})...).Run(); kill != nil && !errors.As(kill, new(*exec.ExitError)) {
			err = errors.Join(err, kill)
		}
	}
	return outcome, err
}
