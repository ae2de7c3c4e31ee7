package python

import (
	"bytes"
	"strings"

	"github.com/backstitch/backstitch/fix"
)

// parseRequirements reads a requirements file. Lines that are options, URLs,
// paths or unreadable are passed over.
func parseRequirements(file string, data []byte) []requirement {
	var found []requirement
	line, at := 0, 0
	for at < len(data) {
		// A logical line goes on after a backslash.
		start, first := at, line+1
		for {
			end := bytes.IndexByte(data[at:], '\n')
			line++
			if end < 0 {
				at = len(data)
				break
			}
			at += end + 1
			if !bytes.HasSuffix(bytes.TrimRight(data[start:at], "\r\n"), []byte(`\`)) {
				break
			}
		}
		text := string(data[start:at])
		physical := strings.TrimRight(firstLine(text), "\\\r\n")
		name, clauses, insert, ok := parseRequirement(physical)
		if !ok {
			continue
		}
		found = append(found, requirement{
			file: file, line: first, name: name, text: written(physical, clauses), clauses: clauses,
			base: start, insert: insert, hashed: strings.Contains(text, "--hash="),
		})
	}
	return found
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// parsePyproject lists what a pyproject.toml requires: of the standard tables,
// and of poetry's.
func parsePyproject(file string, data []byte) ([]requirement, error) {
	texts, err := fix.TOMLStrings(file, data)
	if err != nil {
		return nil, err
	}
	var found []requirement
	for _, s := range texts {
		switch {
		case s.Under("project", "dependencies"), s.Under("project", "optional-dependencies", "*"), s.Under("dependency-groups", "*"),
			s.Under("tool", "uv", "dev-dependencies"), s.Under("tool", "uv", "constraint-dependencies"):
			if name, clauses, insert, ok := parseRequirement(s.Value); ok {
				found = append(found, requirement{
					file: file, line: s.Line, name: name, text: written(s.Value, clauses), clauses: clauses, base: s.Start, insert: insert,
				})
			}
		default:
			if name := poetryName(s); name != "" && normal(name) != "python" {
				found = appendBare(found, file, name, &s)
			}
		}
	}
	return found, nil
}

// appendBare adds the value of a table from name to constraint.
func appendBare(found []requirement, file, name string, s *fix.TextAt) []requirement {
	if clauses, ok := parseClauses(s.Value, 0); ok && len(clauses) > 0 {
		found = append(found, requirement{file: file, line: s.Line, name: name, text: s.Value, clauses: clauses, base: s.Start, bare: true})
	}
	return found
}

// parsePipfile lists what a Pipfile requires: tables from name to constraint, or to
// a table with a version. Any table that is none of pipenv's own is such a category.
func parsePipfile(file string, data []byte) ([]requirement, error) {
	texts, err := fix.TOMLStrings(file, data)
	if err != nil {
		return nil, err
	}
	var found []requirement
	for _, s := range texts {
		switch s.Path[0] {
		case "source", "requires", "scripts", "pipenv", "pipfile":
			continue
		}
		if s.Under("*", "*") || s.Under("*", "*", "version") {
			found = appendBare(found, file, s.Path[1], &s)
		}
	}
	return found, nil
}

// poetryName is the package whose version a key of poetry's tables states.
func poetryName(s fix.TextAt) string {
	if n := len(s.Path); n > 0 && s.Path[n-1] == "version" {
		s.Path = s.Path[:n-1]
	}
	if s.Under("tool", "poetry", "dependencies", "*") || s.Under("tool", "poetry", "dev-dependencies", "*") || s.Under("tool", "poetry", "group", "*", "dependencies", "*") {
		return s.Path[len(s.Path)-1]
	}
	return ""
}
