package composer

import (
	"context"
	"encoding/json"
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

	"github.com/backstitch/backstitch/fix"
)

var (
	packageName    = regexp.MustCompile(`^[a-z0-9](?:[_.-]?[a-z0-9]+)*/[a-z0-9](?:[_.-]{0,2}[a-z0-9]+)*$`)
	packageVersion = regexp.MustCompile(`^v?\d+(?:\.\d+){0,3}(?:-?(?:alpha|beta|RC|rc|patch|pl|p)\.?\d*)?$`)
)

// check refuses names and versions that are none, before they become arguments.
func check(changes []fix.Change) error {
	if len(changes) == 0 {
		return errors.New("the path changes nothing")
	}
	for _, change := range changes {
		if !packageName.MatchString(strings.ToLower(change.Package)) || len(change.Package) > 200 {
			return fmt.Errorf("%q: expected the name of a package", change.Package)
		}
		if !packageVersion.MatchString(change.To) {
			return fmt.Errorf("%s: %q: expected a version", change.Package, change.To)
		}
	}
	return nil
}

func (*fixer) Apply(ctx context.Context, dir string, p fix.Path) ([]string, error) {
	if err := check(p.Changes); err != nil {
		return nil, err
	}
	manifest, lock := path.Join(p.Module, "composer.json"), path.Join(p.Module, "composer.lock")
	data, err := fix.ReadFile(dir, manifest)
	if err != nil {
		return nil, err
	}
	before, after := map[string][]byte{manifest: data}, map[string][]byte{}
	if after[manifest], err = edited(manifest, data, p); err != nil {
		return nil, err
	}
	lockData, err := fix.ReadFile(dir, lock)
	switch {
	case err == nil:
		before[lock] = lockData
		if after[lock], err = relock(ctx, dir, lock, lockData, manifest, after[manifest], p); err != nil {
			return nil, fmt.Errorf("%s: %w", lock, err)
		}
	case !errors.Is(err, fs.ErrNotExist) || p.Kind == fix.RaiseLocked:
		return nil, err
	}
	return fix.WriteAll(dir, before, after)
}

