// Package govulncheck reads the JSON output of govulncheck: the stream of
// messages since version 1.0, also wrapped in an array, and the single object of
// the versions before it.
package govulncheck

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/govulncheck", Name: "govulncheck", Formats: "JSON: the stream of messages (protocol 1.0), and the object of earlier versions",
		Docs: "Produce it with `govulncheck -format json ./...`. One finding an advisory and module: the traces of one flaw are merged, the nearest call in own code gives the place. " +
			"The attribute reachable is true when a vulnerable symbol is called, false when the scan looked for calls and found none; level says what was found (symbol, package, module). " +
			"Advisories of the database that do not affect the code are no findings.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Texts["config.scanner_name"] == "govulncheck":
		return 98
	case o.Has("config.protocol_version"), o.Has("Vulns", "Modules"), o.Has("Vulns[].OSV"), o.Has("finding.osv", "finding.trace"):
		return 90
	case o.Keys["Calls"] == report.KindObject && o.Keys["Requires"] == report.KindObject && o.Has("Vulns"):
		return 90
	case o.Has("SBOM.go_version"), o.Has("progress.message"), o.Has("osv.id", "osv.affected"):
		return 60
	}
	return 0
}

// maxAdvisories bounds what is remembered between messages: a report names the
// advisories of the modules of one build, some hundreds at most.
const maxAdvisories = 100_000

// state is what is known after some messages.
type state struct {
	run        fact.Run
	advisories map[string]fact.Finding // the advisory's fields of a finding
	order      []key
	found      map[key]*found
}

type key struct{ id, module string }

// found is a flaw in one module, with what the best trace says.
type found struct {
	f      fact.Finding
	rank   int // 1 module, 2 package, 3 symbol
	traces int
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	st := &state{
		run:        fact.Run{Tool: "govulncheck", Format: "govulncheck", Complete: true},
		advisories: map[string]fact.Finding{}, found: map[key]*found{},
	}
	s := report.NewScanner(ctx, in)
	if !s.More() && s.Err() == nil {
		return &report.Error{Offset: s.Offset(), Expected: "a JSON document"}
	}
	for s.More() {
		s.Each(func(int) { st.message(s) })
	}
	err := s.End()
	st.run.Complete = err == nil
	if sinkErr := sink.Run(st.run); sinkErr != nil {
		return sinkErr
	}
	for _, k := range st.order {
		if sinkErr := sink.Finding(st.finish(k)); sinkErr != nil {
			return sinkErr
		}
	}
	return err
}

func (st *state) message(s *report.Scanner) {
	old := olderReport{}
	s.Object(func(name string) {
		switch name {
		case "config":
			s.Object(func(name string) {
				switch name {
				case "scanner_version":
					st.run.ToolVersion = s.Text()
				case "db_last_modified":
					st.run.Rules = s.Text()
				}
			})
		case "SBOM":
			s.Object(func(name string) {
				if name == "modules" {
					s.Array(func(i int) {
						s.Object(func(name string) {
							if name == "path" && i == 0 {
								st.run.Target = s.Text()
							}
						})
					})
				}
			})
		case "osv":
			st.keep(s, advisory(s))
		case "finding":
			st.finding(s)
		case "Vulns", "Modules", "Requires", "Imports", "Calls":
			old.field(s, st, name)
		}
	})
	old.finish(st)
}

func (st *state) keep(s *report.Scanner, f fact.Finding) {
	if len(st.advisories) >= maxAdvisories {
		s.Expect("fewer advisories in one report")
		return
	}
	st.advisories[f.Rule] = f
}

// advisory reads an OSV record into the fields of a finding.
func advisory(s *report.Scanner) fact.Finding {
	f := fact.Finding{Kind: fact.Vulnerability, Asset: fact.Asset{Kind: fact.AssetRepository}}
	var aliases []string
	s.Object(func(name string) {
		switch name {
		case "id":
			f.Rule = s.Text()
		case "aliases":
			aliases = append(aliases, s.Texts()...)
		case "summary":
			f.Title = s.Text()
		case "details":
			f.Description = s.Text()
		case "severity":
			severity(s, &f)
		case "references":
			s.Array(func(int) {
				s.Object(func(name string) {
					if name == "url" {
						f.References = append(f.References, s.Text())
					}
				})
			})
		case "database_specific":
			s.Object(func(name string) {
				if name == "url" {
					report.Attribute(&f, "advisory_url", s.Text())
				}
			})
		}
	})
	f.Aliases = report.Aliases(f.Rule, aliases...)
	return f
}

