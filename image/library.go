package image

import (
	"bufio"
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// LibraryEntry is one image of an official-images library file.
type LibraryEntry struct {
	Tags       []string
	SharedTags []string
	Arches     []string
	Line       int // of the Tags field
	fields     map[string]string
}

// LibrarySource is where the Dockerfile of a tag for one architecture is kept.
type LibrarySource struct {
	Repository string // as written, for example "https://github.com/tianon/docker-bash.git"
	Fetch      string // ref that holds the commit, "" when not said
	Commit     string
	Directory  string // "." for the root
	File       string // name of the Dockerfile, "Dockerfile" when not said
	Builder    string // "" classic; buildkit, oci-import ...
	Arch       string
}

// Library is a parsed library file.
type Library struct {
	Name    string
	Entries []LibraryEntry
}

const maxLibrary = 4 << 20

// ParseLibrary reads a file of the official images' library: blocks of fields
// as in RFC 2822, the first block being defaults of the others; comments begin
// with #.
func ParseLibrary(name string, data []byte) (*Library, error) {
	if len(data) > maxLibrary {
		return nil, fmt.Errorf("%s: library file is larger than 4 MiB", name)
	}
	library := &Library{Name: name}
	type block struct {
		fields map[string]string
		line   int
	}
	var blocks []block
	current := block{fields: map[string]string{}}
	flush := func() {
		if len(current.fields) > 0 {
			blocks = append(blocks, current)
		}
		current = block{fields: map[string]string{}}
	}
	last, number := "", 0
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		number++
		line := strings.TrimRight(lines.Text(), " \t\r")
		switch {
		case strings.HasPrefix(strings.TrimLeft(line, " \t"), "#"):
		case line == "":
			flush()
			last = ""
		case line[0] == ' ' || line[0] == '\t':
			if last == "" {
				return nil, fmt.Errorf("%s:%d: expected a field, found the continuation of none", name, number)
			}
			current.fields[last] += " " + strings.TrimSpace(line)
		default:
			field, value, ok := strings.Cut(line, ":")
			if !ok || strings.ContainsAny(field, " \t") {
				return nil, fmt.Errorf("%s:%d: expected \"Field: value\"", name, number)
			}
			last = strings.ToLower(field)
			if last == "tags" {
				current.line = number
			}
			current.fields[last] = strings.TrimSpace(value)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", name, number+1, err)
	}
	flush()
	defaults := map[string]string{}
	for i, b := range blocks {
		_, tags := b.fields["tags"]
		_, shared := b.fields["sharedtags"]
		if !tags && !shared {
			// Fields without tags are defaults from here on.
			if i > 0 {
				for key, value := range b.fields {
					defaults[key] = value
				}
			} else {
				defaults = b.fields
			}
			continue
		}
		fields := map[string]string{}
		for key, value := range defaults {
			fields[key] = value
		}
		for key, value := range b.fields {
			fields[key] = value
		}
		entry := LibraryEntry{Tags: list(fields["tags"]), SharedTags: list(fields["sharedtags"]), Arches: list(fields["architectures"]),
			Line: b.line, fields: fields}
		if len(entry.Arches) == 0 {
			entry.Arches = []string{"amd64"}
		}
		library.Entries = append(library.Entries, entry)
	}
	return library, nil
}

func list(value string) []string {
	var parts []string
	for part := range strings.SplitSeq(value, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

// Source gives where the Dockerfile of the entry is kept for an architecture
// in the library's words (amd64, arm32v7, arm64v8, windows-amd64 ...).
func (e *LibraryEntry) Source(arch string) LibrarySource {
	get := func(field string) string {
		if value, ok := e.fields[strings.ToLower(arch+"-"+field)]; ok && arch != "" {
			return value
		}
		return e.fields[strings.ToLower(field)]
	}
	s := LibrarySource{Repository: get("GitRepo"), Fetch: get("GitFetch"), Commit: get("GitCommit"), Directory: get("Directory"), File: get("File"), Builder: get("Builder"), Arch: arch}
	if s.Directory == "" {
		s.Directory = "."
	}
	if s.File == "" {
		s.File = "Dockerfile"
	}
	return s
}

// LibraryArch is the library's word for a platform of an image.
func LibraryArch(os, arch, variant string) string {
	if os == "windows" {
		return "windows-" + arch
	}
	switch arch {
	case "arm":
		if variant == "" {
			variant = "v7"
		}
		return "arm32" + variant
	case "arm64":
		return "arm64v8"
	case "386":
		return "i386"
	}
	return arch
}

// Find gives the sources of a tag for an architecture; "" is any. A shared tag
// may have several, one for each architecture or system, and no source means
// that the library knows no such tag.
func (l *Library) Find(tag, arch string) []LibrarySource {
	var sources []LibrarySource
	for i := range l.Entries {
		e := &l.Entries[i]
		if !slices.Contains(e.Tags, tag) && !slices.Contains(e.SharedTags, tag) {
			continue
		}
		switch {
		case arch == "" && len(e.Arches) > 0:
			for _, a := range e.Arches {
				if s := e.Source(a); !slices.ContainsFunc(sources, func(x LibrarySource) bool { x.Arch = s.Arch; return x == s }) {
					sources = append(sources, s)
				}
			}
		case slices.Contains(e.Arches, arch):
			sources = append(sources, e.Source(arch))
		}
	}
	return sources
}
