package cargo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/osv-scalibr/semantic"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fix"
)

var (
	crateName    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,63}$`)
	crateVersion = regexp.MustCompile(`^\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?$`)
)

// check refuses names and versions that are none, before they become arguments.
func check(changes []fix.Change) error {
	if len(changes) == 0 {
		return errors.New("the path changes nothing")
	}
	for _, change := range changes {
		if !crateName.MatchString(change.Package) {
			return fmt.Errorf("%q: expected the name of a crate", change.Package)
		}
		if !crateVersion.MatchString(change.To) {
			return fmt.Errorf("%s: %q: expected a version", change.Package, change.To)
		}
	}
	return nil
}

func (fixer) Apply(ctx context.Context, dir string, p fix.Path) ([]string, error) {
	if err := check(p.Changes); err != nil {
		return nil, err
	}
	before, final, exact := map[string][]byte{}, map[string][]byte{}, map[string][]byte{}
	edits := 0
	for _, step := range p.Steps {
		if step.Location == nil || path.Base(step.Location.Path) != "Cargo.toml" || before[step.Location.Path] != nil {
			continue
		}
		name := step.Location.Path
		data, err := fix.ReadFile(dir, name)
		if err != nil {
			return nil, err
		}
		var n int
		before[name] = data
		if final[name], n, err = edited(name, data, p.Changes, func(old, to string) (string, error) {
			if fits, _ := syntax.Admits(old, to); fits && p.Kind == fix.RaiseAncestor {
				return old, nil
			}
			text, ok := syntax.Raise(old, to)
			if !ok {
				return "", fmt.Errorf("%q cannot be raised to %s", old, to)
			}
			return text, nil
		}); err != nil {
			return nil, err
		}
		edits += n
		if exact[name], _, err = edited(name, data, p.Changes, func(_, to string) (string, error) { return "=" + to, nil }); err != nil {
			return nil, err
		}
	}
	if edits == 0 && p.Kind == fix.RaiseDirect {
		return nil, fmt.Errorf("%s: no requirement of %s to change", path.Join(p.Module, "Cargo.toml"), p.Changes[0].Package)
	}
	lock := path.Join(p.Module, "Cargo.lock")
	data, err := fix.ReadFile(dir, lock)
	switch {
	case err == nil:
		before[lock] = data
		if final[lock], err = relock(ctx, dir, lock, data, exact, final, p); err != nil {
			return nil, fmt.Errorf("%s: %w", lock, err)
		}
	case !errors.Is(err, fs.ErrNotExist) || p.Kind == fix.RaiseLocked:
		return nil, err
	}
	return fix.WriteAll(dir, before, final)
}

// relock lets cargo rewrite the lock in a folder of its own. The requirements are
// pinned for a first run, because cargo takes the highest version that it may.
func relock(ctx context.Context, dir, lock string, lockData []byte, exact, final map[string][]byte, p fix.Path) ([]byte, error) {
	old, err := locked(ctx, lock, lockData)
	if err != nil {
		return nil, err
	}
	tool, err := newTool()
	if err != nil {
		return nil, err
	}
	defer tool.Close()
	work := filepath.Join(tool.Home(), "work")
	if err := os.Mkdir(work, 0o700); err != nil {
		return nil, err
	}
	if err := copyWorkspace(ctx, dir, work); err != nil {
		return nil, err
	}
	if err := fix.PutFile(work, lock, lockData); err != nil {
		return nil, err
	}
	at := filepath.Join(work, filepath.FromSlash(p.Module))
	run := func(args ...string) error {
		_, err := tool.Run(ctx, at, "cargo", append([]string{"update", "--quiet"}, args...)...)
		return err
	}
	now := func() ([]byte, []lockfile.Package, error) {
		data, err := os.ReadFile(filepath.Join(work, filepath.FromSlash(lock)))
		if err != nil {
			return nil, nil, err
		}
		packages, err := locked(ctx, lock, data)
		return data, packages, err
	}
	if len(exact) > 0 {
		for name, data := range exact {
			if err := fix.PutFile(work, name, data); err != nil {
				return nil, err
			}
		}
		if err := run("--workspace"); err != nil {
			return nil, err
		}
	}
	for _, change := range p.Changes {
		_, packages, err := now()
		if err != nil {
			return nil, err
		}
		for _, have := range packages {
			if have.Name != change.Package {
				continue
			}
			switch {
			case have.Version == change.From:
				err = run("--package", have.Name+"@"+have.Version, "--precise", change.To)
			case !has(old, have.Name, have.Version) && higher(have.Version, change.To):
				// The highest was taken; what asks for it may allow no lower one.
				_ = run("--package", have.Name+"@"+have.Version, "--precise", change.To)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	if len(exact) > 0 {
		for name := range exact {
			if err := fix.PutFile(work, name, final[name]); err != nil {
				return nil, err
			}
		}
		if err := run("--workspace"); err != nil {
			return nil, err
		}
	}
	after, packages, err := now()
	if err != nil {
		return nil, err
	}
	return sameForm(lockData, after), judge(old, packages, p.Changes)
}

// sameForm keeps the form of a lock that a newer cargo raised from 3 to 4, which an
// older cargo cannot read. They differ in how sources of git are written only.
func sameForm(before, after []byte) []byte {
	const three, four = "\nversion = 3\n", "\nversion = 4\n"
	if !bytes.Contains(before, []byte(three)) || bytes.Contains(after, []byte("\nsource = \"git+")) {
		return after
	}
	return bytes.Replace(after, []byte(four), []byte(three), 1)
}

// judge checks that a lock written by cargo holds the changes: no version before is
// left, and no crate went down. cargo ends well even when it changed nothing.
func judge(old, packages []lockfile.Package, changes []fix.Change) error {
	for _, change := range changes {
		reached := !slices.ContainsFunc(packages, func(p lockfile.Package) bool { return p.Name == change.Package })
		for _, p := range packages {
			if p.Name != change.Package {
				continue
			}
			if p.Version == change.From {
				return fmt.Errorf("%s is still at %s after the change", p.Name, p.Version)
			}
			reached = reached || !higher(change.To, p.Version)
		}
		if !reached {
			return fmt.Errorf("%s does not reach %s after the change", change.Package, change.To)
		}
	}
	for _, p := range packages {
		if has(old, p.Name, p.Version) {
			continue
		}
		lowest := ""
		for _, q := range old {
			if q.Name == p.Name && (lowest == "" || higher(lowest, q.Version)) {
				lowest = q.Version
			}
		}
		if lowest != "" && higher(lowest, p.Version) {
			return fmt.Errorf("the change would lower %s from %s to %s", p.Name, lowest, p.Version)
		}
	}
	return nil
}

func has(packages []lockfile.Package, name, version string) bool {
	return slices.ContainsFunc(packages, func(p lockfile.Package) bool { return p.Name == name && p.Version == version })
}

// higher says whether a version is above another.
func higher(a, b string) bool {
	order, err := semantic.ParseSemverVersion(a).CompareStr(b)
	return err == nil && order > 0
}

// locked reads the crates of a Cargo.lock.
func locked(ctx context.Context, name string, data []byte) ([]lockfile.Package, error) {
	modules, err := lockfile.ReadPaths(ctx, code.Files{name: data}, []string{name})
	if err != nil {
		return nil, err
	}
	if len(modules) != 1 || len(modules[0].Packages) == 0 {
		return nil, fmt.Errorf("%s: expected a list of crates", name)
	}
	return modules[0].Packages, nil
}

// copyWorkspace copies the manifests of a repository and puts an empty file where
// cargo expects a source.
func copyWorkspace(ctx context.Context, dir, work string) error {
	var manifests []string
	if err := fix.CopyFiles(ctx, dir, work, func(name string) bool {
		is := path.Base(name) == "Cargo.toml"
		if is {
			manifests = append(manifests, name)
		}
		return is
	}); err != nil {
		return err
	}
	for _, name := range manifests {
		data, err := fix.ReadFile(work, name)
		if err != nil {
			return err
		}
		files, err := sources(name, data)
		if err != nil {
			continue // a manifest that is none; cargo says so when it is one of the workspace
		}
		if err := safe(name, data); err != nil {
			return err
		}
		for _, file := range files {
			if strings.HasSuffix(file, "Cargo.toml") {
				continue
			}
			if err := fix.PutFile(work, file, nil); err != nil {
				return fmt.Errorf("%s: source %s: %w", name, file, err)
			}
		}
	}
	return nil
}
