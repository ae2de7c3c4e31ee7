package advisory

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/backstitch/backstitch/fact"
)

// ErrNothing says that no path held anything that can be imported.
var ErrNothing = errors.New("no advisories found")

// Summary says what an import did.
type Summary struct {
	Status
	Bytes      int64 // size of the index file
	Duplicates int   // records that a newer record of the same id replaced
	Bad        int   // records that were skipped
	// Problems are the first hundred bad records and files; Omitted counts
	// the others.
	Problems []Problem
	Omitted  int
}

// Import reads the files and folders named by paths and writes one index file
// at out, replacing one that is there only when everything was read. What is
// in a file decides how it is read, not its name; folders are searched. Bad
// records are reported in the Summary and skipped.
//
// Of several records with one id the last modified one counts. The result does
// not depend on the order of paths; now is only recorded.
func Import(ctx context.Context, out string, paths []string, now time.Time) (Summary, error) {
	if len(paths) == 0 {
		return Summary{}, fmt.Errorf("import advisories: %w: no path given", ErrNothing)
	}
	folder := filepath.Dir(out)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return Summary{}, fmt.Errorf("import advisories: %w", err)
	}
	spilled, err := os.CreateTemp(folder, ".advisories-spill-*")
	if err != nil {
		return Summary{}, fmt.Errorf("import advisories: %w", err)
	}
	defer os.Remove(spilled.Name())
	defer spilled.Close()
	build := newBuilder(&fileSpill{file: spilled, buf: bufio.NewWriterSize(spilled, 1<<18)})
	for _, path := range paths {
		if err := (&reader{build: build}).path(ctx, path); err != nil {
			return Summary{}, err
		}
	}
	if len(build.entries) == 0 && len(build.signals) == 0 && len(build.lives) == 0 {
		return Summary{Problems: build.problems, Omitted: build.omitted, Bad: build.badCount}, fmt.Errorf("import advisories: %w%s", ErrNothing, build.firstProblem())
	}
	finished, err := os.CreateTemp(folder, ".advisories-*")
	if err != nil {
		return Summary{}, fmt.Errorf("import advisories: %w", err)
	}
	defer os.Remove(finished.Name())
	summary, err := build.write(ctx, finished, now)
	if err == nil {
		err = finished.Sync()
	}
	if info, statErr := finished.Stat(); statErr == nil {
		summary.Bytes = info.Size()
	}
	if err = errors.Join(err, finished.Close()); err != nil {
		return Summary{}, fmt.Errorf("import advisories: %w", err)
	}
	if err := os.Rename(finished.Name(), out); err != nil {
		return Summary{}, fmt.Errorf("import advisories: %w", err)
	}
	return summary, nil
}

// FromMemory makes an index of advisories in memory, for tests and detectors.
// Of several with one id the last modified one counts. It fails only on more
// data than a table can hold, and then gives an empty index.
func FromMemory(advs []fact.Advisory) *Index {
	store := &memory{}
	build := newBuilder(store)
	for i := range advs {
		d := &decoded{Advisory: advs[i]}
		d.ID = canonicalID(d.ID)
		d.Aliases = cleanIDs(d.Aliases, d.ID)
		number := slices.IndexFunc(build.sources, func(s Source) bool { return s.Name == d.Source })
		if number < 0 {
			number = build.addSource(d.Source)
			build.sources[number].Kind = kindOSV
		}
		build.sources[number].Count++
		build.sources[number].Newest = max(build.sources[number].Newest, d.Modified)
		if build.add(d, number) != nil {
			break
		}
	}
	image := &memory{}
	_, err := build.write(context.Background(), image, time.UnixMicro(0))
	x, openErr := newIndex(textOf(image.data))
	if errors.Join(err, openErr) != nil {
		return FromMemory(nil)
	}
	return x
}

// spill keeps encoded records while an import runs, so that they need no memory.
type spill interface {
	append(p []byte) error
	read(p []byte, at int64) error
}

type fileSpill struct {
	file *os.File
	buf  *bufio.Writer
}

func (s *fileSpill) append(p []byte) error {
	_, err := s.buf.Write(p)
	return err
}

func (s *fileSpill) read(p []byte, at int64) error {
	if s.buf.Buffered() > 0 {
		if err := s.buf.Flush(); err != nil {
			return err
		}
	}
	_, err := s.file.ReadAt(p, at)
	return err
}

// memory is a spill, and a file to write an index to, in memory.
type memory struct {
	data []byte
	at   int
}

func (m *memory) append(p []byte) error {
	m.data = append(m.data, p...)
	return nil
}

func (m *memory) read(p []byte, at int64) error {
	copy(p, m.data[at:])
	return nil
}

func (m *memory) Write(p []byte) (int, error) {
	over := copy(m.data[m.at:], p)
	m.data = append(m.data, p[over:]...)
	m.at += len(p)
	return len(p), nil
}

