package intake

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fact"
)

// fingerprintScheme and contentScheme change when what goes into the hashes
// does.
const (
	fingerprintScheme = "fp1"
	contentScheme     = "c1"
)

type digest [16]byte

// fingerprint identifies a finding within its asset and detector.
func fingerprint(buf []byte, f *fact.Finding, path string) (digest, []byte) {
	anchor := f.Package.Name
	if anchor == "" {
		anchor = f.Anchor
	}
	buf = buf[:0]
	for _, part := range [...]string{fingerprintScheme, string(f.Kind), f.Rule, anchor, path} {
		buf = binary.AppendUvarint(buf, uint64(len(part)))
		buf = append(buf, part...)
	}
	sum := sha256.Sum256(buf)
	return digest(sum[:16]), buf
}

// record is a finding as it waits for the merge. It holds no pointer, so that
// the garbage collector passes by: what it refers to are numbers of entries of
// the dictionary, of texts and of scopes.
type record struct {
	fp       digest
	content  digest
	offset   int64
	length   int64
	flaw     int32
	pkg      int32
	place    int32
	extra    int32
	scope    int32
	fixed    int32 // text: JSON list, 0 for none
	analysis int32 // text: JSON, 0 for none
	item     int32 // text, 0 for none
	line     int32
	endLine  int32
	severity int8
}

// seal computes the content hash: everything that may change while the finding
// stays the same one, except EPSS, which changes daily and is kept apart.
func (im *importer) seal(r *record) {
	buf := append(im.buf[:0], contentScheme...)
	for _, n := range [...]int32{r.flaw, r.pkg, r.place, r.extra} {
		buf = append(buf, im.words.entries[n].digest[:]...)
	}
	buf = binary.AppendVarint(buf, int64(r.line))
	buf = binary.AppendVarint(buf, int64(r.endLine))
	buf = binary.AppendVarint(buf, int64(r.severity))
	buf = appendText(buf, im.texts.list[r.fixed], im.texts.list[r.analysis])
	im.buf = buf
	sum := sha256.Sum256(buf)
	r.content = digest(sum[:16])
}

// texts numbers short texts; number 0 is the empty one.
type texts struct {
	list   []string
	number map[string]int32
}

func newTexts() *texts { return &texts{[]string{""}, map[string]int32{"": 0}} }

func (t *texts) intern(text string) int32 {
	n, ok := t.number[text]
	if !ok {
		n = int32(len(t.list))
		t.list = append(t.list, text)
		t.number[text] = n
	}
	return n
}

// add numbers a text that is not expected again.
func (t *texts) add(text string) int32 {
	if text == "" {
		return 0
	}
	t.list = append(t.list, text)
	return int32(len(t.list) - 1)
}

// compare orders records for the merge: by fingerprint, then by where they are,
// so that findings of one fingerprint keep their numbers when all lines shift.
func (d *dictionary) compare(r, other *record) int {
	if c := bytes.Compare(r.fp[:], other.fp[:]); c != 0 {
		return c
	}
	return cmp.Or(
		cmp.Compare(r.line, other.line),
		bytes.Compare(d.entries[r.pkg].digest[:], d.entries[other.pkg].digest[:]),
		bytes.Compare(r.content[:], other.content[:]),
	)
}

// flawDoc is what a detector says about a flaw apart from where it is.
type flawDoc struct {
	Aliases      []string `json:"aliases,omitempty"`
	Title        string   `json:"title,omitempty"`
	Description  string   `json:"description,omitempty"`
	SeverityText string   `json:"severity_text,omitempty"`
	Score        float64  `json:"score,omitempty"`
	Vector       string   `json:"vector,omitempty"`
	CWE          []int    `json:"cwe,omitempty"`
	References   []string `json:"references,omitempty"`
	Mitigation   string   `json:"mitigation,omitempty"`
}

type placeDoc struct {
	Path       string   `json:"path,omitempty"`
	Anchor     string   `json:"anchor,omitempty"`
	Commit     string   `json:"commit,omitempty"`
	Introduced []string `json:"introduced,omitempty"`
}

// Domains of dictionary entries, so that equal texts of different kinds differ.
const (
	domainFlaw = iota + 1
	domainPackage
	domainPlace
	domainExtra
)

func appendText(buf []byte, texts ...string) []byte {
	for _, text := range texts {
		buf = binary.AppendUvarint(buf, uint64(len(text)))
		buf = append(buf, text...)
	}
	return buf
}

func appendList(buf []byte, list []string) []byte {
	return appendText(binary.AppendUvarint(buf, uint64(len(list))), list...)
}

func appendFlaw(buf []byte, f *fact.Finding) []byte {
	buf = appendText(append(buf, domainFlaw), string(f.Kind), f.Rule, f.Title, f.Description, f.SeverityText, f.Vector, f.Mitigation)
	buf = appendList(appendList(buf, f.Aliases), f.References)
	buf = binary.LittleEndian.AppendUint64(buf, math.Float64bits(f.Score))
	for _, cwe := range f.CWE {
		buf = binary.AppendVarint(buf, int64(cwe))
	}
	return buf
}

func appendPackage(buf []byte, p *fact.Package) []byte {
	return appendText(append(buf, domainPackage), p.Ecosystem, p.Name, p.Version, p.PURL)
}

func appendPlace(buf []byte, f *fact.Finding, path string) []byte {
	return appendList(appendText(append(buf, domainPlace), path, f.Anchor, f.Commit), f.Introduced)
}

func appendExtra(buf []byte, attributes map[string]string, keys []string) ([]byte, []string) {
	buf, keys = append(buf, domainExtra), keys[:0]
	for key := range attributes {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		buf = appendText(buf, key, attributes[key])
	}
	return buf, keys
}

// encode writes plain data of our own types as JSON.
func encode(v any) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic("intake: " + err.Error()) // only floats that are no numbers, which clean drops
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// clean makes a finding of an untrusted report storable.
func clean(f *fact.Finding) {
	for _, number := range [...]*float64{&f.Score, &f.EPSS} {
		if math.IsNaN(*number) || math.IsInf(*number, 0) {
			*number = 0
		}
	}
	f.Line, f.EndLine = max(0, min(f.Line, math.MaxInt32)), max(0, min(f.EndLine, math.MaxInt32))
	f.Severity = max(fact.SeverityUnknown, min(f.Severity, fact.SeverityCritical))
}

// relative turns a path of a report into one below the root: it cuts off the
// root, or what the run says it looked at when that is an absolute path.
func relative(name, root, target string) string {
	if name == "" {
		return ""
	}
	plain := strings.ReplaceAll(strings.TrimPrefix(name, "file://"), `\`, "/")
	for _, prefix := range [...]string{root, target} {
		prefix = strings.TrimSuffix(strings.ReplaceAll(prefix, `\`, "/"), "/")
		if absolute(prefix) {
			if rest, ok := strings.CutPrefix(plain, prefix+"/"); ok {
				plain = rest
				break
			}
		}
	}
	if cleaned := code.CleanPath(plain); cleaned != "" {
		return cleaned
	}
	return name
}

// below is a path in the folder that was scanned, which is told where paths are
// relative to it, with a slash before them or none: the same file is then the same
// one in every scan.
func below(folder, name string) string {
	if folder == "" || name == "" || len(name) > 1 && name[1] == ':' {
		return name
	}
	return path.Join(folder, strings.ReplaceAll(name, `\`, "/"))
}

func absolute(name string) bool {
	return len(name) > 1 && (name[0] == '/' || name[1] == ':')
}
