package bundler

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/osv-scalibr/semantic"
)

// lock is a Gemfile.lock in its sections.
type lock struct {
	sections []section
	specs    []spec
	asked    map[string]string // constraints of DEPENDENCIES by name
	outside  map[string]bool   // those that come from a path or a repository
	crlf     bool
}

// section is a title with the lines below it, without their line ends.
type section struct {
	title string
	lines []string
}

// spec is one gem of a lock.
type spec struct {
	section  int // index of its section
	name     string
	version  string
	platform string // "" for any
	needs    []need
}

type need struct{ name, constraint string }

func (s *spec) key() string {
	if s.platform != "" {
		return s.name + " " + s.version + "-" + s.platform
	}
	return s.name + " " + s.version
}

var (
	specLine   = regexp.MustCompile(`^    ([A-Za-z0-9._-]+) \(([^()-]+)(?:-([^()]+))?\)$`)
	needLine   = regexp.MustCompile(`^      ([A-Za-z0-9._-]+)(?: \(([^()]*)\))?!?$`)
	askedLine  = regexp.MustCompile(`^  ([A-Za-z0-9._-]+)(?: \(([^()]*)\))?(!)?$`)
	remoteLine = regexp.MustCompile(`^  remote: (\S+)$`)
)

// parseLock reads a Gemfile.lock.
func parseLock(name string, data []byte) (*lock, error) {
	text := strings.TrimPrefix(string(data), "\ufeff")
	l := &lock{asked: map[string]string{}, outside: map[string]bool{}, crlf: strings.Contains(text, "\r\n")}
	for i, line := range strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n") {
		switch {
		case line == "":
			continue
		case line[0] != ' ':
			if strings.Trim(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZ ") != "" {
				return nil, fmt.Errorf("%s:%d: expected a section", name, i+1)
			}
			l.sections = append(l.sections, section{title: line})
		case len(l.sections) == 0:
			return nil, fmt.Errorf("%s:%d: expected a section", name, i+1)
		default:
			s := &l.sections[len(l.sections)-1]
			s.lines = append(s.lines, line)
		}
	}
	for i, s := range l.sections {
		for _, line := range s.lines {
			switch s.title {
			case "GEM", "GIT", "PATH", "PLUGIN SOURCE":
				if m := specLine.FindStringSubmatch(line); m != nil {
					l.specs = append(l.specs, spec{section: i, name: m[1], version: m[2], platform: m[3]})
				} else if m := needLine.FindStringSubmatch(line); m != nil && len(l.specs) > 0 {
					last := &l.specs[len(l.specs)-1]
					last.needs = append(last.needs, need{m[1], m[2]})
				}
			case "DEPENDENCIES":
				if m := askedLine.FindStringSubmatch(line); m != nil {
					l.asked[m[1]], l.outside[m[1]] = m[2], m[3] != ""
				}
			}
		}
	}
	if l.find("GEM") < 0 || l.find("DEPENDENCIES") < 0 {
		return nil, fmt.Errorf("%s: expected the sections GEM and DEPENDENCIES", name)
	}
	return l, nil
}

// find gives the index of a section, -1 for none.
func (l *lock) find(title string) int {
	return slices.IndexFunc(l.sections, func(s section) bool { return s.title == title })
}

