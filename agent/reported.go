package agent

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/issue"
)

// complete adds to modules that list only what they declare the packages that reports
// resolved for them, so that causes, fix paths and proofs reach those too.
func (s *scene) complete(ctx context.Context) error {
	if !slices.ContainsFunc(s.modules, func(m lockfile.Module) bool { return !m.Lists() }) {
		return nil
	}
	paths, err := s.tree.Paths(ctx)
	if err != nil {
		return err
	}
	var told []lockfile.Reported
	known := map[string]bool{}
	add := func(r lockfile.Reported) {
		if key := strings.Join(append([]string{r.Manifest, r.Name, r.Version}, r.Through...), "\x00"); r.Version != "" && !known[key] {
			known[key] = true
			told = append(told, r)
		}
	}
	for i := range s.findings {
		f := &s.findings[i]
		pkg := f.Package
		if named, ok := fact.ParsePURL(pkg.PURL); ok && pkg.Ecosystem == "" {
			pkg.Ecosystem, pkg.Name, pkg.Version = named.Ecosystem, named.Name, cmp.Or(pkg.Version, named.Version)
		}
		if f.Kind != fact.Vulnerability || f.Asset.Kind != fact.AssetRepository || f.State == issue.FindingUnconfirmed || f.Report == "" || pkg.Name == "" {
			continue
		}
		m := s.reportedFor(&f.Finding, pkg, paths)
		if m == nil {
			continue
		}
		var through []string
		for _, step := range f.Introduced {
			name, version := step, ""
			if at := strings.LastIndex(step, "@"); at > 0 {
				name, version = step[:at], step[at+1:]
			}
			if name == pkg.Name || m.Name != "" && name == m.Name {
				continue
			}
			add(lockfile.Reported{Manifest: m.Manifests[0], Name: name, Version: version, Through: slices.Clone(through), By: f.Tool})
			through = append(through, name)
		}
		add(lockfile.Reported{Manifest: m.Manifests[0], Name: pkg.Name, Version: pkg.Version, Through: through, By: f.Tool})
	}
	s.reported, err = lockfile.Complete(ctx, s.tree, s.modules, told)
	return err
}

// reportedFor gives the module that a finding's package was resolved for: the one whose
// manifest or build folder the finding names, or the only one of the ecosystem when the
// finding names no file of the repository. It is nil when that is not certain.
func (s *scene) reportedFor(f *fact.Finding, pkg fact.Package, paths []string) *lockfile.Module {
	told := f.Path
	if at := strings.LastIndex(told, " ("); at > 0 && strings.HasSuffix(told, ")") {
		told = told[:at]
	}
	told = code.CleanPath(told)
	_, held := slices.BinarySearch(paths, told)
	var best []*lockfile.Module
	top := 0
	for i := range s.modules {
		m := &s.modules[i]
		if m.Ecosystem != pkg.Ecosystem || len(m.Manifests) == 0 {
			continue
		}
		fit := 0
		if !held || slices.Contains(m.Manifests, told) {
			fit = 1
		}
		for _, name := range m.Manifests {
			switch {
			case name == told:
				fit = 1_000_000
			case !held && strings.HasSuffix(told, "/"+name), !held && strings.Contains(told, "/") && strings.HasSuffix(name, "/"+told):
				fit = max(fit, 2+len(name))
			}
		}
		for _, built := range []string{"target/", "build/"} {
			if inside := strings.TrimPrefix(m.Dir+"/"+built, "/"); !held && strings.HasPrefix(told, inside) {
				fit = max(fit, 2+len(inside))
			}
		}
		switch {
		case fit == 0:
		case fit > top:
			best, top = []*lockfile.Module{m}, fit
		case fit == top:
			best = append(best, m)
		}
	}
	if len(best) != 1 || best[0].Lists() {
		return nil
	}
	return best[0]
}
