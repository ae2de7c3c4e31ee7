package verify_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backstitch/backstitch/advisory"
	"github.com/backstitch/backstitch/builtin"
	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/scan"
	"github.com/backstitch/backstitch/verify"
)

// tree is a repository of one commit.
type tree map[string]string

func (t tree) Checkout(_ context.Context, _, dir string) error {
	for name, content := range t {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o644)); err != nil {
			return err
		}
	}
	return nil
}

// change is what is done to a working copy: the new content of files, removed when it
// is the word gone, or anything else by hand.
type change struct {
	name  string
	files map[string]string
	hand  func(dir string) ([]string, error)
	with  map[string]string // files that the repository has beside the world's
	// contraband says that the flaw really goes, beside something that nobody planned; in
	// what somebody else made, that is for other checks.
	contraband bool
}

const gone = "\x00gone"

// sites and modules carry a change out and say truly what they changed.
type liar struct{ change change }

func (l liar) Describe() fix.Description { return fix.Description{ID: "fix/false", Name: "false"} }

func (l liar) Apply(_ context.Context, dir string, _ fix.Path) (changed []string, err error) {
	if l.change.hand != nil {
		if changed, err = l.change.hand(dir); err != nil {
			return nil, err
		}
	}
	for name, content := range l.change.files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		changed = append(changed, name)
		if content == gone {
			err = os.Remove(file)
		} else {
			err = errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o644))
		}
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(changed)
	return changed, nil
}

type moduleLiar struct{ liar }

func (moduleLiar) Handles(m *lockfile.Module) bool { return true }

func (moduleLiar) Plan(context.Context, *fix.Target) ([]fix.Path, error) { return nil, nil }

// world is a repository with a flaw and its true fix.
type world struct {
	name  string
	files tree
	rule  string // id by which a report tells of the flaw
	pkg   string // of a module's package
	to    string // its version that is planned
	main  string // the file that the fix is planned in
	told  []lockfile.Reported
	truth map[string]string
	falls []change
}

// edited gives a file of a world with texts replaced, and fails when one is not there.
func (w *world) edited(t *testing.T, name string, pairs ...string) string {
	t.Helper()
	text := w.files[name]
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("%s: %s has no %q", w.name, name, pairs[i])
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

func knowledge() *advisory.Index {
	var list []fact.Advisory
	for _, ecosystem := range []string{"Go", "npm", "PyPI", "crates.io", "Maven"} {
		flaw := func(id, name, introduced, fixed string, severity fact.Severity) {
			switch ecosystem {
			case "Go":
				name = "example.org/" + name
			case "Maven":
				name = "org.acme:" + name
			}
			list = append(list, fact.Advisory{ID: id + "-" + strings.ToUpper(strings.ReplaceAll(ecosystem, ".", "")), Severity: severity, Affected: []fact.Affected{{
				Ecosystem: ecosystem, Name: name,
				Ranges: []fact.Range{{Type: "ECOSYSTEM", Events: []fact.RangeEvent{{Introduced: introduced}, {Fixed: fixed}}}},
			}}})
		}
		flaw("FLAW-1", "parser", "0.9.0", "1.2.0", fact.SeverityHigh)
		flaw("FLAW-2", "parser", "1.3.0", "1.4.0", fact.SeverityCritical)
		flaw("FLAW-3", "lexer", "2.0.0", "3.0.0", fact.SeverityCritical)
	}
	return advisory.FromMemory(list)
}

// attempt proves a change in a world as a planned one, or as one that somebody else made.
func attempt(t *testing.T, w *world, c change, foreign bool) fact.Verification {
	t.Helper()
	index := knowledge()
	repo := maps.Clone(w.files)
	maps.Copy(repo, c.with)
	request := verify.Request{
		Repo: repo, Repository: "example.org/acme/shop", Commit: strings.Repeat("a", 40), Class: index.Class, Advisories: index.Digest(),
		Tool: "test", Now: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC),
		Path: fix.Path{ID: "p", Kind: fix.RaiseDirect, Fixer: "fix/false", Summary: c.name},
	}
	closes := verify.Closes{Issue: "i", Advisories: []string{w.rule}, Package: w.pkg}
	if w.pkg != "" {
		if len(w.told) > 0 {
			request.Reported = based(t, repo, w.told)
		}
		request.Scanner = builtin.Dependencies(index, request.Reported...)
		request.Fixer = moduleLiar{liar{c}}
		request.Path.Changes = []fix.Change{{Package: w.pkg, From: "1.0.0", To: w.to, Direct: len(w.told) == 0}}
	} else {
		request.Scanner = scan.Several(builtin.Detectors(nil, nil, nil)...)
		request.Fixer = liar{c}
		request.Path.Kind = fix.EditValue
		request.Path.Edits = []fix.FileEdit{{Path: w.main}}
		closes.Objects, closes.Severity = objectsOf(t, request.Scanner, repo, w.rule)
	}
	if foreign {
		request.Fixer, request.Path.Edits, request.Path.Changes = liar{c}, nil, nil
		for _, name := range c.names() {
			request.Path.Edits = append(request.Path.Edits, fix.FileEdit{Path: name})
		}
	}
	request.Closes = []verify.Closes{closes}
	record, err := verify.Prove(t.Context(), request)
	if err != nil {
		t.Fatalf("%s, %s: %v", w.name, c.name, err)
	}
	return record.Verification
}

