package fix

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Meaning is what an operator of a constraint means.
type Meaning int

// Meanings of operators.
const (
	Exact  Meaning = iota + 1 // this version; with a star, those that begin so
	NotThe                    // any but this version
	Below
	UpTo
	Above
	From
	Caret      // from it up to the next change of its first number that is not zero
	Tilde      // from it, its first two numbers stay
	Compatible // from it, all its numbers but the last stay; of one number, that one
)

// Syntax is how an ecosystem writes constraints: clauses that all have to hold,
// in alternatives of which one has to.
type Syntax struct {
	Operators map[string]Meaning // "" for a version alone
	Or        string             // between alternatives, "" for none
	// Join is put before a clause that is added after others.
	Join string
	// AtLeast is the operator of Above-or-equal with the space that follows it.
	AtLeast string
}

type clause struct {
	operator       string
	meaning        Meaning
	version        string
	numbers        []int
	star           bool
	start, at, end int // of the operator, of the version
}

var clausePattern = regexp.MustCompile(`^[\s,]*(===|==|=|!=|<>|<=|>=|<|>|\^|~>|~=|~)?\s*([vV]?[0-9]+[A-Za-z0-9.*+_-]*|\*)[\s,]*`)

var wholeVersion = regexp.MustCompile(`^[vV]?[0-9]+(?:\.[0-9]+)*(?:[A-Za-z+_-][A-Za-z0-9.+_-]*|\.[A-Za-z][A-Za-z0-9.+_-]*)?$`)

// parse reads one alternative that begins at base.
func (s *Syntax) parse(text string, base int) ([]clause, bool) {
	var clauses []clause
	for at := 0; at < len(text); {
		m := clausePattern.FindStringSubmatchIndex(text[at:])
		if m == nil {
			return nil, strings.Trim(text[at:], " ,\t") == "" && len(clauses) > 0
		}
		c := clause{version: text[at+m[4] : at+m[5]], start: base + at + m[4], at: base + at + m[4], end: base + at + m[5]}
		if m[2] >= 0 {
			c.operator, c.start = text[at+m[2]:at+m[3]], base+at+m[2]
		}
		meaning, known := s.Operators[c.operator]
		if !known {
			return nil, false
		}
		c.meaning = meaning
		var ok bool
		if c.numbers, c.star, ok = constraintNumbers(c.version); !ok {
			return nil, false
		}
		clauses = append(clauses, c)
		at += m[1]
	}
	return clauses, true
}

// constraintNumbers reads the numbers that a version begins with; a star ends them.
func constraintNumbers(version string) (parts []int, star, ok bool) {
	version = strings.TrimLeft(version, "vV")
	for part := range strings.SplitSeq(version, ".") {
		if part == "*" || part == "x" || part == "X" {
			return parts, true, true
		}
		digits := part[:len(part)-len(strings.TrimLeft(part, "0123456789"))]
		if digits == "" {
			break
		}
		n, err := strconv.Atoi(digits)
		if err != nil {
			return nil, false, false
		}
		parts = append(parts, n)
		if digits != part {
			break
		}
	}
	return parts, false, len(parts) > 0
}

