package advisory

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/backstitch/backstitch/fact"
)

// Bounds of one record; what is beyond them is left out, an id or a version
// list beyond them makes the record bad.
const (
	maxID       = 200
	maxAliases  = 1000
	maxURLs     = 20
	maxSummary  = 300
	maxAffected = 20_000
	maxVersions = 200_000
	maxSymbols  = 2000
)

// document is everything that one JSON document of a known kind may hold.
type document struct {
	record
	KEV     []kevRecord      `json:"vulnerabilities"`
	Catalog string           `json:"catalogVersion"`
	Release string           `json:"dateReleased"`
	Vulns   []jsontext.Value `json:"vulns"`
	Data    []epssRecord     `json:"data"`
	lifeDocument
}

type kevRecord struct {
	ID string `json:"cveID"`
}

type epssRecord struct {
	ID   string `json:"cve"`
	EPSS string `json:"epss"`
}

// record is an OSV record, as far as it is used.
type record struct {
	ID        string          `json:"id"`
	Aliases   []string        `json:"aliases"`
	Upstream  []string        `json:"upstream"`
	Summary   string          `json:"summary"`
	Details   string          `json:"details"`
	Published string          `json:"published"`
	Modified  string          `json:"modified"`
	Withdrawn string          `json:"withdrawn"`
	Severity  []severityEntry `json:"severity"`
	Affected  []struct {
		Package struct {
			Ecosystem string `json:"ecosystem"`
			Name      string `json:"name"`
			PURL      string `json:"purl"`
		} `json:"package"`
		Severity []severityEntry `json:"severity"`
		Ranges   []struct {
			Type   string `json:"type"`
			Events []struct {
				Introduced   string `json:"introduced"`
				Fixed        string `json:"fixed"`
				LastAffected string `json:"last_affected"`
				Limit        string `json:"limit"`
			} `json:"events"`
		} `json:"ranges"`
		Versions  []string       `json:"versions"`
		Ecosystem jsontext.Value `json:"ecosystem_specific"`
		Database  jsontext.Value `json:"database_specific"`
	} `json:"affected"`
	References []struct {
		URL string `json:"url"`
	} `json:"references"`
	Database jsontext.Value `json:"database_specific"`
}

type severityEntry struct {
	Type  string `json:"type"`
	Score string `json:"score"`
}

var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// decoded is an advisory with what only the import needs.
type decoded struct {
	fact.Advisory
	upstream []string // ids of flaws that this advisory is a distribution's notice of
	notes    []string // what of the record was left out
}

// advisory turns a record into an advisory; it fails on one without an id.
func (r *record) advisory() (*decoded, error) {
	id := canonicalID(r.ID)
	switch {
	case id == "":
		return nil, errors.New("expected an OSV record with an id")
	case len(id) > maxID || strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c == 0x7f }):
		return nil, fmt.Errorf("id %q: expected at most %d bytes without spaces", clip(id, 60), maxID)
	case len(r.Affected) > maxAffected:
		return nil, fmt.Errorf("%s: more than %d affected packages", id, maxAffected)
	}
	d := &decoded{}
	d.ID = id
	d.Aliases = cleanIDs(r.Aliases, id)
	d.upstream = cleanIDs(r.Upstream, id)
	d.Summary = r.Summary
	if d.Summary == "" {
		d.Summary, _, _ = strings.Cut(strings.TrimSpace(r.Details), "\n")
	}
	d.Summary = clip(strings.ToValidUTF8(strings.TrimSpace(d.Summary), "\ufffd"), maxSummary)
	var err error
	if d.Published, err = micros(r.Published); err != nil {
		d.notes = append(d.notes, "published: "+err.Error())
	}
	if d.Modified, err = micros(r.Modified); err != nil {
		d.notes = append(d.notes, "modified: "+err.Error())
	}
	if r.Withdrawn != "" {
		if d.Withdrawn, err = micros(r.Withdrawn); err != nil {
			return nil, fmt.Errorf("%s: withdrawn: %w", id, err)
		}
		d.Withdrawn = max(d.Withdrawn, 1)
	}
	for _, reference := range r.References {
		if len(d.URLs) < maxURLs && reference.URL != "" && len(reference.URL) <= 2000 {
			d.URLs = append(d.URLs, strings.ToValidUTF8(reference.URL, "\ufffd"))
		}
	}
	r.affected(d)
	r.rate(d)
	return d, nil
}