// edited gives composer.json with the path's change made.
func edited(file string, data []byte, p fix.Path) ([]byte, error) {
	var edits []fix.Edit
	switch p.Kind {
	case fix.RaiseLocked:
		return data, nil
	case fix.Override:
		edit, err := conflict(file, data, p.Changes[0])
		if err != nil {
			return nil, err
		}
		edits = append(edits, edit)
	default:
		for _, change := range p.Changes {
			texts, err := stated(file, data, change.Package)
			if err != nil {
				return nil, err
			}
			for _, t := range texts {
				if fits, _ := admits(t.Value, change.To); fits && p.Kind == fix.RaiseAncestor {
					continue
				}
				text, ok := syntax.Raise(t.Value, change.To)
				if !ok {
					return nil, fmt.Errorf("%s:%d: %s: %q cannot be raised to %s", file, t.Line, change.Package, t.Value, change.To)
				}
				if text != t.Value {
					edits = append(edits, fix.Edit{Start: t.Start, End: t.End, Old: t.Value, New: text})
				}
			}
		}
		if len(edits) == 0 && p.Kind == fix.RaiseDirect {
			return nil, fmt.Errorf("%s: no constraint on %s to change", file, p.Changes[0].Package)
		}
	}
	result, err := fix.Splice(data, edits...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if n, err := differences(file, data, result); err != nil || n != len(edits) {
		return nil, errors.Join(err, fmt.Errorf("%s: the edit changed %d values, expected %d", file, n, len(edits)))
	}
	return result, nil
}

// differences counts the members in which two readings of a file differ.
func differences(file string, a, b []byte) (int, error) {
	var read [2]map[string]string
	for i, data := range [][]byte{a, b} {
		texts, _, err := fix.JSONStrings(file, data)
		if err != nil {
			return 0, err
		}
		read[i] = map[string]string{}
		for _, t := range texts {
			read[i][strings.Join(t.Path, "\x00")] = t.Value
		}
	}
	n := 0
	for key, value := range read[1] {
		if before, ok := read[0][key]; !ok || before != value {
			n++
		}
	}
	for key := range read[0] {
		if _, ok := read[1][key]; !ok {
			n++
		}
	}
	return n, nil
}

// conflict adds a package to "conflict", so that no lower version is taken.
func conflict(file string, data []byte, change fix.Change) (fix.Edit, error) {
	texts, objects, err := fix.JSONStrings(file, data)
	if err != nil {
		return fix.Edit{}, err
	}
	for _, t := range texts {
		if t.Under("conflict", "*") && strings.EqualFold(t.Path[1], change.Package) {
			return fix.Edit{}, fmt.Errorf("%s:%d: conflict names %s already", file, t.Line, t.Path[1])
		}
	}
	member := fmt.Sprintf(`"%s": "<%s"`, change.Package, change.To)
	for _, o := range objects {
		if slices.Equal(o.Path, []string{"conflict"}) {
			return o.Member(data, member), nil
		}
	}
	root := objects[0]
	newline, indent := "\n", "    "
	if i := strings.IndexByte(string(data), '\n'); i > 0 && data[i-1] == '\r' {
		newline = "\r\n"
	}
	if m := indentation.FindSubmatch(data); m != nil {
		indent = string(m[1])
	} else {
		return root.Member(data, `"conflict": {`+member+"}"), nil
	}
	return root.Member(data, `"conflict": {`+newline+indent+indent+member+newline+indent+"}"), nil
}

var indentation = regexp.MustCompile(`^\s*\{\r?\n([ \t]+)"`)

var options = []string{"--no-interaction", "--no-progress", "--no-ansi", "--no-scripts", "--no-plugins", "--no-install"}

// relock lets composer rewrite the lock in a folder of its own.
func relock(ctx context.Context, dir, lock string, lockData []byte, manifest string, manifestData []byte, p fix.Path) ([]byte, error) {
	old, err := parseLock(lock, lockData)
	if err != nil {
		return nil, err
	}
	if err := safe(manifest, manifestData); err != nil {
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
	if err := fix.CopyFiles(ctx, dir, work, func(name string) bool { return path.Base(name) == "composer.json" }); err != nil {
		return nil, err
	}
	if err := fix.PutFile(work, manifest, manifestData); err != nil {
		return nil, err
	}
	args := append([]string{"update"}, options...)
	args = append(args, platform(manifest, manifestData)...)
	for _, change := range p.Changes {
		args = append(args, "--with", change.Package+":"+change.To)
	}
	args = append(args, "--")
	for _, change := range p.Changes {
		args = append(args, change.Package)
	}
	at := filepath.Join(work, filepath.FromSlash(p.Module))
	var failed error
	for _, more := range []string{"", "--with-dependencies"} { // what the packages need may have to move too
		if err := fix.PutFile(work, lock, lockData); err != nil {
			return nil, err
		}
		run := slices.Clone(args)
		if more != "" {
			run = slices.Insert(run, 1, more)
		}
		if _, failed = tool.Run(ctx, at, "composer", run...); failed == nil || errors.Is(failed, fix.ErrNoTool) || ctx.Err() != nil {
			break
		}
	}
	if failed != nil {
		return nil, failed
	}
	after, err := fix.ReadFile(work, lock)
	if err != nil {
		return nil, err
	}
	packages, err := parseLock(lock, after)
	if err != nil {
		return nil, err
	}
	return after, judge(old, packages, p.Changes)
}

// platform leaves out what this machine's PHP lacks: all of it, unless the project
// says which PHP it is for.
func platform(file string, data []byte) []string {
	texts, _, err := fix.JSONStrings(file, data)
	if err == nil && slices.ContainsFunc(texts, func(t fix.TextAt) bool { return t.Under("config", "platform", "php") }) {
		return []string{"--ignore-platform-req=ext-*", "--ignore-platform-req=lib-*"}
	}
	return []string{"--ignore-platform-reqs"}
}

// safe refuses repositories that would make composer run more than git and HTTP, or
// read outside of the working copy.
func safe(file string, data []byte) error {
	var document struct {
		Repositories any `json:"repositories"`
	}
	if err := json.Unmarshal([]byte(strings.TrimPrefix(string(data), "\ufeff")), &document); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	var list []any
	switch all := document.Repositories.(type) {
	case []any:
		list = all
	case map[string]any:
		for _, one := range all {
			list = append(list, one)
		}
	}
	for _, one := range list {
		entry, _ := one.(map[string]any)
		kind, _ := entry["type"].(string)
		url, _ := entry["url"].(string)
		switch kind {
		case "", "composer", "package":
		case "vcs", "git", "github", "gitlab", "bitbucket", "git-bitbucket":
			if !strings.HasPrefix(url, "https://") {
				return fmt.Errorf("%s: repository of type %s: expected an https address", file, kind)
			}
		case "path", "artifact":
			if path.IsAbs(url) || strings.Contains(url, ":") || !filepath.IsLocal(path.Join(path.Dir(file), url)) {
				return fmt.Errorf("%s: repository of type %s: expected a path within the repository", file, kind)
			}
		default:
			return fmt.Errorf("%s: repositories of type %q are not read", file, kind)
		}
	}
	return nil
}

// judge checks that a lock written by composer holds the changes and that no package
// went down.
func judge(old, packages []lockPackage, changes []fix.Change) error {
	for _, change := range changes {
		for _, p := range packages {
			if strings.EqualFold(p.Name, change.Package) && higher(change.To, p.Version) {
				return fmt.Errorf("%s is at %s after the change, expected %s", p.Name, p.Version, change.To)
			}
		}
	}
	for _, p := range packages {
		for _, q := range old {
			if p.Name == q.Name && higher(q.Version, p.Version) {
				return fmt.Errorf("the change would lower %s from %s to %s", p.Name, q.Version, p.Version)
			}
		}
	}
	return nil
}

// higher says whether a version is above another; those of branches are not.
func higher(a, b string) bool {
	if !packageVersion.MatchString(a) || !packageVersion.MatchString(b) {
		return false
	}
	order, err := semantic.ParsePackagistVersion(a).CompareStr(b)
	return err == nil && order > 0
}
