package outcome

import (
	"cmp"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/code/git"
)

// patterns are the files that hold versions or settings, in git's :(glob) syntax.
var patterns = []string{
	"**/go.mod", "**/package.json", "**/composer.json", "**/*requirements*.txt", "**/*requirements*.in", "**/requirements/*.txt", "**/constraints*.txt",
	"**/pyproject.toml", "**/Pipfile", "**/Cargo.toml", "**/Gemfile", "**/*.gemspec", "**/pom.xml", "**/*.gradle", "**/*.gradle.kts", "**/*.versions.toml",
	"**/Dockerfile*", "**/*.Dockerfile", "**/*.dockerfile", "**/Containerfile*",
	".github/workflows/*", "**/action.yml", "**/action.yaml",
	"**/*.tf", "**/*.tfvars",
	"**/values*.yaml", "**/values*.yml", "**/Chart.yaml", "**/kustomization.yaml", "**/kustomization.yml",
	"**/k8s/**/*.yaml", "**/k8s/**/*.yml", "**/kubernetes/**/*.yaml", "**/kubernetes/**/*.yml", "**/manifests/**/*.yaml", "**/manifests/**/*.yml",
	"**/overlays/**/*.yaml", "**/deploy/**/*.yaml", "**/deploy/**/*.yml",
}

// reader reads the versions that lines of a kind of file state.
type reader struct {
	kind, ecosystem string
	// line gives the subject and version of one line, or "".
	line func(line string) (name, version string, indirect bool)
}

var (
	goRequire  = regexp.MustCompile(`^\s*(?:require\s+)?([^\s=]+\.[^\s=]+)\s+(v\d[^\s]*)(\s*//\s*indirect)?`)
	goReplace  = regexp.MustCompile(`=>\s+([^\s]+\.[^\s]+)\s+(v\d[^\s]*)`)
	goItself   = regexp.MustCompile(`^(?:go\s+|toolchain\s+go)(\d[^\s]*)`)
	jsonPair   = regexp.MustCompile(`^\s*"([^"]+)"\s*:\s*"([\^~><=v ]*\d[^"]*)"`)
	pinned     = regexp.MustCompile(`^\s*["']?([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*(?:===?|~=|>=)\s*([^\s;,#"'\\]+)`)
	tomlPair   = regexp.MustCompile(`^\s*"?([A-Za-z0-9][A-Za-z0-9._-]*)"?\s*=\s*"([\^~><= ]*\d[^"]*)"`)
	tomlTable  = regexp.MustCompile(`^\s*"?([A-Za-z0-9][A-Za-z0-9._-]*)"?\s*=\s*\{.*?\bversion\s*=\s*"([^"]+)"`)
	gemLine    = regexp.MustCompile(`(?:gem|dependency)[\s(]+['"]([^'"]+)['"],\s*['"]([^'"]*\d[^'"]*)['"]`)
	property   = regexp.MustCompile(`^\s*<([A-Za-z0-9_.-]*version[A-Za-z0-9_.-]*)>\s*(\d[^<\s]*)\s*</`)
	coordinate = regexp.MustCompile(`['"]([A-Za-z0-9_.-]+:[A-Za-z0-9_.-]+):(\d[^'"@:]*)['"]`)
	fromLine   = regexp.MustCompile(`(?i)^\s*FROM\s+(?:--\S+\s+)*([^\s$]+)`)
	usesLine   = regexp.MustCompile(`\buses:\s*['"]?([A-Za-z0-9_.-]+/[^@'"\s]+)@([^\s'"#]+)(?:['"]?\s*#\s*v?(\d[^\s]*))?`)
	sourceRef  = regexp.MustCompile(`\bsource\s*=\s*"([^"?]+)\?(?:[^"]*&)?ref=([^"&]+)`)
)

// own are keys of manifests that state something of the manifest itself.
var own = []string{"version", "edition", "rust-version", "python", "requires-python", "target-version", "node", "npm", "packageManager", "name", "php"}

func plain(expression *regexp.Regexp) func(string) (string, string, bool) {
	return func(line string) (string, string, bool) {
		if m := expression.FindStringSubmatch(line); m != nil && !slices.Contains(own, m[1]) {
			return m[1], strings.TrimSpace(m[2]), false
		}
		return "", "", false
	}
}

func either(first, second func(string) (string, string, bool)) func(string) (string, string, bool) {
	return func(line string) (string, string, bool) {
		if name, version, indirect := first(line); name != "" {
			return name, version, indirect
		}
		return second(line)
	}
}

func goLine(line string) (name, version string, indirect bool) {
	if m := goReplace.FindStringSubmatch(line); m != nil {
		return m[1], m[2], false
	}
	if m := goRequire.FindStringSubmatch(line); m != nil {
		return m[1], m[2], m[3] != ""
	}
	if m := goItself.FindStringSubmatch(line); m != nil {
		return "stdlib", m[1], false
	}
	return "", "", false
}

func imageLine(line string) (name, version string, indirect bool) {
	m := fromLine.FindStringSubmatch(line)
	if m == nil {
		return "", "", false
	}
	ref, hash, _ := strings.Cut(m[1], "@")
	name = ref
	if at := strings.LastIndexByte(ref, ':'); at > strings.LastIndexByte(ref, '/') {
		name, version = ref[:at], ref[at+1:]
	}
	if version = cmp.Or(version, hash); version == "" {
		return "", "", false
	}
	if hash != "" && version != hash {
		version += "@" + hash
	}
	return name, version, false
}

