package report

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/backstitch/backstitch/fact"
)

var cweID = regexp.MustCompile(`(?i)\bCWE[-_: ]?([0-9]{1,5})\b`)

// CWEs finds the CWE numbers in texts such as "CWE-79: ...", in order, each once.
func CWEs(texts ...string) []int {
	var list []int
	seen := map[int]bool{}
	for _, text := range texts {
		for _, match := range cweID.FindAllStringSubmatch(text, -1) {
			n, err := strconv.Atoi(match[1])
			if err == nil && n > 0 && !seen[n] {
				seen[n] = true
				list = append(list, n)
			}
		}
	}
	return list
}

// Micros reads a time as RFC 3339 writes it, in microseconds since 1970 UTC; 0
// for anything else.
func Micros(text string) int64 {
	when, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return 0
	}
	return when.UnixMicro()
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

// ImageAsset is the asset of a container image: its digest when the reference
// or one of the digests holds one, since tags only refer to it.
func ImageAsset(name string, digests ...string) fact.Asset {
	for _, text := range append([]string{name}, digests...) {
		if at := strings.Index(text, "sha256:"); at >= 0 {
			return fact.Asset{Kind: fact.AssetImage, Key: text[at:], Name: name}
		}
	}
	return fact.Asset{Kind: fact.AssetImage, Key: name, Name: name}
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
	parts := strings.SplitN(version, ".", 3)
	if _, err := strconv.Atoi(parts[0]); err != nil {
		return name
	}
	switch {
	case name == "Alpine" && len(parts) > 1:
		return name + ":v" + parts[0] + "." + parts[1]
	case name == "Ubuntu" && len(parts) > 1:
		return name + ":" + parts[0] + "." + parts[1]
	}
	return name + ":" + parts[0]
}
