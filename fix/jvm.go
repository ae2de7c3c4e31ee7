package fix

import (
	"regexp"
	"slices"
	"strings"
)

var (
	// platform is the ending of versions that are released once for each
	// platform: 24.0-jre and 24.0-android, 9.4.1.jre8 and 9.4.1.jre11.
	platform = regexp.MustCompile(`(?i)[-.](android|jre\d*|jdk\d*|java\d*)$`)
	// dated is a version that is a day, with which old projects began to count.
	dated        = regexp.MustCompile(`^(?:19|20)\d{6}(?:[.-]\d{4,6})?$`)
	mavenVersion = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,255}$`)
	mavenName    = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,255}:[A-Za-z0-9_.-]{1,255}$`)
)

// IsMavenVersion says whether a text may be written into a file as a version.
func IsMavenVersion(text string) bool { return mavenVersion.MatchString(text) }

// IsMavenName says whether a text may be written into a file as group:artifact.
func IsMavenName(text string) bool { return mavenName.MatchString(text) }

func platformOf(version string) string {
	if m := platform.FindStringSubmatch(version); m != nil {
		return strings.ToLower(m[1])
	}
	return ""
}

// SuitsPlatform says whether whoever has a version can take another: one of the same
// platform or of none; who has none does not move to Android.
func SuitsPlatform(from, to string) bool {
	have, get := platformOf(from), platformOf(to)
	if have == "" {
		return get != "android"
	}
	return get == have || get == ""
}

// MavenOrder are advisories by whose order a day comes before every release that
// is none: who began with days went on with numbers.
type MavenOrder struct{ Advisories }

// Compare implements Advisories.
func (o MavenOrder) Compare(ecosystem, a, b string) (int, error) {
	if old, new := dated.MatchString(a), dated.MatchString(b); old != new {
		if old {
			return -1, nil
		}
		return 1, nil
	}
	return o.Advisories.Compare(ecosystem, a, b)
}

// maxChoices is how many versions are offered when none closes everything.
const maxChoices = 4

// ChooseMaven is Choose among versions that suit the present one's platform. When
// no version is clean, others follow that leave or bring less than the first.
func ChooseMaven(target *Target, known []string) ([]Choice, error) {
	pkg := target.Module.Fact(target.Package)
	if known == nil {
		named, err := namedVersions(target, pkg.Name, platformOf(pkg.Version))
		if err != nil {
			return nil, err
		}
		known = named
	}
	var left []string
	for _, v := range known {
		if SuitsPlatform(pkg.Version, v) && IsMavenVersion(v) {
			left = append(left, v)
		}
	}
	if known != nil && left == nil {
		left = []string{}
	}
	var choices []Choice
	for range maxChoices {
		choice, err := Choose(MavenOrder{target.Advisories}, Need{Package: pkg, Close: target.Close, Known: left, Admits: func(v string) bool {
			return SuitsPlatform(pkg.Version, v) && IsMavenVersion(v) && !slices.ContainsFunc(choices, func(c Choice) bool { return c.Version == v })
		}})
		if err != nil && len(choices) > 0 {
			break
		}
		if err != nil {
			return nil, err
		}
		choices = append(choices, choice)
		if choice.Clean() {
			break
		}
	}
	harm := func(c Choice) int { return len(c.Residual) + len(c.Brings) }
	return slices.DeleteFunc(choices, func(c Choice) bool {
		return c.Version != choices[0].Version && harm(c) >= harm(choices[0])
	}), nil
}

// namedVersions are the versions that advisories name, those of another
// platform in the spelling of this one. It is nil when none names a platform.
func namedVersions(target *Target, name, own string) ([]string, error) {
	standing, err := target.Advisories.Of(target.Module.Ecosystem, name)
	if err != nil {
		return nil, err
	}
	var named []string
	several := false
	add := func(v string) {
		if v == "" || v == "0" {
			return
		}
		if at := platform.FindStringIndex(v); at != nil {
			several = true
			to := own
			if to == "" && platformOf(v) == "android" {
				to = "jre"
			}
			if to != "" {
				v = v[:at[0]+1] + to
			}
		}
		named = append(named, v)
	}
	for _, advisory := range standing {
		for _, affected := range advisory.Affected {
			if affected.Name != name {
				continue
			}
			for _, v := range affected.Versions {
				add(v)
			}
			for _, r := range affected.Ranges {
				for _, event := range r.Events {
					add(event.Fixed)
					add(event.LastAffected)
				}
			}
		}
	}
	if !several {
		return nil, nil
	}
	return named, nil
}