// write gives the text of a lock.
func (l *lock) write() []byte {
	var parts []string
	for _, s := range l.sections {
		parts = append(parts, s.title+"\n"+strings.Join(append(slices.Clone(s.lines), ""), "\n"))
	}
	text := strings.Join(parts, "\n")
	if l.crlf {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	return []byte(text)
}

// source gives the address of the one registry that a lock takes gems from.
func (l *lock) source() (string, error) {
	found := ""
	for _, s := range l.sections {
		if s.title != "GEM" {
			continue
		}
		for _, line := range s.lines {
			m := remoteLine.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			if found != "" {
				return "", errors.New("gems of more than one registry; bundler has to be run in the project")
			}
			found = m[1]
		}
	}
	return found, checkSource(found)
}

var sourceAddress = regexp.MustCompile(`^https?://[A-Za-z0-9._~:/?#@!&*+,;=%-]+$`)

func checkSource(address string) error {
	if !sourceAddress.MatchString(address) {
		return fmt.Errorf("source %q: expected an http address", address)
	}
	return nil
}

// clauses writes constraints in one order and spelling, to compare them.
func clauses(text string) string {
	var parts []string
	for part := range strings.SplitSeq(text, ",") {
		part = strings.ReplaceAll(part, " ", "")
		if part != "" && part[0] >= '0' && part[0] <= '9' {
			part = "=" + part
		}
		if part != "" && part != ">=0" {
			parts = append(parts, part)
		}
	}
	slices.Sort(parts)
	return strings.Join(slices.Compact(parts), ",")
}

// needing gives the lock in which the project's own gem states another constraint.
func (l *lock) needing(name, constraint string) (*lock, error) {
	parts := strings.Split(constraint, ", ")
	slices.Sort(parts)
	slices.Reverse(parts) // as bundler writes them
	changed := &lock{sections: slices.Clone(l.sections), crlf: l.crlf}
	done := false
	for i, s := range changed.sections {
		if s.title != "PATH" || !slices.Contains(s.lines, "  remote: .") {
			continue
		}
		lines := slices.Clone(s.lines)
		for j, line := range lines {
			if m := needLine.FindStringSubmatch(line); m != nil && m[1] == name {
				lines[j] = fmt.Sprintf("      %s (%s)", name, strings.Join(parts, ", "))
				done = true
			}
		}
		changed.sections[i].lines = lines
	}
	if !done {
		return nil, fmt.Errorf("expected the project's own gem to need %s", name)
	}
	return parseLock("Gemfile.lock", changed.write())
}

// merge puts what bundler resolved into a lock: gems of the registry, dependencies
// and checksums. Gems for platforms that the lock does not know are left out.
func (l *lock) merge(resolved *lock) (*lock, error) {
	known := map[string]bool{"": true}
	if at := l.find("PLATFORMS"); at >= 0 {
		for _, line := range l.sections[at].lines {
			known[strings.TrimSpace(line)] = true
		}
	}
	for _, s := range l.specs {
		known[s.platform] = true
	}
	merged := &lock{sections: slices.Clone(l.sections), crlf: l.crlf}
	if l.find("CHECKSUMS") >= 0 && resolved.find("CHECKSUMS") < 0 {
		return nil, errors.New("the lock has checksums and this bundler writes none; a newer one is needed")
	}
	for i, s := range merged.sections {
		switch s.title {
		case "GEM", "DEPENDENCIES", "CHECKSUMS":
		default:
			continue
		}
		at := resolved.find(s.title)
		if at < 0 {
			return nil, fmt.Errorf("bundler wrote no section %s", s.title)
		}
		lines := resolved.sections[at].lines
		if s.title == "GEM" {
			lines = knownPlatforms(lines, known)
			for j, line := range lines { // the address as it was written
				if remoteLine.MatchString(line) {
					if k := slices.IndexFunc(s.lines, remoteLine.MatchString); k >= 0 {
						lines[j] = s.lines[k]
					}
				}
			}
		}
		merged.sections[i].lines = lines
	}
	return parseLock("Gemfile.lock", merged.write())
}

func knownPlatforms(lines []string, known map[string]bool) []string {
	var kept []string
	keep := true
	for _, line := range lines {
		if m := specLine.FindStringSubmatch(line); m != nil {
			keep = known[m[3]]
		}
		if keep {
			kept = append(kept, line)
		}
	}
	return kept
}

// higher says whether a version is above another.
func higher(a, b string) bool {
	order, err := semantic.ParseRubyGemsVersion(a).CompareStr(b)
	return err == nil && order > 0
}