func (m *memory) Seek(offset int64, _ int) (int64, error) {
	m.at = int(offset)
	return offset, nil
}

// entry is one record of an import; its content is in the spill.
type entry struct {
	id       string
	modified int64
	at       int64
	length   int32
	source   int32
}

// signal is what KEV and EPSS say about a CVE.
type signal struct {
	day       int64
	epss      uint32
	exploited bool
}

// rating is a severity that a class can lend to members without one.
type rating struct {
	severity fact.Severity
	score    float64
	vector   string
}

// builder collects records and writes the index.
type builder struct {
	spill    spill
	size     int64
	entries  []entry
	byID     map[string]int
	aliases  map[string][]string // per record id
	upstream map[string][]string // CVEs that only lend their signals
	ratings  map[string]rating
	signals  map[string]signal
	lives    map[string]life // by name
	sources  []Source
	into     []int // for each source, the one it became part of; itself otherwise

	duplicates, badCount, omitted int
	problems                      []Problem
}

func newBuilder(s spill) *builder {
	return &builder{
		spill: s, byID: map[string]int{}, aliases: map[string][]string{}, upstream: map[string][]string{},
		ratings: map[string]rating{}, signals: map[string]signal{}, lives: map[string]life{},
	}
}

func (b *builder) addSource(name string) int {
	b.sources = append(b.sources, Source{Name: name})
	b.into = append(b.into, len(b.into))
	return len(b.sources) - 1
}

// foldSource makes a source of a single record part of its folder's.
func (b *builder) foldSource(number, into int) {
	from, to := b.sources[number], &b.sources[into]
	b.sources[number], b.into[number] = Source{}, into
	if from.Count == 0 {
		return
	}
	to.Kind = cmp.Or(to.Kind, from.Kind)
	to.Count += from.Count
	to.Newest = max(to.Newest, from.Newest)
	sum := sha256.Sum256([]byte(to.Digest + "\n" + from.Name + "\n" + from.Digest))
	to.Digest = "sha256:" + hex.EncodeToString(sum[:])
}

func (b *builder) problem(path string, line int, err error) {
	if len(b.problems) == maxProblems {
		b.omitted++
		return
	}
	b.problems = append(b.problems, Problem{Path: path, Line: line, Text: err.Error()})
}

func (b *builder) bad(path string, line int, err error) {
	b.badCount++
	b.problem(path, line, err)
}

func (b *builder) firstProblem() string {
	if len(b.problems) == 0 {
		return ""
	}
	return ": " + b.problems[0].String()
}

// add takes one record; of two with one id the later modified one stays, and
// of two modified at once the one whose content sorts last.
func (b *builder) add(d *decoded, source int) error {
	content := encodeAdvisory(&d.Advisory)
	if len(content) > maxRecord {
		return fmt.Errorf("%s: record of %d bytes, expected at most %d", d.ID, len(content), maxRecord)
	}
	next := entry{id: d.ID, modified: d.Modified, at: b.size, length: int32(len(content)), source: int32(source)}
	if i, twice := b.byID[d.ID]; twice {
		b.duplicates++
		old := b.entries[i]
		if old.modified > next.modified {
			return nil
		}
		if old.modified == next.modified {
			previous := make([]byte, old.length)
			if err := b.spill.read(previous, old.at); err != nil {
				return &fatalError{err}
			}
			if string(previous) >= string(content) {
				return nil
			}
		}
		b.entries[i] = next
	} else {
		b.byID[d.ID] = len(b.entries)
		b.entries = append(b.entries, next)
	}
	if err := b.spill.append(content); err != nil {
		return &fatalError{err}
	}
	b.size += int64(len(content))
	b.relate(d)
	return nil
}

// relate remembers what classes need to know of the record that stands for an id.
func (b *builder) relate(d *decoded) {
	same, from := d.Aliases, []string(nil)
	for _, id := range d.upstream {
		switch {
		case strings.HasSuffix(d.ID, "-"+id): // UBUNTU-CVE-2024-1 is CVE-2024-1 in other words
			same = append(same[:len(same):len(same)], id)
		case strings.HasPrefix(id, "CVE-"):
			from = append(from, id)
		}
	}
	set(b.aliases, d.ID, same)
	set(b.upstream, d.ID, from)
	if d.Severity == fact.SeverityUnknown {
		delete(b.ratings, d.ID)
	} else {
		b.ratings[d.ID] = rating{d.Severity, d.Score, d.Vector}
	}
}

func set(m map[string][]string, id string, list []string) {
	if len(list) == 0 {
		delete(m, id)
		return
	}
	m[id] = list
}

