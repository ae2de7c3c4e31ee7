// Package conftest reads the JSON reports of Conftest.
package conftest

import (
	"context"
	"io"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

const tool = "conftest"

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/conftest", Name: "Conftest", Formats: "JSON",
		Docs: "Produce it with `conftest test --output json FILE...`. One finding a failure or warning of a policy; exceptions are accepted risks. The rule is the query of the policy, the message tells results of one query apart. " +
			"A warning is read as medium; a failure has no severity. Counts of successes are left out.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Kind != report.KindArray || !o.Has("filename"):
		return 0
	case o.Has("namespace", "successes"):
		return 95
	case o.Has("failures[].msg"), o.Has("warnings[].msg"):
		return 90
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.Findings(ctx, in, sink, fact.Run{Tool: tool, Format: "conftest", Complete: true}, func(d *report.Document) {
		d.Array(func(int) { file(d) })
	})
}

// file reads the results of a file, whose name may stand after them.
func file(d *report.Document) {
	var held report.Spool
	defer held.Close()
	name, namespace := "", ""
	results := func(severity, state string) {
		d.Array(func(int) {
			if f, ok := result(d); ok {
				report.Rate(&f, severity)
				if state != "" {
					f.Analysis = fact.Analysis{State: state, Detail: "excepted by a policy", Source: tool}
				}
				d.Fail(held.Add(f))
			}
		})
	}
	d.Object(func(key string) {
		switch key {
		case "filename":
			name = d.Text()
		case "namespace":
			namespace = d.Text()
		case "failures":
			results("failure", "")
		case "warnings":
			results("warning", "")
		case "exceptions":
			results("", fact.AnalysisAcceptedRisk)
		}
	})
	if d.Err() != nil {
		return // which file it is, is not known
	}
	d.As(tool, "file:"+name)
	d.Fail(held.Replay(func(f fact.Finding) error {
		f.Path = name
		if f.Rule == "" {
			f.Rule = "data." + namespace
		}
		return d.Emitter.Give(f)
	}))
}

func result(d *report.Document) (f fact.Finding, ok bool) {
	f = fact.Finding{Kind: fact.Misconfiguration, Asset: fact.Asset{Kind: fact.AssetRepository}}
	place := d.Place()
	d.Object(func(key string) {
		switch key {
		case "msg":
			f.Title = strings.TrimSpace(d.Text())
		case "metadata":
			d.Object(func(key string) {
				switch key {
				case "query":
					f.Rule = d.Text()
				case "severity", "details", "url":
					report.Attribute(&f, key, d.Text())
				}
			})
		}
	})
	f.Anchor = f.Title
	f.Position = place()
	return f, d.Err() == nil && f.Title != ""
}
