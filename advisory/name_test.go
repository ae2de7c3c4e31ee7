package advisory

import "testing"

func TestEcosystemsAndNamesAreComparedAsRegistriesDo(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ in, base, release string }{
		{"npm", "npm", ""}, {"NPM", "npm", ""}, {"golang", "Go", ""}, {"pip", "PyPI", ""}, {"cargo", "crates.io", ""}, {"composer", "Packagist", ""},
		{"Debian:12", "Debian", "12"}, {"debian:12.5", "Debian", "12"}, {"Debian:bookworm", "Debian", "12"}, {"Debian:9", "Debian", "9"},
		{"Ubuntu:22.04:LTS", "Ubuntu", "22.04"}, {"ubuntu:22.04", "Ubuntu", "22.04"}, {"Ubuntu:Pro:18.04:LTS", "Ubuntu", "Pro:18.04"},
		{"Alpine:v3.19", "Alpine", "v3.19"}, {"alpine:3.19.1", "Alpine", "v3.19"}, {"Alpine:edge", "Alpine", "edge"},
		{"AlmaLinux:9.4", "AlmaLinux", "9"}, {"rocky:8", "Rocky Linux", "8"}, {"Red Hat:enterprise_linux:9::appstream", "Red Hat", "enterprise_linux:9::appstream"},
		{"GIT", "GIT", ""}, {" npm ", "npm", ""}, {"", "", ""},
	} {
		if base, release := canonicalEcosystem(test.in); base != test.base || release != test.release {
			t.Errorf("%q is %q %q, want %q %q", test.in, base, release, test.base, test.release)
		}
	}
	for _, test := range []struct {
		base, a, b string
		same       bool
	}{
		{"PyPI", "Django_Unicorn", "django-unicorn", true}, {"PyPI", "zope.interface", "zope-interface", true}, {"PyPI", "a--b", "a-b", true},
		{"npm", "JSONStream", "jsonstream", false}, {"Packagist", "Symfony/Http-Kernel", "symfony/http-kernel", true},
		{"NuGet", "Newtonsoft.Json", "newtonsoft.json", true}, {"crates.io", "abi_stable", "abi-stable", true},
		{"Go", "std", "stdlib", true}, {"Go", "github.com/A/b", "github.com/a/b", false}, {"Go", "github.com/a/b", "github.com/a/b/v2", false},
		{"Maven", "org.a:b", "org.a:B", false}, {"SwiftURL", "https://github.com/Apple/swift-nio.git", "github.com/apple/swift-nio", true},
	} {
		if same := packageKey(test.base, test.a) == packageKey(test.base, test.b); same != test.same {
			t.Errorf("%s: %q and %q are one name: %v, want %v", test.base, test.a, test.b, same, test.same)
		}
	}
	for in, want := range map[string]string{"cve-2021-1": "CVE-2021-1", "ghsa-AAAA-bbbb-CCCC": "GHSA-aaaa-bbbb-cccc", " GO-2021-1": "GO-2021-1"} {
		if got := canonicalID(in); got != want {
			t.Errorf("id %q is %q, want %q", in, got, want)
		}
	}
}
