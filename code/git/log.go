package git

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"strconv"
	"strings"
)

// logFormat begins each commit with a NUL and ends each field with one.
const logFormat = "%x00%H%x00%P%x00%an%x00%ae%x00%at%x00%cn%x00%ce%x00%ct%x00%B%x00"

// Bounds of what is kept of one commit.
const (
	maxMessage = 64 << 10
	maxField   = 64 << 10
	maxPeople  = 32
	maxTouches = 1_000_000
)

// parseLog reads the output of git log into h.
func parseLog(in io.Reader, h *History) error {
	p := &logParser{in: bufio.NewReaderSize(in, 1<<18), h: h, seed: maphash.MakeSeed()}
	for {
		first, err := p.in.Peek(1)
		if err == io.EOF {
			p.finish()
			return nil
		}
		if err != nil {
			return err
		}
		switch {
		case first[0] == 0:
			p.finish()
			err = p.header()
		case first[0] == ':':
			err = p.raw()
		case first[0] == '@':
			err = p.hunk()
		default:
			err = p.other()
		}
		if err != nil {
			if len(h.entries) > 0 {
				return fmt.Errorf("git log at %s: %w", h.entries[len(h.entries)-1].ID, err)
			}
			return fmt.Errorf("git log: %w", err)
		}
	}
}

type logParser struct {
	in   *bufio.Reader
	h    *History
	seed maphash.Seed

	entry   *Entry
	byPath  map[string]int // touches of entry by new path
	current int            // touch of the patch section, -1 for none
	oldName string
	marks   map[uint64]int // how often each change of text was made in entry
	hunks   int
	format  int
}

// line reads one line without its end; what is past maxField is dropped.
func (p *logParser) line() ([]byte, error) {
	line, err := p.in.ReadSlice('\n')
	if err == nil {
		return line[:len(line)-1], nil
	}
	if err == io.EOF && len(line) > 0 {
		return line, nil
	}
	if !errors.Is(err, bufio.ErrBufferFull) {
		return nil, err
	}
	kept := bytes.Clone(line[:maxField])
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = p.in.ReadSlice('\n')
	}
	if err == io.EOF {
		err = nil
	}
	return kept, err
}

// field reads up to a NUL; what is past limit is dropped.
func (p *logParser) field(limit int) (string, error) {
	var kept []byte
	for {
		part, err := p.in.ReadSlice(0)
		if len(kept) < limit {
			kept = append(kept, part[:min(len(part), limit-len(kept)+1)]...)
		}
		if err == nil {
			return string(bytes.TrimSuffix(kept[:min(len(kept), limit)], []byte{0})), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return "", fmt.Errorf("header ends early: %w", err)
		}
	}
}

func (p *logParser) header() error {
	if len(p.h.entries) >= maxCommits {
		return fmt.Errorf("more than %d commits", maxCommits)
	}
	if _, err := p.in.Discard(1); err != nil {
		return err
	}
	var fields [9]string
	for i := range fields {
		limit := maxField
		if i == 8 {
			limit = maxMessage
		}
		var err error
		if fields[i], err = p.field(limit); err != nil {
			return err
		}
	}
	if !isID(fields[0]) {
		return fmt.Errorf("expected a commit id, found %q", clean(fields[0], 64))
	}
	h := p.h
	e := Entry{ID: fields[0], Author: h.ident(fields[2], fields[3]), Committer: h.ident(fields[5], fields[6])}
	for _, parent := range strings.Fields(fields[1]) {
		i, ok := h.byID[parent]
		if !ok {
			i = -1
		}
		e.Parents = append(e.Parents, i)
	}
	e.Authored, e.Committed = seconds(fields[4]), seconds(fields[7])
	subject, _, _ := strings.Cut(strings.TrimLeft(fields[8], "\n"), "\n")
	e.Subject = clean(subject, 200)
	e.CoAuthors, e.Approvers = p.trailers(fields[8])
	h.byID[e.ID] = int32(len(h.entries))
	h.entries = append(h.entries, e)
	p.entry = &h.entries[len(h.entries)-1]
	p.byPath, p.current = map[string]int{}, -1
	p.marks, p.hunks, p.format = map[uint64]int{}, 0, 0
	return nil
}

// seconds reads a time; one out of the range that calendars hold is 0.
func seconds(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > 1<<40 {
		return 0
	}
	return n
}

