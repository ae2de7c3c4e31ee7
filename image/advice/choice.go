package advice

import (
	"cmp"
	"slices"
	"strings"
)

// Known is a tag or a release that somebody knows of.
type Known struct {
	Name    string
	Digest  string
	Created int64 // microseconds since 1970 UTC, 0 unknown
	Source  string
	// Release says that Name is a version of the product and not surely a tag.
	Release bool
}

// Choice is a tag that could stand in the place of another.
type Choice struct {
	Tag    string
	Digest string // "" unknown
	Step   string // how far it is, StepPatch ...
	// Listed says that a source lists the tag; otherwise it follows from a version
	// that exists, and whether the tag does was not checked.
	Listed bool
	Source string

	tag Tag
}

// Choices are the tags of the same family above one, by how far they are.
type Choices struct {
	Patch *Choice // the newest of the same cycle: only numbers behind the second differ
	After *Choice // the newest of the next minor version
	Minor *Choice // the newest of the same major version
	Next  *Choice // the newest of the next major version
	Newer *Choice // the newest of all
	// Same is the tag itself with a digest that is known for it.
	Same *Choice
}

// All lists the choices, the nearest first, each once.
func (c *Choices) All() []*Choice {
	var list []*Choice
	for _, one := range []*Choice{c.Patch, c.After, c.Minor, c.Next, c.Newer} {
		if one != nil && !slices.ContainsFunc(list, func(other *Choice) bool { return other.Tag == one.Tag }) {
			list = append(list, one)
		}
	}
	return list
}

// Choose finds the tags above now among what is known of its repository.
func Choose(now string, known []Known) Choices {
	from := ParseTag(now)
	var found Choices
	for _, k := range known {
		if k.Name == now && !k.Release && k.Digest != "" {
			found.Same = &Choice{Tag: now, Digest: k.Digest, Listed: true, Source: k.Source, tag: from}
		}
	}
	list := candidates(from, known)
	pick := func(fits func(c *Choice) bool) *Choice {
		for i := range list {
			if fits(&list[i]) {
				return &list[i]
			}
		}
		return nil
	}
	found.Newer = pick(func(*Choice) bool { return true })
	found.Patch = pick(func(c *Choice) bool { return c.Step == StepPatch || c.Step == StepNone })
	found.Minor = pick(func(c *Choice) bool { return c.Step == StepMinor })
	if found.Minor != nil {
		least := -1
		for _, c := range list {
			if c.Step == StepMinor && (least < 0 || c.tag.Numbers[1] < least) {
				least = c.tag.Numbers[1]
			}
		}
		found.After = pick(func(c *Choice) bool { return c.Step == StepMinor && c.tag.Numbers[1] == least })
	}
	if found.Newer != nil && found.Newer.Step == StepMajor {
		least := 0
		for _, c := range list {
			if c.Step == StepMajor && (least == 0 || c.tag.Numbers[0] < least) {
				least = c.tag.Numbers[0]
			}
		}
		found.Next = pick(func(c *Choice) bool { return c.tag.Numbers[0] == least })
	}
	return found
}

