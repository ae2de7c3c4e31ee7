package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/advisory"
	"github.com/backstitch/backstitch/fact"
)

// known is everything known about flaws: the local advisory index, and for
// flaws that it lacks what the findings themselves say. It serves scanners and
// fixers, so that both judge by the same knowledge.
type known struct {
	index *advisory.Index // nil when there is none
	said  *advisory.Index // from findings, only ids the index lacks
}

// newKnown completes the index by what findings say about flaws it does not hold.
func newKnown(index *advisory.Index, findings []fact.Finding) (*known, error) {
	type flaw struct{ rule, ecosystem, name string }
	told := map[flaw]*fact.Advisory{}
	for i := range findings {
		f := &findings[i]
		if f.Kind != fact.Vulnerability || f.Package.Ecosystem == "" || f.Package.Version == "" {
			continue
		}
		if index != nil {
			held := false
			for _, id := range append([]string{f.Rule}, f.Aliases...) {
				if _, ok, err := index.Lookup(id); err != nil {
					return nil, fmt.Errorf("advisory index: %w", err)
				} else if ok {
					held = true
					break
				}
			}
			if held {
				continue
			}
		}
		key := flaw{f.Rule, f.Package.Ecosystem, f.Package.Name}
		a := told[key]
		if a == nil {
			a = &fact.Advisory{
				ID: f.Rule, Summary: f.Title, Severity: f.Severity, Score: f.Score, Vector: f.Vector, EPSS: f.EPSS, URLs: f.References,
				Source:   "finding",
				Affected: []fact.Affected{{Ecosystem: f.Package.Ecosystem, Name: f.Package.Name}},
			}
			told[key] = a
		}
		a.Aliases = append(a.Aliases, f.Aliases...)
		affected := &a.Affected[0]
		affected.Versions = append(affected.Versions, f.Package.Version)
		if fixed := nextFixed(f); fixed != "" {
			affected.Ranges = append(affected.Ranges, fact.Range{Type: "ECOSYSTEM", Events: []fact.RangeEvent{{Introduced: f.Package.Version}, {Fixed: fixed}}})
		}
	}
	advisories := make([]fact.Advisory, 0, len(told))
	for _, a := range told {
		for _, list := range []*[]string{&a.Aliases, &a.Affected[0].Versions} {
			slices.Sort(*list)
			*list = slices.Compact(*list)
		}
		slices.SortFunc(a.Affected[0].Ranges, func(x, y fact.Range) int {
			return strings.Compare(x.Events[0].Introduced+" "+x.Events[1].Fixed, y.Events[0].Introduced+" "+y.Events[1].Fixed)
		})
		advisories = append(advisories, *a)
	}
	slices.SortFunc(advisories, func(a, b fact.Advisory) int {
		if c := strings.Compare(a.ID, b.ID); c != 0 {
			return c
		}
		return strings.Compare(a.Affected[0].Ecosystem+a.Affected[0].Name, b.Affected[0].Ecosystem+b.Affected[0].Name)
	})
	return &known{index, advisory.FromMemory(advisories)}, nil
}

// nextFixed is the lowest version that a finding calls fixed and that is above
// the one installed.
func nextFixed(f *fact.Finding) string {
	best := ""
	for _, version := range f.FixedVersions {
		if c, err := advisory.Compare(f.Package.Ecosystem, version, f.Package.Version); err != nil || c <= 0 {
			continue
		}
		if best != "" {
			if c, err := advisory.Compare(f.Package.Ecosystem, version, best); err != nil || c >= 0 {
				continue
			}
		}
		best = version
	}
	return best
}

// Affecting implements scan.Advisories and fix.Advisories.
func (k *known) Affecting(pkg fact.Package) ([]fact.Advisory, error) {
	said, err := k.said.Affecting(pkg)
	var unordered *advisory.UnorderedError
	if err != nil && !errors.As(err, &unordered) || k.index == nil {
		return said, err
	}
	indexed, more := k.index.Affecting(pkg)
	if more != nil {
		err = more
	}
	return append(indexed, said...), err
}

// judged is what is known as fixers ask for it: an advisory whose versions cannot
// be ordered is left out and told of, so that it does not stand in the way of the
// fixes for all the others.
type judged struct {
	*known
	tell func(problem string)
}

// Affecting implements fix.Advisories.
func (j judged) Affecting(pkg fact.Package) ([]fact.Advisory, error) {
	found, err := j.known.Affecting(pkg)
	var unordered *advisory.UnorderedError
	if !errors.As(err, &unordered) {
		return found, err
	}
	for _, id := range unordered.Advisories {
		j.tell(fmt.Sprintf("whether a version of %s is affected by %s cannot be told, since the advisory's versions cannot be ordered: fixes are planned without it", pkg.Name, id))
	}
	return found, nil
}

// Of implements fix.Advisories.
func (k *known) Of(ecosystem, name string) ([]fact.Advisory, error) {
	said, err := k.said.Of(ecosystem, name)
	if err != nil || k.index == nil {
		return said, err
	}
	indexed, err := k.index.Of(ecosystem, name)
	return append(indexed, said...), err
}

// Compare implements fix.Advisories.
func (k *known) Compare(ecosystem, a, b string) (int, error) {
	return advisory.Compare(ecosystem, a, b)
}

// Digest implements scan.Advisories: it identifies both sources together.
func (k *known) Digest() string {
	sum := sha256.New()
	if k.index != nil {
		fmt.Fprintln(sum, k.index.Digest())
	}
	fmt.Fprintln(sum, k.said.Digest())
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

// Class lists every id of the alias class of an id, itself included.
func (k *known) Class(id string) []string {
	ids := k.said.Class(id)
	if k.index != nil {
		for _, known := range ids[:len(ids):len(ids)] {
			ids = append(ids, k.index.Class(known)...)
		}
		ids = append(ids, k.index.Class(id)...)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// lookup finds an advisory by its own id.
func (k *known) lookup(id string) (fact.Advisory, bool) {
	if k.index != nil {
		if a, ok, err := k.index.Lookup(id); err == nil && ok {
			return a, true
		}
	}
	a, ok, err := k.said.Lookup(id)
	return a, ok && err == nil
}
