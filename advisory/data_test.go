package advisory

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/backstitch/backstitch/fact"
)

// dataFolder finds the shared accuracy data, or skips the test.
func dataFolder(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("BACKSTITCH_DATA")
	if dir == "" {
		root, err := os.Getwd()
		for err == nil {
			if _, statErr := os.Stat(filepath.Join(root, "go.mod")); statErr == nil || root == filepath.Dir(root) {
				break
			}
			root = filepath.Dir(root)
		}
		dir = filepath.Join(root, "..", "shared", "data")
	}
	dir = filepath.Join(dir, "advisories")
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("BACKSTITCH_DATA_REQUIRED") == "1" {
			t.Fatalf("no data folder: %v", err)
		}
		t.Skipf("no data folder: %v", err)
	}
	return dir
}

// naive is an OSV record read with the standard decoder.
type naive struct {
	ID        string
	Withdrawn string
	Affected  []struct {
		Package  struct{ Ecosystem, Name string }
		Versions []string
		Ranges   []struct {
			Type   string
			Events []struct {
				Introduced, Fixed string
				Last              string `json:"last_affected"`
				Limit             string
			}
		}
	}
}

// TestRealAdvisoriesAreMatchedAsTheSchemaSays asks for every version that the
// records themselves name, and compares with a reading and an evaluation that
// share nothing with the index but the order of two versions.
func TestRealAdvisoriesAreMatchedAsTheSchemaSays(t *testing.T) {
	t.Parallel()
	dir := dataFolder(t)
	files, err := filepath.Glob(filepath.Join(dir, "*.osv.jsonl.zst"))
	if err != nil || len(files) == 0 {
		t.Skipf("no OSV files in the data folder: %v", err)
	}
	x, summary := mustImport(t, files...)
	for _, p := range summary.Problems {
		t.Log(p)
	}
	records := map[string][]naive{} // by ecosystem and name
	total := 0
	for _, file := range files {
		for _, one := range readNaively(t, file) {
			total++
			seen := map[string]bool{}
			for _, a := range one.Affected {
				key := a.Package.Ecosystem + "\x00" + a.Package.Name
				if !seen[key] && one.Withdrawn == "" {
					records[key] = append(records[key], one)
				}
				seen[key] = true
			}
		}
	}
	if summary.Advisories != total || summary.Bad != 0 {
		t.Errorf("%d of %d records imported, %d bad", summary.Advisories, total, summary.Bad)
	}
	asked, hits := 0, 0
	for key, list := range records {
		eco, name, _ := strings.Cut(key, "\x00")
		for _, version := range someVersions(list, eco, name) {
			got, err := x.Affecting(fact.Package{Ecosystem: eco, Name: name, Version: version})
			if errors.Is(err, ErrVersion) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for _, one := range list {
				for _, a := range one.Affected {
					if a.Package.Ecosystem != eco || a.Package.Name != name {
						continue
					}
					flat := fact.Affected{Versions: a.Versions}
					for _, r := range a.Ranges {
						into := fact.Range{Type: r.Type}
						for _, e := range r.Events {
							into.Events = append(into.Events, fact.RangeEvent{Introduced: e.Introduced, Fixed: e.Fixed, LastAffected: e.Last, Limit: e.Limit})
						}
						flat.Ranges = append(flat.Ranges, into)
					}
					if bySchema(t, eco, &flat, version) {
						want = append(want, one.ID)
						break
					}
				}
			}
			slices.Sort(want)
			var ids []string
			for _, a := range got {
				ids = append(ids, a.ID)
			}
			asked++
			hits += len(want)
			if !slices.Equal(ids, want) {
				t.Errorf("%s %s %s: %v, want %v", eco, name, version, ids, want)
			}
		}
	}
	t.Logf("%d records, %d packages, %d versions asked, %d hits", total, len(records), asked, hits)
	if asked < total || hits == 0 {
		t.Errorf("only %d versions asked, %d hits", asked, hits)
	}
}

func readNaively(t *testing.T, file string) []naive {
	t.Helper()
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	unpacked, err := zstd.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	defer unpacked.Close()
	lines := bufio.NewScanner(unpacked)
	lines.Buffer(nil, 1<<24)
	var records []naive
	for lines.Scan() {
		var one naive
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			t.Fatal(err)
		}
		records = append(records, one)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return records
}

// someVersions are those that the records of a package name, at most forty.
func someVersions(list []naive, eco, name string) []string {
	versions := []string{"0.0.1", "99999.0.0"}
	for _, one := range list {
		for _, a := range one.Affected {
			if a.Package.Ecosystem != eco || a.Package.Name != name {
				continue
			}
			versions = append(versions, a.Versions[:min(len(a.Versions), 5)]...)
			for _, r := range a.Ranges {
				for _, e := range r.Events {
					if v := e.Introduced + e.Fixed + e.Last; r.Type != "GIT" && v != "0" {
						versions = append(versions, v)
					}
				}
			}
		}
	}
	slices.Sort(versions)
	versions = slices.Compact(versions)
	return versions[:min(len(versions), 40)]
}