// classes are the alias classes of several ids. Ids are numbered in their
// order, so that the members of a class are in order too.
type classes struct {
	ids     []string
	number  map[string]uint32
	parent  []uint32
	members []uint32 // class after class
	first   []uint32 // for the first id of a class: where its members begin
	count   []uint32 // for the first id of a class: how many they are
}

// classes joins ids to alias classes.
func (b *builder) classes() *classes {
	c := &classes{number: map[string]uint32{}}
	note := func(id string) {
		if _, known := c.number[id]; !known {
			c.number[id] = 0
			c.ids = append(c.ids, id)
		}
	}
	for id, aliases := range b.aliases {
		note(id)
		for _, alias := range aliases {
			note(alias)
		}
	}
	slices.Sort(c.ids)
	c.parent = make([]uint32, len(c.ids))
	for i, id := range c.ids {
		c.number[id], c.parent[i] = uint32(i), uint32(i)
	}
	for id, aliases := range b.aliases {
		for _, alias := range aliases {
			x, y := c.root(c.number[id]), c.root(c.number[alias])
			c.parent[max(x, y)] = min(x, y)
		}
	}
	c.first, c.count = make([]uint32, len(c.ids)), make([]uint32, len(c.ids))
	for i := range c.ids {
		c.count[c.root(uint32(i))]++
	}
	at := uint32(0)
	for i, n := range c.count {
		c.first[i] = at
		at += n
	}
	c.members = make([]uint32, len(c.ids))
	next := slices.Clone(c.first)
	for i := range c.ids {
		class := c.root(uint32(i))
		c.members[next[class]] = uint32(i)
		next[class]++
	}
	return c
}

// root gives the first id of a class, and shortens the way to it.
func (c *classes) root(i uint32) uint32 {
	for c.parent[i] != i {
		c.parent[i] = c.parent[c.parent[i]]
		i = c.parent[i]
	}
	return i
}

// of lists the ids of a class, the id alone when it is in none of several.
func (c *classes) of(id string) []string {
	number, ok := c.number[id]
	if !ok {
		return []string{id}
	}
	class := c.root(number)
	members := make([]string, c.count[class])
	for i := range members {
		members[i] = c.ids[c.members[int(c.first[class])+i]]
	}
	return members
}

// lend completes a record from its class: KEV and EPSS of its CVEs, and the
// worst rating when it has none of its own.
func (b *builder) lend(a *fact.Advisory, class []string) {
	take := func(id string) {
		s, ok := b.signals[id]
		if !ok {
			return
		}
		a.Exploited = a.Exploited || s.exploited
		a.EPSS = max(a.EPSS, float64(s.epss)/epssUnit)
	}
	best := rating{}
	for _, id := range class {
		take(id)
		r := b.ratings[id]
		if c := cmp.Or(cmp.Compare(r.severity, best.severity), cmp.Compare(r.score, best.score), cmp.Compare(r.vector, best.vector)); c > 0 {
			best = r
		}
	}
	for _, id := range b.upstream[a.ID] {
		take(id)
	}
	if a.Severity == fact.SeverityUnknown {
		a.Severity = best.severity
		if a.Vector == "" {
			a.Score, a.Vector = best.score, best.vector
		}
	}
}

// posting is one record that names one package.
type posting struct {
	key    string
	record uint32
}

// write writes the index to out.
func (b *builder) write(ctx context.Context, out io.WriteSeeker, now time.Time) (Summary, error) {
	slices.SortFunc(b.entries, func(x, y entry) int { return strings.Compare(x.id, y.id) })
	w, err := newFileWriter(out)
	if err != nil {
		return Summary{}, err
	}
	status := Status{ImportedAt: now.UnixMicro(), Advisories: len(b.entries)}
	renumbered := b.orderSources(&status)
	classes := b.classes()
	sum := sha256.New()
	fmt.Fprintf(sum, "backstitch advisory index 1\n%d\n", len(b.entries))
	offsets := make([]byte, 0, 8*len(b.entries))
	var postings []posting
	keys := map[string]string{}
	written, head, buf := uint64(0), make([]byte, recordHead), []byte(nil)
	for i, e := range b.entries {
		if i%1024 == 0 && ctx.Err() != nil {
			return Summary{}, ctx.Err()
		}
		buf = slices.Grow(buf[:0], int(e.length))[:e.length]
		if err := b.spill.read(buf, e.at); err != nil {
			return Summary{}, err
		}
		a, err := decodeAdvisory(textOf(buf))
		if err != nil {
			return Summary{}, err
		}
		b.lend(&a, classes.of(e.id))
		if a.Exploited {
			status.Exploited++
		}
		if a.Withdrawn != 0 {
			status.Withdrawn++
		} else {
			postings = appendPostings(postings, keys, &a, uint32(i))
		}
		payload := encodeAdvisory(&a)
		binary.LittleEndian.PutUint32(head[4:], uint32(len(payload)))
		binary.LittleEndian.PutUint32(head[8:], uint32(renumbered[e.source]))
		binary.LittleEndian.PutUint32(head, crc32.Update(crc32.Checksum(head[4:], castagnoli), castagnoli, payload))
		offsets = binary.LittleEndian.AppendUint64(offsets, written)
		written += uint64(recordHead + len(payload))
		for _, part := range [][]byte{head, payload} {
			if _, err := w.Write(part); err != nil {
				return Summary{}, err
			}
		}
		fmt.Fprintf(sum, "%d\n", len(payload))
		sum.Write(payload)
	}
	w.end(secRecords)
	if err := w.section(secOffsets, offsets); err != nil {
		return Summary{}, err
	}
	status.Packages = len(keys)
	err = errors.Join(writePackages(w, postings), writeClasses(w, classes), b.writeSignals(w, sum), b.writeLives(w, sum, &status))
	if err != nil {
		return Summary{}, err
	}
	status.Digest = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	meta, err := json.Marshal(status)
	if err != nil {
		return Summary{}, err
	}
	if err := w.section(secMeta, meta); err != nil {
		return Summary{}, err
	}
	return Summary{Status: status, Duplicates: b.duplicates, Bad: b.badCount, Problems: b.problems, Omitted: b.omitted}, w.finish()
}

