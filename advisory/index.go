// Package advisory is the local advisory index: which known flaws affect a
// package at a version, without a network.
//
// Import reads OSV records, CISA KEV, EPSS and endoflife.date in any of the forms
// in which they are published and writes one immutable file; Open maps that file
// and answers at once, whatever its size. Versions are ordered by osv-scalibr/semantic;
// names and ecosystems are compared as their registries compare them.
//
// Ids of one flaw in several databases (CVE, GHSA, GO, PYSEC ...) form one alias
// class: what one id is an alias of, transitively. A database that does not rate
// a flaw gets the rating of its class, and KEV and EPSS, which speak of CVEs,
// reach every member.
//
// The package does not say whether a flaw matters to a program, knows nothing of
// repositories and performs no network access.
package advisory

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/backstitch/backstitch/fact"
)

// ErrEcosystem says that a package's ecosystem is not known.
var ErrEcosystem = errors.New("the package's ecosystem is not known")

// Index answers from one index file. It is immutable and safe for concurrent
// use until it is closed.
type Index struct {
	path   string
	data   string
	unmap  func() error
	list   [sections]section
	status Status
	checks [sections]func() error
	lives  func() ([]fact.Product, error)
}

// Source is one imported file, or the single-record files of one folder.
type Source struct {
	Name   string `json:"name"` // file name, without the folder it lay in
	Kind   string `json:"kind"` // osv, kev, epss or endoflife
	Count  int    `json:"records"`
	Newest int64  `json:"newest"` // newest modification in it, microseconds since 1970 UTC, 0 unknown
	Digest string `json:"digest"` // sha256 of the file's bytes; for a folder, of its records
}

// Status says what an index was made of.
type Status struct {
	Digest     string   `json:"digest"`      // of the content, "sha256:..."
	ImportedAt int64    `json:"imported_at"` // microseconds since 1970 UTC
	Advisories int      `json:"advisories"`  // including withdrawn ones
	Withdrawn  int      `json:"withdrawn"`
	Packages   int      `json:"packages"` // distinct ecosystem and name
	Exploited  int      `json:"exploited"`
	Products   int      `json:"products"` // whose cycles of support are known
	Sources    []Source `json:"sources"`
}

// Age is how long before now the newest advisory of the index was modified, or
// the import when no advisory says; stale advisories miss what is new.
func (s *Status) Age(now time.Time) time.Duration {
	newest := int64(0)
	for _, source := range s.Sources {
		if source.Kind != kindLife { // new releases say nothing of advisories
			newest = max(newest, source.Newest)
		}
	}
	if newest == 0 {
		newest = s.ImportedAt
	}
	return max(0, now.Sub(time.UnixMicro(newest)))
}

// Open opens an index file. It fails with fs.ErrNotExist when there is none, with
// ErrCorrupt when the file is damaged or cut off and with ErrFormat when it is of
// another version of the program.
func Open(path string) (*Index, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open advisory index: %w", err)
	}
	defer file.Close()
	data, unmap, err := mapFile(file)
	if err != nil {
		return nil, fmt.Errorf("open advisory index: %w", err)
	}
	x, err := newIndex(data)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), unmap())
	}
	x.path, x.unmap = path, unmap
	return x, nil
}

func newIndex(data string) (*Index, error) {
	list, err := readHeader(data)
	if err != nil {
		return nil, err
	}
	x := &Index{data: data, list: list, unmap: func() error { return nil }}
	for i := range x.checks {
		x.checks[i] = sync.OnceValue(func() error {
			if crc32.Checksum(bytesOf(x.section(i)), castagnoli) != x.list[i].sum {
				return fmt.Errorf("%w: section %d", ErrCorrupt, i)
			}
			return nil
		})
	}
	x.lives = sync.OnceValues(x.readLives)
	if err := x.check(secMeta); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(bytesOf(x.section(secMeta)), &x.status); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if x.list[secOffsets].length%8 != 0 {
		return nil, fmt.Errorf("%w: offsets", ErrCorrupt)
	}
	for _, number := range []int{secPackages, secIDs, secSignals} {
		if x.list[number].length%entrySize != 0 {
			return nil, fmt.Errorf("%w: section %d", ErrCorrupt, number)
		}
	}
	return x, nil
}

// Close releases the file; the index must not be used afterwards. What it
// returned stays valid.
func (x *Index) Close() error { return x.unmap() }

// Digest identifies the content: equal advisories give an equal digest, in
// whatever order, form and time they were imported.
func (x *Index) Digest() string { return x.status.Digest }

