package lockfile

import (
	"path"
	"regexp"
	"strings"
)

var (
	setupList   = regexp.MustCompile(`\binstall_requires\s*=\s*\[`)
	setupString = regexp.MustCompile(`^\s*(?:"([^"\\\n]*)"|'([^'\\\n]*)')`)
)

// readSetup reads the install_requires of a setup.cfg, and of a setup.py where
// it is a literal list of strings.
func readSetup(s *source, name string) Module {
	m := Module{Dir: folderOf(name), Ecosystem: "PyPI", Tool: "pip", Manifests: []string{name}}
	s.claim(name)
	data, err := s.text(name)
	if err != nil {
		m.fail(name, err)
		return m
	}
	if path.Base(name) == "setup.cfg" {
		m.setupConfig(string(data), name)
	} else {
		m.setupScript(string(data), name)
	}
	m.pythonPinned()
	return m
}

func (m *Module) setupConfig(text, name string) {
	section, key := "", ""
	line := 0
	for raw := range strings.Lines(text) {
		line++
		trimmed := strings.TrimSpace(raw)
		switch {
		case trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';':
			continue
		case trimmed[0] == '[' && strings.HasSuffix(trimmed, "]"):
			section, key = trimmed[1:len(trimmed)-1], ""
			continue
		}
		value := trimmed
		if raw[0] != ' ' && raw[0] != '\t' {
			var ok bool
			if key, value, ok = strings.Cut(trimmed, "="); !ok {
				key = ""
				continue
			}
			key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		}
		group := ""
		switch {
		case section == "metadata" && key == "name":
			m.Name = PythonName(value)
		case section == "options" && key == "install_requires":
			group = "production"
		case section == "options.extras_require":
			group = "optional"
		}
		if group != "" && value != "" && !strings.HasPrefix(value, "file:") {
			m.declare(value, group, name, line, line)
		}
	}
}

func (m *Module) setupScript(text, name string) {
	at := setupList.FindStringIndex(text)
	if at == nil {
		return
	}
	rest := text[at[1]:]
	line := 1 + strings.Count(text[:at[1]], "\n")
	for rest != "" {
		if skipped := strings.TrimLeft(rest, " \t\r\n,"); len(skipped) < len(rest) {
			line += strings.Count(rest[:len(rest)-len(skipped)], "\n")
			rest = skipped
			continue
		}
		if rest[0] == '#' {
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				return
			}
			rest = rest[end:]
			continue
		}
		match := setupString.FindStringSubmatch(rest)
		if match == nil {
			return // the end of the list, or no literal
		}
		m.declare(match[1]+match[2], "production", name, line, line)
		rest = rest[len(match[0]):]
	}
}
