package npmaudit

import (
	"slices"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

// dependent is what report version 2 says about how a package got in.
type dependent struct {
	direct  bool
	effects []string // the packages that require it
}

// vulnerable reads one package of report version 2. Its own advisories become
// findings; names in via point to packages that have advisories themselves.
func vulnerable(s *report.Scanner, name string) ([]fact.Finding, dependent) {
	d := dependent{}
	var list []fact.Finding
	var nodes, fixed []string
	affected, fix, major, available := "", "", "", ""
	s.Object(func(key string) {
		switch key {
		case "isDirect":
			d.direct = s.Bool()
		case "effects":
			d.effects = s.Texts()
		case "nodes":
			nodes = s.Texts()
		case "range":
			affected = s.Text()
		case "fixAvailable":
			if s.Kind() != report.KindObject {
				available = s.Text()
				return
			}
			available = "true"
			target, version := "", ""
			s.Object(func(key string) {
				switch key {
				case "name":
					target = s.Text()
				case "version":
					version = s.Text()
				case "isSemVerMajor":
					major = s.Text()
				}
			})
			if target == name {
				fixed = []string{version}
			}
			fix = target + "@" + version
		case "via":
			s.Array(func(int) {
				if s.Kind() == report.KindObject {
					list = append(list, via(s, name))
				}
			})
		}
	})
	for i := range list {
		f := &list[i]
		f.FixedVersions = fixed
		report.Attribute(f, "range", affected)
		report.Attribute(f, "nodes", strings.Join(nodes[:min(len(nodes), maxPaths)], ", "))
		report.Attribute(f, "fix_available", available)
		report.Attribute(f, "fix", fix)
		report.Attribute(f, "fix_is_major", major)
		report.Attribute(f, "direct", strconv.FormatBool(d.direct))
	}
	return list, d
}

func via(s *report.Scanner, name string) fact.Finding {
	from, item := s.Offset(), s.Item()
	f := fact.Finding{Kind: fact.Vulnerability, Asset: fact.Asset{Kind: fact.AssetRepository}, Package: report.Named("npm", name, "")}
	source, url := "", ""
	s.Object(func(key string) {
		switch key {
		case "source":
			source = s.Text()
		case "title":
			f.Title = s.Text()
		case "url":
			url = s.Text()
		case "severity":
			report.Rate(&f, s.Text())
		case "cwe":
			f.CWE = report.CWEs(s.Texts()...)
		case "cvss":
			rate(s, &f)
		case "range":
			report.Attribute(&f, "vulnerable_versions", s.Text())
		}
	})
	if f.Rule = advisoryID(url); f.Rule == "" {
		f.Rule = "npm:" + source
	}
	if f.Title == "" {
		f.Title = f.Rule + " in " + name
	}
	f.Aliases = report.Aliases(f.Rule, "npm:"+source)
	if url != "" {
		f.References = []string{url}
	}
	f.Position = fact.Position{Offset: from, Length: s.Offset() - from, Item: item}
	return f
}

// introduce finds the shortest path from a direct dependency through the
// packages that require this one, and lists all packages that are affected.
func introduce(f *fact.Finding, d dependent, packages map[string]dependent) {
	name := f.Package.Name
	above := map[string]string{name: ""}
	queue := []string{name}
	found := ""
	if d.direct {
		found = name
	}
	var effects []string
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		next := slices.Sorted(slices.Values(packages[at].effects))
		for _, up := range next {
			if _, seen := above[up]; seen {
				continue
			}
			above[up] = at
			effects = append(effects, up)
			queue = append(queue, up)
			if found == "" && packages[up].direct {
				found = up
			}
		}
	}
	for at := found; at != ""; at = above[at] {
		f.Introduced = append(f.Introduced, at)
	}
	slices.Sort(effects)
	report.Attribute(f, "effects", strings.Join(effects, ", "))
}
