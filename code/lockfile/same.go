package lockfile

import "strings"

// SameName says whether two names mean one package of an ecosystem, as its
// registry compares them.
func SameName(ecosystem, a, b string) bool {
	switch ecosystem {
	case "PyPI":
		return PythonName(a) == PythonName(b)
	case "npm", "Go", "Maven":
		return a == b
	}
	return strings.EqualFold(a, b)
}

// SameVersion says whether two texts are one version of an ecosystem. Tools
// write Go versions with and without their "v", and the standard library's as
// "go1.21.3".
func SameVersion(ecosystem, a, b string) bool {
	if a == b {
		return true
	}
	if ecosystem != "Go" {
		return false
	}
	plain := func(version string) string {
		version = strings.TrimPrefix(strings.TrimPrefix(version, "go"), "v")
		return strings.TrimSuffix(version, "+incompatible")
	}
	return plain(a) == plain(b)
}
