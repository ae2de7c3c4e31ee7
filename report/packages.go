package report

import "strings"

var packageTypes = map[string]string{
	"python": "PyPI", "pypi": "PyPI", "pip": "PyPI", "wheel": "PyPI", "egg": "PyPI", "poetry": "PyPI", "pipenv": "PyPI",
	"npm": "npm", "node": "npm", "nodejs": "npm", "node.js": "npm", "node-pkg": "npm", "javascript": "npm", "yarn": "npm", "pnpm": "npm",
	"java": "Maven", "jar": "Maven", "war": "Maven", "ear": "Maven", "maven": "Maven", "gav": "Maven", "java-archive": "Maven", "gradle": "Maven",
	"gem": "RubyGems", "ruby": "RubyGems", "rubygems": "RubyGems", "gemspec": "RubyGems", "bundler": "RubyGems",
	"go": "Go", "golang": "Go", "gobinary": "Go", "gomod": "Go", "go-module": "Go",
	"nuget": "NuGet", "dotnet": "NuGet", "c#": "NuGet", ".net": "NuGet",
	"composer": "Packagist", "php": "Packagist", "packagist": "Packagist",
	"rust": "crates.io", "cargo": "crates.io", "crate": "crates.io", "rust-crate": "crates.io",
}

// PackageType gives the ecosystem of the packages that scanners say to be of a type or
// a language; "" for those of operating systems, whose distribution tells it.
func PackageType(word string) string { return packageTypes[strings.ToLower(strings.TrimSpace(word))] }

var fullNames = strings.NewReplacer("gnu/linux", "", "red hat enterprise linux server", "rhel", "red hat enterprise linux", "rhel", "red hat", "rhel",
	"enterprise linux", "rhel", "amazon linux ami", "amazon", "opensuse leap", "opensuse.leap", "suse linux enterprise server", "sles", "linux", "")

// DistributionNamed names the ecosystem of a Linux distribution from what a scanner
// calls the operating system: "Debian GNU/Linux 9 (stretch)", "alpine-3.11.5",
// "ubuntu:18.04", "debian 10.7"; "" for one that is not known.
func DistributionNamed(system string) string {
	family, version := strings.ToLower(strings.TrimSpace(system)), ""
	if at := strings.IndexAny(family, "0123456789"); at >= 0 {
		version = family[at:]
		family = family[:at]
		if end := strings.IndexFunc(version, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }); end >= 0 {
			version = version[:end]
		}
	} else {
		family, _, _ = strings.Cut(family, "(")
	}
	family = strings.Trim(strings.TrimSuffix(strings.TrimSpace(family), " v"), " :-/")
	return Distribution(strings.TrimSpace(fullNames.Replace(family)), strings.TrimRight(version, "."))
}
