package python

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/fix"
)

// clause is one comparison of a requirement, with its place in the text.
type clause struct {
	source   string // the text that it stands in
	operator string
	version  string
	start    int // of the operator
	at, end  int // of the version
}

var (
	requirementName = regexp.MustCompile(`^\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[[^\]]*\])?\s*\(?`)
	clauseText      = regexp.MustCompile(`^\s*(===|==|~=|!=|<=|>=|<|>|\^|~)?\s*([A-Za-z0-9*][A-Za-z0-9.*+!_-]*)\s*`)
	separators      = regexp.MustCompile(`[-_.]+`)
)

// normal writes a name as indexes compare it.
func normal(name string) string { return separators.ReplaceAllString(strings.ToLower(name), "-") }

// parseRequirement reads a requirement such as "Django[argon2]>=3.2,<4 ; os_name=='nt'":
// its name, its clauses, and where clauses may be added. It fails for URLs,
// paths and options.
func parseRequirement(text string) (name string, clauses []clause, insert int, ok bool) {
	m := requirementName.FindStringSubmatchIndex(text)
	if m == nil {
		return "", nil, 0, false
	}
	name, insert = text[m[2]:m[3]], m[3]
	at := m[1]
	if rest := strings.TrimLeft(text[at:], " \t"); strings.HasPrefix(rest, "@") {
		return "", nil, 0, false
	}
	if bracket := strings.LastIndexByte(text[:at], ']'); bracket >= 0 {
		insert = bracket + 1
	}
	clauses, ok = parseClauses(text, at)
	if strings.HasSuffix(strings.TrimSpace(text[:at]), "(") && len(clauses) == 0 {
		return "", nil, 0, false
	}
	for _, c := range clauses {
		if c.operator == "" || c.operator == "^" || c.operator == "~" {
			return "", nil, 0, false
		}
	}
	return name, clauses, insert, ok
}

