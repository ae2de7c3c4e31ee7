// Package advice says which other image an image could be replaced by: it takes tags
// apart into version, variant and distribution, orders them, and finds the newest of
// the same family, the next cycle, other families and hardened equivalents.
//
// Everything is a pure function of what the caller knows. It asks no registry, and
// says of each tag whether it was listed or only follows from another.
package advice

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Tag is a tag taken apart.
type Tag struct {
	Written string
	// Version is the version as written, without a leading v; "" when there is none.
	Version string
	// Numbers are those of the version, in its order.
	Numbers []int
	// Date is a day or a build number behind the version, "" for none.
	Date string
	// Pre says that it is one of before a release.
	Pre bool
	// Variant are the words that say which build it is, such as slim or jre, sorted.
	Variant []string
	// Distro is the distribution by name: alpine, debian, ubuntu ...; "" not said.
	Distro string
	// Release are the numbers of the distribution's release, none when not said.
	Release []int

	parts []part
}

type partKind int

const (
	partWord partKind = iota
	partVersion
	partDate
	partDistro
	partPre
)

type part struct {
	kind partKind
	text string // as written
	lead string // what stands before the numbers: "v", "alpine"
}

var (
	versionForm = regexp.MustCompile(`^(v?)([0-9]+(?:[._+][0-9]+)*)([a-z]{0,2}[0-9]*)$`)
	dateForm    = regexp.MustCompile(`^(?:20[0-9]{6}(?:\.[0-9]+)?|[0-9]{3,})$`)
	namedForm   = regexp.MustCompile(`^([a-z][a-z_]*?)([0-9]+(?:\.[0-9]+)*)?$`)
	preForm     = regexp.MustCompile(`^(?:rc|alpha|beta|pre|preview|dev|snapshot|nightly|ea|canary|m|cr)\.?[0-9.]*$`)
	preEnd      = regexp.MustCompile(`^(?:a|b|rc)[0-9]*$`)
)

// releases of distributions that are called by names.
var codenames = map[string]struct {
	distro string
	number []int
}{
	"jessie": {"debian", []int{8}}, "stretch": {"debian", []int{9}}, "buster": {"debian", []int{10}},
	"bullseye": {"debian", []int{11}}, "bookworm": {"debian", []int{12}}, "trixie": {"debian", []int{13}}, "forky": {"debian", []int{14}},
	"trusty": {"ubuntu", []int{14, 4}}, "xenial": {"ubuntu", []int{16, 4}}, "bionic": {"ubuntu", []int{18, 4}},
	"focal": {"ubuntu", []int{20, 4}}, "groovy": {"ubuntu", []int{20, 10}}, "hirsute": {"ubuntu", []int{21, 4}}, "impish": {"ubuntu", []int{21, 10}},
	"jammy": {"ubuntu", []int{22, 4}}, "kinetic": {"ubuntu", []int{22, 10}}, "lunar": {"ubuntu", []int{23, 4}}, "mantic": {"ubuntu", []int{23, 10}},
	"noble": {"ubuntu", []int{24, 4}}, "oracular": {"ubuntu", []int{24, 10}}, "plucky": {"ubuntu", []int{25, 4}}, "questing": {"ubuntu", []int{25, 10}},
	"resolute": {"ubuntu", []int{26, 4}},
}

var distros = []string{"alpine", "debian", "ubuntu", "ubi", "centos", "fedora", "rockylinux", "almalinux", "oraclelinux", "amazonlinux", "al", "ol", "rhel", "el", "windowsservercore", "nanoserver", "ltsc", "cbl_mariner", "azurelinux", "photon", "suse", "bci", "wolfi"}

// rolling are words that name no release.
var rolling = []string{"latest", "stable", "oldstable", "edge", "lts", "current", "mainline", "testing", "unstable", "sid", "rolling", "main", "master", "release"}

// ParseTag takes a tag apart. Every text has an answer; one without a version has an
// empty Version.
func ParseTag(tag string) Tag {
	t := Tag{Written: tag}
	if len(tag) > 128 {
		tag = tag[:128]
	}
	words := strings.Split(tag, "-")
	at := slices.IndexFunc(words, func(w string) bool { return versionForm.MatchString(strings.ToLower(w)) && !calendar(w) })
	for i, written := range words {
		word := strings.ToLower(written)
		p := part{kind: partWord, text: written}
		named := namedForm.FindStringSubmatch(word)
		code, isCode := codenames[word]
		switch {
		case i == at:
			m := versionForm.FindStringSubmatch(word)
			p.kind, p.lead = partVersion, m[1]
			t.Version = m[2] + m[3]
			t.Numbers = numbers(m[2])
			t.Pre = t.Pre || preEnd.MatchString(m[3])
		case isCode:
			p.kind = partDistro
			t.Distro, t.Release = code.distro, code.number
		case dateForm.MatchString(word) && (at < 0 || i > at):
			p.kind = partDate
			t.Date = word
		case preForm.MatchString(word) && word != "dev" && i > at && at >= 0:
			p.kind = partPre
			t.Pre = true
		case named != nil && slices.Contains(distros, named[1]):
			p.kind, p.lead = partDistro, named[1]
			if named[1] == "ltsc" {
				t.Release = numbers(named[2])
				break
			}
			t.Distro = named[1]
			if named[2] != "" {
				t.Release = numbers(named[2])
			}
		default:
			t.Variant = append(t.Variant, word)
		}
		t.parts = append(t.parts, p)
	}
	if at < 0 && len(t.Release) > 0 {
		t.Numbers = t.Release // debian:bookworm: the release is the version
	}
	slices.Sort(t.Variant)
	return t
}