// Status says what the index was made of.
func (x *Index) Status() Status {
	status := x.status
	status.Sources = slices.Clone(status.Sources)
	return status
}

// Compare orders two versions of an ecosystem; see the function Compare.
func (x *Index) Compare(ecosystem, a, b string) (int, error) { return Compare(ecosystem, a, b) }

func (x *Index) section(number int) string {
	s := x.list[number]
	return x.data[s.offset : s.offset+s.length]
}

func (x *Index) check(numbers ...int) error {
	for _, number := range numbers {
		if err := x.checks[number](); err != nil {
			return err
		}
	}
	return nil
}

func (x *Index) records() int { return int(x.list[secOffsets].length / 8) }

// record gives the payload of record i, checked, and its source. The payload
// is a view of the file: what leaves the package is copied first.
func (x *Index) record(i int) (payload, source string, err error) {
	all := x.section(secRecords)
	if i < 0 || i >= x.records() {
		return "", "", fmt.Errorf("%w: record %d of %d", ErrCorrupt, i, x.records())
	}
	at := u64(x.section(secOffsets), i*8)
	if at > uint64(len(all)) || uint64(len(all))-at < recordHead {
		return "", "", fmt.Errorf("%w: record %d", ErrCorrupt, i)
	}
	head := all[at:]
	length := uint64(u32(head, 4))
	if length > uint64(len(head)-recordHead) {
		return "", "", fmt.Errorf("%w: record %d", ErrCorrupt, i)
	}
	body := head[4 : recordHead+length]
	if crc32.Checksum(bytesOf(body), castagnoli) != u32(head, 0) {
		return "", "", fmt.Errorf("%w: record %d", ErrCorrupt, i)
	}
	if number := u32(head, 8); int64(number) < int64(len(x.status.Sources)) {
		source = x.status.Sources[number].Name
	}
	return body[recordHead-4:], source, nil
}

func (x *Index) advisory(i int) (fact.Advisory, error) {
	payload, source, err := x.record(i)
	if err != nil {
		return fact.Advisory{}, err
	}
	a, err := decodeAdvisory(strings.Clone(payload))
	a.Source = source
	return a, err
}

// postings lists the records that name a package.
func (x *Index) postings(ecosystem, name string) (asked subject, numbers string, err error) {
	asked.base, asked.release = canonicalEcosystem(ecosystem)
	if asked.base == "" {
		return asked, "", fmt.Errorf("%s: %w", name, ErrEcosystem)
	}
	if err := x.check(secOffsets, secPackageText, secPackages, secPostings); err != nil {
		return asked, "", err
	}
	asked.name = canonicalName(asked.base, name)
	first, count, ok := table{x.section(secPackageText), x.section(secPackages)}.find(packageKey(asked.base, asked.name))
	if !ok {
		return asked, "", nil
	}
	all := x.section(secPostings)
	if (uint64(first)+uint64(count))*4 > uint64(len(all)) {
		return asked, "", fmt.Errorf("%w: postings", ErrCorrupt)
	}
	return asked, all[uint64(first)*4 : (uint64(first)+uint64(count))*4], nil
}

// Covers says whether the index holds anything about an ecosystem. Where it does
// not, that nothing is known to affect a package says nothing about it.
func (x *Index) Covers(ecosystem string) (bool, error) {
	base, _ := canonicalEcosystem(ecosystem)
	if base == "" {
		return false, nil
	}
	if err := x.check(secPackageText, secPackages); err != nil {
		return false, err
	}
	packages := table{x.section(secPackageText), x.section(secPackages)}
	prefix := packageKey(base, "")
	i := sort.Search(packages.len(), func(i int) bool { return packages.key(i) >= prefix })
	return i < packages.len() && strings.HasPrefix(packages.key(i), prefix), nil
}

// subject is the package that is asked about, in canonical form.
type subject struct{ base, release, name string }

// named says whether an affected entry is about the package.
func (s *subject) named(a *fact.Affected) bool {
	base, theirs := canonicalEcosystem(a.Ecosystem)
	return base == s.base && canonicalName(base, a.Name) == s.name && releaseMatches(theirs, s.release)
}

// UnorderedError names advisories whose versions cannot be ordered, so that
// nobody can say whether they affect a package. The others were judged.
type UnorderedError struct {
	Advisories []string
	Reasons    []error // one for each advisory
}

func (e *UnorderedError) Error() string {
	lines := make([]string, len(e.Advisories))
	for i, id := range e.Advisories {
		lines[i] = fmt.Sprintf("%s: %v", id, e.Reasons[i])
	}
	return strings.Join(lines, "\n")
}

