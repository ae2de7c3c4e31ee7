package fact

import (
	"net/url"
	"strings"
)

var purlTypes = map[string]string{
	"Go": "golang", "npm": "npm", "PyPI": "pypi", "Maven": "maven", "crates.io": "cargo",
	"RubyGems": "gem", "Packagist": "composer", "NuGet": "nuget", "Hex": "hex", "Pub": "pub",
	"SwiftURL": "swift", "ConanCenter": "conan", "Hackage": "hackage", "CRAN": "cran",
	"GitHub Actions": "github", "Debian": "deb", "Ubuntu": "deb", "Alpine": "apk",
	"Red Hat": "rpm", "Rocky Linux": "rpm", "AlmaLinux": "rpm", "SUSE": "rpm", "openSUSE": "rpm",
	"Amazon Linux": "rpm", "Wolfi": "apk", "Chainguard": "apk",
}

// Ecosystem gives the OSV ecosystem of a package URL type ("golang" is "Go"),
// empty for a type that names none by itself (deb, rpm, apk, generic).
func Ecosystem(purlType string) string {
	switch purlType {
	case "golang":
		return "Go"
	case "npm":
		return "npm"
	case "pypi":
		return "PyPI"
	case "maven":
		return "Maven"
	case "cargo":
		return "crates.io"
	case "gem":
		return "RubyGems"
	case "composer":
		return "Packagist"
	case "nuget":
		return "NuGet"
	case "hex":
		return "Hex"
	case "pub":
		return "Pub"
	case "swift":
		return "SwiftURL"
	case "conan":
		return "ConanCenter"
	case "hackage":
		return "Hackage"
	case "cran":
		return "CRAN"
	case "githubactions":
		return "GitHub Actions"
	}
	return ""
}

// PURL writes the package URL of a package, "" when the ecosystem has no
// package URL type. Names are in OSV form: Maven "group:artifact", npm
// "@scope/name", Go module path.
func PURL(ecosystem, name, version string) string {
	base, distro, _ := strings.Cut(ecosystem, ":")
	kind := purlTypes[base]
	if kind == "" || name == "" {
		return ""
	}
	switch kind {
	case "maven":
		name = strings.Replace(name, ":", "/", 1)
	case "deb", "apk", "rpm":
		name = namespace(base) + "/" + name
	}
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = strings.ReplaceAll(url.PathEscape(part), "@", "%40")
	}
	purl := "pkg:" + kind + "/" + strings.Join(parts, "/")
	if version != "" {
		purl += "@" + strings.ReplaceAll(url.PathEscape(version), "+", "%2B")
	}
	if distro != "" && base != "Maven" {
		purl += "?distro=" + url.QueryEscape(namespace(base)+"-"+distro)
	}
	return purl
}

// namespace is that of a distribution's packages in package URLs.
func namespace(distribution string) string {
	switch distribution {
	case "Red Hat":
		return "redhat"
	case "Rocky Linux":
		return "rocky"
	case "Amazon Linux":
		return "amzn"
	}
	return strings.ToLower(distribution)
}

// ParsePURL reads a package URL into a Package, with the ecosystem that its
// type or its distro qualifier names. It returns false for text that is none.
func ParsePURL(purl string) (Package, bool) {
	rest, ok := strings.CutPrefix(purl, "pkg:")
	if !ok {
		return Package{}, false
	}
	rest = strings.TrimLeft(rest, "/")
	rest, _, _ = strings.Cut(rest, "#")
	rest, query, _ := strings.Cut(rest, "?")
	kind, path, ok := strings.Cut(rest, "/")
	if !ok {
		return Package{}, false
	}
	version := ""
	if at := strings.LastIndex(path, "@"); at > 0 {
		path, version = path[:at], unescape(path[at+1:])
	}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for i := range parts {
		parts[i] = unescape(parts[i])
	}
	kind = strings.ToLower(kind)
	name := strings.Join(parts, "/")
	p := Package{Ecosystem: Ecosystem(kind), Name: name, Version: version, PURL: purl}
	switch kind {
	case "maven":
		if len(parts) > 1 {
			p.Name = strings.Join(parts[:len(parts)-1], ".") + ":" + parts[len(parts)-1]
		}
	case "deb", "apk", "rpm":
		p.Name = parts[len(parts)-1]
		p.Ecosystem = distroEcosystem(parts[0], query)
	}
	return p, name != ""
}

func unescape(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}

var distroNames = map[string]string{
	"debian": "Debian", "ubuntu": "Ubuntu", "alpine": "Alpine", "redhat": "Red Hat", "rhel": "Red Hat",
	"rocky": "Rocky Linux", "almalinux": "AlmaLinux", "suse": "SUSE", "opensuse": "openSUSE",
	"amzn": "Amazon Linux", "wolfi": "Wolfi", "chainguard": "Chainguard",
}

func distroEcosystem(namespace, query string) string {
	name := distroNames[strings.ToLower(namespace)]
	if name == "" {
		return ""
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return name
	}
	distro := values.Get("distro") // "alpine-3.12.1", "opensuse-leap-15.5"
	if release := distro[strings.LastIndexByte(distro, '-')+1:]; release != "" && release != distro {
		return name + ":" + Release(name, release)
	}
	return name
}

// Release writes the release of a distribution as OSV does in the names of ecosystems,
// so that what two sources say of one package meets: "v3.12" for Alpine 3.12.1, "10" for
// Debian 10.9, "20.04" for Ubuntu 20.04.1. One that is no number stays as it is.
func Release(distribution, version string) string {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if parts[0] == "" || strings.Trim(parts[0], "0123456789") != "" {
		return version
	}
	switch {
	case distribution == "Alpine" && len(parts) > 1:
		return "v" + parts[0] + "." + parts[1]
	case distribution == "Ubuntu" && len(parts) > 1:
		return parts[0] + "." + parts[1]
	}
	return parts[0]
}
