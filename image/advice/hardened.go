package advice

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Catalogue is a place with hardened images: small, without shell or package manager
// unless the tag ends with Dev, and run by a user that is not root.
type Catalogue struct {
	// Prefix is the registry and folder, for example "registry.example/hardened".
	Prefix string
	// Names are names of the catalogue for images whose equivalent is called
	// otherwise there, by the equivalent's name; "base" is a plain system.
	Names map[string]string
	// Dev ends the tags of images with a shell and a package manager, "-dev" when empty.
	Dev string
}

// equivalents are images of another name for the same thing.
var equivalents = map[string]string{
	"alpine": "base", "debian": "base", "ubuntu": "base", "busybox": "busybox", "fedora": "base", "centos": "base",
	"rockylinux": "base", "almalinux": "base", "amazonlinux": "base", "oraclelinux": "base", "ubi": "base", "ubi-minimal": "base", "wolfi-base": "base", "buildpack-deps": "base",
	"golang": "go", "go-toolset": "go", "openjdk": "jdk", "eclipse-temurin": "jdk", "amazoncorretto": "jdk", "postgresql": "postgres", "nodejs": "node", "java": "jre",
	"python3": "python", "httpd": "httpd", "static": "static", "cc": "cc-dynamic", "base": "glibc-dynamic", "base-nossl": "glibc-dynamic",
}

var endingNumbers = regexp.MustCompile(`^([a-z][a-z_-]*?)-?([0-9]+)$`)

// Target is the hardened image for another one.
type Target struct {
	Image string // with its repository, without tag
	Tag   string
	// Plain says that it is a plain system, on which only what is installed runs.
	Plain bool
}

// For gives the equivalent of an image in the catalogue. repository is without its
// registry, for example "library/golang" or "distroless/static-debian12"; tag may hold
// variables of a Dockerfile. dev asks for an image with a shell and a package manager.
// It is false for an image that the rules cannot name an equivalent for.
func (c *Catalogue) For(registry, repository, tag string, dev bool) (Target, bool) {
	if c.Prefix == "" || repository == "" || registry+"/"+repository == c.Prefix || strings.HasPrefix(registry+"/"+repository, c.Prefix+"/") {
		return Target{}, false
	}
	dir, name := "", repository
	if i := strings.LastIndexByte(repository, '/'); i >= 0 {
		dir, name = repository[:i], repository[i+1:]
	}
	distroless := strings.HasSuffix(dir, "distroless") || registry == "gcr.io" && strings.HasPrefix(repository, "distroless/")
	name = strings.ToLower(name)
	if distroless {
		if i := strings.LastIndex(name, "-debian"); i >= 0 {
			name = name[:i]
		}
		if m := endingNumbers.FindStringSubmatch(name); m != nil && m[1] != "python" {
			name = m[1]
		}
	}
	official := registry == "docker.io" && dir == "library" || registry == "public.ecr.aws" && dir == "docker/library" ||
		registry == "docker.io" && dir == "bitnami" || strings.HasPrefix(registry, "registry.") && strings.HasPrefix(dir, "ubi")
	if m := endingNumbers.FindStringSubmatch(name); official && m != nil && strings.HasPrefix(dir, "ubi") {
		name = m[1]
	}
	if !official && !distroless {
		return Target{}, false
	}
	target, ok := equivalents[name]
	if !ok {
		target = name
	}
	plain := target == "base" && !distroless
	parsed := ParseTag(tag)
	if target == "jdk" && slices.Contains(parsed.Variant, "jre") {
		target = "jre"
	}
	if other := c.Names[target]; other != "" {
		target = other
	}
	result := Target{Image: strings.TrimSuffix(c.Prefix, "/") + "/" + target, Plain: plain}
	switch variable := strings.Contains(tag, "$"); {
	case plain, distroless:
		// A system is a moving one in such catalogues, and distroless tags tell
		// no version of what is in them.
		result.Tag = "latest"
	case variable:
		head := tag
		if i := strings.LastIndexByte(tag, '}'); i >= 0 {
			head = tag[:i+1]
		}
		result.Tag = head
	case len(parsed.Numbers) > 0 && parsed.Version != "":
		var list []string
		for _, n := range parsed.Numbers[:min(2, len(parsed.Numbers))] {
			list = append(list, strconv.Itoa(n))
		}
		result.Tag = strings.Join(list, ".")
	default:
		result.Tag = "latest"
	}
	if dev && !plain {
		end := c.Dev
		if end == "" {
			end = "-dev"
		}
		result.Tag += end
	}
	return result, true
}
