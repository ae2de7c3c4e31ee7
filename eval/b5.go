package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/fact"
)

// B5: who made which asset, by real event logs. Truth is a row for each asset
// that an AWS event made: the event, the asset and the actor.
//
//   - actor: share of rows whose asset is found as made by that event, by that
//     actor, principal and role.
//   - false_creators: creations read from events that make nothing: failed ones,
//     and those whose name does not begin with a word of making. Events that do
//     begin so and have no row are told in the notes only, since the rows are not
//     said to be all.
var benchmarkB5 = Benchmark{
	ID: "B5", Title: "creators by event logs", Needs: "cloud-logs/creator-expectations.jsonl",
	Targets: map[string]float64{"actor": .99, "false_creators": 0},
	Most:    map[string]bool{"false_creators": true},
	Run:     b5,
}

// b5Truth is one row of the expectations.
type b5Truth struct {
	File      string `json:"file"`
	EventID   string `json:"eventID"`
	EventName string `json:"eventName"`
	Resource  string `json:"resource"`
	Principal string `json:"principal"`
	Actor     string `json:"actor"`
	ViaRole   string `json:"via_role"`
}

func b5(ctx context.Context, data string) (Result, error) {
	result := Result{Metrics: map[string]float64{"actor": 0, "false_creators": 0}}
	root := filepath.Join(data, "cloud-logs")
	type key struct{ file, event string }
	failed := map[key]bool{}
	logs, err := os.MkdirTemp("", "backstitch-b5-")
	if err != nil {
		return result, err
	}
	defer os.RemoveAll(logs)
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == "creator-expectations.jsonl" {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		file, err := filepath.Rel(data, name)
		if err != nil {
			return err
		}
		content = b5Unwrapped(content)
		for _, id := range b5Failed(content) {
			failed[key{filepath.ToSlash(file), id}] = true
		}
		if err := os.MkdirAll(filepath.Join(logs, filepath.Dir(file)), 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(logs, file), content, 0o600)
	})
	if err != nil {
		return result, err
	}
	sink := &b4Sink{}
	if err := source("connector/auditlog").Sync(ctx, connector.Values{"path": logs}, sink); err != nil {
		return result, err
	}
	found := map[key][]fact.Relation{}
	for _, r := range sink.relations {
		if file, _, ok := strings.Cut(r.Evidence.Source, ", event "); ok && r.To.Kind == fact.AssetIdentity {
			at := key{file, r.Evidence.Detail}
			found[at] = append(found[at], r)
		}
	}
	// Everything is predicted; now the truth is read.
	text, err := os.ReadFile(filepath.Join(root, "creator-expectations.jsonl"))
	if err != nil {
		return result, err
	}
	listed := map[key]bool{}
	right := 0
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var truth b5Truth
		if err := json.Unmarshal(lines.Bytes(), &truth); err != nil {
			return result, fmt.Errorf("creator-expectations.jsonl: %w", err)
		}
		result.Cases++
		at := key{truth.File, truth.EventID}
		listed[at] = true
		i := slices.IndexFunc(found[at], func(r fact.Relation) bool { return strings.HasSuffix(r.From.Key, truth.Resource) })
		switch {
		case i < 0:
			result.Notes = append(result.Notes, fmt.Sprintf("%s %s: %s was not found", truth.File, truth.EventName, truth.Resource))
		case found[at][i].To.Name != truth.Actor || found[at][i].To.Key != truth.Principal || found[at][i].Properties["via"] != truth.ViaRole:
			result.Notes = append(result.Notes, fmt.Sprintf("%s %s %s: %+v, expected %s", truth.File, truth.EventName, truth.Resource, found[at][i].To, truth.Actor))
		default:
			right++
		}
	}
	if err := lines.Err(); err != nil {
		return result, err
	}
	if result.Cases > 0 {
		result.Metrics["actor"] = float64(right) / float64(result.Cases)
	}
	for at, creations := range found {
		if listed[at] {
			continue
		}
		for _, r := range creations {
			note := fmt.Sprintf("%s %s makes %s", at.file, r.Evidence.Method, r.From.Key)
			if failed[at] || !b5Makes(r.Evidence.Method) {
				result.Metrics["false_creators"]++
				note += ": false"
			} else {
				note += ", which no row tells of"
			}
			result.Notes = append(result.Notes, note)
		}
	}
	slices.Sort(result.Notes)
	return result, nil
}

// b5Makes says whether a call's name begins with a word of making.
func b5Makes(event string) bool {
	word := strings.ToLower(event[strings.LastIndexAny(strings.TrimSuffix(strings.ToLower(event), "/write"), "./")+1:])
	if strings.HasSuffix(strings.ToLower(event), "/write") {
		return true // Azure: a write that was answered with "created"
	}
	for _, making := range []string{"create", "insert", "run", "put", "allocate", "register", "copy", "request", "import", "restore"} {
		if strings.HasPrefix(word, making) {
			return true
		}
	}
	return false
}

// b5Failed lists the ids of AWS events that failed, of those that no event that
// went well shares.
func b5Failed(content []byte) []string {
	failed, well := []string{}, map[string]bool{}
	decoder := json.NewDecoder(bytes.NewReader(content))
	for {
		type event struct {
			EventID   string `json:"eventID"`
			ErrorCode string `json:"errorCode"`
		}
		var document struct {
			event
			Records []event `json:"Records"`
		}
		if err := decoder.Decode(&document); err != nil {
			var other *json.UnmarshalTypeError
			if errors.As(err, &other) {
				continue
			}
			return slices.DeleteFunc(failed, func(id string) bool { return well[id] })
		}
		for _, e := range append(document.Records, document.event) {
			if e.ErrorCode != "" {
				failed = append(failed, e.EventID)
			} else {
				well[e.EventID] = true
			}
		}
	}
}

// b5Unwrapped takes the events out of test cases that hold one each under "log".
func b5Unwrapped(content []byte) []byte {
	var out bytes.Buffer
	decoder := json.NewDecoder(bytes.NewReader(content))
	for {
		var line struct {
			Log json.RawMessage `json:"log"`
		}
		switch err := decoder.Decode(&line); {
		case errors.Is(err, io.EOF) && out.Len() > 0:
			return out.Bytes()
		case err != nil || line.Log == nil:
			return content
		}
		out.Write(line.Log)
		out.WriteByte('\n')
	}
}
