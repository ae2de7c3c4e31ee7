// Package pipaudit reads the JSON reports of pip-audit.
package pipaudit

import (
	"context"
	"io"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/pipaudit", Name: "pip-audit", Formats: "JSON: an object with dependencies, and the array of the first versions",
		Docs: "Produce it with `pip-audit -f json`, with `--desc` and `--aliases` for descriptions and aliases. One finding a dependency and advisory. " +
			"A report with skipped dependencies counts as incomplete; what `--fix` raised is told in the attribute fix_applied.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Kind == report.KindArray && o.Has("name", "vulns"):
		return 85
	case o.Kind != report.KindObject || o.Keys["dependencies"] != report.KindArray:
		return 0
	case o.Has("dependencies[].name", "dependencies[].vulns"):
		return 90
	case o.Has("dependencies[].name", "dependencies[].skip_reason"):
		return 85
	}
	for key := range o.Keys {
		if key != "dependencies" && key != "fixes" {
			return 0
		}
	}
	return 60
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	var held report.Spool
	defer held.Close()
	run := fact.Run{Tool: "pip-audit", Format: "pipaudit", Complete: true}
	raised := map[string]string{}
	named := false // by more than an empty list, as other tools write one too
	err := report.JSON(ctx, in, func(s *report.Scanner) {
		dependencies := func() {
			s.Array(func(int) {
				named = true
				dependency(s, &held, &run)
			})
		}
		if s.Kind() == report.KindArray {
			dependencies()
			return
		}
		s.Object(func(key string) {
			switch key {
			case "dependencies":
				dependencies()
			case "fixes":
				named = true
				s.Array(func(int) {
					name, version := "", ""
					s.Object(func(key string) {
						switch key {
						case "name":
							name = s.Text()
						case "new_version":
							version = s.Text()
						}
					})
					raised[name] = version
				})
			}
		})
	})
	run.Complete = run.Complete && named && err == nil
	if sinkErr := sink.Run(run); sinkErr != nil {
		return sinkErr
	}
	replayErr := held.Replay(func(f fact.Finding) error {
		report.Attribute(&f, "fix_applied", raised[f.Package.Name])
		return sink.Finding(f)
	})
	if replayErr != nil {
		return replayErr
	}
	return err
}

func dependency(s *report.Scanner, held *report.Spool, run *fact.Run) {
	name, version := "", ""
	var flaws []fact.Finding
	s.Object(func(key string) {
		switch key {
		case "name":
			name = s.Text()
		case "version":
			version = s.Text()
		case "skip_reason":
			run.Complete = run.Complete && s.Text() == ""
		case "vulns":
			s.Array(func(int) { flaws = append(flaws, flaw(s)) })
		}
	})
	for _, f := range flaws {
		f.Package = report.Named("PyPI", name, version)
		f.Title = f.Rule + " in " + name + ":" + version
		s.Fail(held.Add(f))
	}
}

func flaw(s *report.Scanner) fact.Finding {
	from, item := s.Offset(), s.Item()
	f := fact.Finding{Kind: fact.Vulnerability, Asset: fact.Asset{Kind: fact.AssetRepository}}
	var aliases []string
	s.Object(func(key string) {
		switch key {
		case "id":
			f.Rule = s.Text()
		case "aliases":
			aliases = s.Texts()
		case "description":
			f.Description = s.Text()
		case "fix_versions":
			f.FixedVersions = s.Texts()
		}
	})
	f.Aliases = report.Aliases(f.Rule, aliases...)
	f.Position = fact.Position{Offset: from, Length: s.Offset() - from, Item: item}
	return f
}