func calendar(word string) bool { return len(word) >= 8 && dateForm.MatchString(word) }

func numbers(text string) []int {
	var list []int
	for field := range strings.FieldsFuncSeq(text, func(r rune) bool { return r < '0' || r > '9' }) {
		n, err := strconv.Atoi(field)
		if err != nil {
			n = 1 << 30
		}
		list = append(list, n)
	}
	return list
}

// Rolls says that a tag names no release, so that what it means moves.
func (t *Tag) Rolls() bool { return len(t.Numbers) == 0 && t.Date == "" }

// words are those of the variant that are no name for whatever is newest.
func (t *Tag) words() []string {
	return slices.DeleteFunc(slices.Clone(t.Variant), func(w string) bool { return slices.Contains(rolling, w) || w == "" })
}

// SameFamily says whether two tags are of one family: the same variant on the same
// distribution. A tag that does not say its distribution is of the family of one
// that does unless that is musl where the other is not.
func SameFamily(a, b Tag) bool {
	if !slices.Equal(a.words(), b.words()) {
		return false
	}
	if a.Distro == b.Distro {
		return true
	}
	if a.Distro != "" && b.Distro != "" {
		return false
	}
	return a.Distro+b.Distro == "debian" || a.Distro+b.Distro == "ubuntu"
}

// Compare orders tags of a family: by version, a release behind what came before it,
// then by the distribution's release, then by date.
func Compare(a, b Tag) int {
	pre := func(t *Tag) int {
		if t.Pre {
			return 0
		}
		return 1
	}
	return cmp.Or(slices.Compare(a.Numbers, b.Numbers), cmp.Compare(pre(&a), pre(&b)), slices.Compare(a.Release, b.Release),
		cmp.Compare(len(a.Date), len(b.Date)), cmp.Compare(a.Date, b.Date))
}

// Steps between two versions.
const (
	StepNone    = ""
	StepPatch   = "patch"
	StepMinor   = "minor"
	StepMajor   = "major"
	StepUnknown = "unknown"
)

// Step says how far two tags are apart, by the first number that differs. Of a
// distribution whose releases are one number, or a year and a month, any is major.
func Step(a, b Tag) string {
	if len(a.Numbers) == 0 || len(b.Numbers) == 0 {
		return StepUnknown
	}
	at := func(list []int, i int) int {
		if i < len(list) {
			return list[i]
		}
		return 0
	}
	for i := range max(len(a.Numbers), len(b.Numbers)) {
		if at(a.Numbers, i) == at(b.Numbers, i) {
			continue
		}
		return []string{StepMajor, StepMinor, StepPatch}[min(i, 2)]
	}
	return StepNone
}

// shape is what two tags share that differ in numbers only: how the version is
// written, and with how many numbers.
func (t *Tag) shape() string {
	var b strings.Builder
	for _, p := range t.parts {
		switch p.kind {
		case partVersion:
			b.WriteString("-" + p.lead + "#" + strconv.Itoa(min(len(t.Numbers), 3)))
		case partDate:
			b.WriteString("-date")
		case partPre:
			b.WriteString("-pre")
		}
	}
	return b.String()
}

// at writes the tag with another version, cut to as many numbers as this one has;
// false when the tag has no version or the other is shorter.
func (t *Tag) at(version string) (string, bool) {
	list := numbers(version)
	if t.Version == "" || len(list) < len(t.Numbers) || len(t.Numbers) > 3 && len(list) != len(t.Numbers) {
		return "", false
	}
	words := make([]string, len(t.parts))
	for i, p := range t.parts {
		switch {
		case p.kind == partVersion && len(list) == len(t.Numbers):
			words[i] = p.lead + version
		case p.kind == partVersion:
			var short []string
			for _, n := range list[:len(t.Numbers)] {
				short = append(short, strconv.Itoa(n))
			}
			words[i] = p.lead + strings.Join(short, ".")
		case p.kind == partDistro && p.lead == "alpine":
			words[i] = p.lead // which of its releases a later version stands on is not known
		default:
			words[i] = p.text
		}
	}
	return strings.Join(words, "-"), t.Date == ""
}

// released writes a tag that counts in names of releases with another release, by its
// name where it has one: bookworm-slim with 13 is trixie-slim.
func (t *Tag) released(number []int) (string, bool) {
	word := ""
	for name, code := range codenames {
		if code.distro == t.Distro && slices.Equal(code.number, number) {
			word = name
		}
	}
	if word == "" || t.Date != "" {
		return "", false
	}
	words := make([]string, len(t.parts))
	for i, p := range t.parts {
		words[i] = p.text
		if p.kind == partDistro {
			words[i] = word
		}
	}
	return strings.Join(words, "-"), true
}
