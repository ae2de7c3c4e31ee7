package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/kubernetes"
)

// b8Joins are facts read from the trees by a person: tree, kind/name of the
// workload, with @ and the path of the manifest or template where several declare
// one, container, and the folder whose Dockerfile makes its image, "-" for an image
// that the tree does not build.
//
//go:embed testdata/b8_joins.tsv
var b8Joins string

// B8: from a workload's container to the folder its image is built from.
//
//   - precision: share of the answers that name the right folder; an answer for an
//     image that the tree does not build is wrong.
//   - recall: share of the containers with a folder that are led to it.
//
// A tie is no answer.
var benchmarkB8 = Benchmark{
	ID: "B8", Title: "workload to source folder", Needs: "app-trees",
	Targets: map[string]float64{"precision": .98, "recall": .95},
	Run:     b8,
}

func b8(ctx context.Context, data string) (Result, error) {
	result := Result{Metrics: map[string]float64{}}
	self, err := os.Executable()
	if err != nil {
		return result, err
	}
	entries, err := os.ReadDir(filepath.Join(data, "app-trees"))
	if err != nil {
		return result, err
	}
	got := map[string][]string{} // every folder that an occurrence is led to
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		answers, err := b8Tree(ctx, filepath.Join(data, "app-trees", entry.Name()), kubernetes.ChildRenderer(self))
		if err != nil {
			return result, fmt.Errorf("%s: %w", entry.Name(), err)
		}
		for key, folders := range answers {
			got[entry.Name()+"\t"+key] = folders
		}
	}
	right, answered, wanted := 0, 0, 0
	for line := range strings.Lines(b8Joins) {
		line = strings.TrimSpace(line)
		parts := strings.Split(line, "\t")
		if line == "" || line[0] == '#' {
			continue
		}
		if len(parts) != 4 {
			return result, fmt.Errorf("join %q: expected four columns", line)
		}
		result.Cases++
		folders, seen := got[strings.Join(parts[:3], "\t")]
		if !seen {
			result.Notes = append(result.Notes, strings.Join(parts[:3], " ")+": no such container was found")
		}
		answer := ""
		if len(folders) == 1 {
			answer = folders[0]
		}
		if answer != "" {
			answered++
		}
		if parts[3] != "-" {
			wanted++
			if answer == parts[3] {
				right++
			}
		}
		if seen && answer != strings.TrimPrefix(parts[3], "-") {
			result.Notes = append(result.Notes, fmt.Sprintf("%s: %q, expected %s", strings.Join(parts[:3], " "), folders, parts[3]))
		}
	}
	result.Metrics["precision"] = float64(right) / float64(max(answered, 1))
	result.Metrics["recall"] = float64(right) / float64(max(wanted, 1))
	return result, nil
}

// b8Tree gives the folders of each "Kind/name<tab>container" and of each
// "Kind/name@path<tab>container" of a tree.
func b8Tree(ctx context.Context, dir string, renderer kubernetes.Renderer) (map[string][]string, error) {
	tree, err := code.OpenDir(dir)
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	estate, err := kubernetes.Load(ctx, tree, kubernetes.Options{Renderer: renderer})
	if err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for _, workload := range estate.Workloads() {
		for _, container := range workload.Containers() {
			name := workload.Kind + "/" + workload.Name
			folder := estate.Source(container.Image).Folder()
			for _, key := range []string{name + "\t" + container.Name, name + "@" + workload.Place.Path + "\t" + container.Name} {
				if _, seen := out[key]; !seen {
					out[key] = nil
				}
				if folder != "" && !slices.Contains(out[key], folder) {
					out[key] = append(out[key], folder)
				}
			}
		}
	}
	return out, nil
}
