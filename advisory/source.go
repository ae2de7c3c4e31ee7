package advisory

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/klauspost/compress/zstd"
)

// Kinds of sources.
const (
	kindOSV  = "osv"
	kindKEV  = "kev"
	kindEPSS = "epss"
	kindLife = "endoflife"
)

// Bounds of what is read: of one line or document, of how deep compression
// nests, of the entries of one archive, and of how much a compressed file may
// grow (times its size, plus a floor).
const (
	maxDocument   = 64 << 20
	maxNesting    = 3
	maxEntries    = 3_000_000
	maxGrowth     = 200
	growthFloor   = 1 << 30
	maxProblems   = 100
	maxSources    = 1000
	maxWindow     = 128 << 20
	epssUnit      = 1e9
	sniffedPrefix = 512
)

var errGrows = errors.New("it grows out of proportion when unpacked")

// Problem is a record or file that was not imported, or only in part.
type Problem struct {
	Path string // as given, with "!" before the name inside an archive
	Line int    // 1-based, 0 unknown
	Text string
}

// String formats p as path:line: text.
func (p Problem) String() string {
	if p.Line > 0 {
		return fmt.Sprintf("%s:%d: %s", p.Path, p.Line, p.Text)
	}
	return fmt.Sprintf("%s: %s", p.Path, p.Text)
}

// reader feeds the records of files to a builder.
type reader struct {
	build  *builder
	source int    // number of the current source
	label  string // for problems
	alien  aliens
	open   *life // the product of a stream of cycles
}

// aliens counts the documents of a stream that are of no known kind, so that a
// file of something else is one problem and not thousands.
type aliens struct{ count, line int }

var errAlien = errors.New("expected an OSV record with an id, the CISA KEV catalogue or a product of endoflife.date")

// path reads one file or folder that the user named.
func (r *reader) path(ctx context.Context, name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return fmt.Errorf("import advisories: %w", err)
	}
	if !info.IsDir() {
		return r.file(ctx, name, filepath.Base(name), info.Size())
	}
	singles := r.build.addSource(filepath.Base(filepath.Clean(name)))
	err = filepath.WalkDir(name, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			r.build.problem(file, 0, err)
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if entry.IsDir() {
			if file != name && strings.HasPrefix(entry.Name(), ".") {
				return fs.SkipDir
			}
			return nil
		}
		info, err := entry.Info()
		if err != nil || !entry.Type().IsRegular() || !looksLikeData(entry.Name()) {
			return nil
		}
		first := len(r.build.sources)
		relative, _ := filepath.Rel(name, file)
		if err := r.file(ctx, file, filepath.ToSlash(relative), info.Size()); err != nil {
			return err
		}
		if r.build.sources[first].Count <= 1 || first >= maxSources {
			r.build.foldSource(first, singles)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("import advisories: %w", err)
	}
	return nil
}

// looksLikeData keeps a folder's programs, pictures and texts from being
// reported as unreadable; what a file is, its content says.
func looksLikeData(name string) bool {
	lower := strings.ToLower(name)
	for _, suffix := range []string{".json", ".jsonl", ".ndjson", ".csv", ".zip", ".zst", ".gz"} {
		if strings.HasSuffix(lower, suffix) {
			return true
		}
	}
	return false
}

func (r *reader) file(ctx context.Context, name, short string, size int64) error {
	file, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("import advisories: %w", err)
	}
	defer file.Close()
	r.label, r.source = name, r.build.addSource(short)
	sum := sha256.New()
	budget := &budget{left: growthFloor + maxGrowth*size}
	head := make([]byte, 4)
	if n, _ := file.ReadAt(head, 0); n == 4 && string(head) == "PK\x03\x04" {
		if _, err := io.Copy(sum, file); err != nil {
			return fmt.Errorf("import advisories: %w", err)
		}
		err = r.archive(ctx, file, size, budget)
	} else {
		tee := io.TeeReader(file, sum)
		err = r.stream(ctx, tee, budget, 0)
		if err == nil || ctx.Err() == nil {
			_, _ = io.Copy(io.Discard, tee)
		}
	}
	r.build.sources[r.source].Digest = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	if fatal, ok := errors.AsType[*fatalError](err); ok {
		return fatal.err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		r.build.problem(r.label, 0, err)
	}
	return nil
}

// fatalError ends an import: the machine fails, not the input.
type fatalError struct{ err error }

func (e *fatalError) Error() string { return e.err.Error() }

// budget bounds how much a compressed file may grow.
type budget struct{ left int64 }

type budgeted struct {
	from   io.Reader
	budget *budget
}

