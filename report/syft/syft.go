// Package syft reads the JSON that Syft writes of its own: an inventory with the
// files in which each package was found.
package syft

import (
	"cmp"
	"context"
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
		ID: "report/syft", Name: "Syft", Formats: "JSON, schema versions 1 to 16",
		Docs: "Produce it with `syft IMAGE -o syft-json`. Artifacts become the inventory, each with the first file that it was found in; " +
			"relationships dependency-of become its dependencies. Files, CPEs and metadata of package managers are not read.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Texts["descriptor.name"] == "syft", strings.Contains(o.Texts["schema.url"], "syft"):
		return 96
	case o.Has("artifacts") && (o.Has("artifactRelationships") || o.Has("artifacts[].foundBy")):
		return 90 // the descriptor stands at the end
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	v := report.NewInventory(sink, fact.Run{Tool: "syft", Format: "syft", Complete: true})
	defer v.Close()
	distribution, seen := "", false
	// The distribution comes after the packages that it names the ecosystem of.
	v.Finish = func(c *fact.Component) {
		if c.Package.Ecosystem == "" && distribution != "" && operatingSystem(c.Type) {
			c.Package.Ecosystem = distribution
		}
	}
	err := report.JSON(ctx, in, func(s *report.Scanner) {
		s.Object(func(key string) {
			switch key {
			case "artifacts":
				seen = true
				s.Array(func(int) {
					c := artifact(s)
					if s.Err() == nil {
						s.Fail(v.Component(c))
					}
				})
			case "artifactRelationships":
				s.Array(func(int) { relationship(s, v) })
			case "source":
				source(s, v)
			case "distro":
				distribution = distro(s)
			case "descriptor":
				s.Object(func(key string) {
					switch key {
					case "version":
						v.Run.ToolVersion = s.Text()
					case "timestamp":
						v.Run.Started = report.Micros(s.Text())
					}
				})
			}
		})
		if s.Err() == nil && !seen {
			s.Fail(&report.Error{Offset: s.Offset(), Expected: "artifacts"})
		}
	})
	return v.End(err)
}

// operatingSystem says whether packages of a type belong to the distribution.
func operatingSystem(kind string) bool { return kind == "deb" || kind == "apk" || kind == "rpm" }

func artifact(s *report.Scanner) fact.Component {
	from, item := s.Offset(), s.Item()
	var c fact.Component
	name, version, purl := "", "", ""
	s.Object(func(key string) {
		switch key {
		case "id":
			c.Ref = s.Text()
		case "name":
			name = s.Text()
		case "version":
			version = s.Text()
		case "type":
			c.Type = s.Text()
		case "purl":
			purl = s.Text()
		case "licenses":
			s.Each(func(int) {
				if text := license(s); text != "" {
					c.Licenses = append(c.Licenses, text)
				}
			})
		case "locations":
			s.Each(func(int) {
				if s.Kind() != report.KindObject {
					return
				}
				s.Object(func(key string) {
					if key == "path" {
						c.Path = cmp.Or(c.Path, s.Text())
					}
				})
			})
		}
	})
	c.Package = report.PackageOf(name, version, purl)
	c.Position = fact.Position{Offset: from, Length: s.Offset() - from, Item: item}
	return c
}

// license reads a text, or the object that came with schema version 7.
func license(s *report.Scanner) string {
	if s.Kind() != report.KindObject {
		return s.Text()
	}
	value, expression := "", ""
	s.Object(func(key string) {
		switch key {
		case "value":
			value = s.Text()
		case "spdxExpression":
			expression = s.Text()
		}
	})
	return cmp.Or(expression, value)
}

// relationship notes a dependency: of a parent that is a dependency of a child.
func relationship(s *report.Scanner, v *report.Inventory) {
	parent, child, kind := "", "", ""
	s.Object(func(key string) {
		switch key {
		case "parent":
			parent = s.Text()
		case "child":
			child = s.Text()
		case "type":
			kind = s.Text()
		}
	})
	if kind == "dependency-of" {
		v.Requires(child, parent)
	}
}

// source reads what was looked at: an image, a folder or a file, of which older
// schemas tell below target and newer ones below metadata.
func source(s *report.Scanner, v *report.Inventory) {
	kind, name, input := "", "", ""
	var digests []string
	s.Object(func(key string) {
		switch key {
		case "type":
			kind = s.Text()
		case "name":
			name = s.Text()
		case "target", "metadata":
			if s.Kind() != report.KindObject {
				input = s.Text()
				return
			}
			s.Object(func(key string) {
				switch key {
				case "userInput", "path":
					input = s.Text()
				case "manifestDigest":
					digests = append(digests, s.Text())
				case "repoDigests":
					digests = append(s.Texts(), digests...)
				}
			})
		}
	})
	v.Run.Target = cmp.Or(input, name)
	switch kind {
	case "image":
		v.Subject = report.ImageAsset(v.Run.Target, digests...)
	case "directory", "file":
		v.Subject = fact.Asset{Kind: fact.AssetRepository, Key: v.Run.Target, Name: v.Run.Target}
	default:
		return
	}
	v.Run.Assets = []fact.Asset{v.Subject}
}

// distro gives the ecosystem of the distribution. Of older schemas the name is the
// id of newer ones.
func distro(s *report.Scanner) string {
	name, id, version := "", "", ""
	s.Object(func(key string) {
		switch key {
		case "name":
			name = s.Text()
		case "id":
			id = s.Text()
		case "version", "versionID":
			version = cmp.Or(s.Text(), version)
		}
	})
	return report.Distribution(cmp.Or(id, name), version)
}