func (c change) names() []string { return slices.Sorted(maps.Keys(c.files)) }

// based gives what was told with what it was resolved from.
func based(t *testing.T, repo tree, told []lockfile.Reported) []lockfile.Reported {
	t.Helper()
	files := code.Files{}
	for name, content := range repo {
		files[name] = []byte(content)
	}
	modules, err := lockfile.Read(t.Context(), files)
	if err != nil {
		t.Fatal(err)
	}
	if told, err = lockfile.Complete(t.Context(), files, modules, told); err != nil {
		t.Fatal(err)
	}
	return told
}

// objectsOf is what our scanner sees the flaw in.
func objectsOf(t *testing.T, scanner scan.Scanner, repo tree, rule string) (objects []string, severity fact.Severity) {
	t.Helper()
	files := code.Files{}
	for name, content := range repo {
		files[name] = []byte(content)
	}
	_, err := scanner.Scan(t.Context(), files, func(f fact.Finding) error {
		if slices.Contains(append([]string{f.Rule}, f.Aliases...), rule) {
			objects, severity = append(objects, f.Attributes[fix.AttributeObject]), f.Severity
		}
		return nil
	})
	if err != nil || len(objects) == 0 {
		t.Fatalf("%s is not seen: %v", rule, err)
	}
	return objects, severity
}

func TestOfHundredsOfFalseFixesNoneIsProven(t *testing.T) {
	t.Parallel()
	worlds := slices.Concat(moduleWorlds(t), siteWorlds(t))
	type run struct {
		w       *world
		c       change
		foreign bool
	}
	var runs []run
	for i := range worlds {
		w := &worlds[i]
		for _, foreign := range []bool{false, true} {
			if v := attempt(t, w, change{name: "the true fix", files: w.truth}, foreign); v.Status != fact.VerificationProven {
				t.Errorf("%s: the true fix (by somebody else: %t) is %s: %+v", w.name, foreign, v.Status, v.Checks)
			}
		}
		for _, c := range slices.Concat(w.falls, everywhere(w)) {
			runs = append(runs, run{w, c, false})
			if c.hand == nil && !c.contraband {
				runs = append(runs, run{w, c, true})
			}
		}
	}
	seen := map[string]bool{}
	for _, r := range runs {
		if key := fmt.Sprint(r.w.name, r.c.name, r.foreign); seen[key] {
			t.Errorf("%s is there twice: %s", r.w.name, r.c.name)
		} else {
			seen[key] = true
		}
	}
	if len(runs) < 200 {
		t.Errorf("%d false fixes, expected 200 or more", len(runs))
	}
	var wait sync.WaitGroup
	var mu sync.Mutex
	count := map[string]int{}
	slots := make(chan struct{}, 4)
	for _, r := range runs {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			v := attempt(t, r.w, r.c, r.foreign)
			mu.Lock()
			defer mu.Unlock()
			count[v.Status]++
			if v.Status == fact.VerificationProven {
				t.Errorf("%s: %q is proven (by somebody else: %t)", r.w.name, r.c.name, r.foreign)
			}
		})
	}
	wait.Wait()
	t.Logf("%d false fixes in %d repositories: %v", len(runs), len(worlds), count)
}

// ignores are files that tell scanners to look away.
var ignores = map[string]string{
	".trivyignore": "RULE\n", ".trivyignore.yaml": "vulnerabilities:\n  - id: RULE\nmisconfigurations:\n  - id: RULE\n", ".snyk": "ignore:\n  RULE:\n    - '*':\n        reason: x\n",
	".checkov.yaml": "skip-check:\n  - RULE\n", ".hadolint.yaml": "ignored:\n  - RULE\n", ".kube-linter.yaml": "checks:\n  exclude:\n    - RULE\n",
	".tfsec/config.yml": "exclude:\n  - RULE\n", "osv-scanner.toml": "[[IgnoredVulns]]\nid = \"RULE\"\n", ".grype.yaml": "ignore:\n  - vulnerability: RULE\n",
	".backstitch.yaml": "ignore:\n  - RULE\n",
}