// candidates lists the tags of a family above one, the best first: those that surely
// exist before those that follow from a version, then by version, then
// those on the same release of the distribution, then the newest of it.
func candidates(from Tag, known []Known) []Choice {
	byTag := map[string]*Choice{}
	var names []string
	add := func(c Choice) {
		old := byTag[c.Tag]
		if old == nil {
			names = append(names, c.Tag)
			byTag[c.Tag] = &c
			return
		}
		if c.Listed && !old.Listed {
			*old = c
		}
		old.Digest = cmp.Or(old.Digest, c.Digest)
	}
	for _, k := range known {
		tag := ParseTag(k.Name)
		// A plain tag tells that the version exists, whichever variants there are of it.
		k.Release = k.Release || len(tag.words()) == 0 && tag.Distro == "" && tag.Version != "" && tag.Date == "" && (len(from.words()) > 0 || from.Distro != "")
		if tag.Pre && !from.Pre || len(tag.Numbers) == 0 && tag.Date == "" {
			continue
		}
		switch {
		case !k.Release && tag.shape() == from.shape() && named(from) == named(tag) && SameFamily(from, tag) && (len(from.Release) == 0) == (len(tag.Release) == 0):
			add(Choice{Tag: k.Name, Digest: k.Digest, Listed: true, Source: k.Source, tag: tag})
		case k.Release || len(tag.Numbers) > len(from.Numbers) && SameFamily(from, tag):
			if len(tag.Variant) > 0 && k.Release || tag.Version == "" {
				continue
			}
			name, ok := from.at(tag.Version)
			if named(from) && k.Release {
				name, ok = from.released(tag.Numbers)
			}
			if ok {
				add(Choice{Tag: name, Listed: name == k.Name && !k.Release, Source: k.Source, tag: ParseTag(name)})
			}
		}
	}
	var list []Choice
	for _, name := range names {
		c := *byTag[name]
		if c.Tag == from.Written || Compare(c.tag, from) <= 0 || len(c.tag.Numbers) > 0 && slices.Compare(c.tag.Numbers, from.Numbers) < 0 {
			continue
		}
		c.Step = Step(from, c.tag)
		if c.Step == StepNone && c.tag.Date == "" && slices.Compare(c.tag.Release, from.Release) <= 0 {
			continue
		}
		list = append(list, c)
	}
	slices.SortStableFunc(list, func(a, b Choice) int {
		same := func(c *Choice) int {
			if slices.Equal(c.tag.Release, from.Release) {
				return 0
			}
			return 1
		}
		listed := func(c *Choice) int {
			if c.Listed {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(listed(&a), listed(&b)), slices.Compare(b.tag.Numbers, a.tag.Numbers), cmp.Compare(same(&a), same(&b)), Compare(b.tag, a.tag), strings.Compare(a.Tag, b.Tag))
	})
	return list
}

// named says whether a tag counts in names: debian:bookworm against debian:12.
func named(t Tag) bool { return t.Version == "" && len(t.Release) > 0 }

// Others lists tags of the same version in other families that hold less: slim and
// alpine, the ones that are listed only.
func Others(now string, known []Known) []Choice {
	from := ParseTag(now)
	var list []Choice
	for _, want := range [][]string{{"slim"}, {}} {
		var best *Choice
		for _, k := range known {
			tag := ParseTag(k.Name)
			musl := tag.Distro == "alpine"
			if k.Release || tag.Pre || from.Distro == "alpine" || !slices.Equal(tag.words(), want) || (len(want) == 0) != musl || len(from.Numbers) == 0 || len(tag.Numbers) != len(from.Numbers) || tag.Version == "" {
				continue
			}
			if SameFamily(from, tag) || len(from.words()) > 0 && !slices.Equal(from.words(), []string{"slim"}) || slices.Compare(tag.Numbers, from.Numbers) < 0 {
				continue
			}
			if step := Step(from, tag); step != StepNone && step != StepPatch {
				continue
			}
			c := Choice{Tag: k.Name, Digest: k.Digest, Listed: true, Source: k.Source, Step: Step(from, tag), tag: tag}
			if best == nil || Compare(tag, best.tag) > 0 || Compare(tag, best.tag) == 0 && len(k.Name) < len(best.Tag) {
				best = &c
			}
		}
		if best != nil {
			list = append(list, *best)
		}
	}
	return list
}

// Newest gives the tag that names the newest release without a variant. With the digest
// that a moving tag has, it gives the longest tag of the same digest, and true.
func Newest(known []Known, digest string) (newest *Choice, same bool) {
	var best *Choice
	for _, k := range known {
		tag := ParseTag(k.Name)
		equal := digest != "" && k.Digest == digest && !k.Release
		if tag.Pre || len(tag.Numbers) == 0 || !equal && (same || len(tag.Variant) > 0 || tag.Distro != "" && tag.Version != "" || tag.Date != "") {
			continue
		}
		c := Choice{Tag: k.Name, Digest: k.Digest, Listed: !k.Release, Source: k.Source, tag: tag}
		switch {
		case best == nil, equal && !same:
		case Compare(tag, best.tag) > 0 && (len(tag.Numbers) >= len(best.tag.Numbers) || Step(best.tag, tag) != StepNone):
		case Compare(tag, best.tag) == 0 && k.Name < best.Tag:
		default:
			continue
		}
		best, same = &c, same || equal
	}
	return best, same
}
