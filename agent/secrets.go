package agent

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"unicode"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// Bounds of what is kept out of sight.
const (
	maxSecretLines = 10_000 // of a repository
	maxSecretSpan  = 200    // lines of one secret
	leastSecret    = 8      // bytes of a word that may be one
	longSecret     = 20     // bytes of a word that is taken for one whatever its letters
)

// inPlace stands where a secret stood.
const inPlace = "[secret]"

// secrets is what detectors say is secret in a repository, so that no diff and no path
// shows it. Detectors name lines; which of their words is the secret is not kept.
type secrets struct {
	lines map[string]map[int]bool // by file
	whole map[string]bool         // lines without their indentation
	words []string                // longest first
}

// secretsOf reads the lines where detectors saw secrets.
func (s *scene) secretsOf(ctx context.Context) *secrets {
	list := &secrets{lines: map[string]map[int]bool{}, whole: map[string]bool{}}
	texts := map[string][]string{}
	count := 0
	for i := range s.findings {
		f := &s.findings[i]
		if f.Kind != fact.Secret || f.Line < 1 || f.Path == "" {
			continue
		}
		name := code.CleanPath(f.Path)
		text, known := texts[name]
		if !known && name != "" {
			if data, err := s.tree.Read(ctx, name); err == nil {
				text = strings.Split(string(data), "\n")
			}
			texts[name] = text
		}
		last := min(max(f.Line, f.EndLine), f.Line+maxSecretSpan, len(text))
		for n := f.Line; n <= last && count < maxSecretLines; n++ {
			count++
			if list.lines[name] == nil {
				list.lines[name] = map[int]bool{}
			}
			list.lines[name][n] = true
			list.add(strings.TrimSpace(text[n-1]))
		}
	}
	slices.SortFunc(list.words, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	return list
}

func (l *secrets) add(line string) {
	if len(line) < leastSecret {
		return
	}
	l.whole[line] = true
	for _, word := range strings.FieldsFunc(line, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("\"'`,;:={}[]()<>|&", r) }) {
		if len(word) >= leastSecret && (len(word) >= longSecret || strings.ContainsAny(word, "0123456789") && strings.IndexFunc(word, unicode.IsLetter) >= 0) && !slices.Contains(l.words, word) {
			l.words = append(l.words, word)
		}
	}
}

// hide takes what may be a secret out of a text of one or more lines, as those of a diff.
func (l *secrets) hide(text string) string {
	if len(l.whole) == 0 || text == "" {
		return text
	}
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		body := strings.TrimLeft(line, " +-\t")
		if plain := strings.TrimSpace(body); l.whole[plain] {
			lines[i] = line[:len(line)-len(body)] + inPlace + body[len(strings.TrimRight(body, " \t\r\n")):]
			continue
		}
		for _, word := range l.words {
			lines[i] = strings.ReplaceAll(lines[i], word, inPlace)
		}
	}
	return strings.Join(lines, "")
}

// keep keeps secrets out of a path. One whose edits hold a secret is left to people.
func (l *secrets) keep(p fix.Path) fix.Path {
	if len(l.whole) == 0 {
		return p
	}
	p.Summary = l.hide(p.Summary)
	p.Steps = l.steps(p.Steps)
	p.Undo = l.steps(p.Undo)
	p.Edits = slices.Clone(p.Edits)
	for i := range p.Edits {
		e := &p.Edits[i]
		if l.hide(e.Old) != e.Old || l.hide(e.New) != e.New {
			p.Edits, p.Manual = nil, true
			p.Summary += "; by hand, since a secret stands in what changes"
			break
		}
		meets := l.hide(e.Context) != e.Context
		for n := e.Line; n <= e.Line+strings.Count(e.Context, "\n") && !meets; n++ {
			meets = l.lines[e.Path][n]
		}
		if meets {
			// An edit is found again by its surroundings; this one only where nothing moved.
			sum := sha256.Sum256([]byte(e.Context))
			e.Context = inPlace + " " + hex.EncodeToString(sum[:8])
		}
	}
	return p
}

func (l *secrets) steps(steps []fix.Step) []fix.Step {
	steps = slices.Clone(steps)
	for i := range steps {
		steps[i].Text, steps[i].Command = l.hide(steps[i].Text), l.hide(steps[i].Command)
	}
	return steps
}