// everywhere are the false fixes that fit any world.
func everywhere(w *world) []change {
	var list []change
	add := func(name string, files map[string]string) { list = append(list, change{name: name, files: files}) }
	beside := func(name string, more map[string]string) {
		files := maps.Clone(w.truth)
		maps.Copy(files, more)
		list = append(list, change{name: "fixes it and " + name, files: files, contraband: true})
	}
	add("changes nothing", map[string]string{w.main: w.files[w.main]})
	add("adds an empty line", map[string]string{w.main: w.files[w.main] + "\n"})
	add("adds blanks at the end", map[string]string{w.main: w.files[w.main] + "  \n"})
	add("changes the ends of lines", map[string]string{w.main: strings.ReplaceAll(w.files[w.main], "\n", "\r\n")})
	add("adds a readme", map[string]string{"README.md": "fixed RULE\n"})
	for _, name := range slices.Sorted(maps.Keys(ignores)) {
		add("adds "+name, map[string]string{name: strings.ReplaceAll(ignores[name], "RULE", w.rule)})
	}
	add("removes the file", map[string]string{w.main: gone})
	add("renames the file", map[string]string{w.main: gone, w.main + ".bak": w.files[w.main]})
	add("moves the file to a folder that is not looked at", map[string]string{w.main: gone, "vendor/" + w.main: w.files[w.main]})
	add("makes the file binary", map[string]string{w.main: "\x00" + w.files[w.main]})
	add("empties the file", map[string]string{w.main: ""})
	add("leaves a conflict in the file", map[string]string{w.main: "<<<<<<< HEAD\n" + w.files[w.main] + "=======\n>>>>>>> other\n"})
	beside("changes what the checks run", map[string]string{".gitlab-ci.yml": "scan:\n  script: [\"true\"]\n"})
	beside("changes the owners", map[string]string{"CODEOWNERS": "* @mallory\n"})
	beside("adds an ignore file", map[string]string{".trivyignore": "FLAW-9\n"})
	beside("adds a script", map[string]string{"hooks/post.sh": "#!/bin/sh\n"})
	list = append(list,
		change{name: "fixes it and removes a test", files: with(w.truth, "shop_test.go", gone), with: map[string]string{"shop_test.go": "package shop\n"}, contraband: true},
		change{name: "fixes it and skips a test", files: with(w.truth, "shop_test.go", "package shop // skip\n"), with: map[string]string{"shop_test.go": "package shop\n"}, contraband: true},
		change{name: "makes the file a link", hand: func(dir string) ([]string, error) {
			name := filepath.Join(dir, filepath.FromSlash(w.main))
			return []string{w.main}, errors.Join(os.Remove(name), os.Symlink("/etc/hostname", name))
		}},
		change{name: "makes the file a link to a good one", hand: func(dir string) ([]string, error) {
			name, good := filepath.Join(dir, filepath.FromSlash(w.main)), filepath.Join(dir, "good")
			err := os.WriteFile(good, []byte(w.truth[w.main]), 0o644)
			return []string{w.main, "good"}, errors.Join(err, os.Remove(name), os.Symlink(good, name))
		}},
		change{name: "changes the mode", hand: func(dir string) ([]string, error) {
			return []string{w.main}, os.Chmod(filepath.Join(dir, filepath.FromSlash(w.main)), 0o755)
		}},
		change{name: "fixes it and lets the file be run", files: w.truth, contraband: true, hand: func(dir string) ([]string, error) {
			other := filepath.Join(dir, "run")
			return []string{"run"}, errors.Join(os.Chmod(other, 0o755))
		}, with: map[string]string{"run": "x\n"}},
		change{name: "says that it changed what it did not", hand: func(string) ([]string, error) { return []string{w.main}, nil }},
		change{name: "fails half way", files: nil, hand: func(dir string) ([]string, error) {
			_ = os.WriteFile(filepath.Join(dir, filepath.FromSlash(w.main)), []byte(w.truth[w.main]), 0o644)
			return nil, errors.New("no network")
		}},
	)
	return list
}

func with(files map[string]string, pairs ...string) map[string]string {
	all := maps.Clone(files)
	for i := 0; i < len(pairs); i += 2 {
		all[pairs[i]] = pairs[i+1]
	}
	return all
}

// suppressed puts a comment that asks scanners to look away at, and above, the lines
// that hold a text.
func suppressed(w *world, name, mark string, comments ...string) []change {
	var list []change
	for _, comment := range comments {
		var behind, above strings.Builder
		for line := range strings.Lines(w.files[name]) {
			text := strings.TrimSuffix(line, "\n")
			if strings.Contains(text, mark) {
				indent := text[:len(text)-len(strings.TrimLeft(text, " \t"))]
				above.WriteString(indent + comment + "\n")
				text += " " + comment
			}
			behind.WriteString(text + "\n")
			above.WriteString(line)
		}
		list = append(list,
			change{name: "writes " + comment + " behind it", files: map[string]string{name: behind.String()}},
			change{name: "writes " + comment + " above it", files: map[string]string{name: above.String()}})
	}
	return list
}
