package npm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fix"
)

// relock lets the project's tool rewrite the lock in a folder of its own: once
// with every change pinned, and, where they differ, once with the manifests to keep,
// which holds on to what the first run resolved.
func (p *project) relock(ctx context.Context, dir string, fixPath fix.Path, before []byte, exact, final map[string][]byte) ([]byte, error) {
	if p.tool == "pnpm" && pnpmHooks.Match(before) {
		return nil, errHooks
	}
	run, err := p.prepare(ctx, before)
	if err != nil {
		return nil, err
	}
	defer run.tool.Close()
	work := filepath.Join(run.tool.Home(), "work")
	if err := os.Mkdir(work, 0o700); err != nil {
		return nil, err
	}
	if err := copyProject(ctx, dir, fixPath.Module, work); err != nil {
		return nil, err
	}
	if err := fix.PutFile(work, p.lockPath, before); err != nil {
		return nil, err
	}
	within := filepath.Join(work, filepath.FromSlash(fixPath.Module))
	texts := []map[string][]byte{exact, final}
	if maps.EqualFunc(exact, final, bytes.Equal) {
		texts = texts[:1] // what is pinned is what is kept
	}
	for i, files := range texts {
		if i == 1 && p.workspace != nil && final[p.workspace.path] == nil && exact[p.workspace.path] != nil {
			if err := fix.Remove(work, p.workspace.path); err != nil {
				return nil, err
			}
		}
		for _, name := range slices.Sorted(maps.Keys(files)) {
			data := files[name]
			if path.Base(name) == workspaceFile {
				if data, err = only(data, workspaceSettings); err != nil {
					return nil, fmt.Errorf("%s: %w", name, err)
				}
			}
			if err := fix.PutFile(work, name, data); err != nil {
				return nil, err
			}
		}
		if i == 1 && p.tool == "yarn" && fixPath.Kind != fix.Override {
			if err := p.rebind(ctx, work, fixPath); err != nil {
				return nil, err
			}
		}
		if _, err := run.tool.Run(ctx, within, run.program, run.args...); err != nil {
			return nil, err
		}
	}
	after, err := fix.ReadFile(work, p.lockPath)
	if err != nil {
		return nil, err
	}
	written, err := p.reread(ctx, work, fixPath.Module, after)
	if err != nil {
		return nil, fmt.Errorf("after %s: %w", run.program, err)
	}
	if err := sameFormat(p.format, written.version, run.name); err != nil {
		return nil, err
	}
	// Tools end well even when they changed nothing.
	for _, change := range fixPath.Changes {
		if err := p.lock.raised(written, change); err != nil {
			return nil, err
		}
	}
	return after, nil
}

// reread reads the lock that a tool wrote.
func (p *project) reread(ctx context.Context, work, module string, data []byte) (*lock, error) {
	if p.tool == "npm" {
		return parseLock(p.lockPath, data)
	}
	tree, err := code.OpenDir(work)
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	m, err := moduleOf(ctx, tree, module, p.lockPath)
	if err != nil {
		return nil, err
	}
	if p.tool == "pnpm" {
		return lockOf(m, pnpmFormat(data), nil), nil
	}
	return lockOf(m, yarnFormat(data), byKey(parseYarn(data))), nil
}

// rebind readies the lock of yarn for its second run, by all manifests of the
// project.
func (p *project) rebind(ctx context.Context, work string, fixPath fix.Path) error {
	tree, err := code.OpenDir(work)
	if err != nil {
		return err
	}
	defer tree.Close()
	names, err := tree.Paths(ctx)
	if err != nil {
		return err
	}
	var manifests []*manifest
	for _, name := range names {
		if path.Base(name) != "package.json" {
			continue
		}
		data, err := tree.Read(ctx, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		m, err := parseManifest(name, data)
		if err != nil {
			continue // of no workspace: yarn reads it or refuses it
		}
		manifests = append(manifests, m)
	}
	data, err := fix.ReadFile(work, p.lockPath)
	if err != nil {
		return err
	}
	if data, err = rebind(data, fixPath.Changes, manifests); err != nil {
		return err
	}
	return fix.PutFile(work, p.lockPath, data)
}

// raised checks that a lock written by a tool holds a change: the version before
// is gone, and nobody who stays gets a lower one.
func (l *lock) raised(written *lock, change fix.Change) error {
	to, _ := parseVersion(change.To)
	reached := len(written.instances(change.Package)) == 0
	before := l.served(change.Package)
	for _, key := range written.instances(change.Package) {
		text := written.entries[key].Version
		if text == change.From && !written.entries[key].InBundle {
			return fmt.Errorf("%s is still at %s (%s) after the change", change.Package, text, key)
		}
		v, ok := parseVersion(text)
		reached = reached || ok && !v.less(to)
	}
	after := written.served(change.Package)
	for _, who := range slices.Sorted(maps.Keys(after)) {
		if higher(before[who], after[who]) {
			return fmt.Errorf("%s: the change would lower its %s from %s to %s", who, change.Package, before[who], after[who])
		}
	}
	if !reached {
		return fmt.Errorf("%s does not reach %s after the change", change.Package, change.To)
	}
	return nil
}

// served gives who gets which version of a package: packages with their versions,
// and manifests. Of one that gets several, it is the lowest.
func (l *lock) served(name string) map[string]string {
	versions := map[string]string{}
	for _, key := range l.instances(name) {
		for _, r := range l.requirers(key) {
			who := l.entries[r.key].Manifest
			if who == "" {
				who = l.label(r.key)
			}
			if had, twice := versions[who]; !twice || higher(had, l.entries[key].Version) {
				versions[who] = l.entries[key].Version
			}
		}
	}
	return versions
}

// resolving are the settings of an .npmrc that decide what a lock holds.
var resolving = regexp.MustCompile(`^\s*(?:legacy-peer-deps|strict-peer-deps(?:endencies)?|auto-install-peers|link-workspace-packages|prefer-workspace-packages|resolution-mode|dedupe-peer-dependents|shared-workspace-lockfile|inject-workspace-packages|lockfile-include-tarball-url|omit-lockfile-registry-resolved|install-links|install-strategy|legacy-bundling|global-style|prefer-dedupe)\s*=\s*[a-z-]+\s*$`)

// copyProject copies the manifests and patches of a module, and those of its
// settings that decide what a lock holds.
func copyProject(ctx context.Context, dir, module, work string) error {
	err := fix.CopyFiles(ctx, dir, work, func(name string) bool {
		base := path.Base(name)
		return (module == "" || strings.HasPrefix(name, module+"/")) && (base == "package.json" || strings.HasSuffix(base, ".patch"))
	})
	if err != nil {
		return err
	}
	for base, keep := range map[string]func(data []byte) ([]byte, error){
		".npmrc": func(data []byte) ([]byte, error) {
			var lines []string
			for line := range strings.Lines(string(data)) {
				if resolving.MatchString(strings.TrimRight(line, "\r\n")) {
					lines = append(lines, line)
				}
			}
			return []byte(strings.Join(lines, "")), nil
		},
		".yarnrc.yml": func(data []byte) ([]byte, error) { return only(data, yarnSettings) },
		workspaceFile: func(data []byte) ([]byte, error) { return only(data, workspaceSettings) },
	} {
		name := path.Join(module, base)
		data, err := fix.ReadFile(dir, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			data, err = keep(data)
		}
		if err == nil && len(data) > 0 {
			err = fix.PutFile(work, name, data)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