// severity reads OSV's array of vectors, or the one word that some databases
// write.
func severity(s *report.Scanner, f *fact.Finding) {
	if s.Kind() == report.KindString {
		report.Rate(f, s.Text())
		return
	}
	s.Each(func(int) {
		if s.Kind() == report.KindObject {
			s.Object(func(name string) {
				if name == "score" {
					if text := s.Text(); strings.HasPrefix(text, "CVSS:") {
						f.Vector = text
					}
				}
			})
		}
	})
}

// frame is one step of a trace, from the vulnerable symbol towards own code.
type frame struct {
	module, version, pkg, function, receiver, file string
	line                                           int
}

func (fr *frame) symbol() string {
	if fr.receiver != "" {
		return strings.TrimPrefix(fr.receiver, "*") + "." + fr.function
	}
	return fr.function
}

func (st *state) finding(s *report.Scanner) {
	from, item := s.Offset(), s.Item()
	id, fixed := "", ""
	var trace []frame
	s.Object(func(name string) {
		switch name {
		case "osv":
			id = s.Text()
		case "fixed_version":
			fixed = s.Text()
		case "trace":
			s.Array(func(int) { trace = append(trace, step(s)) })
		}
	})
	if s.Err() != nil {
		return
	}
	if id == "" || len(trace) == 0 {
		s.Expect("a finding with an advisory and a trace")
		return
	}
	st.add(id, fixed, trace, fact.Position{Offset: from, Length: s.Offset() - from, Item: item}, true)
}

func step(s *report.Scanner) (fr frame) {
	s.Object(func(name string) {
		switch name {
		case "module":
			fr.module = s.Text()
		case "version":
			fr.version = s.Text()
		case "package":
			fr.pkg = s.Text()
		case "function":
			fr.function = s.Text()
		case "receiver":
			fr.receiver = s.Text()
		case "position":
			s.Object(func(name string) {
				switch name {
				case "filename":
					fr.file = s.Text()
				case "line":
					fr.line = max(s.Int(), 0)
				}
			})
		}
	})
	return fr
}

var levels = [...]string{1: "module", 2: "package", 3: "symbol"}

// add merges one trace into its flaw; the first of the most exact ones tells
// the place. Its steps name their modules, or only their packages.
func (st *state) add(id, fixed string, trace []frame, at fact.Position, modules bool) {
	first := &trace[0]
	k := key{id, first.module}
	flaw := st.found[k]
	if flaw == nil {
		flaw = &found{f: fact.Finding{Rule: id}}
		st.found[k] = flaw
		st.order = append(st.order, k)
	}
	flaw.traces++
	rank := 1
	switch {
	case first.function != "":
		rank = 3
	case first.pkg != "":
		rank = 2
	}
	if rank <= flaw.rank {
		return
	}
	flaw.rank = rank
	f := fact.Finding{Rule: id, Package: report.Named("Go", first.module, first.version), Position: at}
	if fixed != "" {
		f.FixedVersions = []string{fixed}
	}
	report.Attribute(&f, "package", first.pkg)
	if rank == 3 {
		report.Attribute(&f, "symbol", first.symbol())
	}
	// The last step is the entry; its module is the one that was scanned, and the
	// step of it that is nearest to the flaw is the call to change.
	own := trace[len(trace)-1].module
	for i := range trace {
		if trace[i].module == own && trace[i].file != "" && len(trace) > 1 {
			f.Path, f.Line, f.EndLine = trace[i].file, trace[i].line, trace[i].line
			f.Anchor = trace[i].pkg + "." + trace[i].symbol()
			break
		}
	}
	for i := len(trace) - 1; i >= 0 && len(trace) > 1 && modules; i-- {
		if m := trace[i].module; m != own && (len(f.Introduced) == 0 || f.Introduced[len(f.Introduced)-1] != m) {
			f.Introduced = append(f.Introduced, m)
		}
	}
	flaw.f = f
}

// finish joins what a trace and what the advisory says.
func (st *state) finish(k key) fact.Finding {
	flaw := st.found[k]
	f := flaw.f
	about := st.advisories[k.id]
	f.Kind, f.Asset = fact.Vulnerability, fact.Asset{Kind: fact.AssetRepository}
	f.Aliases, f.Description, f.References = slices.Clone(about.Aliases), about.Description, slices.Clone(about.References)
	f.Severity, f.SeverityText, f.Vector = about.Severity, about.SeverityText, about.Vector
	if f.Title = about.Title; f.Title == "" {
		f.Title = k.id + " in " + k.module
	}
	report.Attribute(&f, "advisory_url", about.Attributes["advisory_url"])
	report.Attribute(&f, "level", levels[flaw.rank])
	reachable := "false"
	if flaw.rank == 3 {
		reachable = "true"
	}
	report.Attribute(&f, "reachable", reachable)
	return f
}
