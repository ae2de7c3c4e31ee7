package codeowners

import (
	"strings"
	"unicode/utf8"
)

// ending says what may follow what the last segment matched.
type ending uint8

const (
	endExact  ending = iota // nothing
	endBelow                // nothing, or anything below it
	endInside               // at least one segment more
)

// pattern is a compiled path pattern: segments from the root, an ending.
type pattern struct {
	segments []segment
	end      ending
	never    bool
}

// segment is one part of a pattern between slashes.
type segment struct {
	any   bool   // "**": any number of segments, none included
	text  string // key in the index; literal text when glob is empty
	glob  []unit // empty for literal text
	front string // literal text that the segment begins with
	back  string // literal text that the segment ends with
}

// unit is one element of a glob within a segment.
type unit struct {
	kind unitKind
	char rune
	set  []runeRange
	not  bool
}

type unitKind uint8

const (
	unitChar unitKind = iota
	unitOne           // ?
	unitMany          // *
	unitSet           // [a-z]
)

type runeRange struct{ from, to rune }

var anySegment = segment{any: true, text: "**"}

// githubPattern compiles a pattern of GitHub: gitignore without negation and
// sets. The note, when there is one, says what reads otherwise than it looks.
func githubPattern(text string) (p pattern, note string) {
	if strings.ContainsAny(text, "[]") {
		note = "GitHub has no character sets: brackets match themselves"
	}
	if strings.Trim(text, "/") == "" {
		return pattern{never: true}, "the pattern matches nothing"
	}
	parts := strings.Split(text, "/")
	anchored := false
	if parts[0] == "" {
		parts, anchored = parts[1:], true
	}
	if last := len(parts) - 1; last > 0 && parts[last] == "" {
		parts, p.end = parts[:last], endInside
		anchored = anchored || last > 1
	} else {
		anchored = anchored || last > 0
	}
	if !anchored && parts[0] != "**" {
		p.segments = append(p.segments, anySegment)
	}
	for _, part := range parts {
		if part == "**" {
			p.segments = append(p.segments, anySegment)
		} else {
			p.segments = append(p.segments, compileSegment(part, false))
		}
	}
	last := parts[len(parts)-1]
	if last == "**" {
		// "a/**" and "a/**/" are everything inside a; "**/" is everything
		// inside any folder.
		for len(p.segments) > 0 && p.segments[len(p.segments)-1].any {
			p.segments = p.segments[:len(p.segments)-1]
		}
		if len(p.segments) == 0 && p.end == endInside {
			p.segments = []segment{anySegment, compileSegment("*", false)}
		}
		p.end = endInside
	} else if p.end != endInside && last != "*" {
		p.end = endBelow
	}
	return p, note
}

// gitlabPattern compiles a pattern of GitLab: fnmatch with a path from the
// root, where "**/" crosses levels and anything else stays on one.
func gitlabPattern(text string) (p pattern) {
	if text == "" {
		return pattern{never: true}
	}
	rest, rooted := strings.CutPrefix(text, "/")
	if !rooted {
		p.segments = append(p.segments, anySegment)
	}
	if strings.HasSuffix(rest, "/") || rest == "" {
		rest += "**/*"
	}
	parts := strings.Split(rest, "/")
	for i, part := range parts {
		if part == "**" && i < len(parts)-1 {
			p.segments = append(p.segments, anySegment)
		} else {
			p.segments = append(p.segments, compileSegment(part, true))
		}
	}
	return p
}

// compileSegment compiles the text between two slashes. A backslash takes the
// next character as it is.
func compileSegment(text string, sets bool) segment {
	var units []unit
	plain := true
	chars := []rune(text)
	for i := 0; i < len(chars); i++ {
		switch char := chars[i]; {
		case char == '\\':
			if i++; i < len(chars) {
				units = append(units, unit{char: chars[i]})
			}
		case char == '*':
			plain = false
			if n := len(units); n == 0 || units[n-1].kind != unitMany {
				units = append(units, unit{kind: unitMany})
			}
		case char == '?':
			plain = false
			units = append(units, unit{kind: unitOne})
		case char == '[' && sets:
			set, length := compileSet(chars[i:])
			if length == 0 {
				units = append(units, unit{char: char})
				continue
			}
			plain = false
			units = append(units, set)
			i += length - 1
		default:
			units = append(units, unit{char: char})
		}
	}
	front, back := literal(units, false), literal(units, true)
	if plain {
		return segment{text: front}
	}
	return segment{text: text, glob: units, front: front, back: back}
}

// literal gives the plain text at the beginning or the end of units.
func literal(units []unit, end bool) string {
	var text []rune
	for i := range units {
		u := units[i]
		if end {
			u = units[len(units)-1-i]
		}
		if u.kind != unitChar {
			break
		}
		text = append(text, u.char)
	}
	if end {
		for i, j := 0, len(text)-1; i < j; i, j = i+1, j-1 {
			text[i], text[j] = text[j], text[i]
		}
	}
	return string(text)
}

// compileSet reads "[a-z]", "[^a]" or "[!a]"; length 0 when it has no end.
func compileSet(chars []rune) (set unit, length int) {
	set.kind = unitSet
	i := 1
	if i < len(chars) && (chars[i] == '^' || chars[i] == '!') {
		set.not = true
		i++
	}
	for ; i < len(chars); i++ {
		if chars[i] == ']' && len(set.set) > 0 {
			return set, i + 1
		}
		if chars[i] == '\\' && i+1 < len(chars) {
			i++
		}
		from, to := chars[i], chars[i]
		if i+2 < len(chars) && chars[i+1] == '-' && chars[i+2] != ']' {
			to = chars[i+2]
			i += 2
		}
		set.set = append(set.set, runeRange{from, to})
	}
	return unit{}, 0
}

func (u *unit) match(char rune) bool {
	switch u.kind {
	case unitChar:
		return u.char == char
	case unitOne:
		return true
	}
	for _, r := range u.set {
		if r.from <= char && char <= r.to {
			return !u.not
		}
	}
	return u.not
}

// match says whether the segment matches one name of a path. It looks back to
// the last star only, so that its time is at most pattern times name.
func (s *segment) match(name string) bool {
	if len(s.glob) == 0 {
		return s.text == name
	}
	if !strings.HasPrefix(name, s.front) || !strings.HasSuffix(name, s.back) {
		return false
	}
	units := s.glob
	at, star, retry := 0, -1, 0
	for i := 0; i < len(name); {
		char, size := utf8.DecodeRuneInString(name[i:])
		switch {
		case at < len(units) && units[at].kind == unitMany:
			star, retry = at, i
			at++
		case at < len(units) && units[at].match(char):
			at++
			i += size
		case star >= 0:
			_, skip := utf8.DecodeRuneInString(name[retry:])
			retry += skip
			at, i = star+1, retry
		default:
			return false
		}
	}
	for at < len(units) && units[at].kind == unitMany {
		at++
	}
	return at == len(units)
}
