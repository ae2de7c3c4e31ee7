package python

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

	"github.com/pelletier/go-toml/v2"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fix"
)

var (
	projectName    = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$`)
	projectVersion = regexp.MustCompile(`^(?:\d+!)?\d+(?:\.\d+)*(?:(?:a|b|rc)\d+)?(?:\.post\d+)?(?:\.dev\d+)?$`)
)

// check refuses names and versions that are none, before they become arguments.
func check(changes []fix.Change) error {
	if len(changes) == 0 {
		return errors.New("the path changes nothing")
	}
	for _, change := range changes {
		if !projectName.MatchString(change.Package) {
			return fmt.Errorf("%q: expected the name of a package", change.Package)
		}
		if !projectVersion.MatchString(change.To) {
			return fmt.Errorf("%s: %q: expected a version", change.Package, change.To)
		}
	}
	return nil
}

// places lists the manifests that a path edits and the lock that it rewrites,
// from the locations of its steps.
func places(dir string, p fix.Path) (manifests []string, lock string, err error) {
	for _, step := range p.Steps {
		if step.Location == nil || step.Location.Path == "" || slices.Contains(manifests, step.Location.Path) {
			continue
		}
		switch path.Base(step.Location.Path) {
		case "uv.lock", "poetry.lock", "Pipfile.lock":
			lock = step.Location.Path
		default:
			manifests = append(manifests, step.Location.Path)
		}
	}
	beside := []string{"uv.lock", "poetry.lock"}
	switch {
	case lock != "":
		return manifests, lock, nil
	case slices.Contains(manifests, path.Join(p.Module, "Pipfile")):
		beside = []string{"Pipfile.lock"}
	case !slices.Contains(manifests, path.Join(p.Module, "pyproject.toml")):
		return manifests, "", nil
	}
	for _, name := range beside {
		_, err := fix.ReadFile(dir, path.Join(p.Module, name))
		if err == nil {
			return manifests, path.Join(p.Module, name), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, "", err
		}
	}
	return manifests, "", nil
}

func (*fixer) Apply(ctx context.Context, dir string, p fix.Path) ([]string, error) {
	if err := check(p.Changes); err != nil {
		return nil, err
	}
	manifests, lock, err := places(dir, p)
	if err != nil {
		return nil, err
	}
	before, final, exact := map[string][]byte{}, map[string][]byte{}, map[string][]byte{}
	for _, file := range manifests {
		if before[file], err = fix.ReadFile(dir, file); err != nil {
			return nil, err
		}
		if final[file], exact[file], err = edited(file, before[file], p); err != nil {
			return nil, err
		}
	}
	if lock != "" {
		if before[lock], err = fix.ReadFile(dir, lock); err != nil {
			return nil, err
		}
		if final[lock], err = relock(ctx, dir, lock, before[lock], exact, final, p); err != nil {
			return nil, err
		}
	}
	var changed []string
	for _, file := range append(manifests, lock) {
		if file == "" || bytes.Equal(before[file], final[file]) {
			continue
		}
		if err := fix.WriteFile(dir, file, final[file]); err != nil {
			for _, done := range changed {
				err = errors.Join(err, fix.WriteFile(dir, done, before[done]))
			}
			return nil, err
		}
		changed = append(changed, file)
	}
	return changed, nil
}

// edited gives a manifest with the path's change made, and one that pins it
// exactly, for tools that would else choose the highest version.
func edited(file string, data []byte, p fix.Path) (final, exact []byte, err error) {
	if p.Kind == fix.Override {
		change := p.Changes[0]
		edit, err := overrideEdit(file, data, change)
		if err != nil {
			return nil, nil, err
		}
		final, err = fix.Splice(data, edit)
		if err == nil {
			_, err = fix.TOMLStrings(file, final)
		}
		return final, final, err
	}
	found, err := parse(file, data)
	if err != nil {
		return nil, nil, err
	}
	var edits, pins []fix.Edit
	changes := p.Changes[:1] // companions follow by themselves
	if p.Kind == fix.RaiseAncestor {
		changes = p.Changes
	}
	to := map[string]string{}
	for _, r := range found {
		at := slices.IndexFunc(changes, func(c fix.Change) bool { return normal(c.Package) == normal(r.name) })
		if at < 0 || p.Kind == fix.RaiseAncestor && admitsAll(r.clauses, changes[at].To) {
			continue
		}
		change := changes[at]
		if p.Kind != fix.RaiseAncestor && starts(r.clauses, change.To) {
			continue
		}
		if r.hashed {
			return nil, nil, fmt.Errorf("%s:%d: %s is pinned with hashes; the tool that wrote them has to write them anew", file, r.line, r.name)
		}
		edit, in := raise(r.clauses, r.insert, change.To)
		if in != nil {
			return nil, nil, fmt.Errorf("%s:%d: %s%s forbids %s", file, r.line, in.operator, in.version, change.To)
		}
		to[normal(r.name)] = change.To
		edits = append(edits, shift(edit, r.base, data))
		pin := fix.Edit{Start: r.insert, End: r.insert, New: "==" + change.To}
		if len(r.clauses) > 0 {
			pin.Start, pin.End = r.clauses[0].start, r.clauses[len(r.clauses)-1].end
		}
		pins = append(pins, shift(pin, r.base, data))
	}
	if len(edits) == 0 && p.Kind != fix.RaiseAncestor {
		return nil, nil, fmt.Errorf("%s: no line states a version of %s", file, changes[0].Package)
	}
	if exact, err = fix.Splice(data, pins...); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	if final, err = fix.Splice(data, edits...); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	after, err := parse(file, final)
	if err != nil {
		return nil, nil, err
	}
	if n, want := differences(found, after, to), len(edits); n != want {
		return nil, nil, fmt.Errorf("%s: the edit changed %d values, expected %d", file, n, want)
	}
	return final, exact, nil
}

// differences counts the requirements in which two readings of a file differ;
// -1 when they are not the same list, or a changed one forbids the version that its
// package is to have.
func differences(a, b []requirement, to map[string]string) int {
	if len(a) != len(b) {
		return -1
	}
	n := 0
	for i := range a {
		if a[i].name != b[i].name || a[i].line != b[i].line {
			return -1
		}
		if a[i].text == b[i].text {
			continue
		}
		if !admitsAll(b[i].clauses, to[normal(b[i].name)]) {
			return -1
		}
		n++
	}
	return n
}

var (
	overrideArray = regexp.MustCompile(`(?m)^[ \t]*override-dependencies[ \t]*=[ \t]*\[`)
	uvTable       = regexp.MustCompile(`(?m)^[ \t]*\[tool\.uv\][ \t]*(?:#.*)?\r?$`)
)

// overrideEdit adds a requirement to override-dependencies of [tool.uv].
func overrideEdit(file string, data []byte, change fix.Change) (fix.Edit, error) {
	found, err := fix.TOMLStrings(file, data)
	if err != nil {
		return fix.Edit{}, err
	}
	for _, s := range found {
		if s.Under("tool", "uv", "override-dependencies") {
			if name, _, _, ok := parseRequirement(s.Value); ok && normal(name) == normal(change.Package) {
				return fix.Edit{}, fmt.Errorf("%s:%d: override-dependencies names %s already", file, s.Line, name)
			}
		}
	}
	newline := "\n"
	if bytes.Contains(data, []byte("\r\n")) {
		newline = "\r\n"
	}
	quoted := fmt.Sprintf(`"%s>=%s"`, change.Package, change.To)
	if at := overrideArray.FindIndex(data); at != nil {
		if rest := bytes.TrimLeft(data[at[1]:], " \t\r\n"); !bytes.HasPrefix(rest, []byte("]")) {
			quoted += ", "
		}
		return fix.Edit{Start: at[1], End: at[1], New: quoted}, nil
	}
	line := "override-dependencies = [" + quoted + "]"
	if at := uvTable.FindIndex(data); at != nil {
		end := at[1]
		if end < len(data) && data[end] == '\n' {
			end++
			return fix.Edit{Start: end, End: end, New: line + newline}, nil
		}
		return fix.Edit{Start: end, End: end, New: newline + line + newline}, nil
	}
	start := newline + "[tool.uv]" + newline
	if len(data) > 0 && data[len(data)-1] != '\n' {
		start = newline + start
	}
	return fix.Edit{Start: len(data), End: len(data), New: start + line + newline}, nil
}

// relock lets uv or poetry rewrite a lock in a folder of its own.
func relock(ctx context.Context, dir, lock string, lockData []byte, exact, final map[string][]byte, p fix.Path) ([]byte, error) {
	tool, err := newTool()
	if err != nil {
		return nil, err
	}
	defer tool.Close()
	work := filepath.Join(tool.Home(), "work")
	if err := copyManifests(ctx, dir, p.Module, work); err != nil {
		return nil, err
	}
	at := func(file string) string {
		return filepath.Join(work, filepath.FromSlash(strings.TrimPrefix(strings.TrimPrefix(file, p.Module), "/")))
	}
	if err := os.WriteFile(at(lock), lockData, 0o600); err != nil {
		return nil, err
	}
	put := func(files map[string][]byte) error {
		for file, data := range files {
			if isManifest(file) {
				if err := os.WriteFile(at(file), data, 0o600); err != nil {
					return err
				}
			}
		}
		return nil
	}
	switch path.Base(lock) {
	case "Pipfile.lock":
		if err := put(final); err != nil {
			return nil, err
		}
		if err := pipenvLock(ctx, tool, work, p); err != nil {
			return nil, err
		}
	case "uv.lock":
		if err := put(final); err != nil {
			return nil, err
		}
		args := []string{"lock", "--no-progress", "--no-build", "--no-python-downloads"}
		for _, change := range p.Changes {
			args = append(args, "--upgrade-package", change.Package+"=="+change.To)
		}
		if _, err := tool.Run(ctx, work, "uv", args...); err != nil {
			return nil, err
		}
	default:
		if err := poetryLock(ctx, tool, work, put, exact, final, p); err != nil {
			return nil, err
		}
	}
	after, err := os.ReadFile(at(lock))
	if err != nil {
		return nil, err
	}
	for _, change := range p.Changes {
		if err := raised(lock, lockData, after, change); err != nil {
			return nil, err
		}
	}
	return after, nil
}

// poetryLock pins the version for a first run, because poetry takes the
// highest that it may; the second run only notes the constraint to keep.
func poetryLock(ctx context.Context, tool *fix.Tool, work string, put func(map[string][]byte) error, exact, final map[string][]byte, p fix.Path) error {
	if len(exact) == 0 {
		args := []string{"update", "--no-interaction", "--lock", "--"}
		for _, change := range p.Changes {
			args = append(args, change.Package)
		}
		_, err := tool.Run(ctx, work, "poetry", args...)
		return err
	}
	version, err := tool.Run(ctx, work, "poetry", "--version", "--no-ansi")
	if err != nil {
		return err
	}
	args := []string{"lock", "--no-interaction"}
	if strings.Contains(string(version), "version 1.") {
		args = append(args, "--no-update")
	}
	for _, files := range []map[string][]byte{exact, final} {
		if err := put(files); err != nil {
			return err
		}
		if _, err := tool.Run(ctx, work, "poetry", args...); err != nil {
			return err
		}
	}
	return nil
}

// pipenvLock lets pipenv raise what it states to the very version. What is not taken
// from an index is refused, since pipenv would run its build.
func pipenvLock(ctx context.Context, tool *fix.Tool, work string, p fix.Path) error {
	pipfile, manifest := filepath.Join(work, "Pipfile"), path.Join(p.Module, "Pipfile")
	before, err := os.ReadFile(pipfile)
	if err != nil {
		return err
	}
	var document map[string]any
	if err := toml.Unmarshal(before, &document); err != nil {
		return fmt.Errorf("%s: %w", manifest, err)
	}
	for _, section := range slices.Sorted(maps.Keys(document)) {
		table, _ := document[section].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(table)) {
			entry, _ := table[name].(map[string]any)
			for _, key := range []string{"git", "hg", "svn", "bzr", "path", "file"} {
				if _, from := entry[key]; from {
					return fmt.Errorf("%s: %s comes from %s; pipenv would run its build", manifest, name, key)
				}
			}
		}
	}
	args := []string{"upgrade", "--lock-only"}
	for _, change := range p.Changes {
		args = append(args, change.Package+"=="+change.To)
	}
	if _, err := tool.Run(ctx, work, "pipenv", args...); err != nil {
		return err
	}
	after, err := os.ReadFile(pipfile)
	if err == nil && !bytes.Equal(before, after) {
		err = errors.New("pipenv changed the Pipfile; expected the lock to change only")
	}
	return err
}

// raised checks that a rewritten lock holds a change.
func raised(lock string, before, after []byte, change fix.Change) error {
	old, err := parseLock(lock, before)
	if err != nil {
		return err
	}
	packages, err := parseLock(lock, after)
	if err != nil {
		return err
	}
	want, _ := numbers(change.To)
	for _, p := range packages {
		have, ok := numbers(p.Version)
		if normal(p.Name) == normal(change.Package) && (!ok || compare(have, want) < 0) {
			return fmt.Errorf("%s: %s is at %s after the change, expected %s", lock, p.Name, p.Version, change.To)
		}
		for _, q := range old {
			if was, okWas := numbers(q.Version); q.Name == p.Name && ok && okWas && compare(have, was) < 0 && !slices.ContainsFunc(old, func(r lockPackage) bool { return r.Name == p.Name && r.Version == p.Version }) {
				return fmt.Errorf("%s: the change would lower %s from %s to %s", lock, p.Name, q.Version, p.Version)
			}
		}
	}
	return nil
}

func isManifest(name string) bool {
	return path.Base(name) == "pyproject.toml" || path.Base(name) == "Pipfile"
}

// maxManifests is how many manifests a workspace may have.
const maxManifests = 5000

// copyManifests copies the manifests below a module.
func copyManifests(ctx context.Context, dir, module, work string) error {
	tree, err := code.OpenDir(dir)
	if err != nil {
		return err
	}
	defer tree.Close()
	names, err := tree.Paths(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(work, 0o700); err != nil {
		return err
	}
	copied := 0
	for _, name := range names {
		below := name
		if module != "" {
			var inside bool
			if below, inside = strings.CutPrefix(name, module+"/"); !inside {
				continue
			}
		}
		if !isManifest(name) {
			continue
		}
		if copied++; copied > maxManifests {
			return fmt.Errorf("%s: more than %d manifests", module, maxManifests)
		}
		data, err := tree.Read(ctx, name)
		if err != nil {
			return err
		}
		to := filepath.Join(work, filepath.FromSlash(below))
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(to, data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// newTool prepares runs of uv, poetry and pipenv: the index of the operator, and
// nothing else of his settings.
func newTool() (*fix.Tool, error) {
	settings := []string{
		"UV_NO_SYSTEM_CONFIG=1", "UV_KEYRING_PROVIDER=disabled", "UV_PYTHON_DOWNLOADS=never",
		"PIPENV_VENV_IN_PROJECT=1", "PIPENV_YES=1", "PIPENV_NOSPIN=1", "PIPENV_IGNORE_VIRTUALENVS=1", "PIP_ONLY_BINARY=:all:", "NO_COLOR=1",
		"POETRY_VIRTUALENVS_CREATE=false", "POETRY_NO_INTERACTION=1", "PYTHON_KEYRING_BACKEND=keyring.backends.null.Keyring",
	}
	for _, name := range []string{"UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_NATIVE_TLS"} {
		if value := os.Getenv(name); value != "" {
			settings = append(settings, name+"="+fix.WithoutUser(value))
		}
	}
	return fix.NewTool(settings...)
}
