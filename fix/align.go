package fix

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/lockfile"
)

// Companion is a package that has to move together with another.
type Companion struct {
	Package int // index into Module.Packages
	Reason  string
}

// Family names the group of packages that may be released together with one:
// the scope of an npm package, the host of a Go vanity path, or the repository
// of a path on a forge. It is "" for a package that stands alone.
func Family(ecosystem, name string) string {
	parts := strings.Split(name, "/")
	switch ecosystem {
	case "npm":
		if strings.HasPrefix(name, "@") && len(parts) > 1 {
			return parts[0]
		}
	case "Go":
		switch {
		case len(parts) < 2 || !strings.Contains(parts[0], "."):
			return ""
		case !forge(parts[0]):
			return parts[0]
		case len(parts) > 2:
			return strings.Join(parts[:3], "/")
		}
	}
	return ""
}

// forge says whether a host gives room to anybody, so that packages under it
// have nothing in common.
func forge(host string) bool {
	switch host {
	case "github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "git.sr.ht", "gopkg.in":
		return true
	}
	return false
}

// Lockstep lists the packages of a module that are released under one version
// number with package i: those of its family that have the very same version,
// when they are three or more, or the whole family. Only packages that a
// manifest declares are listed; the others follow by resolution.
func Lockstep(module *lockfile.Module, i int) []Companion {
	target := module.Packages[i]
	family := Family(module.Ecosystem, target.Name)
	if family == "" || target.Version == "" || ownNumbers(module, onTrain(module, i)) {
		return nil
	}
	var same []int
	seen := map[string]bool{target.Name: true}
	total := 1
	for j, p := range module.Packages {
		if seen[p.Name] || Family(module.Ecosystem, p.Name) != family {
			continue
		}
		seen[p.Name] = true
		total++
		if p.Version == target.Version {
			same = append(same, j)
		}
	}
	if len(same) == 0 || len(same)+1 < 3 && len(same)+1 != total {
		return nil
	}
	var result []Companion
	for _, j := range same {
		if module.Packages[j].Direct || module.Ecosystem == "Go" {
			result = append(result, Companion{Package: j, Reason: fmt.Sprintf("companion of %s: released together, both at %s", target.Name, target.Version)})
		}
	}
	return result
}

// ownNumbers says that the members of a release train count their releases each for
// itself, so that equal numbers among them are chance.
func ownNumbers(module *lockfile.Module, members []int) bool {
	return slices.ContainsFunc(members, func(i int) bool { return module.Packages[i].Version != module.Packages[members[0]].Version })
}

// Pick chooses the version for the target's package with its companions in
// mind. Packages of one release train (a family that tags v0.N.0 together,
// each member with its own N) build on each other's same release, so a member
// that has to move goes as many releases as the member that goes furthest.
// Packages in lockstep go to the highest version that one of them needs.
func Pick(target *Target, known []string) (Choice, error) {
	need := target.need(target.Package, target.Close, known)
	own, err := Choose(target.Advisories, need)
	if err != nil {
		return Choice{}, err
	}
	least := own.Version
	raise := func(version string) {
		if order, err := target.Advisories.Compare(need.Package.Ecosystem, version, least); err == nil && order > 0 {
			least = version
		}
	}
	for _, companion := range Lockstep(target.Module, target.Package) {
		if choice, err := Choose(target.Advisories, target.need(companion.Package, nil, nil)); err == nil && choice.Clean() && len(choice.Closes) > 0 {
			raise(choice.Version)
		}
	}
	for _, version := range target.train(own.Version) {
		raise(version)
	}
	if least == own.Version {
		return own, nil
	}
	need.Least = least
	aligned, err := Choose(target.Advisories, need)
	if err != nil || better(own, aligned) {
		return own, nil
	}
	return aligned, nil
}

// need states the question for package i of the target's module.
func (t *Target) need(i int, ids, known []string) Need {
	return Need{Package: t.Module.Fact(i), Close: ids, Known: known, Train: onTrain(t.Module, i) != nil}
}

// onTrain lists the members of package i's release train that are at one of
// its releases, itself included when it is at one: Go modules in one folder
// that tag v0.N.0 and nothing else. It is nil when the folder is no train,
// because a member is past v0 or has tagged a patch, or fewer than two are at
// a release.
func onTrain(module *lockfile.Module, i int) []int {
	family := path.Dir(module.Packages[i].Name)
	if module.Ecosystem != "Go" || !strings.Contains(family, "/") {
		return nil
	}
	var members []int
	for j, p := range module.Packages {
		if path.Dir(p.Name) != family {
			continue
		}
		if _, ok := trainRelease(p.Version); ok {
			members = append(members, j)
		} else if parts, _, ok := numbers(p.Version); ok && parts != [3]int{} && !PreRelease("Go", p.Version) {
			return nil
		}
	}
	if len(members) < 2 {
		return nil
	}
	return members
}

// train lists the versions that the other members of the package's release
// train ask of it: members that have to move themselves, as many releases on.
func (t *Target) train(own string) []string {
	from, ok := trainRelease(t.Present().Version)
	if _, moves := trainRelease(own); !ok || !moves {
		return nil
	}
	var versions []string
	for _, i := range onTrain(t.Module, t.Package) {
		if i == t.Package {
			continue
		}
		choice, err := Choose(t.Advisories, t.need(i, nil, nil))
		if err != nil || len(choice.Closes) == 0 {
			continue
		}
		at, _ := trainRelease(t.Module.Packages[i].Version)
		if to, ok := trainRelease(choice.Version); ok {
			versions = append(versions, fmt.Sprintf("v0.%d.0", from+to-at))
		}
	}
	return versions
}

// trainRelease reads N of v0.N.0.
func trainRelease(version string) (int, bool) {
	parts, rest, ok := numbers(version)
	return parts[1], ok && parts[0] == 0 && parts[2] == 0 && parts[1] > 0 && rest == ""
}
