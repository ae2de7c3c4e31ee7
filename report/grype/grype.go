// Package grype reads the JSON reports of Grype.
package grype

import (
	"context"
	"encoding/base64"
	"io"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/grype", Name: "Grype", Formats: "JSON",
		Docs: "Produce it with `grype TARGET -o json`. One finding a match; matches of one package in several places stay apart by their path. " +
			"Related vulnerabilities become aliases; ignored matches are read as accepted risks.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("matches[].vulnerability", "matches[].artifact"), o.Has("ignoredMatches[].vulnerability", "ignoredMatches[].artifact"), o.Has("descriptor.name") && o.Texts["descriptor.name"] == "grype":
		return 95
	case o.Keys["matches"] == report.KindArray && (o.Has("source") || o.Has("distro") || o.Has("descriptor")):
		return 80
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	var held report.Spool
	defer held.Close()
	run := fact.Run{Tool: "grype", Format: "grype", Complete: true}
	asset := fact.Asset{Kind: fact.AssetUnknown}
	distro := ""
	err := report.JSON(ctx, in, func(s *report.Scanner) {
		s.Object(func(key string) {
			switch key {
			case "matches":
				s.Array(func(int) { s.Fail(held.Add(match(s, fact.Analysis{}))) })
			case "ignoredMatches":
				s.Array(func(int) {
					s.Fail(held.Add(match(s, fact.Analysis{State: fact.AnalysisAcceptedRisk, Detail: "ignored by a rule of Grype", Source: "grype"})))
				})
			case "source":
				var config []byte
				asset, config = source(s)
				run.Target = asset.Name
				if config != nil && asset.Kind == fact.AssetImage {
					run.Image = &fact.ImageConfig{Asset: asset, JSON: config}
				}
			case "distro":
				distro = readDistro(s)
			case "descriptor":
				descriptor(s, &run)
			}
		})
	})
	// What was read before a fault is given on; the fault makes the run incomplete.
	if sinkErr := sink.Run(run); sinkErr != nil {
		return sinkErr
	}
	folder := ""
	if asset.Kind == fact.AssetRepository {
		folder = report.Folder(asset.Key)
	}
	replayErr := held.Replay(func(f fact.Finding) error {
		f.Asset = asset
		report.Attribute(&f, "scanned", folder)
		if f.Package.Ecosystem == "" {
			f.Package.Ecosystem = distro
		}
		return sink.Finding(f)
	})
	if replayErr != nil {
		return replayErr
	}
	return err
}

func descriptor(s *report.Scanner, run *fact.Run) {
	s.Object(func(key string) {
		switch key {
		case "version":
			run.ToolVersion = s.Text()
		case "timestamp":
			run.Started = report.Micros(s.Text())
		case "db":
			s.Object(func(key string) {
				switch key {
				case "built", "checksum":
					run.Rules = s.Text()
				case "status":
					s.Object(func(key string) {
						if key == "built" {
							run.Rules = s.Text()
						}
					})
				}
			})
		}
	})
}

// source reads what was scanned, and the configuration of an image.
func source(s *report.Scanner) (asset fact.Asset, config []byte) {
	kind, target, image, manifest := "", "", "", ""
	var digests []string
	s.Object(func(key string) {
		switch key {
		case "type":
			kind = s.Text()
		case "target":
			if s.Kind() != report.KindObject {
				target = s.Text()
				return
			}
			s.Object(func(key string) {
				switch key {
				case "userInput":
					target = s.Text()
				case "repoDigests":
					digests = append(s.Texts(), digests...)
				case "imageID":
					image = s.Text()
				case "manifestDigest":
					manifest = s.Text()
				case "config":
					var err error
					if config, err = base64.StdEncoding.DecodeString(s.Text()); err != nil {
						config = nil
					}
				}
			})
		}
	})
	switch kind {
	case "image":
		// Of an image without a digest in a registry the id names it, as in
		// reports of others; its manifest is made up by the scanner.
		return report.ImageAsset(target, append(digests, image, manifest)...), config
	case "directory", "file":
		return fact.Asset{Kind: fact.AssetRepository, Key: target, Name: target}, nil
	}
	return fact.Asset{Kind: fact.AssetUnknown, Key: target, Name: target}, nil
}

func readDistro(s *report.Scanner) string {
	name, version := "", ""
	s.Object(func(key string) {
		switch key {
		case "name":
			name = s.Text()
		case "version":
			version = s.Text()
		}
	})
	return report.Distribution(name, version)
}

