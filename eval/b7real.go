package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/code/dockerfile"
	"github.com/backstitch/backstitch/image"
)

// realScore counts the RUN, COPY and ADD entries of histories that a plain
// reading of real Dockerfiles gives, among all of them as candidates.
type realScore struct{ cases, answered, right int }

// plainInstruction is an instruction as a plain reading sees it.
type plainInstruction struct {
	kind, args string
	line, end  int
}

// plainDockerfile joins continuation lines and drops comments; it gives the
// instructions of each stage and refuses what it does not understand.
func plainDockerfile(text string) (stages [][]plainInstruction, ok bool) {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		if strings.HasPrefix(line, "#") {
			if strings.Contains(strings.ToLower(line), "escape=") && len(stages) == 0 {
				return nil, false
			}
			continue
		}
		if line == "" {
			continue
		}
		start := i
		joined := lines[i]
		for strings.HasSuffix(strings.TrimRight(joined, " \t"), `\`) {
			joined = strings.TrimSuffix(strings.TrimRight(joined, " \t"), `\`)
			for i++; i < len(lines); i++ {
				if next := strings.TrimSpace(lines[i]); next != "" && !strings.HasPrefix(next, "#") {
					break
				}
			}
			if i == len(lines) {
				return nil, false
			}
			joined += lines[i]
		}
		kind, args, _ := strings.Cut(strings.TrimSpace(joined), " ")
		kind = strings.ToUpper(kind)
		if strings.Contains(args, "<<") || kind == "ONBUILD" {
			return nil, false
		}
		in := plainInstruction{kind, strings.TrimSpace(args), start + 1, i + 1}
		switch {
		case kind == "FROM":
			stages = append(stages, []plainInstruction{in})
		case len(stages) > 0:
			stages[len(stages)-1] = append(stages[len(stages)-1], in)
		}
	}
	return stages, len(stages) > 0
}

var plainFlag = regexp.MustCompile(`^--[a-z-]+(=\S+)?\s+`)

// plainHistory is what BuildKit writes for the last stage: no variable is known
// to it but those of the stages' own ENV and ARG.
func plainHistory(stages [][]plainInstruction) (entries []image.HistoryEntry, of []plainInstruction) {
	var chain []plainInstruction
	at := len(stages) - 1
	for at >= 0 {
		chain = append(slices.Clone(stages[at][1:]), chain...)
		words := strings.Fields(plainFlag.ReplaceAllString(stages[at][0].args, ""))
		next := -1
		for i := range at {
			earlier := strings.Fields(stages[i][0].args)
			if n := len(earlier); n >= 3 && len(words) > 0 && strings.EqualFold(earlier[n-1], words[0]) {
				next = i
			}
		}
		at = next
	}
	add := func(in plainInstruction, text string, empty bool) {
		entries = append(entries, image.HistoryEntry{CreatedBy: text, EmptyLayer: empty, Comment: "buildkit.dockerfile.v0"})
		of = append(of, in)
	}
	add(plainInstruction{}, "RUN /bin/sh -c base # buildkit", false)
	shell := "/bin/sh -c "
	var vars [][2]string
	args := 0
	given := ""
	for _, in := range chain {
		text := in.args
		for plainFlag.MatchString(text) {
			text = plainFlag.ReplaceAllString(text, "")
		}
		switch in.kind {
		case "RUN":
			var words []string
			if json.Unmarshal([]byte(text), &words) == nil {
				add(in, "RUN "+strings.Join(words, " ")+" # buildkit", false)
				continue
			}
			head := ""
			if args > 0 {
				head = "|" + strconv.Itoa(args) + given + " "
			}
			add(in, "RUN "+head+shell+text+" # buildkit", false)
		case "COPY", "ADD":
			if strings.HasPrefix(text, "[") {
				text = strings.NewReplacer("[", "", "]", "", `"`, "", ",", " ").Replace(text)
			}
			add(in, in.kind+" "+strings.Join(strings.Fields(replaced(text, vars)), " ")+" # buildkit", false)
		case "SHELL":
			shell = strings.TrimSpace(strings.NewReplacer("[", "", "]", "", `"`, "", ",", " ").Replace(text)) + " "
			add(in, "SHELL ["+strings.TrimSpace(shell)+"]", true)
		case "ARG", "ENV":
			// The old form ENV KEY VALUE is written in the new one.
			if key, value, ok := strings.Cut(text, " "); ok && in.kind == "ENV" && !strings.Contains(key, "=") {
				text = key + "=" + strings.TrimSpace(value)
			}
			for _, word := range strings.Fields(text) {
				if key, value, ok := strings.Cut(word, "="); ok {
					value = replaced(strings.Trim(value, `"'`), vars)
					vars = append(vars, [2]string{key, value})
					if in.kind == "ARG" {
						args++
						given += " " + key + "=" + value
					}
				}
			}
			add(in, in.kind+" "+replaced(text, vars), true)
		default:
			add(in, in.kind+" "+replaced(text, vars), true)
		}
	}
	return entries, of
}

func topScore(ranking image.Ranking) float64 {
	if len(ranking.Best) == 0 {
		return 0
	}
	return ranking.Best[0].Alignment.Score
}

// realHistories ranks the real Dockerfiles of the data for each one's history.
func realHistories(data string, notes *[]string) (realScore, error) {
	var score realScore
	var candidates []image.Candidate
	texts := map[string]string{}
	for _, folder := range []string{"app-trees", "images/docker-library-python", "fixes/dockerfile-base", "hardened-images"} {
		root := filepath.Join(data, folder)
		err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !dockerfile.Named(filepath.ToSlash(name)) {
				return err
			}
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			if file, err := dockerfile.Parse(name, text); err == nil && len(file.Problems) == 0 {
				candidates = append(candidates, image.Candidate{Path: name, File: file})
				texts[name] = string(text)
			}
			return nil
		})
		if err != nil && !os.IsNotExist(err) {
			return score, err
		}
	}
	for _, candidate := range candidates {
		stages, ok := plainDockerfile(texts[candidate.Path])
		if !ok {
			continue
		}
		entries, of := plainHistory(stages)
		layers := 0
		for _, entry := range entries {
			if !entry.EmptyLayer {
				layers++
			}
		}
		if layers < 3 {
			continue
		}
		steps := image.ParseHistory(entries, layers)
		ranking := image.Rank(steps, candidates, "")
		lines := map[int][][3]any{}
		for _, fit := range ranking.Best {
			for _, match := range fit.Alignment.Matches {
				for _, in := range match.Instructions {
					lines[match.Step] = append(lines[match.Step], [3]any{candidates[fit.Candidate].Path, in.Line, in.EndLine})
				}
			}
		}
		unanswered := 0
		for i, in := range of {
			if entries[i].EmptyLayer || in.line == 0 {
				continue
			}
			score.cases++
			if !ranking.Answered || len(lines[i]) == 0 {
				unanswered++
				continue
			}
			score.answered++
			if slices.Contains(lines[i], [3]any{candidate.Path, in.line, in.end}) {
				score.right++
			} else if len(*notes) < 150 {
				*notes = append(*notes, candidate.Path+": line "+strconv.Itoa(in.line)+" was not named")
			}
		}
		if unanswered > 0 && len(*notes) < 150 {
			*notes = append(*notes, fmt.Sprintf("%s: %d of %d steps unanswered: %s (score %.2f)", candidate.Path, unanswered, layers-1, ranking.Reason, topScore(ranking)))
		}
	}
	return score, nil
}