// trailers reads the people that a message names. They may stand anywhere, as
// squash merges put them between other text.
func (p *logParser) trailers(message string) (coAuthors, approvers []int32) {
	var signed []int32
	for _, line := range strings.Split(message, "\n") {
		key, value, ok := strings.Cut(line, ":")
		if !ok || len(key) > 20 || len(line) > 1000 {
			continue
		}
		name, rest, ok := strings.Cut(value, "<")
		email, _, closed := strings.Cut(rest, ">")
		if !ok || !closed || !strings.Contains(email, "@") {
			continue
		}
		list := &signed
		switch strings.ToLower(strings.TrimSpace(key)) {
		case "co-authored-by":
			list = &coAuthors
		case "reviewed-by", "approved-by", "merged-by", "acked-by":
			list = &approvers
		case "signed-off-by":
		default:
			continue
		}
		if len(*list) < maxPeople {
			*list = append(*list, p.h.ident(name, email))
		}
	}
	return coAuthors, append(approvers, signed...)
}

func (p *logParser) raw() error {
	line, err := p.line()
	if err != nil {
		return err
	}
	if p.entry == nil {
		return fmt.Errorf("a change before any commit: %q", clean(string(line), 80))
	}
	meta, names, ok := bytes.Cut(line, []byte{'\t'})
	words := strings.Fields(string(meta))
	if !ok || len(words) != 5 || words[4] == "" {
		return fmt.Errorf("expected a raw change, found %q", clean(string(line), 80))
	}
	if words[1] == "160000" || words[1] == "000000" && words[0] == ":160000" {
		return nil // a submodule
	}
	if len(p.entry.Touches) >= maxTouches {
		return fmt.Errorf("more than %d files in one commit", maxTouches)
	}
	first, second, two := strings.Cut(string(names), "\t")
	name := unquote(first)
	t := Touch{Old: -1, Status: words[4][0]}
	switch t.Status {
	case 'R':
		if !two {
			return fmt.Errorf("expected two names, found %q", clean(string(line), 80))
		}
		t.Old = p.h.path(name)
		name = unquote(second)
	case 'A', 'M', 'T':
	case 'D':
	default:
		return fmt.Errorf("unknown status in %q", clean(string(line), 80))
	}
	t.Path = p.h.path(name)
	if t.Status != 'D' && len(words[3]) >= 16 {
		if id, err := hex.DecodeString(words[3][:16]); err == nil {
			t.Blob = binary.BigEndian.Uint64(id)
		}
	}
	// Hunks of a change of content are known once its patch was read.
	t.Opaque = words[2] != words[3]
	p.byPath[name] = len(p.entry.Touches)
	p.entry.Touches = append(p.entry.Touches, t)
	return nil
}

// unquote undoes git's C-style quoting of a path.
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	s = s[1 : len(s)-1]
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		if at := strings.IndexByte("abtnvfr", s[i]); at >= 0 {
			b.WriteByte("\a\b\t\n\v\f\r"[at])
			continue
		}
		if i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i:i+3], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// other reads a line of a patch's head, or an empty one.
func (p *logParser) other() error {
	line, err := p.line()
	if err != nil {
		return err
	}
	switch {
	case bytes.HasPrefix(line, []byte("diff --git ")):
		p.current, p.oldName = -1, ""
	case bytes.HasPrefix(line, []byte("--- ")):
		p.oldName = sideName(string(line[4:]), "a/")
	case bytes.HasPrefix(line, []byte("+++ ")):
		name := sideName(string(line[4:]), "b/")
		if name == "" {
			name = p.oldName
		}
		if at, ok := p.byPath[name]; ok {
			p.current = at
			p.entry.Touches[at].Opaque = false
		}
	}
	return nil
}

// sideName is the path of a --- or +++ line, "" for /dev/null.
func sideName(s, prefix string) string {
	s = strings.TrimSuffix(s, "\t")
	if s == "/dev/null" {
		return ""
	}
	return strings.TrimPrefix(unquote(s), prefix)
}