// match reads one match. Its detector's own advisory is the rule.
func match(s *report.Scanner, analysis fact.Analysis) fact.Finding {
	from, item := s.Offset(), s.Item()
	f := fact.Finding{Kind: fact.Vulnerability, Analysis: analysis}
	var ids []string
	namespace, kind := "", ""
	s.Object(func(key string) {
		switch key {
		case "vulnerability":
			s.Object(func(key string) {
				switch key {
				case "id":
					f.Rule = s.Text()
				case "namespace":
					namespace = s.Text()
				case "severity":
					report.Rate(&f, s.Text())
				case "description":
					f.Description = s.Text()
				case "dataSource":
					if url := s.Text(); url != "" {
						f.References = append([]string{url}, f.References...)
					}
				case "urls":
					f.References = append(f.References, s.Texts()...)
				case "cvss":
					rate(s, &f)
				case "epss":
					s.Each(func(i int) {
						s.Object(func(key string) {
							if key == "epss" && i == 0 {
								f.EPSS = s.Float()
							}
						})
					})
				case "knownExploited":
					s.Each(func(int) {
						s.Skip()
						report.Attribute(&f, "exploited", "true")
					})
				case "cwes":
					s.Each(func(int) {
						s.Object(func(key string) {
							if key == "cwe" {
								f.CWE = append(f.CWE, report.CWEs(s.Text())...)
							}
						})
					})
				case "fix":
					s.Object(func(key string) {
						switch key {
						case "versions":
							f.FixedVersions = s.Texts()
						case "state":
							report.Attribute(&f, "fix_state", s.Text())
						}
					})
				}
			})
		case "relatedVulnerabilities":
			s.Array(func(int) {
				s.Object(func(key string) {
					switch key {
					case "id":
						ids = append(ids, s.Text())
					case "description":
						if text := s.Text(); f.Description == "" {
							f.Description = text
						}
					case "cvss":
						if f.Score == 0 {
							rate(s, &f)
						}
					}
				})
			})
		case "artifact":
			s.Object(func(key string) {
				switch key {
				case "name":
					f.Package.Name = s.Text()
				case "version":
					f.Package.Version = s.Text()
				case "type":
					kind = s.Text()
				case "purl":
					f.Package.PURL = s.Text()
				case "locations":
					s.Array(func(i int) {
						s.Object(func(key string) {
							switch {
							case i > 0:
							case key == "path":
								f.Path = s.Text()
							case key == "layerID":
								report.Attribute(&f, "layer_diff_id", s.Text())
							}
						})
					})
				}
			})
		}
	})
	if parsed, ok := fact.ParsePURL(f.Package.PURL); ok {
		version := f.Package.Version
		f.Package = parsed
		if version != "" {
			f.Package.Version = version
		}
	}
	if f.Package.Ecosystem == "" {
		f.Package.Ecosystem = ecosystem(kind, namespace)
	}
	f.Aliases = report.Aliases(f.Rule, ids...)
	f.Title = f.Rule + " in " + f.Package.Name + ":" + f.Package.Version
	f.Position = fact.Position{Offset: from, Length: s.Offset() - from, Item: item}
	return f
}

// rate takes the rating of the highest CVSS version.
func rate(s *report.Scanner, f *fact.Finding) {
	newest := ""
	s.Array(func(int) {
		version, vector := "", ""
		score := 0.0
		s.Object(func(key string) {
			switch key {
			case "version":
				version = s.Text()
			case "vector":
				vector = s.Text()
			case "metrics":
				s.Object(func(key string) {
					if key == "baseScore" {
						score = s.Float()
					}
				})
			}
		})
		if score > 0 && version >= newest && !(newest >= "3" && version >= "4") {
			newest, f.Score, f.Vector = version, score, vector
		}
	})
}

var kinds = map[string]string{
	"npm": "npm", "python": "PyPI", "go-module": "Go", "java-archive": "Maven", "jenkins-plugin": "Maven", "gem": "RubyGems", "rust-crate": "crates.io",
	"php-composer": "Packagist", "dotnet": "NuGet", "hex": "Hex", "dart-pub": "Pub", "conan": "ConanCenter", "swift": "SwiftURL", "github-action": "GitHub Actions",
}

// ecosystem names the ecosystem from the artifact's type, or from a namespace
// such as "debian:distro:debian:10".
func ecosystem(kind, namespace string) string {
	if name := kinds[kind]; name != "" {
		return name
	}
	parts := strings.Split(namespace, ":")
	if len(parts) == 4 && parts[1] == "distro" {
		return report.Distribution(parts[2], parts[3])
	}
	return ""
}