func compareNumbers(a, b []int) int {
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

// begins says whether v begins with the numbers of p.
func begins(v, p []int) bool {
	for i := range p {
		if i >= len(v) && p[i] != 0 || i < len(v) && v[i] != p[i] {
			return false
		}
	}
	return true
}

func (c *clause) admits(v []int) bool {
	n := c.numbers
	order := compareNumbers(v, n)
	keep := 0
	switch c.meaning {
	case Exact:
		if c.star {
			return begins(v, n)
		}
		return order == 0
	case NotThe:
		if c.star {
			return !begins(v, n)
		}
		return order != 0
	case Below:
		return order < 0
	case UpTo:
		return order <= 0
	case Above:
		return order > 0
	case From:
		return order >= 0
	case Caret:
		if c.star {
			return begins(v, n)
		}
		keep = 1
		for keep < len(n) && n[keep-1] == 0 {
			keep++
		}
	case Tilde:
		keep = 2
	case Compatible:
		keep = max(1, len(n)-1)
	}
	return order >= 0 && begins(v, n[:min(keep, len(n))])
}

// lower says whether a clause states where versions begin.
func (c *clause) lower() bool {
	return c.meaning == Exact || c.meaning >= Above
}

type alternative struct {
	start, end int
	clauses    []clause
}

func (s *Syntax) alternatives(text string) ([]alternative, bool) {
	parts := []string{text}
	if s.Or != "" {
		parts = strings.Split(text, s.Or)
	}
	var found []alternative
	at := 0
	for _, part := range parts {
		clauses, ok := s.parse(part, at)
		if !ok {
			return nil, false
		}
		found = append(found, alternative{at, at + len(strings.TrimRight(part, " \t")), clauses})
		at += len(part) + len(s.Or)
	}
	return found, true
}

func admitsAll(clauses []clause, v []int) bool {
	return !slices.ContainsFunc(clauses, func(c clause) bool { return !c.admits(v) })
}

// Admits says whether a constraint allows a version. An empty one allows all;
// known is false for one that is not understood, which allows none.
func (s *Syntax) Admits(constraint, version string) (fits, known bool) {
	v, _, ok := constraintNumbers(version)
	if !ok {
		return false, false
	}
	if strings.TrimSpace(constraint) == "" {
		return true, true
	}
	list, ok := s.alternatives(constraint)
	if !ok {
		return false, false
	}
	return slices.ContainsFunc(list, func(a alternative) bool { return admitsAll(a.clauses, v) }), true
}

// Raise rewrites a constraint so that it starts at a version and reaches as far as
// before: operators, spaces and the count of numbers stay where they can, and an
// upper bound that is a round version makes room. A constraint without alternatives
// that allow the version gets one more. It fails for what is not understood and for
// clauses that forbid the version itself.
func (s *Syntax) Raise(constraint, to string) (string, bool) {
	v, _, ok := constraintNumbers(to)
	if !ok || !wholeVersion.MatchString(to) {
		return "", false
	}
	if strings.TrimSpace(constraint) == "" {
		return s.AtLeast + to, true
	}
	list, ok := s.alternatives(constraint)
	if !ok {
		return "", false
	}
	at := slices.IndexFunc(list, func(a alternative) bool { return admitsAll(a.clauses, v) })
	if at < 0 && len(list) > 1 {
		return constraint + " " + s.Or + " " + s.caret() + to, true
	}
	a := list[max(at, 0)]
	edits, ok := s.raise(constraint, a, v, to)
	if !ok {
		return "", false
	}
	text, err := Splice([]byte(constraint), edits...)
	if err != nil {
		return "", false
	}
	if fits, known := s.Admits(string(text), to); !fits || !known {
		return "", false
	}
	return string(text), true
}

// caret is how the syntax writes a range up to the next major version.
func (s *Syntax) caret() string {
	for operator, meaning := range s.Operators {
		if meaning == Caret && operator != "" {
			return operator
		}
	}
	return s.AtLeast
}

func (s *Syntax) raise(text string, a alternative, v []int, to string) ([]Edit, bool) {
	lower := slices.IndexFunc(a.clauses, func(c clause) bool { return c.lower() })
	added := ""
	var edits []Edit
	replace := func(start, end int, with string) {
		edits = append(edits, Edit{Start: start, End: end, Old: text[start:end], New: with})
	}
	for i := range a.clauses {
		c := &a.clauses[i]
		switch {
		case i == lower || c.admits(v):
		case c.meaning == Below:
			bound, ok := roomAbove(c.version, c.numbers, v)
			if !ok {
				return nil, false
			}
			replace(c.at, c.end, bound)
		case c.lower():
			replace(c.at, c.end, to)
		default:
			return nil, false
		}
	}
	if lower < 0 {
		added = s.AtLeast + to
	} else {
		c := &a.clauses[lower]
		have := len(c.numbers)
		prefix := c.version[:len(c.version)-len(strings.TrimLeft(c.version, "vV"))]
		rest := v[min(have, len(v)):]
		round := !slices.ContainsFunc(rest, func(n int) bool { return n != 0 })
		short := prefix + joinNumbers(v, have)
		switch {
		case c.version == "*":
			replace(c.start, c.end, s.AtLeast+to)
		case c.star:
			replace(c.at, c.end, short+".*")
			if !round {
				added = s.AtLeast + to
			}
		case c.meaning == Exact:
			replace(c.at, c.end, prefix+to)
		case c.meaning == Above:
			replace(c.start, c.end, s.AtLeast+to)
		case round && plain(to):
			replace(c.at, c.end, short)
		case c.meaning == Compatible && have < len(v) && !(have == 1 && len(v) == 2), c.meaning == Tilde && have == 1:
			// More numbers would reach less far.
			replace(c.at, c.end, short)
			added = s.AtLeast + to
		default:
			replace(c.at, c.end, prefix+to)
		}
	}
	if added != "" {
		join := s.Join
		if strings.TrimSpace(join) == "" && strings.Contains(text[a.start:a.end], ",") {
			join = ", "
		}
		replace(a.end, a.end, join+added)
	}
	return edits, true
}

// plain says whether a version is numbers only.
func plain(version string) bool {
	return strings.Trim(strings.TrimLeft(version, "vV"), "0123456789.") == ""
}

// joinNumbers writes the first n numbers of a version, zeros where it has fewer.
func joinNumbers(v []int, n int) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = "0"
		if i < len(v) {
			parts[i] = strconv.Itoa(v[i])
		}
	}
	return strings.Join(parts, ".")
}

// RoomAbove moves an upper bound that is a round version, such as 2 or 1.5.0, to the
// next one above a version, written with as many numbers. It fails for a bound that
// names a patch.
func RoomAbove(bound, version string) (string, bool) {
	b, star, ok := constraintNumbers(bound)
	v, _, known := constraintNumbers(version)
	if !ok || !known || star {
		return "", false
	}
	return roomAbove(bound, b, v)
}

// roomAbove moves an upper bound that is a round version, such as 2 or 1.5.0, to
// the next one above v. It fails for a bound that names a patch.
func roomAbove(version string, bound, v []int) (string, bool) {
	if !plain(version) {
		return "", false
	}
	last := len(bound) - 1
	for last > 0 && bound[last] == 0 {
		last--
	}
	if last > 1 {
		return "", false
	}
	next := make([]int, last+1)
	copy(next, v)
	next[last]++
	return joinNumbers(next, len(bound)), true
}