// parseClauses reads comparisons separated by commas from a place in a text.
func parseClauses(text string, at int) ([]clause, bool) {
	var clauses []clause
	for {
		m := clauseText.FindStringSubmatchIndex(text[at:])
		if m == nil {
			break
		}
		c := clause{source: text, version: text[at+m[4] : at+m[5]], start: at + m[4], at: at + m[4], end: at + m[5]}
		if m[2] >= 0 {
			c.operator, c.start = text[at+m[2]:at+m[3]], at+m[2]
		}
		if _, ok := numbers(c.version); !ok && (c.version != "*" || c.operator != "") {
			return nil, false
		}
		clauses = append(clauses, c)
		at += m[1]
		if at >= len(text) || text[at] != ',' {
			break
		}
		at++
	}
	rest := strings.TrimSpace(text[at:])
	switch {
	case rest == "":
		return clauses, true
	case rest[0] == '-' || rest[0] == '#': // an option or a comment stands apart
		return clauses, strings.ContainsAny(text[max(at-1, 0):at+1], " \t")
	}
	return clauses, strings.ContainsRune(`;)\`, rune(rest[0]))
}

// numbers reads the release numbers of a version; a star ends them.
func numbers(version string) ([]int, bool) {
	if at := strings.IndexByte(version, '!'); at >= 0 {
		version = version[at+1:]
	}
	var parts []int
	for _, part := range strings.Split(strings.TrimPrefix(version, "v"), ".") {
		digits := part[:len(part)-len(strings.TrimLeft(part, "0123456789"))]
		if digits == "" {
			break
		}
		n, err := strconv.Atoi(digits)
		if err != nil {
			return nil, false
		}
		parts = append(parts, n)
		if digits != part {
			break
		}
	}
	return parts, len(parts) > 0
}

func compare(a, b []int) int {
	for i := range max(len(a), len(b)) {
		var x, y int
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return cmp.Compare(x, y)
		}
	}
	return 0
}

// prefix says whether v begins with the numbers of p.
func prefix(v, p []int) bool {
	for i := range p {
		if i >= len(v) && p[i] != 0 || i < len(v) && v[i] != p[i] {
			return false
		}
	}
	return true
}

// admits says whether a clause allows a release.
func (c clause) admits(version string) bool {
	v, okV := numbers(version)
	n, okN := numbers(c.version)
	if c.version == "*" {
		return true
	}
	if !okV || !okN {
		return false
	}
	order := compare(v, n)
	switch c.operator {
	case "==", "===", "":
		if strings.HasSuffix(c.version, ".*") {
			return prefix(v, n)
		}
		return order == 0
	case "!=":
		if strings.HasSuffix(c.version, ".*") {
			return !prefix(v, n)
		}
		return order != 0
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	case ">=":
		return order >= 0
	case "~=":
		return order >= 0 && prefix(v, n[:len(n)-1])
	case "~":
		return order >= 0 && prefix(v, n[:min(len(n), 2)])
	case "^":
		keep := 1
		for keep < len(n) && n[keep-1] == 0 {
			keep++
		}
		return order >= 0 && prefix(v, n[:keep])
	}
	return false
}

func admitsAll(clauses []clause, version string) bool {
	for _, c := range clauses {
		if !c.admits(version) {
			return false
		}
	}
	return true
}

// raise gives the edit, in offsets of the text that clauses come from, after
// which they start at a version. An upper bound that is a round version makes room;
// so does a further clause that says how versions begin. It fails when another
// clause forbids the version, and returns that clause. Where there is no clause the
// version becomes the lowest one allowed, at insert.
func raise(clauses []clause, insert int, to string) (fix.Edit, *clause) {
	lower := -1
	for i, c := range clauses {
		switch c.operator {
		case "==", "===", "~=", ">=", ">", "", "^", "~":
			if lower < 0 {
				lower = i
			}
		}
	}
	var edits []fix.Edit
	for i, c := range clauses {
		if i == lower || c.admits(to) {
			continue
		}
		text, ok := follow(c, to)
		if !ok {
			return fix.Edit{}, &clauses[i]
		}
		edits = append(edits, fix.Edit{Start: c.at, End: c.end, Old: c.version, New: text})
	}
	if lower >= 0 {
		edits = append(edits, clauses[lower].raised(to))
		return merge(clauses[0].source, edits), nil
	}
	if len(clauses) == 0 {
		return fix.Edit{Start: insert, End: insert, New: ">=" + to}, nil
	}
	at := clauses[0].start
	edits = append(edits, fix.Edit{Start: at, End: at, New: ">=" + to + ","})
	return merge(clauses[0].source, edits), nil
}

// starts says whether a requirement begins at a version or above it, so that raising
// it would change nothing or lower it.
func starts(clauses []clause, version string) bool {
	want, ok := numbers(version)
	return ok && slices.ContainsFunc(clauses, func(c clause) bool {
		have, known := numbers(c.version)
		switch c.operator {
		case "==", "===", "~=", ">=", ">", "", "^", "~":
			return known && compare(have, want) >= 0
		}
		return false
	})
}

// follow gives the version with which a clause that does not state where versions
// begin allows another one too.
func follow(c clause, to string) (string, bool) {
	want, ok := numbers(to)
	have, known := numbers(c.version)
	if !ok || !known {
		return "", false
	}
	switch {
	case c.operator == "<":
		return fix.RoomAbove(c.version, to)
	case c.operator == "==" && strings.HasSuffix(c.version, ".*"):
		return join(want[:min(len(have), len(want))]) + ".*", true
	case c.operator == "~=" || c.operator == "^" || c.operator == "~":
		return join(want[:min(len(have), len(want))]), true
	}
	return "", false
}

// raised gives the edit after which a clause that states where versions begin does
// so at another.
func (c *clause) raised(to string) fix.Edit {
	edit := fix.Edit{Start: c.at, End: c.end, Old: c.version, New: to}
	have, _ := numbers(c.version)
	want, _ := numbers(to)
	switch {
	case c.version == "*":
		edit.New = ">=" + to
	case c.operator == ">":
		edit.Start, edit.Old, edit.New = c.start, c.source[c.start:c.end], ">="+to
	case strings.HasSuffix(c.version, ".*"):
		if c.admits(to) {
			edit = fix.Edit{Start: c.end, End: c.end, New: ",>=" + to}
		} else {
			edit.New = join(want[:min(len(have), len(want))]) + ".*,>=" + to
		}
	case c.operator == "~=" && len(have) < len(want):
		// A longer version would allow less than before; the shorter one
		// keeps how far it reaches.
		if c.admits(to) {
			edit = fix.Edit{Start: c.end, End: c.end, New: ",>=" + to}
		} else {
			edit.New = join(want[:len(have)]) + ",>=" + to
		}
	}
	return edit
}

// merge makes one edit of several that do not overlap.
func merge(source string, edits []fix.Edit) fix.Edit {
	slices.SortStableFunc(edits, func(a, b fix.Edit) int { return cmp.Compare(a.Start, b.Start) })
	all := edits[0]
	for _, next := range edits[1:] {
		between := source[all.End:next.Start]
		all = fix.Edit{Start: all.Start, End: next.End, Old: all.Old + between + next.Old, New: all.New + between + next.New}
	}
	return all
}

func join(parts []int) string {
	texts := make([]string, len(parts))
	for i, n := range parts {
		texts[i] = strconv.Itoa(n)
	}
	return strings.Join(texts, ".")
}

// shift moves an edit to where its text begins in a file.
func shift(edit fix.Edit, base int, data []byte) fix.Edit {
	edit.Start += base
	edit.End += base
	edit.Old = string(data[edit.Start:edit.End])
	return edit
}

// written joins clauses as they stand.
func written(text string, clauses []clause) string {
	if len(clauses) == 0 {
		return ""
	}
	return text[clauses[0].start:clauses[len(clauses)-1].end]
}

// requirement is one place that states a constraint on a package.
type requirement struct {
	file    string
	line    int
	name    string
	text    string // clauses as written
	clauses []clause
	base    int  // where clause offsets count from, in the file
	insert  int  // where a clause may be added, from base
	hashed  bool // pinned together with hashes
	bare    bool // a value of its own in poetry's tables, not part of a requirement
}

func (r *requirement) String() string {
	return fmt.Sprintf("%s%s", r.name, r.text)
}