// orderSources puts the sources that gave something into order of name, kind
// and digest, and says where each went.
func (b *builder) orderSources(status *Status) []int {
	order := make([]int, len(b.sources))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(x, y int) int {
		p, q := b.sources[x], b.sources[y]
		return cmp.Or(cmp.Compare(p.Name, q.Name), cmp.Compare(p.Kind, q.Kind), cmp.Compare(p.Digest, q.Digest))
	})
	renumbered := make([]int, len(b.sources))
	status.Sources = []Source{}
	for _, number := range order {
		if b.sources[number].Count == 0 {
			continue
		}
		renumbered[number] = len(status.Sources)
		status.Sources = append(status.Sources, b.sources[number])
	}
	for number, into := range b.into {
		renumbered[number] = renumbered[into]
	}
	return renumbered
}

// appendPostings names each package of a record once. The keys are copied, as
// the record's texts live in a buffer.
func appendPostings(postings []posting, keys map[string]string, a *fact.Advisory, number uint32) []posting {
	first := len(postings)
	for i := range a.Affected {
		base, _ := canonicalEcosystem(a.Affected[i].Ecosystem)
		key := packageKey(base, a.Affected[i].Name)
		kept, ok := keys[key]
		if !ok {
			kept = strings.Clone(key)
			keys[kept] = kept
		}
		if !slices.ContainsFunc(postings[first:], func(p posting) bool { return p.key == kept }) {
			postings = append(postings, posting{kept, number})
		}
	}
	return postings
}

func writePackages(w *fileWriter, postings []posting) error {
	slices.SortFunc(postings, func(x, y posting) int {
		return cmp.Or(strings.Compare(x.key, y.key), cmp.Compare(x.record, y.record))
	})
	var rows []row
	numbers := make([]byte, 0, 4*len(postings))
	for i, p := range postings {
		if len(rows) == 0 || rows[len(rows)-1].key != p.key {
			rows = append(rows, row{key: p.key, a: uint32(i)})
		}
		rows[len(rows)-1].b++
		numbers = binary.LittleEndian.AppendUint32(numbers, p.record)
	}
	return errors.Join(writeTable(w, secPackageText, secPackages, rows), w.section(secPostings, numbers))
}

func writeClasses(w *fileWriter, c *classes) error {
	rows := make([]row, len(c.ids))
	for i, id := range c.ids {
		class := c.root(uint32(i))
		rows[i] = row{id, c.first[class], c.count[class]}
	}
	members := make([]byte, 0, 4*len(c.members))
	for _, number := range c.members {
		members = binary.LittleEndian.AppendUint32(members, number)
	}
	return errors.Join(writeTable(w, secIDText, secIDs, rows), w.section(secMembers, members))
}

// writeSignals keeps what KEV and EPSS say of CVEs for which there is no record.
func (b *builder) writeSignals(w *fileWriter, sum io.Writer) error {
	var rows []row
	for _, id := range slices.Sorted(maps.Keys(b.signals)) {
		if _, recorded := b.byID[id]; recorded {
			continue
		}
		s, flags := b.signals[id], uint32(0)
		if s.exploited {
			flags = 1
		}
		rows = append(rows, row{id, s.epss, flags})
		fmt.Fprintf(sum, "%s %d %d\n", id, s.epss, flags)
	}
	return writeTable(w, secSignalText, secSignals, rows)
}

func writeTable(w *fileWriter, text, entries int, rows []row) error {
	texts, values, err := encodeTable(rows)
	if err != nil {
		return err
	}
	return errors.Join(w.section(text, texts), w.section(entries, values))
}
