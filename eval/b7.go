package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"

	"github.com/backstitch/backstitch/image"
)

// benchmarkB7 asks where images come from. history: a finding's layer, by its
// DiffID, leads to the history entry that made it, and that entry to an
// instruction or to the builder that wrote it. official: a tag of the official
// images leads to the repository, commit and folder of its Dockerfile, for each
// architecture. built: images that builtImages makes lead from each package to
// the line of the Dockerfile they were made from, among decoys. real: the same
// for histories of the Dockerfiles of the data, each among all of them.
var benchmarkB7 = Benchmark{
	ID:      "B7",
	Title:   "image to Dockerfile",
	Needs:   "image-scans/trivy-golden",
	Targets: map[string]float64{"history": 1, "official": .99, "built_precision": .99, "built_answered": .85, "built_abstains": .95, "real_precision": .99, "real_answered": .85},
	Run:     runB7,
}

func runB7(ctx context.Context, data string) (Result, error) {
	result := Result{Metrics: map[string]float64{}}
	right, all, err := goldenHistories(filepath.Join(data, "image-scans", "trivy-golden"), &result.Notes)
	if err != nil {
		return Result{}, err
	}
	if all == 0 {
		return Result{}, fmt.Errorf("no scan with an image configuration")
	}
	result.Cases += all
	result.Metrics["history"] = float64(right) / float64(all)
	if right, all, err = officialTags(filepath.Join(data, "images", "official-library"), &result.Notes); err != nil {
		return Result{}, err
	}
	if all > 0 {
		result.Cases += all
		result.Metrics["official"] = float64(right) / float64(all)
	}
	built, err := tracedImages(ctx, &result.Notes)
	if err != nil {
		return Result{}, err
	}
	result.Cases += built.cases
	result.Metrics["built_precision"] = float64(built.right) / float64(max(built.answered, 1))
	result.Metrics["built_answered"] = float64(built.answered) / float64(built.cases)
	result.Metrics["built_abstains"] = float64(built.abstained) / float64(max(built.strangers, 1))
	real, err := realHistories(data, &result.Notes)
	if err != nil {
		return Result{}, err
	}
	if real.cases > 0 {
		result.Cases += real.cases
		result.Metrics["real_precision"] = float64(real.right) / float64(max(real.answered, 1))
		result.Metrics["real_answered"] = float64(real.answered) / float64(real.cases)
	}
	return result, nil
}

// brokenEscape is a backslash that JSON does not know; some goldens have one.
var brokenEscape = regexp.MustCompile(`\\u[0-9a-fA-F]{0,3}[^0-9a-fA-F]`)

// goldenHistories reads scans that hold the image's configuration. The truth is
// the n-th entry that made a layer for the n-th DiffID.
func goldenHistories(dir string, notes *[]string) (right, all int, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.golden"))
	if err != nil {
		return 0, 0, err
	}
	sort.Strings(names)
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return 0, 0, err
		}
		var report struct {
			Metadata struct{ ImageConfig *image.Config }
			Results  []struct {
				Vulnerabilities []struct {
					VulnerabilityID string
					Layer           struct{ DiffID string }
				}
			}
		}
		if json.Unmarshal(brokenEscape.ReplaceAll(data, []byte(" ")), &report) != nil || report.Metadata.ImageConfig == nil || len(report.Metadata.ImageConfig.History) == 0 {
			continue
		}
		config := report.Metadata.ImageConfig
		layers := config.RootFS.DiffIDs
		steps := image.ParseHistory(config.History, len(layers))
		predicted := map[string]image.Step{}
		for _, step := range steps {
			if step.Layer >= 0 {
				predicted[layers[step.Layer]] = step
			}
		}
		builder := image.RecogniseBuilder(steps, config.Config.Labels)
		truth := map[string]int{}
		made := 0
		for i, entry := range config.History {
			if !entry.EmptyLayer && made < len(layers) {
				truth[layers[made]] = i
				made++
			}
		}
		for _, result := range report.Results {
			for _, v := range result.Vulnerabilities {
				if v.Layer.DiffID == "" {
					continue
				}
				all++
				step, ok := predicted[v.Layer.DiffID]
				at, known := truth[v.Layer.DiffID]
				understood := step.Kind != "" || !builder.Dockerfile && builder.Name != ""
				if ok && known && step.Index == at && step.Raw == config.History[at].CreatedBy && understood {
					right++
				} else if len(*notes) < 50 {
					*notes = append(*notes, fmt.Sprintf("%s: %s: layer %s leads to %q", filepath.Base(name), v.VulnerabilityID, v.Layer.DiffID, step.Raw))
				}
			}
		}
	}
	return right, all, nil
}

// officialTags checks every tag of every architecture against a plain reading
// of the same file, line by line.
func officialTags(dir string, notes *[]string) (right, all int, err error) {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	for _, file := range entries {
		data, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil {
			return 0, 0, err
		}
		library, parseErr := image.ParseLibrary(file.Name(), data)
		for _, want := range plainLibrary(string(data)) {
			all++
			if parseErr != nil {
				continue
			}
			for _, got := range library.Find(want.tag, want.arch) {
				if got.Repository == want.repository && got.Commit == want.commit && got.Directory == want.folder {
					right++
					want.tag = ""
					break
				}
			}
			if want.tag != "" && len(*notes) < 50 {
				*notes = append(*notes, fmt.Sprintf("%s:%s %s: want %s@%s/%s", file.Name(), want.tag, want.arch, want.repository, want.commit, want.folder))
			}
		}
		if parseErr != nil {
			*notes = append(*notes, parseErr.Error())
		}
	}
	return right, all, nil
}

type libraryTruth struct{ tag, arch, repository, commit, folder string }

// plainLibrary reads a library file with as little understanding as possible.
func plainLibrary(text string) []libraryTruth {
	var truths []libraryTruth
	var joined []string
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		if (strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")) && len(joined) > 0 && strings.TrimSpace(line) != "" {
			joined[len(joined)-1] += " " + strings.TrimSpace(line)
			continue
		}
		joined = append(joined, strings.TrimSpace(line))
	}
	global := map[string]string{}
	for _, block := range strings.Split(strings.Join(joined, "\n"), "\n\n") {
		fields := map[string]string{}
		for _, line := range strings.Split(block, "\n") {
			if at := strings.Index(line, ":"); at > 0 {
				fields[line[:at]] = strings.TrimSpace(line[at+1:])
			}
		}
		if fields["Tags"] == "" && fields["SharedTags"] == "" {
			for key, value := range fields {
				global[key] = value
			}
			continue
		}
		get := func(arch, name string) string {
			for _, from := range []map[string]string{fields, global} {
				if value := from[arch+"-"+name]; value != "" {
					return value
				}
			}
			if value := fields[name]; value != "" {
				return value
			}
			return global[name]
		}
		arches := get("", "Architectures")
		if arches == "" {
			arches = "amd64"
		}
		for _, arch := range strings.Split(arches, ",") {
			arch = strings.TrimSpace(arch)
			folder := get(arch, "Directory")
			if folder == "" {
				folder = "."
			}
			for _, tag := range strings.Split(fields["Tags"]+","+fields["SharedTags"], ",") {
				if tag = strings.TrimSpace(tag); tag != "" {
					truths = append(truths, libraryTruth{tag, arch, get(arch, "GitRepo"), get(arch, "GitCommit"), folder})
				}
			}
		}
	}
	return truths
}