func (b *budgeted) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	if b.budget.left -= int64(n); b.budget.left < 0 {
		return 0, errGrows
	}
	return n, err
}

func (r *reader) archive(ctx context.Context, file io.ReaderAt, size int64, budget *budget) error {
	archive, err := zip.NewReader(file, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return fmt.Errorf("zip archive: %w", err)
	}
	if len(archive.File) > maxEntries {
		return fmt.Errorf("zip archive: %d entries, expected at most %d", len(archive.File), maxEntries)
	}
	outer := r.label
	defer func() { r.label = outer }()
	for _, entry := range archive.File {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !entry.Mode().IsRegular() || !looksLikeData(entry.Name) {
			continue
		}
		r.label = outer + "!" + strings.Trim(strconv.Quote(clip(entry.Name, 200)), `"`)
		content, err := entry.Open()
		if err != nil {
			r.build.problem(r.label, 0, err)
			continue
		}
		err = r.stream(ctx, &budgeted{content, budget}, budget, 1)
		content.Close()
		if _, fatal := errors.AsType[*fatalError](err); fatal || errors.Is(err, errGrows) {
			return err
		}
		if err != nil {
			r.build.problem(r.label, 0, err)
		}
	}
	return nil
}

// stream recognises what a stream holds and reads it.
func (r *reader) stream(ctx context.Context, in io.Reader, budget *budget, depth int) error {
	buf := bufio.NewReaderSize(in, 1<<16)
	head, err := buf.Peek(sniffedPrefix)
	if len(head) == 0 {
		if err == io.EOF {
			return errors.New("it is empty")
		}
		return err
	}
	if bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) {
		_, _ = buf.Discard(3)
		head = head[3:]
	}
	start := bytes.TrimLeft(head, " \t\r\n")
	switch {
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		if depth == maxNesting {
			return fmt.Errorf("compressed more than %d times", maxNesting)
		}
		unpacked, err := zstd.NewReader(buf, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return fmt.Errorf("zstd: %w", err)
		}
		defer unpacked.Close()
		return r.stream(ctx, &budgeted{unpacked, budget}, budget, depth+1)
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		if depth == maxNesting {
			return fmt.Errorf("compressed more than %d times", maxNesting)
		}
		unpacked, err := gzip.NewReader(buf)
		if err != nil {
			return fmt.Errorf("gzip: %w", err)
		}
		defer unpacked.Close()
		return r.stream(ctx, &budgeted{unpacked, budget}, budget, depth+1)
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return errors.New("an archive inside an archive is not read")
	case bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")):
		return errors.New("it is UTF-16 text; expected UTF-8")
	case bytes.HasPrefix(start, []byte("[")):
		return r.array(ctx, buf)
	case bytes.HasPrefix(start, []byte("{")):
		return r.lines(ctx, buf)
	case bytes.HasPrefix(start, []byte("#model_version")) || bytes.HasPrefix(start, []byte("cve,epss")):
		return r.scores(ctx, buf)
	case bytes.HasPrefix(start, []byte(`"cveID"`)) || bytes.HasPrefix(start, []byte("cveID,")):
		return r.catalogue(ctx, buf)
	}
	return errors.New("not recognised; expected OSV JSON, JSONL or zip, CISA KEV JSON or CSV, EPSS CSV or endoflife.date JSON")
}

