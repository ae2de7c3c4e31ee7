// Package scoutsuite reads the results files of Scout Suite.
package scoutsuite

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/scoutsuite", Name: "Scout Suite", Formats: "JavaScript (scoutsuite_results_*.js) and the JSON in it",
		Docs: "Produce it with `scout aws` and take `scoutsuite-results/scoutsuite_results_*.js`. One finding a flagged item of a rule. A resource is known by its ARN, or by its id where it is one of Azure, as the inventory in the file names it; else by account and place in the inventory; what is set for an account as a whole belongs to the account. " +
			"Resources of the inventory count as looked at. The level danger is read as high, warning as medium. The inventory itself and compliance references are left out.",
	}
}

// mark begins the JavaScript file.
const mark = "scoutsuite_results"

// blanked replaces what stands before the JSON by white space, so that places in the
// report stay what they are.
func blanked(head []byte) []byte {
	text := bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))
	if !bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte(mark)) {
		return head
	}
	start := bytes.IndexByte(head, '{')
	if start < 0 {
		return head
	}
	head = bytes.Clone(head)
	for i := range head[:start] {
		if head[i] != '\n' {
			head[i] = ' '
		}
	}
	return head
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(blanked(head))
	switch {
	case o.Kind != report.KindObject:
		return 0
	case bytes.HasPrefix(bytes.TrimSpace(head), []byte(mark)):
		return 95
	case o.Has("last_run.ruleset_name"), o.Has("provider_code", "result_format"):
		return 90
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	buffered := bufio.NewReaderSize(in, 4096)
	head, _ := buffered.Peek(512) // a fault of reading comes again below
	head = blanked(head)
	if len(head) > 0 {
		_, _ = buffered.Discard(len(head)) // they were just seen
	}
	s := &scan{known: map[string]resource{}}
	defer s.held.Close()
	return report.Findings(ctx, io.MultiReader(bytes.NewReader(head), buffered), sink, fact.Run{Tool: "scout suite", Format: "scoutsuite", Complete: true}, func(d *report.Document) {
		d.Object(func(key string) { s.field(d, key) })
		s.give(d)
	})
}

// maxKnown bounds the resources of the inventory whose identity is remembered; those
// beyond it are known by their place.
const maxKnown = 200_000

// scan is what a report says beside its findings.
type scan struct {
	account, provider string
	known             map[string]resource // by place in the inventory
	order             []string
	held              report.Spool // findings whose Anchor is the place of their item
}

type resource struct{ id, name string }

func (s *scan) field(d *report.Document, key string) {
	switch key {
	case "account_id":
		s.account = d.Text()
	case "provider_code":
		s.provider = d.Text()
	case "last_run":
		d.Object(func(key string) {
			switch key {
			case "version":
				d.Run.ToolVersion = d.Text()
			case "time": // "2021-01-08 17:16:19+0100"
				if when, err := time.Parse("2006-01-02 15:04:05-0700", d.Text()); err == nil {
					d.Run.Started = when.UnixMicro()
				}
			case "ruleset_name":
				d.Run.Rules = d.Text()
			}
		})
	case "services":
		d.Object(func(service string) {
			if d.Kind() != report.KindObject {
				return
			}
			d.Object(func(key string) {
				switch {
				case key == "findings" && d.Kind() == report.KindObject:
					d.Object(func(rule string) { s.rule(d, service, rule) })
				case key != "filters":
					s.inventory(d, service+"."+key)
				}
			})
		})
	}
}

// inventory remembers which places of the inventory hold what.
func (s *scan) inventory(d *report.Document, place string) {
	if d.Kind() != report.KindObject {
		return
	}
	var r resource
	d.Object(func(key string) {
		switch kind := d.Kind(); {
		case kind == report.KindObject:
			s.inventory(d, place+"."+key)
		case kind == report.KindString && (key == "arn" || key == "id"):
			if id := d.Text(); strings.HasPrefix(id, "arn:") || strings.HasPrefix(id, "/subscriptions/") {
				r.id = id
			}
		case kind == report.KindString && key == "name":
			r.name = d.Text()
		}
	})
	if r.id != "" && len(s.known) < maxKnown {
		s.known[place] = r
		s.order = append(s.order, place)
	}
}

// rule reads a rule and its flagged items, which may stand before its words.
func (s *scan) rule(d *report.Document, service, rule string) {
	f := fact.Finding{Kind: fact.Misconfiguration, Rule: rule}
	var items []string
	level, pattern, place := "", "", d.Place()
	d.Object(func(key string) {
		switch key {
		case "description":
			f.Title = d.Text()
		case "rationale":
			f.Description = d.Text()
		case "remediation":
			f.Mitigation = d.Text()
		case "level":
			level = d.Text()
		case "references":
			f.References = d.Texts()
		case "items":
			items = d.Texts()
		case "path":
			pattern = d.Text()
		}
	})
	report.Rate(&f, level)
	if level == "danger" {
		f.Severity = fact.SeverityHigh
	}
	report.Attribute(&f, "service", service)
	report.Attribute(&f, "pattern", pattern)
	f.Position = place()
	for _, item := range items {
		f.Anchor = item
		d.Fail(s.held.Add(f))
	}
}

func (s *scan) give(d *report.Document) {
	if d.Err() != nil {
		return // which resources the items are may stand where the report was cut off
	}
	d.Run.Target = cmp.Or(s.provider, "cloud") + "/" + s.account
	for _, place := range s.order {
		r := s.known[place]
		d.Looked(report.CloudAsset(r.id, r.name))
	}
	d.Fail(s.held.Replay(func(f fact.Finding) error {
		own := f
		own.Asset, own.Anchor = s.asset(f.Anchor, f.Attributes["pattern"])
		own.Attributes = nil
		report.WithAttributes(&own, map[string]string{"service": f.Attributes["service"], "item": f.Anchor, "account": s.account, "provider": s.provider})
		return d.Emitter.Give(own)
	}))
}

// asset is the nearest thing of the inventory that an item is in, and the rest of the
// item's place within it.
func (s *scan) asset(item, pattern string) (fact.Asset, string) {
	for place := item; place != ""; {
		if r, ok := s.known[place]; ok {
			return report.CloudAsset(r.id, r.name), strings.TrimPrefix(item[len(place):], ".")
		}
		place = place[:max(0, strings.LastIndexByte(place, '.'))]
	}
	// The pattern names the resource by its last "id": s3.buckets.id.acl.
	parts, names := strings.Split(item, "."), strings.Split(pattern, ".")
	n := len(parts)
	switch last := lastIndex(names, "id"); {
	case last >= 0 && last < n:
		n = last + 1
	case last < 0 && pattern != "" && s.account != "": // of the account as a whole
		return fact.Asset{Kind: fact.AssetAccount, Key: cmp.Or(s.provider, "cloud") + "/" + s.account, Name: s.account}, item
	}
	key := strings.Join(parts[:n], ".")
	asset := report.CloudAsset(cmp.Or(s.provider, "cloud")+"/"+cmp.Or(s.account, "unknown")+"/"+key, parts[n-1])
	return asset, strings.Join(parts[n:], ".")
}

func lastIndex(names []string, name string) int {
	for i, n := range slices.Backward(names) {
		if n == name {
			return i
		}
	}
	return -1
}