func usesOf(line string) (name, version string, indirect bool) {
	m := usesLine.FindStringSubmatch(line)
	if m == nil {
		return "", "", false
	}
	// A pin by commit is followed by the version it stands for.
	if len(m[2]) == 40 && m[3] != "" {
		return m[1], m[3] + "@" + m[2], false
	}
	return m[1], m[2], false
}

// readers lists what is read from a file, by its path.
func readers(name string) (list []reader, settings bool) {
	base := path.Base(name)
	lower := strings.ToLower(base)
	dependency := func(ecosystem string, line func(string) (string, string, bool)) {
		list = append(list, reader{Dependency, ecosystem, line})
	}
	switch {
	case base == "go.mod":
		dependency("Go", goLine)
	case base == "package.json":
		dependency("npm", plain(jsonPair))
	case base == "composer.json":
		dependency("Packagist", plain(jsonPair))
	case base == "pyproject.toml" || base == "Pipfile":
		dependency("PyPI", either(either(plain(tomlTable), plain(tomlPair)), plain(pinned)))
	case base == "Cargo.toml":
		dependency("crates.io", either(plain(tomlTable), plain(tomlPair)))
	case base == "Gemfile" || strings.HasSuffix(base, ".gemspec"):
		dependency("RubyGems", plain(gemLine))
	case base == "pom.xml":
		dependency("Maven", plain(property))
	case strings.HasSuffix(base, ".gradle") || strings.HasSuffix(base, ".gradle.kts"):
		dependency("Maven", plain(coordinate))
	case strings.HasSuffix(base, ".versions.toml"):
		dependency("Maven", either(plain(tomlTable), plain(tomlPair)))
	case strings.HasSuffix(base, ".txt") || strings.HasSuffix(base, ".in"):
		dependency("PyPI", plain(pinned))
	case strings.Contains(lower, "dockerfile") || strings.HasPrefix(lower, "containerfile"):
		return []reader{{BaseImage, "", imageLine}}, true
	case strings.Contains(name, ".github/") || strings.HasPrefix(base, "action.y"):
		return []reader{{Action, "", usesOf}}, true
	case strings.HasSuffix(base, ".tf"):
		return []reader{{Module, "", plain(sourceRef)}}, true
	default:
		settings = true
	}
	return list, settings
}

// normal is a name under which equal names of an ecosystem meet.
func normal(ecosystem, name string) string {
	if ecosystem == "PyPI" {
		return strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(name), "_", "-"), ".", "-")
	}
	return name
}

// read lists the versions that a rewritten file moved, and the change of its settings.
func read(file *git.Rewritten) []change {
	list, settings := readers(file.Path)
	var changes []change
	for _, r := range list {
		type stated struct {
			version  string
			indirect bool
		}
		before := map[string][]string{}
		var names []string
		after := map[string]stated{}
		for _, line := range file.Removed {
			if name, version, _ := r.line(line); name != "" {
				name = normal(r.ecosystem, name)
				before[name] = append(before[name], version)
			}
		}
		for _, line := range file.Added {
			if name, version, indirect := r.line(line); name != "" {
				name = normal(r.ecosystem, name)
				if _, seen := after[name]; !seen {
					names = append(names, name)
					after[name] = stated{version, indirect}
				}
			}
		}
		for _, name := range names {
			to := after[name]
			if from := before[name]; len(from) > 0 && !slices.Contains(from, to.version) {
				changes = append(changes, change{Kind: r.kind, Ecosystem: r.ecosystem, Name: name, Path: file.Path, From: from[0], To: to.version, Indirect: to.indirect})
			}
		}
	}
	if settings && !file.Created && len(file.Added) > 0 {
		changes = append(changes, change{Kind: Config, Path: file.Path, Removed: digest(file.Removed), Added: digest(file.Added)})
	}
	return changes
}

// order compares two versions of one thing by their numbers, left to right; a word
// after a number, as in a pre-release, comes before its absence. It is 0 where
// words alone differ.
func order(a, b string) int {
	// What follows an @ names content and has no order; what follows a + is a build.
	clean := func(s string) string {
		s, _, _ = strings.Cut(s, "@")
		s, _, _ = strings.Cut(s, "+")
		return strings.TrimLeft(s, "^~><=v ")
	}
	split := func(r rune) bool { return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') }
	left, right := strings.FieldsFunc(clean(a), split), strings.FieldsFunc(clean(b), split)
	for i := range max(len(left), len(right)) {
		switch {
		case i >= len(left):
			return -longer(right[i])
		case i >= len(right):
			return longer(left[i])
		}
		x, errX := strconv.ParseUint(left[i], 10, 64)
		y, errY := strconv.ParseUint(right[i], 10, 64)
		var by int
		switch {
		case errX == nil && errY == nil:
			by = cmp.Compare(x, y)
		case errX == nil:
			by = 1
		case errY == nil:
			by = -1
		} // two words have no order
		if by != 0 {
			return by
		}
	}
	return 0
}

// longer is how a version with one more part compares to the one without it.
func longer(part string) int {
	n, err := strconv.ParseUint(part, 10, 64)
	switch {
	case err != nil:
		return -1
	case n == 0:
		return 0
	}
	return 1
}