func (r *record) affected(d *decoded) {
	for i := range r.Affected {
		from := &r.Affected[i]
		a := fact.Affected{Ecosystem: from.Package.Ecosystem, Name: from.Package.Name}
		if (a.Ecosystem == "" || a.Name == "") && from.Package.PURL != "" {
			if pkg, ok := fact.ParsePURL(from.Package.PURL); ok {
				a.Ecosystem, a.Name = pkg.Ecosystem, pkg.Name
			}
		}
		if a.Ecosystem == "" || a.Name == "" {
			continue // a GIT-only record names no package
		}
		if len(from.Versions) > maxVersions {
			d.notes = append(d.notes, fmt.Sprintf("affected[%d]: more than %d versions", i, maxVersions))
			from.Versions = from.Versions[:maxVersions]
		}
		a.Versions = from.Versions
		for j, ranges := range from.Ranges {
			if ranges.Type == "GIT" {
				continue
			}
			kept := fact.Range{Type: ranges.Type}
			for _, e := range ranges.Events {
				event := fact.RangeEvent{Introduced: e.Introduced, Fixed: e.Fixed, LastAffected: e.LastAffected, Limit: e.Limit}
				kept.Events = append(kept.Events, single(event)...)
			}
			if text, err := checkRange(a.Ecosystem, &kept); err != nil {
				d.notes = append(d.notes, fmt.Sprintf("affected[%d].ranges[%d]: event %q: %v", i, j, clip(text, 80), err))
			}
			a.Ranges = append(a.Ranges, kept)
		}
		a.Symbols = symbols(from.Ecosystem)
		d.Affected = append(d.Affected, a)
	}
}

// single splits an event with several fields, which old records have, into one
// event each.
func single(e fact.RangeEvent) []fact.RangeEvent {
	var events []fact.RangeEvent
	if e.Introduced != "" {
		events = append(events, fact.RangeEvent{Introduced: e.Introduced})
	}
	if e.Fixed != "" {
		events = append(events, fact.RangeEvent{Fixed: e.Fixed})
	}
	if e.LastAffected != "" {
		events = append(events, fact.RangeEvent{LastAffected: e.LastAffected})
	}
	if e.Limit != "" {
		events = append(events, fact.RangeEvent{Limit: e.Limit})
	}
	return events
}

// checkRange finds an event whose version is none; the range is kept, so that
// asking for a version says that it could not be judged.
func checkRange(ecosystem string, r *fact.Range) (string, error) {
	base, _ := canonicalEcosystem(ecosystem)
	if other, ok := orders[base]; ok {
		base = other
	}
	for _, e := range r.Events {
		text := e.Introduced + e.Fixed + e.LastAffected + e.Limit
		if text == "0" || text == "*" {
			continue
		}
		if _, err := checkVersion(base, text); err != nil {
			return text, err
		}
	}
	return "", nil
}

// symbols reads the affected symbols of Go ("path.Symbol", or the path alone
// when the whole package is meant) and Rust records.
func symbols(raw jsontext.Value) []string {
	if len(raw) == 0 || raw.Kind() != '{' {
		return nil
	}
	var specific struct {
		Imports []struct {
			Path    string   `json:"path"`
			Symbols []string `json:"symbols"`
		} `json:"imports"`
		Affects struct {
			Functions []string `json:"functions"`
		} `json:"affects"`
	}
	if json.Unmarshal(raw, &specific, lenient) != nil {
		return nil
	}
	var found []string
	for _, imported := range specific.Imports {
		if len(imported.Symbols) == 0 && imported.Path != "" {
			found = append(found, imported.Path)
		}
		for _, symbol := range imported.Symbols {
			found = append(found, imported.Path+"."+symbol)
		}
	}
	found = append(found, specific.Affects.Functions...)
	return found[:min(len(found), maxSymbols)]
}

