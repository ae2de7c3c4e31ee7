package advisory

import (
	"strings"
)

// ecosystems maps lower-case names and aliases to the names of OSV.
var ecosystems = map[string]string{
	"almalinux": "AlmaLinux", "alma linux": "AlmaLinux", "alma": "AlmaLinux",
	"alpaquita": "Alpaquita", "alpine": "Alpine", "alpine linux": "Alpine", "apk": "Alpine",
	"amazon linux": "Amazon Linux", "amazon": "Amazon Linux", "amzn": "Amazon Linux",
	"android": "Android", "azure linux": "Azure Linux", "bioconductor": "Bioconductor", "bitnami": "Bitnami",
	"bellsoft hardened containers": "BellSoft Hardened Containers",
	"chainguard":                   "Chainguard", "conancenter": "ConanCenter", "conan": "ConanCenter",
	"cran": "CRAN", "crates.io": "crates.io", "crates": "crates.io", "cargo": "crates.io", "rust": "crates.io",
	"debian": "Debian", "docker hardened images": "Docker Hardened Images", "ghc": "GHC",
	"github actions": "GitHub Actions", "github-actions": "GitHub Actions", "githubactions": "GitHub Actions", "actions": "GitHub Actions",
	"go": "Go", "golang": "Go", "gomod": "Go", "go modules": "Go",
	"hackage": "Hackage", "hex": "Hex", "erlang": "Hex", "julia": "Julia", "kubernetes": "Kubernetes",
	"linux": "Linux", "mageia": "Mageia", "maven": "Maven", "minimos": "MinimOS",
	"npm": "npm", "node": "npm", "nodejs": "npm", "nuget": "NuGet", "oss-fuzz": "OSS-Fuzz",
	"openeuler": "openEuler", "opensuse": "openSUSE", "packagist": "Packagist", "composer": "Packagist",
	"photon os": "Photon OS", "pub": "Pub", "pypi": "PyPI", "pip": "PyPI", "python": "PyPI",
	"red hat": "Red Hat", "redhat": "Red Hat", "rhel": "Red Hat",
	"rocky linux": "Rocky Linux", "rocky": "Rocky Linux", "rubygems": "RubyGems", "gem": "RubyGems", "ruby": "RubyGems",
	"suse": "SUSE", "swifturl": "SwiftURL", "swift": "SwiftURL", "ubuntu": "Ubuntu", "vscode": "VSCode", "wolfi": "Wolfi",
}

// debianNames maps code names of Debian releases to their numbers.
var debianNames = map[string]string{
	"buzz": "1.1", "rex": "1.2", "bo": "1.3", "hamm": "2.0", "slink": "2.1", "potato": "2.2", "woody": "3.0", "sarge": "3.1",
	"etch": "4.0", "lenny": "5.0", "squeeze": "6.0", "wheezy": "7", "jessie": "8", "stretch": "9", "buster": "10",
	"bullseye": "11", "bookworm": "12", "trixie": "13", "forky": "14",
}

// canonicalEcosystem splits an ecosystem name into the OSV base name and its
// release, both normalised: "debian:12.5" is ("Debian", "12"). A name that OSV
// does not know is kept as it is.
func canonicalEcosystem(name string) (base, release string) {
	base, release, _ = strings.Cut(strings.TrimSpace(name), ":")
	base = strings.TrimSpace(base)
	if known, ok := ecosystems[base]; ok {
		base = known
	} else if known, ok := ecosystems[strings.ToLower(base)]; ok {
		base = known
	}
	if release == "" {
		return base, ""
	}
	return base, canonicalRelease(base, strings.TrimSpace(release))
}

func canonicalRelease(base, release string) string {
	switch base {
	case "Debian":
		if number := debianNames[strings.ToLower(release)]; number != "" {
			return number
		}
		major, _, _ := strings.Cut(release, ".")
		if major >= "7" || len(major) > 1 {
			return major
		}
	case "Ubuntu":
		return strings.TrimSuffix(release, ":LTS")
	case "Alpine", "Alpaquita":
		number, dotted := strings.TrimPrefix(strings.ToLower(release), "v"), 0
		if number == "edge" || number == "stream" {
			return number
		}
		for i, c := range number {
			if c == '.' || c == '_' {
				if dotted++; dotted == 2 {
					number = number[:i]
					break
				}
			}
		}
		return "v" + number
	case "AlmaLinux", "Rocky Linux":
		major, _, _ := strings.Cut(release, ".")
		return major
	}
	return release
}

// packageKey is the name under which the index keeps a package: base ecosystem
// and name, each as its ecosystem compares names.
func packageKey(base, name string) string {
	return base + "\x00" + canonicalName(base, name)
}

// canonicalName folds what an ecosystem does not tell apart in names. npm, Go,
// Maven and RubyGems tell case apart.
func canonicalName(base, name string) string {
	name = strings.TrimSpace(name)
	switch base {
	case "PyPI":
		return pep503(name)
	case "crates.io":
		return strings.ReplaceAll(strings.ToLower(name), "_", "-")
	case "NuGet", "Packagist", "Hex", "Pub", "GitHub Actions", "VSCode":
		return strings.ToLower(name)
	case "SwiftURL":
		name = strings.TrimPrefix(strings.TrimPrefix(strings.ToLower(name), "https://"), "http://")
		return strings.TrimSuffix(strings.TrimSuffix(name, "/"), ".git")
	case "Go":
		switch name {
		case "std", "go", "golang.org/std":
			return "stdlib"
		case "cmd", "golang.org/toolchain", "cmd/go":
			return "toolchain"
		}
	}
	return name
}

// pep503 lower-cases a name and turns each run of "-", "_" and "." into "-".
func pep503(name string) string {
	clean := true
	for i := 0; i < len(name); i++ {
		if c := name[i]; c == '_' || c == '.' || 'A' <= c && c <= 'Z' || c == '-' && i > 0 && name[i-1] == '-' {
			clean = false
			break
		}
	}
	if clean {
		return name
	}
	var b strings.Builder
	run := false
	for _, c := range strings.ToLower(name) {
		if c == '-' || c == '_' || c == '.' {
			run = true
			continue
		}
		if run {
			b.WriteByte('-')
			run = false
		}
		b.WriteRune(c)
	}
	if run {
		b.WriteByte('-')
	}
	return b.String()
}

// releaseMatches says whether an advisory for one release of an ecosystem
// speaks about a package of another: a side that names none matches all.
func releaseMatches(advisory, asked string) bool {
	return advisory == "" || asked == "" || strings.EqualFold(advisory, asked)
}

// canonicalID writes an advisory id the way its database does: CVE ids in
// upper case, GHSA ids with a lower-case rest.
func canonicalID(id string) string {
	id = strings.TrimSpace(id)
	switch {
	case len(id) > 4 && strings.EqualFold(id[:4], "CVE-"):
		return strings.ToUpper(id)
	case len(id) > 5 && strings.EqualFold(id[:5], "GHSA-"):
		return "GHSA-" + strings.ToLower(id[5:])
	}
	return id
}
