package npm

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/fix/fixtest"
)

// bump is a commit in which people raised requirements of package.json files.
type bump struct {
	name    string // its folder
	Changes []struct {
		File, Section, Package string
		From, To               any // null where a requirement was added or taken away
	}
}

func bumps(t *testing.T) []bump {
	t.Helper()
	folder := filepath.Join(fixtest.Data(t), "fixes", "npm-bump")
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var list []bump
	for _, entry := range entries {
		b := bump{name: filepath.Join(folder, entry.Name())}
		data, err := os.ReadFile(filepath.Join(b.name, "metadata.json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &b); err != nil {
			t.Fatal(err)
		}
		list = append(list, b)
	}
	if len(list) == 0 {
		t.Fatal("no commit in " + folder)
	}
	return list
}

// edited makes our edit of one changed requirement, or of one added override,
// and gives the text that stands there before and after. It is nil for what is no
// raise: a dependency that was added or dropped.
func edited(t *testing.T, m *manifest, section, name string, from, to any) (after []byte, old, text string) {
	t.Helper()
	constraint, stays := to.(string)
	if !stays {
		return nil, "", ""
	}
	version := strings.TrimLeft(rangeOf(constraint), "^~>=v ")
	var edits []fix.Edit
	var err error
	was, raised := from.(string)
	value := func(stated string) (string, bool) {
		if stated != was {
			return stated, true
		}
		ok := false
		text, ok = raise(stated, version)
		return text, ok
	}
	s, stated := m.specs[section][name]
	switch {
	case raised && stated:
		edits, err = m.replace([]span{s}, value)
	case raised:
		edits, err = m.replace(m.forced[name], value)
	case section == "overrides":
		edits = make([]fix.Edit, 1)
		edits[0], err = m.override(section, []forcing{everyone(name, version)})
		text = version
	default:
		return nil, "", ""
	}
	if err != nil || len(edits) != 1 {
		t.Fatalf("%s: %s of %s: %d edits, %v", m.path, name, section, len(edits), err)
	}
	return fixtest.OneValue(t, m.path, m.data, edits[0]), was, text
}

func TestRequirementsThatPeopleRaisedAreEditedAlone(t *testing.T) {
	t.Parallel()
	same, tried, aside := 0, 0, 0
	for _, b := range bumps(t) {
		files := map[string][]byte{}
		for _, change := range b.Changes {
			before, ok := files[change.File]
			if !ok {
				var err error
				if before, err = os.ReadFile(filepath.Join(b.name, "before", strings.ReplaceAll(change.File, "/", "__"))); err != nil {
					t.Fatal(err)
				}
			}
			m, err := parseManifest(change.File, before)
			if err != nil {
				t.Fatal(err)
			}
			after, old, text := edited(t, m, change.Section, change.Package, change.From, change.To)
			if after == nil {
				aside++
				continue
			}
			tried++
			if text == change.To {
				same++
			}
			if n, err := differences(before, after); err != nil || n != 1 {
				t.Errorf("%s %s: %d values differ, expected 1: %v", b.name, change.File, n, err)
			}
			if old != "" && operator(text) != operator(old) {
				t.Errorf("%s: %s becomes %s: the operator is another", change.Package, old, text)
			}
			keptLines(t, change.File, string(before), string(after), old, text)
			files[change.File] = after
		}
		for name, after := range files {
			accepted(t, name, after)
		}
	}
	if tried == 0 {
		t.Error("no requirement was tried")
	}
	t.Logf("%d of %d requirements are written as people wrote them; %d were added or dropped", same, tried, aside)
}

// keptLines checks that lines stay but the one in which a text changed, or those
// of an added member.
func keptLines(t *testing.T, name, before, after, old, text string) {
	t.Helper()
	was, is := strings.SplitAfter(before, "\n"), strings.SplitAfter(after, "\n")
	if old == "" {
		for len(was) > 0 && len(is) > 0 && was[0] == is[0] {
			was, is = was[1:], is[1:]
		}
		for len(was) > 0 && len(is) > 0 && was[len(was)-1] == is[len(is)-1] {
			was, is = was[:len(was)-1], is[:len(is)-1]
		}
		// The member before the first of an object gets a comma.
		if len(was) > 1 || len(is)-len(was) > 3 {
			t.Errorf("%s: %q became %q", name, was, is)
		}
		return
	}
	differ := 0
	for i := range min(len(was), len(is)) {
		if was[i] == is[i] {
			continue
		}
		if differ++; strings.Replace(is[i], text, old, 1) != was[i] {
			t.Errorf("%s:%d: %q became %q", name, i+1, was[i], is[i])
		}
	}
	if differ != 1 || len(was) != len(is) {
		t.Errorf("%s: %d lines differ, expected 1; %d lines became %d", name, differ, len(was), len(is))
	}
}

// operator is what a constraint has before its first digit.
func operator(constraint string) string {
	return constraint[:len(constraint)-len(strings.TrimLeft(constraint, "^~>=<v "))]
}

// accepted checks that npm and yarn read a package.json as it is meant: npm the
// requirements, yarn the whole file.
func accepted(t *testing.T, name string, data []byte) {
	t.Helper()
	var want map[string]any
	if err := json.Unmarshal(data, &want); err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "package.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(program string, args ...string) []byte {
		file, err := exec.LookPath(program)
		if err != nil && program == "yarnpkg" {
			file, err = exec.LookPath(filepath.Join("..", "..", "build", "tools", "bin", program))
			if err == nil {
				file, err = filepath.Abs(file)
			}
		}
		if err != nil {
			t.Logf("not tried with %s, which is not installed", program)
			return nil
		}
		cmd := exec.Command(file, args...)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "SKIP_YARN_COREPACK_CHECK=1", "npm_config_update_notifier=false"}
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%s: %s: %v", name, program, err)
		}
		return out
	}
	sections := []string{"dependencies", "devDependencies", "optionalDependencies", "overrides", "resolutions"}
	sections = slices.DeleteFunc(sections, func(section string) bool { return want[section] == nil })
	if out := run("npm", append([]string{"pkg", "get", "--json", "name"}, sections...)...); out != nil {
		var read map[string]any
		if err := json.Unmarshal(out, &read); err != nil {
			t.Errorf("%s: npm pkg get: %v", name, err)
		}
		for _, section := range sections {
			if diff := cmp.Diff(want[section], read[section]); diff != "" {
				t.Errorf("%s: npm reads %s as\n%s", name, section, diff)
			}
		}
	}
	out := run("yarnpkg", "versions", "--json", "--no-default-rc")
	if name, ok := want["name"].(string); ok && want["version"] != nil && out != nil && !strings.Contains(string(out), `"`+name+`":`) {
		t.Errorf("yarn reads another name than %s: %s", name, out)
	}
}
