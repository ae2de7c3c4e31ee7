package kubernetes

import "strings"

// Reference is an image's name taken apart.
type Reference struct {
	Registry   string // "docker.io" when none is written
	Repository string // "library/redis" for redis
	Tag        string
	Digest     string
}

// ParseReference reads an image reference; false for text that is none, such as
// one with variables or spaces.
func ParseReference(image string) (Reference, bool) {
	name, tag, digest := splitReference(image)
	if name == "" || len(image) > 1024 || strings.ContainsAny(image, " \t\r\n${}<>\"'`\\|") {
		return Reference{}, false
	}
	r := Reference{Registry: "docker.io", Repository: name, Tag: tag, Digest: digest}
	if first, rest, ok := strings.Cut(name, "/"); ok && (strings.ContainsAny(first, ".:") || first == "localhost") {
		r.Registry, r.Repository = first, rest
	}
	for part := range strings.SplitSeq(r.Repository, "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsAny(part, ":@") {
			return Reference{}, false
		}
	}
	if r.Registry == "docker.io" && !strings.Contains(r.Repository, "/") {
		r.Repository = "library/" + r.Repository
	}
	return r, true
}

// String writes the reference in full.
func (r Reference) String() string {
	s := r.Registry + "/" + r.Repository
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest
	}
	return s
}

func splitReference(image string) (name, tag, digest string) {
	name, digest, _ = strings.Cut(image, "@")
	if at := strings.LastIndexByte(name, ':'); at > strings.LastIndexByte(name, '/') {
		name, tag = name[:at], name[at+1:]
	}
	return name, tag, digest
}