func (p *logParser) hunk() error {
	line, err := p.line()
	if err != nil {
		return err
	}
	k, err := parseHunk(string(line))
	if err != nil {
		return err
	}
	var texts [2][][]byte // of short hunks: removed and added lines
	var sums [2]maphash.Hash
	for i := range sums {
		sums[i].SetSeed(p.seed)
	}
	left := [2]int32{k.OldCount, k.NewCount}
	for left[0] > 0 || left[1] > 0 {
		line, err := p.line()
		if err != nil {
			return fmt.Errorf("hunk ends early: %w", err)
		}
		side := -1
		if len(line) > 0 {
			side = strings.IndexByte("-+", line[0])
		}
		if side < 0 {
			if len(line) > 0 && line[0] == '\\' {
				continue
			}
			return fmt.Errorf("expected a changed line, found %q", clean(string(line), 80))
		}
		if left[side]--; left[side] < 0 {
			return errors.New("hunk with more lines than it says")
		}
		text := line[1:]
		if k.OldCount == k.NewCount && k.OldCount <= 4 {
			texts[side] = append(texts[side], bytes.TrimSpace(text[:min(len(text), 512)]))
		}
		for _, word := range bytes.Fields(text) {
			sums[side].Write(word)
		}
	}
	k.Format = sums[0].Sum64() == sums[1].Sum64()
	if p.entry == nil {
		return errors.New("a hunk before any commit")
	}
	if p.current >= 0 {
		t := &p.entry.Touches[p.current]
		t.Hunks = append(t.Hunks, k)
		t.Added += k.NewCount
		t.Deleted += k.OldCount
		if t.Status == 'M' || t.Status == 'R' {
			p.mark(k, texts, sums[0].Sum64(), sums[1].Sum64())
		}
	}
	return nil
}

// mark counts the change of text that a hunk makes, apart from what stands
// around it on the line.
func (p *logParser) mark(k Hunk, texts [2][][]byte, removed, added uint64) {
	p.hunks++
	if k.Format {
		p.format++
		return
	}
	if len(texts[0]) == 0 || len(texts[0]) != len(texts[1]) {
		if k.OldCount > 0 {
			// Replacing text of several lines is uniform only with both sides equal.
			added ^= removed * 31
		}
		p.marks[added]++
		return
	}
	var sum maphash.Hash
	sum.SetSeed(p.seed)
	for i, old := range texts[0] {
		text := texts[1][i]
		from := 0
		for from < len(old) && from < len(text) && old[from] == text[from] {
			from++
		}
		to := 0
		for to < len(old)-from && to < len(text)-from && old[len(old)-1-to] == text[len(text)-1-to] {
			to++
		}
		sum.Write(old[from : len(old)-to])
		sum.WriteByte(0)
		sum.Write(text[from : len(text)-to])
		sum.WriteByte(0)
	}
	p.marks[sum.Sum64()]++
}

// Bounds of a bulk rewrite: at least so many files, and at least this share of
// the hunks changes only white space or makes one of the two commonest changes.
const (
	bulkFiles = 20
	bulkShare = 0.7
)

// finish judges the commit that ended.
func (p *logParser) finish() {
	if p.entry == nil {
		return
	}
	files := 0
	for i := range p.entry.Touches {
		if t := &p.entry.Touches[i]; len(t.Hunks) > 0 && (t.Status == 'M' || t.Status == 'R') {
			files++
		}
	}
	if files >= bulkFiles && len(p.entry.Parents) < 2 {
		first, second := 0, 0
		for _, n := range p.marks {
			if n > first {
				first, second = n, first
			} else if n > second {
				second = n
			}
		}
		p.entry.Bulk = float64(p.format+first+second) >= bulkShare*float64(p.hunks)
	}
	p.entry = nil
}

// parseHunk reads "@@ -a,b +c,d @@".
func parseHunk(line string) (Hunk, error) {
	bad := fmt.Errorf("expected a hunk, found %q", clean(line, 80))
	words := strings.SplitN(line, " ", 4)
	if len(words) < 4 || words[0] != "@@" || !strings.HasPrefix(words[3], "@@") || !strings.HasPrefix(words[1], "-") || !strings.HasPrefix(words[2], "+") {
		return Hunk{}, bad
	}
	var k Hunk
	for i, target := range [2][2]*int32{{&k.OldStart, &k.OldCount}, {&k.NewStart, &k.NewCount}} {
		start, count, has := strings.Cut(words[i+1][1:], ",")
		if !has {
			count = "1"
		}
		for j, text := range [2]string{start, count} {
			n, err := strconv.ParseUint(text, 10, 30)
			if err != nil {
				return Hunk{}, bad
			}
			*target[j] = int32(n)
		}
	}
	if k.OldCount == 0 && k.NewCount == 0 {
		return Hunk{}, bad
	}
	return k, nil
}
