package report

import (
	"path"
	"slices"
	"strings"
	"time"

	"github.com/backstitch/backstitch/fact"
)

// CWEs finds the CWE numbers in texts such as "CWE-79: ...", in order, each once.
func CWEs(texts ...string) []int {
	var list []int
	for _, text := range texts {
		for at := 0; at+3 < len(text); at++ {
			n, end := cwe(text, at)
			if n == 0 {
				continue
			}
			if at = end - 1; !slices.Contains(list, n) {
				list = append(list, n)
			}
		}
	}
	return list
}

// cwe reads a CWE number that begins at a place: the word, perhaps a dash,
// underscore, colon or blank, and up to five digits; 0 when there is none.
func cwe(text string, at int) (n, end int) {
	if !strings.EqualFold(text[at:at+3], "CWE") || at > 0 && wordByte(text[at-1]) {
		return 0, 0
	}
	end = at + 3
	if end < len(text) && strings.IndexByte("-_: ", text[end]) >= 0 {
		end++
	}
	digits := end
	for end < len(text) && '0' <= text[end] && text[end] <= '9' {
		n = n*10 + int(text[end]-'0')
		if end++; end-digits > 5 {
			return 0, 0
		}
	}
	if end < len(text) && wordByte(text[end]) {
		return 0, 0
	}
	return n, end
}

func wordByte(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// Micros reads a time as RFC 3339 writes it, in microseconds since 1970 UTC; 0 for
// anything else and for times before, such as the year 1 that tools write for a time
// that they do not know.
func Micros(text string) int64 {
	when, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return 0
	}
	return max(0, when.UnixMicro())
}

// Rate sets a finding's severity from a detector's word, which is kept as it
// stands.
func Rate(f *fact.Finding, word string) {
	f.SeverityText = word
	f.Severity = fact.ParseSeverity(word)
}

// Named makes a package of an ecosystem, with its package URL.
func Named(ecosystem, name, version string) fact.Package {
	return fact.Package{Ecosystem: ecosystem, Name: name, Version: version, PURL: fact.PURL(ecosystem, name, version)}
}

// Aliases gives ids without the primary one, without empty ones, each once.
func Aliases(primary string, ids ...string) []string {
	var list []string
	seen := map[string]bool{primary: true, "": true}
	for _, id := range ids {
		if id = strings.TrimSpace(id); !seen[id] {
			seen[id] = true
			list = append(list, id)
		}
	}
	return list
}

// Versions splits a list of versions that a detector writes as one text.
func Versions(text string) []string {
	var list []string
	for _, version := range strings.Split(text, ",") {
		if version = strings.TrimSpace(version); version != "" {
			list = append(list, version)
		}
	}
	return list
}

// ImageAsset is the asset of a container image: its digest when the reference
// or one of the digests holds one, since tags only refer to it.
func ImageAsset(name string, digests ...string) fact.Asset {
	if at := strings.Index(name, "sha256:"); at >= 0 {
		return fact.Asset{Kind: fact.AssetImage, Key: name[at:], Name: name}
	}
	for _, text := range digests {
		if at := strings.Index(text, "sha256:"); at >= 0 {
			return fact.Asset{Kind: fact.AssetImage, Key: text[at:], Name: name}
		}
	}
	return fact.Asset{Kind: fact.AssetImage, Key: name, Name: name}
}

// Folder is a relative folder that a scanner was told to look at, which the
// paths of its findings are relative to; "" for the one that it was started in,
// for absolute ones, for those above it and for addresses.
func Folder(target string) string {
	folder := path.Clean(strings.ReplaceAll(target, `\`, "/"))
	if target == "" || folder == "." || folder == ".." || strings.HasPrefix(folder, "/") || strings.HasPrefix(folder, "../") || strings.Contains(folder, ":") {
		return ""
	}
	return folder
}

// Attribute keeps a value that a detector gives beyond a finding's fields; empty
// ones are left out.
func Attribute(f *fact.Finding, name, value string) {
	if value == "" {
		return
	}
	if f.Attributes == nil {
		f.Attributes = map[string]string{}
	}
	f.Attributes[name] = value
}

var distributions = map[string]string{
	"debian": "Debian", "ubuntu": "Ubuntu", "alpine": "Alpine", "redhat": "Red Hat", "rhel": "Red Hat", "centos": "Red Hat",
	"rocky": "Rocky Linux", "rockylinux": "Rocky Linux", "alma": "AlmaLinux", "almalinux": "AlmaLinux", "amazon": "Amazon Linux",
	"amazonlinux": "Amazon Linux", "amzn": "Amazon Linux", "suse linux enterprise server": "SUSE", "sles": "SUSE", "opensuse": "openSUSE",
	"opensuse.leap": "openSUSE", "wolfi": "Wolfi", "chainguard": "Chainguard",
}

// Distribution names the ecosystem of a Linux distribution as OSV does:
// "Debian:10" for debian 10.9, "Alpine:v3.18" for alpine 3.18.4; "" for one that
// is not known.
func Distribution(family, version string) string {
	name := distributions[strings.ToLower(family)]
	if name == "" || version == "" {
		return name
	}
	if strings.Trim(version[:1], "0123456789") != "" {
		return name
	}
	return name + ":" + fact.Release(name, version)
}
