// Package kubebench reads the JSON reports of kube-bench.
package kubebench

import (
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
		ID: "report/kubebench", Name: "kube-bench", Formats: "JSON: an object with controls, a list, or one group of controls",
		Docs: "Produce it with `kube-bench --json`. One finding a failed test; tests that warn must be checked by hand and are in triage. Passed tests and notes are left out. " +
			"A report names no node or cluster, so that its findings are joined to none and it is never complete. Severities are not told. What the audit printed is never kept.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	for _, prefix := range []string{"", "Controls[]."} {
		if o.Has(prefix+"node_type", prefix+"tests") || o.Has(prefix+"node_type", prefix+"detected_version") {
			return 95
		}
	}
	if o.Has("Controls", "Totals.total_fail") {
		return 95
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.Findings(ctx, in, sink, fact.Run{Tool: "kube-bench", Format: "kubebench"}, func(d *report.Document) {
		if d.Kind() == report.KindArray {
			d.Array(func(int) { readGroup(d) })
			return
		}
		one := &group{}
		defer one.held.Close()
		d.Object(func(key string) {
			if key == "Controls" {
				d.Array(func(int) { readGroup(d) })
				return
			}
			one.field(d, key)
		})
		one.give(d)
	})
}

// group is a group of controls, whose words may stand after its tests.
type group struct {
	version, node, text string
	held                report.Spool
}

func readGroup(d *report.Document) {
	g := &group{}
	defer g.held.Close()
	d.Object(func(key string) { g.field(d, key) })
	g.give(d)
}

func (g *group) field(d *report.Document, key string) {
	switch key {
	case "version":
		g.version = d.Text()
	case "node_type":
		g.node = d.Text()
	case "text":
		g.text = d.Text()
	case "tests":
		d.Array(func(int) {
			d.Object(func(key string) {
				if key == "results" {
					d.Array(func(int) { g.test(d) })
				}
			})
		})
	}
}

func (g *group) test(d *report.Document) {
	f, status, place := fact.Finding{Kind: fact.Misconfiguration}, "", d.Place()
	d.Object(func(key string) {
		switch key {
		case "test_number":
			f.Rule = d.Text()
		case "test_desc":
			f.Title = d.Text()
		case "remediation":
			f.Mitigation = d.Text()
		case "reason":
			f.Description = d.Text()
		case "status":
			status = d.Text()
		case "scored", "expected_result":
			report.Attribute(&f, key, d.Text())
		}
	})
	f.Position = place()
	switch {
	case d.Err() != nil:
		return
	case strings.EqualFold(status, "WARN"):
		f.Analysis = fact.Analysis{State: fact.AnalysisInTriage, Detail: "to be checked by hand", Source: "kube-bench"}
	case !strings.EqualFold(status, "FAIL"):
		return
	}
	d.Fail(g.held.Add(f))
}

func (g *group) give(d *report.Document) {
	if d.Err() != nil {
		return // what the tests are part of is not known
	}
	d.Fail(g.held.Replay(func(f fact.Finding) error {
		f.Anchor = g.node
		report.Attribute(&f, "benchmark", g.version)
		report.Attribute(&f, "node_type", g.node)
		report.Attribute(&f, "group", g.text)
		return d.Emitter.Give(f)
	}))
}
