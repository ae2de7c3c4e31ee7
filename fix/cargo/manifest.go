package cargo

import (
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/backstitch/backstitch/fix"
)

// requirement is one literal of a Cargo.toml that states a version.
type requirement struct {
	fix.TextAt
	crate string
}

// about says whether a requirement may be what led to a locked version.
func (r *requirement) about(version string) bool {
	fits, known := syntax.Admits(r.Value, version)
	return fits || !known
}

// tables that state dependencies.
func isTable(key string) bool {
	switch key {
	case "dependencies", "dev-dependencies", "dev_dependencies", "build-dependencies", "build_dependencies":
		return true
	}
	return false
}

// dependency gives the keys of the dependency that a string belongs to, and the key
// within it: "" for the short form.
func dependency(t *fix.TextAt) (keys []string, field string) {
	at := 0
	switch {
	case len(t.Path) > 2 && t.Path[0] == "target":
		at = 2
	case len(t.Path) > 1 && t.Path[0] == "workspace":
		at = 1
	}
	if len(t.Path) < at+2 || len(t.Path) > at+3 || !isTable(t.Path[at]) {
		return nil, ""
	}
	if len(t.Path) == at+3 {
		field = t.Path[at+2]
	}
	return t.Path[:at+2], field
}

// requirements lists the version literals of a Cargo.toml, in order.
func requirements(name string, data []byte) ([]requirement, error) {
	texts, err := fix.TOMLStrings(name, data)
	if err != nil {
		return nil, err
	}
	var found []requirement
	var keys [][]string
	for _, t := range texts {
		of, field := dependency(&t)
		if of != nil && (field == "" || field == "version") {
			found = append(found, requirement{t, of[len(of)-1]})
			keys = append(keys, of)
		}
	}
	for _, t := range texts { // renamed ones
		if of, field := dependency(&t); of != nil && field == "package" {
			if at := slices.IndexFunc(keys, func(k []string) bool { return slices.Equal(k, of) }); at >= 0 {
				found[at].crate = t.Value
			}
		}
	}
	return found, nil
}

// edited replaces the requirements that a path changes, each by what with makes of
// it, and checks that nothing else changed. It returns how many did.
func edited(name string, data []byte, changes []fix.Change, with func(old, to string) (string, error)) ([]byte, int, error) {
	before, err := requirements(name, data)
	if err != nil {
		return nil, 0, err
	}
	var edits []fix.Edit
	for _, change := range changes {
		for _, r := range before {
			if r.crate != change.Package || !r.about(change.From) {
				continue
			}
			text, err := with(r.Value, change.To)
			if err != nil {
				return nil, 0, fmt.Errorf("%s:%d: %s: %w", name, r.Line, r.crate, err)
			}
			if text != r.Value {
				edits = append(edits, fix.Edit{Start: r.Start, End: r.End, Old: r.Value, New: text})
			}
		}
	}
	result, err := fix.Splice(data, edits...)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", name, err)
	}
	after, err := requirements(name, result)
	if err != nil {
		return nil, 0, err
	}
	differ := 0
	for i := range min(len(before), len(after)) {
		if before[i].crate != after[i].crate || before[i].Line != after[i].Line {
			differ = -1
			break
		}
		if before[i].Value != after[i].Value {
			differ++
		}
	}
	if len(before) != len(after) || differ != len(edits) {
		return nil, 0, fmt.Errorf("%s: the edit changed %d values, expected %d", name, differ, len(edits))
	}
	return result, len(edits), nil
}

// safe refuses manifests that would make cargo read outside of the repository or
// fetch from anywhere but https.
func safe(name string, data []byte) error {
	var document map[string]any
	if err := toml.Unmarshal(data, &document); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return safeValue(name, "", document, 0)
}

const maxDepth = 100

// safeValue judges a value by the key that leads to it; those of an array have the
// array's.
func safeValue(name, key string, value any, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: nested too deeply", name)
	}
	switch value := value.(type) {
	case map[string]any:
		for _, next := range slices.Sorted(maps.Keys(value)) {
			if next == "metadata" {
				continue // of other programs
			}
			if err := safeValue(name, next, value[next], depth+1); err != nil {
				return err
			}
		}
	case []any:
		for _, one := range value {
			if err := safeValue(name, key, one, depth+1); err != nil {
				return err
			}
		}
	case string:
		switch key {
		case "path", "workspace", "members", "default-members":
			if path.IsAbs(value) || strings.Contains(value, `\`) || !filepath.IsLocal(path.Join(path.Dir(name), value)) {
				return fmt.Errorf("%s: %s %q: expected a path within the repository", name, key, value)
			}
		case "git":
			if !strings.HasPrefix(value, "https://") {
				return fmt.Errorf("%s: git %q: expected an https address", name, value)
			}
		}
	}
	return nil
}

// sources lists the files that cargo wants to see beside a manifest before it reads
// it: those of its targets.
func sources(name string, data []byte) ([]string, error) {
	texts, err := fix.TOMLStrings(name, data)
	if err != nil {
		return nil, err
	}
	dir := path.Dir(name)
	own := ""
	for _, t := range texts {
		if t.Under("package", "name") {
			own = t.Value
		}
	}
	files := []string{path.Join(dir, "src/lib.rs"), path.Join(dir, "src/main.rs")}
	folders := map[string]string{"bin": "src/bin", "example": "examples", "test": "tests", "bench": "benches"}
	for _, t := range texts {
		switch {
		case t.Under("lib", "path"), len(t.Path) == 2 && folders[t.Path[0]] != "" && t.Path[1] == "path":
			files = append(files, path.Join(dir, t.Value))
		case len(t.Path) == 2 && folders[t.Path[0]] != "" && t.Path[1] == "name" && (t.Path[0] != "bin" || t.Value != own):
			files = append(files, path.Join(dir, folders[t.Path[0]], t.Value+".rs"))
		}
	}
	return files, nil
}