// rate fills severity, score and vector: the database's own word first, else
// the rating of the base score.
func (r *record) rate(d *decoded) {
	entries := r.Severity
	for i := range r.Affected {
		entries = append(entries[:len(entries):len(entries)], r.Affected[i].Severity...)
	}
	for _, kind := range []string{"CVSS_V3", "CVSS_V4", "CVSS_V2"} {
		for _, entry := range entries {
			if entry.Type != kind || d.Vector != "" {
				continue
			}
			score, err := baseScore(entry.Score)
			if err != nil {
				d.notes = append(d.notes, "severity: "+err.Error())
				continue
			}
			d.Vector, d.Score = entry.Score, score
		}
	}
	d.Severity = severityWord(r.Database)
	for i := range r.Affected {
		d.Severity = max(d.Severity, severityWord(r.Affected[i].Database), severityWord(r.Affected[i].Ecosystem))
	}
	for _, entry := range entries {
		if d.Severity == fact.SeverityUnknown && !strings.HasPrefix(entry.Type, "CVSS_") {
			d.Severity = fact.ParseSeverity(entry.Score)
		}
	}
	if malicious := func(id string) bool { return strings.HasPrefix(id, "MAL-") }; d.Severity == fact.SeverityUnknown && (malicious(d.ID) || slices.ContainsFunc(d.Aliases, malicious)) {
		d.Severity = fact.SeverityCritical // the package itself is the attack; nobody scores that
	}
	if d.Severity == fact.SeverityUnknown && d.Vector != "" {
		d.Severity = fact.SeverityOfScore(d.Score)
	}
}

// severityWord reads the severity of a database_specific or
// ecosystem_specific object, which may have any shape.
func severityWord(raw jsontext.Value) fact.Severity {
	if len(raw) == 0 || raw.Kind() != '{' || !strings.Contains(string(raw), `"severity"`) && !strings.Contains(string(raw), `"urgency"`) {
		return fact.SeverityUnknown
	}
	var specific struct {
		Severity jsontext.Value `json:"severity"`
		Urgency  jsontext.Value `json:"urgency"`
	}
	if json.Unmarshal(raw, &specific, lenient) != nil {
		return fact.SeverityUnknown
	}
	for _, value := range []jsontext.Value{specific.Severity, specific.Urgency} {
		var word string
		if len(value) > 0 && value.Kind() == '"' && json.Unmarshal(value, &word, lenient) == nil {
			if severity := fact.ParseSeverity(word); severity != fact.SeverityUnknown {
				return severity
			}
		}
	}
	return fact.SeverityUnknown
}

// cleanIDs normalises ids and drops empty ones, the record's own and repeats.
func cleanIDs(ids []string, own string) []string {
	var clean []string
	seen := map[string]bool{own: true}
	for _, id := range ids {
		id = canonicalID(id)
		if id == "" || len(id) > maxID || seen[id] || len(clean) == maxAliases {
			continue
		}
		seen[id] = true
		clean = append(clean, id)
	}
	return clean
}

// micros reads an RFC 3339 time as microseconds since 1970; times before that,
// which databases write for "unknown", are 0.
func micros(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	if year, _, ok := strings.Cut(text, "-"); ok && len(year) < 4 && strings.Trim(year, "0123456789") == "" {
		return 0, nil // the year 1, without its zeros
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		if t, err = time.Parse(time.DateOnly, text); err != nil {
			return 0, fmt.Errorf("time %q: expected RFC 3339", clip(text, 40))
		}
	}
	return max(0, t.UnixMicro()), nil
}
