package npm

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fix"
)

// block is one entry of a yarn.lock of either kind.
type block struct {
	start, end         int // of the entry, with the lines below its head
	headStart, headEnd int // of the head, without its colon
	specs              []string
	version            string
	resolution         string // later locks only: "name@npm:1.2.3"
	requires           map[string]string
}

// name is that of the package, as it is asked for.
func (b *block) name() string {
	name, _ := splitSpec(b.specs[0])
	return name
}

// splitSpec splits "name@range" at the @ that is no scope's.
func splitSpec(spec string) (name, constraint string) {
	if at := strings.IndexByte(spec[min(1, len(spec)):], '@'); at >= 0 {
		return spec[:at+1], spec[at+2:]
	}
	return spec, ""
}

var (
	yarnLater = regexp.MustCompile(`(?m)^__metadata:\r?\n((?:  .*\r?\n)+)`)
	yarnAbout = regexp.MustCompile(`(?m)^  (version|cacheKey): "?([^"\s]+)`)
	yarnWord  = regexp.MustCompile(`"[^"\n]*"|[^",\s]+(?: [^",]+)*`)
)

// yarnFormat is the version of the format of a yarn.lock: 1 for the classic one,
// else with the key of the checksums, "later 8/10c0".
func yarnFormat(data []byte) string {
	m := yarnLater.FindSubmatch(data)
	if m == nil {
		return "1"
	}
	about := map[string]string{}
	for _, pair := range yarnAbout.FindAllSubmatch(m[1], -1) {
		about[string(pair[1])] = string(pair[2])
	}
	return strings.TrimSuffix("later "+about["version"]+"/"+about["cacheKey"], "/")
}

// parseYarn reads the entries of a yarn.lock, which both kinds indent by two
// spaces a level.
func parseYarn(data []byte) []block {
	later := yarnFormat(data) != "1"
	var blocks []block
	var list string
	for at := 0; at < len(data); {
		end := len(data)
		if n := bytes.IndexByte(data[at:], '\n'); n >= 0 {
			end = at + n + 1
		}
		line := strings.TrimRight(string(data[at:end]), " \r\n")
		body := strings.TrimLeft(line, " ")
		level := (len(line) - len(body)) / 2
		start := at
		at = end
		switch {
		case body == "" || body[0] == '#' || body == ":":
			continue
		case level == 0:
			list = ""
			head, from := strings.TrimSuffix(body, ":"), start
			if rest, long := strings.CutPrefix(head, "? "); long {
				head, from = rest, start+2
			}
			b := block{start: start, end: end, headStart: from, headEnd: from + len(head), requires: map[string]string{}}
			for _, word := range yarnWord.FindAllString(head, -1) {
				word = strings.Trim(word, `"`)
				if later {
					b.specs = append(b.specs, strings.Split(word, ", ")...)
				} else {
					b.specs = append(b.specs, word)
				}
			}
			if len(b.specs) == 0 {
				b.specs = []string{head}
			}
			blocks = append(blocks, b)
			continue
		case len(blocks) == 0:
			continue
		}
		b := &blocks[len(blocks)-1]
		b.end = end
		key, value := yarnPair(body)
		switch {
		case level == 1 && value == "":
			list = key
		case level == 1:
			list = ""
			switch key {
			case "version":
				b.version = value
			case "resolution":
				b.resolution = value
			}
		case level == 2 && (list == "dependencies" || list == "optionalDependencies"):
			b.requires[key] = value
		}
	}
	return slices.DeleteFunc(blocks, func(b block) bool { return b.specs[0] == "__metadata" })
}

// yarnPair splits `key "value"`, `key: value` and `"key": "value"`.
func yarnPair(text string) (key, value string) {
	if rest, quoted := strings.CutPrefix(text, `"`); quoted {
		key, value, _ = strings.Cut(rest, `"`)
		value = strings.TrimPrefix(value, ":")
	} else {
		key, value, _ = strings.Cut(text, " ")
		key = strings.TrimSuffix(key, ":")
	}
	return key, strings.Trim(strings.TrimSpace(value), `"`)
}

// byKey gives the entries by the key that modules know them under.
func byKey(blocks []block) map[string]block {
	found := make(map[string]block, len(blocks))
	for _, b := range blocks {
		if _, twice := found[b.specs[0]]; !twice {
			found[b.specs[0]] = b
		}
	}
	return found
}

// yarnSpec is how a yarn.lock names a requirement.
func yarnSpec(later bool, name, constraint string) string {
	if later && !strings.Contains(constraint, ":") {
		constraint = "npm:" + constraint
	}
	return name + "@" + constraint
}