func (e *UnorderedError) Unwrap() []error { return e.Reasons }

// Affecting lists the standing advisories that affect a package at its
// version, in order of id. A package without an ecosystem takes that of its
// package URL. The error names the version that is none, or is an
// UnorderedError; what could be judged is returned beside it.
func (x *Index) Affecting(pkg fact.Package) ([]fact.Advisory, error) {
	if pkg.Ecosystem == "" {
		if named, ok := fact.ParsePURL(pkg.PURL); ok {
			pkg.Ecosystem, pkg.Name = named.Ecosystem, named.Name
			pkg.Version = cmp.Or(pkg.Version, named.Version)
		}
	}
	about, numbers, err := x.postings(pkg.Ecosystem, pkg.Name)
	if err != nil {
		return nil, err
	}
	var found []fact.Advisory
	var failed *UnorderedError
	asked := &question{base: about.base, version: pkg.Version}
	for at := 0; at < len(numbers); at += 4 {
		payload, source, err := x.record(int(u32(numbers, at)))
		if err != nil {
			return found, err
		}
		id, affected, rest := decodeMatching(payload)
		if rest.bad {
			return found, ErrCorrupt
		}
		in := false
		for i := range affected {
			if in || !about.named(&affected[i]) {
				continue
			}
			if in, err = asked.affected(&affected[i]); err != nil && !in {
				if asked.err != nil {
					return found, fmt.Errorf("%s: %w", pkg.Name, asked.err)
				}
				if failed == nil {
					failed = &UnorderedError{}
				}
				failed.Advisories = append(failed.Advisories, strings.Clone(id))
				failed.Reasons = append(failed.Reasons, err)
			}
		}
		if !in {
			continue
		}
		a, err := decodeAdvisory(strings.Clone(payload))
		if err != nil {
			return found, err
		}
		a.Source = source
		found = append(found, a)
	}
	if failed != nil {
		return found, failed
	}
	return found, nil
}

// Of lists all standing advisories that name a package, in order of id.
func (x *Index) Of(ecosystem, name string) ([]fact.Advisory, error) {
	about, numbers, err := x.postings(ecosystem, name)
	if err != nil {
		return nil, err
	}
	var found []fact.Advisory
	for at := 0; at < len(numbers); at += 4 {
		a, err := x.advisory(int(u32(numbers, at)))
		if err != nil {
			return found, err
		}
		if slices.ContainsFunc(a.Affected, func(entry fact.Affected) bool { return about.named(&entry) }) {
			found = append(found, a)
		}
	}
	return found, nil
}

// Class gives all ids of the alias class of an id, sorted, with the id itself.
// An id that no record knows, or an index that is damaged, gives the id alone.
func (x *Index) Class(id string) []string {
	id = canonicalID(id)
	alone := []string{id}
	if x.check(secIDText, secIDs, secMembers) != nil {
		return alone
	}
	ids := table{x.section(secIDText), x.section(secIDs)}
	first, count, ok := ids.find(id)
	all := x.section(secMembers)
	if !ok || (uint64(first)+uint64(count))*4 > uint64(len(all)) {
		return alone
	}
	members := make([]string, 0, count)
	for at := int(first) * 4; at < int(first+count)*4; at += 4 {
		number := int(u32(all, at))
		if number >= ids.len() {
			return alone
		}
		members = append(members, strings.Clone(ids.key(number)))
	}
	return members
}

// Lookup finds an advisory by its own id, withdrawn ones too. For a CVE that
// only KEV or EPSS speak about it gives what they say.
func (x *Index) Lookup(id string) (fact.Advisory, bool, error) {
	id = canonicalID(id)
	if err := x.check(secOffsets, secSignalText, secSignals); err != nil {
		return fact.Advisory{}, false, err
	}
	var fault error
	i, ok := sort.Find(x.records(), func(i int) int {
		payload, _, err := x.record(i)
		if err != nil {
			fault = err
			return -1
		}
		d := decoder{s: payload}
		return cmp.Compare(id, d.text())
	})
	if fault != nil {
		return fact.Advisory{}, false, fault
	}
	if ok {
		a, err := x.advisory(i)
		return a, err == nil, err
	}
	epss, flags, ok := table{x.section(secSignalText), x.section(secSignals)}.find(id)
	if !ok {
		return fact.Advisory{}, false, nil
	}
	return fact.Advisory{ID: id, EPSS: float64(epss) / epssUnit, Exploited: flags&1 != 0}, true, nil
}
