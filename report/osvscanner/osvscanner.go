// Package osvscanner reads the JSON reports of OSV-Scanner, versions 1 and 2.
package osvscanner

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/osvscanner", Name: "OSV-Scanner", Formats: "JSON of versions 1 and 2",
		Docs: "Produce it with `osv-scanner --format json`. One finding for each vulnerability of each package; ids of one flaw are joined by their aliases. " +
			"An empty list of results alone, as version 1 writes it, names no tool, so it never proves that something is gone.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("results[].packages", "results[].source.path"):
		return 95
	case o.Keys["results"] == report.KindArray && (o.Has("experimental_config") || o.Has("license_summary")):
		return 90
	case o.Has("results[].packages[].package"): // others list packages too, as plain objects or names
		return 70
	case len(o.Keys) == 1 && o.Keys["results"] == report.KindArray:
		return 10 // what version 1 writes when it found nothing
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	run := fact.Run{Tool: "osv-scanner", Format: "osvscanner"}
	begun := false
	err := report.JSON(ctx, in, func(s *report.Scanner) {
		s.Object(func(key string) {
			if key != "results" {
				run.Complete = true // the report says more than that a list is empty
				return
			}
			s.Array(func(int) {
				if !begun {
					begun, run.Complete = true, true
					s.Fail(sink.Run(run))
				}
				result(s, sink)
			})
		})
	})
	if begun {
		return err
	}
	if sinkErr := sink.Run(run); sinkErr != nil {
		return sinkErr
	}
	return err
}

// result reads one source with its packages. Where members are sorted the
// source comes after them, and what was found waits for it.
func result(s *report.Scanner, sink report.Sink) {
	var early report.Spool
	path, told := "", false
	asset := fact.Asset{Kind: fact.AssetRepository}
	give := func(f fact.Finding) error {
		f.Path, f.Asset = path, asset
		return sink.Finding(f)
	}
	s.Object(func(key string) {
		switch key {
		case "source":
			told = true
			kind := ""
			s.Object(func(key string) {
				switch key {
				case "path":
					path = s.Text()
				case "type":
					kind = s.Text()
				}
			})
			if kind == "docker" || kind == "image" {
				asset = report.ImageAsset(path)
			}
		case "packages":
			to := give
			if !told {
				to = early.Add
			}
			s.Array(func(int) { pkg(s, to) })
		}
	})
	err := early.Replay(give)
	s.Fail(errors.Join(err, early.Close()))
}

func pkg(s *report.Scanner, give func(fact.Finding) error) {
	var p fact.Package
	var held []fact.Finding
	groups := map[string]string{} // id -> worst score of its group
	var group []string
	s.Object(func(key string) {
		switch key {
		case "package":
			s.Object(func(key string) {
				switch key {
				case "name":
					p.Name = s.Text()
				case "version":
					p.Version = s.Text()
				case "ecosystem":
					p.Ecosystem = s.Text()
				}
			})
		case "vulnerabilities":
			s.Array(func(int) { held = append(held, vulnerability(s)) })
		case "groups":
			s.Array(func(int) {
				score := ""
				group = group[:0]
				s.Object(func(key string) {
					switch key {
					case "ids":
						group = append(group, s.Texts()...)
					case "max_severity":
						score = s.Text()
					}
				})
				for _, id := range group {
					groups[id] = score
				}
			})
		}
	})
	p.PURL = fact.PURL(p.Ecosystem, p.Name, p.Version)
	for _, f := range held {
		f.Package = p
		f.FixedVersions = fixedFor(f.FixedVersions, p)
		if score, err := strconv.ParseFloat(groups[f.Rule], 64); err == nil && score > 0 {
			f.Score = score
			if f.Severity == fact.SeverityUnknown {
				f.Severity = fact.SeverityOfScore(score)
			}
		}
		if s.Err() == nil {
			s.Fail(give(f))
		}
	}
}

// fixedFor strips the package name off the fixed versions of that package.
func fixedFor(all []string, p fact.Package) []string {
	var list []string
	for _, entry := range all {
		if name, version, ok := strings.Cut(entry, "\x00"); ok && (name == "" || strings.EqualFold(name, p.Name)) {
			list = append(list, version)
		}
	}
	return list
}

// vulnerability reads one OSV record. Its fixed versions carry the name of the
// package that they are of, which the caller strips.
func vulnerability(s *report.Scanner) fact.Finding {
	from, item := s.Offset(), s.Item()
	f := fact.Finding{Kind: fact.Vulnerability}
	var aliases []string
	s.Object(func(key string) {
		switch key {
		case "id":
			f.Rule = s.Text()
		case "aliases":
			aliases = s.Texts()
		case "summary":
			f.Title = s.Text()
		case "details":
			f.Description = s.Text()
		case "severity":
			s.Array(func(int) {
				kind, score := "", ""
				s.Object(func(key string) {
					switch key {
					case "type":
						kind = s.Text()
					case "score":
						score = s.Text()
					}
				})
				if strings.HasPrefix(kind, "CVSS") && (f.Vector == "" || kind == "CVSS_V3") {
					f.Vector = score
				}
			})
		case "database_specific":
			s.Object(func(key string) {
				switch key {
				case "severity":
					report.Rate(&f, s.Text())
				case "cwe_ids":
					f.CWE = report.CWEs(s.Texts()...)
				case "cwes":
					s.Each(func(int) {
						if s.Kind() != report.KindObject {
							f.CWE = append(f.CWE, report.CWEs(s.Text())...)
							return
						}
						s.Object(func(key string) {
							if key == "cweId" {
								f.CWE = append(f.CWE, report.CWEs(s.Text())...)
							}
						})
					})
				}
			})
		case "references":
			s.Array(func(int) {
				s.Object(func(key string) {
					if key == "url" {
						f.References = append(f.References, s.Text())
					}
				})
			})
		case "affected":
			s.Array(func(int) { affected(s, &f) })
		}
	})
	f.Aliases = report.Aliases(f.Rule, aliases...)
	if f.SeverityText == "" && strings.HasPrefix(f.Rule, "MAL-") {
		f.Severity = fact.SeverityCritical // the package itself is the attack; nobody scores that
	}
	if f.Title == "" {
		f.Title = f.Rule
	}
	f.Position = fact.Position{Offset: from, Length: s.Offset() - from, Item: item}
	return f
}

func affected(s *report.Scanner, f *fact.Finding) {
	name := ""
	start := len(f.FixedVersions)
	s.Object(func(key string) {
		switch key {
		case "package":
			s.Object(func(key string) {
				if key == "name" {
					name = s.Text()
				}
			})
		case "ranges":
			s.Array(func(int) {
				kind := ""
				var fixed []string
				s.Object(func(key string) {
					switch key {
					case "type":
						kind = s.Text()
					case "events":
						s.Array(func(int) {
							s.Object(func(key string) {
								if key == "fixed" {
									fixed = append(fixed, s.Text())
								}
							})
						})
					}
				})
				if kind != "GIT" {
					f.FixedVersions = append(f.FixedVersions, fixed...)
				}
			})
		case "database_specific":
			s.Object(func(key string) {
				if key == "cwes" {
					s.Each(func(int) {
						s.Object(func(key string) {
							if key == "cweId" {
								f.CWE = append(f.CWE, report.CWEs(s.Text())...)
							}
						})
					})
				}
			})
		}
	})
	for i := start; i < len(f.FixedVersions); i++ {
		f.FixedVersions[i] = name + "\x00" + f.FixedVersions[i]
	}
}