// rebind names the requirements that the changed packages of a yarn.lock answer
// once nothing forces them any more: those that packages and the given manifests
// state, that their version fits, and that no other entry answers. Without, yarn
// would resolve them anew, to the highest version.
func rebind(data []byte, changes []fix.Change, manifests []*manifest) ([]byte, error) {
	blocks := parseYarn(data)
	later := yarnFormat(data) != "1"
	wanted, bound := map[string]bool{}, map[string]bool{}
	for i := range blocks {
		for _, spec := range blocks[i].specs {
			bound[spec] = true
		}
		if strings.Contains(blocks[i].resolution, "@workspace:") {
			continue
		}
		for name, constraint := range blocks[i].requires {
			wanted[yarnSpec(later, name, constraint)] = true
		}
	}
	for _, m := range manifests {
		for _, specs := range m.specs {
			for name, s := range specs {
				wanted[yarnSpec(later, name, s.text)] = true
			}
		}
	}
	var edits []fix.Edit
	moved := map[string]bool{}
	for _, change := range changes {
		for i := range blocks {
			b := &blocks[i]
			name := b.name()
			if name != change.Package || b.version != change.To || moved[b.specs[0]] {
				continue
			}
			var specs []string
			for spec := range wanted {
				own, constraint := splitSpec(spec)
				here := slices.Contains(b.specs, spec)
				if own != name || !here && bound[spec] {
					continue
				}
				if fits, understood := admits(rangeOf(constraint), change.To); fits || here && !understood {
					specs = append(specs, spec)
				}
			}
			if len(specs) == 0 {
				continue
			}
			moved[b.specs[0]] = true
			slices.Sort(specs)
			edits = append(edits, fix.Edit{Start: b.headStart, End: b.headEnd, Old: string(data[b.headStart:b.headEnd]), New: yarnHead(later, specs)})
		}
	}
	after, err := fix.Splice(data, edits...)
	if err != nil || later {
		return after, err // later kinds sort what they write in any case
	}
	return sorted(after, changes), nil
}

// yarnHead writes the requirements of an entry.
func yarnHead(later bool, specs []string) string {
	if later {
		return `"` + strings.Join(specs, ", ") + `"`
	}
	var words []string
	for _, spec := range specs {
		if bare.MatchString(spec) && !strings.HasPrefix(spec, "true") && !strings.HasPrefix(spec, "false") {
			words = append(words, spec)
		} else {
			words = append(words, `"`+spec+`"`)
		}
	}
	return strings.Join(words, ", ")
}

var bare = regexp.MustCompile(`^[a-zA-Z][^:\s\\",\[\]]*$`)

// sorted puts the entries of changed packages in the order of their heads.
func sorted(data []byte, changes []fix.Change) []byte {
	blocks := parseYarn(data)
	names := map[string]bool{}
	for _, change := range changes {
		names[change.Package] = true
	}
	for first := 0; first < len(blocks); {
		last := first + 1
		for last < len(blocks) && blocks[last].name() == blocks[first].name() {
			last++
		}
		if names[blocks[first].name()] && last-first > 1 {
			texts := map[string]string{}
			for _, b := range blocks[first:last] {
				texts[b.specs[0]] = string(data[b.start:b.end])
			}
			var text []string
			for _, spec := range slices.Sorted(maps.Keys(texts)) {
				text = append(text, texts[spec])
			}
			between := string(data[blocks[first].end:blocks[first+1].start])
			whole := strings.Join(text, between)
			if len(whole) == blocks[last-1].end-blocks[first].start {
				data = slices.Concat(data[:blocks[first].start], []byte(whole), data[blocks[last-1].end:])
			}
		}
		first = last
	}
	return data
}

// yarnSettings are the settings of a later yarn that decide what a lock holds.
var yarnSettings = []string{"packageExtensions", "supportedArchitectures", "compressionLevel", "defaultProtocol", "enableTransparentWorkspaces", "catalog", "catalogs"}

// yarnProgram names the programs that may be the yarn that writes a format.
func yarnProgram(format string) (kind string, names []string, fits func(version string) bool) {
	if format == "1" {
		return "yarn 1 (classic)", []string{"yarn", "yarnpkg"}, func(version string) bool { return strings.HasPrefix(version, "1.") }
	}
	return "yarn 2 or newer", []string{"yarn", "yarn-berry"}, func(version string) bool {
		v, ok := parseVersion(version)
		return ok && v.n[0] >= 2
	}
}

// sameFormat refuses a lock of another format than before: who reads it with the
// program of the repository could not.
func sameFormat(before, after, program string) error {
	if before != after {
		return fmt.Errorf("the lock is of version %s and %s would write version %s; expected a program of the repository's own version", before, program, after)
	}
	return nil
}