// array reads the elements of one JSON array.
func (r *reader) array(ctx context.Context, in io.Reader) error {
	defer r.reportAliens()
	defer r.endLife()
	d := jsontext.NewDecoder(in, lenient)
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for n := 1; d.PeekKind() != ']'; n++ {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		value, err := d.ReadValue()
		if err != nil {
			return fmt.Errorf("element %d at byte %d: %w", n, d.InputOffset(), err)
		}
		var doc attempt
		if doc.err = json.Unmarshal(value, &doc.document, lenient); doc.err != nil {
			doc.err = fmt.Errorf("element %d at byte %d: %w", n, d.InputOffset()-int64(len(value)), doc.err)
		}
		if err := r.take(&doc, 0); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

// lines reads JSON documents, each on one line or spread over several. A
// document that is cut off ends where the next one starts, so that one bad
// line costs one record.
func (r *reader) lines(ctx context.Context, in *bufio.Reader) error {
	defer r.reportAliens()
	defer r.endLife()
	var pending []byte // a document that is not complete yet
	var doc attempt
	started, depth, number := 0, nesting{}, 0
	flush := func(err error) {
		if len(pending) > 0 {
			r.build.bad(r.label, started, err)
		}
		pending, depth = pending[:0], nesting{}
	}
	for {
		line, over, err := readLine(in)
		if err != nil && err != io.EOF {
			flush(err)
			return err
		}
		if len(line) == 0 && err == io.EOF {
			break
		}
		number++
		if ctx.Err() != nil {
			return ctx.Err()
		}
		text := bytes.TrimSpace(line)
		switch {
		case over:
			flush(errors.New("a JSON document that is cut off"))
			r.build.bad(r.label, number, fmt.Errorf("longer than %d bytes", maxDocument))
		case len(text) == 0:
		case line[0] == '{' && text[len(text)-1] == '}' && complete(text, &doc):
			flush(errors.New("a JSON document that is cut off"))
			if err := r.take(&doc, number); err != nil {
				return err
			}
		case len(pending) == 0 && text[0] != '{':
			r.build.bad(r.label, number, fmt.Errorf("expected a JSON object, found %q", clip(string(text), 40)))
		case len(pending)+len(line) > maxDocument:
			flush(fmt.Errorf("longer than %d bytes", maxDocument))
		default:
			if len(pending) == 0 {
				started = number
			}
			pending = append(pending, line...)
			depth.scan(line)
			if depth.level > 0 {
				break
			}
			doc = attempt{}
			doc.err = json.Unmarshal(pending, &doc.document, lenient)
			if err := r.take(&doc, started); err != nil {
				return err
			}
			pending, depth = pending[:0], nesting{}
		}
		if err == io.EOF {
			break
		}
	}
	flush(errors.New("a JSON document that is cut off"))
	return nil
}

// attempt is one document and what was wrong with it.
type attempt struct {
	document
	err error
}

// complete reads text into doc; it is false for text that is no JSON document
// by itself, as the first line of one that is spread over several.
func complete(text []byte, doc *attempt) bool {
	*doc = attempt{}
	doc.err = json.Unmarshal(text, &doc.document, lenient)
	_, syntax := errors.AsType[*jsontext.SyntacticError](doc.err)
	return !syntax
}

// take imports one document; an error ends the import.
func (r *reader) take(doc *attempt, line int) error {
	err := doc.err
	if err == nil {
		err = r.document(&doc.document, line)
	}
	if _, fatal := errors.AsType[*fatalError](err); fatal {
		return err
	}
	if err == errAlien {
		if r.alien.count++; r.alien.count == 1 {
			r.alien.line = line
		}
		return nil
	}
	if err != nil {
		r.build.bad(r.label, line, err)
	}
	return nil
}

// reportAliens says once for a stream how many documents were of no known kind.
func (r *reader) reportAliens() {
	switch r.alien.count {
	case 0:
	case 1:
		r.build.bad(r.label, r.alien.line, errAlien)
	default:
		r.build.bad(r.label, r.alien.line, fmt.Errorf("%w; %d documents are neither", errAlien, r.alien.count))
		r.build.badCount += r.alien.count - 1
	}
	r.alien = aliens{}
}

// nesting follows braces and brackets outside of strings.
type nesting struct {
	level            int
	inString, escape bool
}

func (n *nesting) scan(text []byte) {
	for _, c := range text {
		switch {
		case n.escape:
			n.escape = false
		case n.inString:
			n.escape = c == '\\'
			n.inString = c != '"' && c != '\n'
		case c == '"':
			n.inString = true
		case c == '{' || c == '[':
			n.level++
		case c == '}' || c == ']':
			n.level--
		}
	}
}

// readLine gives the next line with its end; over says that it was longer than
// maxDocument and was passed over.
func readLine(in *bufio.Reader) (line []byte, over bool, err error) {
	line, err = in.ReadSlice('\n')
	if err != bufio.ErrBufferFull {
		return line, false, err
	}
	long := bytes.Clone(line)
	for err == bufio.ErrBufferFull {
		line, err = in.ReadSlice('\n')
		if over = over || len(long)+len(line) > maxDocument; !over {
			long = append(long, line...)
		}
	}
	return long, over, err
}

// document imports one JSON object of any known kind.
func (r *reader) document(doc *document, line int) error {
	switch {
	case doc.ID != "":
		return r.record(&doc.record, line)
	case doc.KEV != nil && doc.Catalog != "":
		return r.exploited(doc)
	case doc.Vulns != nil:
		for i, value := range doc.Vulns {
			var one record
			err := json.Unmarshal(value, &one, lenient)
			if err == nil {
				err = r.record(&one, line)
			}
			if _, fatal := errors.AsType[*fatalError](err); fatal {
				return err
			}
			if err != nil {
				r.build.bad(r.label, line, fmt.Errorf("vulns[%d]: %w", i, err))
			}
		}
		return nil
	case len(doc.Data) > 0 && doc.Data[0].EPSS != "":
		r.build.sources[r.source].Kind = kindEPSS
		for i, score := range doc.Data {
			if err := r.score(score.ID, score.EPSS); err != nil {
				r.build.bad(r.label, line, fmt.Errorf("data[%d]: %w", i, err))
			}
		}
		return nil
	}
	if known, err := r.lives(doc, line); known {
		return err
	}
	return errAlien
}

func (r *reader) record(from *record, line int) error {
	d, err := from.advisory()
	if err != nil {
		return err
	}
	source := &r.build.sources[r.source]
	source.Kind = kindOSV
	source.Newest = max(source.Newest, d.Modified, d.Published)
	source.Count++
	for _, note := range d.notes {
		r.build.problem(r.label, line, fmt.Errorf("%s: %s", d.ID, note))
	}
	return r.build.add(d, r.source)
}

func (r *reader) exploited(doc *document) error {
	source := &r.build.sources[r.source]
	source.Kind = kindKEV
	if released, err := micros(doc.Release); err == nil {
		source.Newest = max(source.Newest, released)
	}
	for i, entry := range doc.KEV {
		id := canonicalID(entry.ID)
		if id == "" || len(id) > maxID {
			r.build.bad(r.label, 0, fmt.Errorf("vulnerabilities[%d]: expected a cveID", i))
			continue
		}
		source.Count++
		signal := r.build.signals[id]
		signal.exploited = true
		r.build.signals[id] = signal
	}
	return nil
}

// catalogue reads the CISA KEV catalogue as CSV. Its release is not told; the
// newest entry stands for it.
func (r *reader) catalogue(ctx context.Context, in io.Reader) error {
	source := &r.build.sources[r.source]
	source.Kind = kindKEV
	rows := csv.NewReader(io.LimitReader(in, maxDocument))
	rows.FieldsPerRecord, rows.LazyQuotes, rows.ReuseRecord = -1, true, true
	header, err := rows.Read()
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	added := slices.Index(header, "dateAdded")
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		line, _ := rows.FieldPos(0)
		id := canonicalID(row[0])
		if !strings.HasPrefix(id, "CVE-") || len(id) > maxID {
			r.build.bad(r.label, line, fmt.Errorf("expected a CVE, found %q", clip(row[0], 40)))
			continue
		}
		if added > 0 && added < len(row) {
			if day, err := micros(row[added] + "T00:00:00Z"); err == nil {
				source.Newest = max(source.Newest, day)
			}
		}
		source.Count++
		signal := r.build.signals[id]
		signal.exploited = true
		r.build.signals[id] = signal
	}
}

// scores reads the EPSS CSV: a comment with the date, a header, rows of CVE,
// probability, percentile.
func (r *reader) scores(ctx context.Context, in *bufio.Reader) error {
	source := &r.build.sources[r.source]
	source.Kind = kindEPSS
	for number := 1; ; number++ {
		raw, over, err := readLine(in)
		if err != nil && err != io.EOF {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		line := strings.TrimSpace(string(raw))
		fields := strings.Split(line, ",")
		switch {
		case over:
			r.build.bad(r.label, number, errors.New("line too long"))
		case line == "" || strings.HasPrefix(line, "cve,"):
		case line[0] == '#':
			if _, date, ok := strings.Cut(line, "score_date:"); ok {
				if day, err := micros(strings.Replace(date, "+0000", "Z", 1)); err == nil {
					source.Newest = max(source.Newest, day)
				}
			}
		case len(fields) < 2:
			r.build.bad(r.label, number, fmt.Errorf("expected cve,epss,percentile, found %q", clip(line, 60)))
		default:
			if err := r.score(fields[0], fields[1]); err != nil {
				r.build.bad(r.label, number, err)
			}
		}
		if err == io.EOF {
			return nil
		}
	}
}

func (r *reader) score(id, text string) error {
	id = canonicalID(id)
	probability, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || math.IsNaN(probability) || probability < 0 || probability > 1 {
		return fmt.Errorf("EPSS %q: expected a probability from 0 to 1", clip(text, 40))
	}
	if !strings.HasPrefix(id, "CVE-") || len(id) > maxID {
		return fmt.Errorf("EPSS id %q: expected a CVE", clip(id, 40))
	}
	r.build.sources[r.source].Count++
	signal := r.build.signals[id]
	if nano := uint32(math.Round(probability * epssUnit)); signal.day < r.build.sources[r.source].Newest || signal.epss <= nano && signal.day == r.build.sources[r.source].Newest {
		signal.epss, signal.day = nano, r.build.sources[r.source].Newest
	}
	r.build.signals[id] = signal
	return nil
}
