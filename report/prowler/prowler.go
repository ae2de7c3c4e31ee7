// Package prowler reads the reports of Prowler: OCSF, its own JSON and its tables,
// of all versions since 2.
package prowler

import (
	"cmp"
	"context"
	"io"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

const tool = "prowler"

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/prowler", Name: "Prowler", Formats: "JSON (OCSF; the JSON of versions 2 and 3), CSV of versions 2 to 5",
		Docs: "Produce it with `prowler aws -M json-ocsf csv`. One finding a failed check of a resource; muted ones are accepted risks, manual checks are in triage. " +
			"Passed checks are no findings; they say that the resource was looked at. Cloud resources are known by ARN or id, objects of a cluster by namespace, kind and name. " +
			"Version 2 names no resources: its findings belong to the account. Lists of compliance frameworks are left out.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("finding_info.product_uid", "metadata.event_code") && o.Texts["finding_info.product_uid"] == "prowler", o.Has("FindingUniqueId", "CheckID", "StatusExtended"), o.Has("Account Number", "Control", "Message"):
		return 95
	case o.Has("metadata.event_code", "finding_info", "status_code"):
		return 90
	case report.HasColumns(head, "CHECK_ID", "STATUS_EXTENDED", "FINDING_UID"), report.HasColumns(head, "CHECK_ID", "STATUS_EXTENDED", "FINDING_UNIQUE_ID"),
		report.HasColumns(head, "TITLE_ID", "CHECK_RESULT", "CHECK_RESULT_EXTENDED"):
		return 95
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	run := fact.Run{Tool: tool, Format: "prowler", Complete: true}
	json, in := report.IsJSON(in)
	if !json {
		return report.Rows(ctx, in, sink, run, nil, row)
	}
	return report.Findings(ctx, in, sink, run, func(d *report.Document) {
		for more := true; more; more = d.More() { // version 2 writes an object a line
			d.Each(func(int) { item(d) })
		}
	})
}

// check is what Prowler says of one check of one resource, in any of its layouts.
type check struct {
	f                          fact.Finding
	status, muted              string
	provider, account, cluster string
	region, kind, namespace    string
	service                    string
	id, name                   string
	risk, detail               string
	old                        bool // version 2, which names no resource
}

// asset is what was checked.
func (c *check) asset() fact.Asset {
	if kind, ok := strings.CutPrefix(c.kind, "Kubernetes"); ok || c.provider == "kubernetes" {
		switch kind {
		case "APIServer", "ControllerManager", "Scheduler", "Etcd", "Core":
			kind = "Pod" // what runs a part of the control plane
		}
		return report.KubernetesAsset(c.cluster, c.namespace, "", kind, cmp.Or(c.name, c.id))
	}
	switch {
	case c.old && !strings.HasPrefix(c.id, "arn:"):
		return report.CloudAsset(cmp.Or(c.account, "unknown account"), "")
	case c.id == "" && c.name == "":
		return report.CloudAsset(c.account, "")
	}
	return report.CloudAsset(c.id, c.name)
}

// target is the least that a scan looks at as a whole: Prowler can be told to look at
// some regions or services only, and a report does not say so.
func (c *check) target() string {
	if strings.HasPrefix(c.kind, "Kubernetes") || c.provider == "kubernetes" {
		return "kubernetes/" + c.cluster + "/" + c.namespace + "/" + c.service
	}
	return cmp.Or(c.provider, "aws") + "/" + c.account + "/" + c.region + "/" + c.service
}

// finding completes the finding; its Kind is empty when the check found nothing.
func (c *check) finding() fact.Finding {
	f := c.f
	f.Asset = c.asset()
	f.Description = strings.TrimSpace(c.detail + "\n\n" + c.risk)
	switch strings.ToUpper(c.status) {
	case "FAIL":
		f.Kind = fact.Misconfiguration
	case "MANUAL":
		f.Kind = fact.Misconfiguration
		f.Analysis = fact.Analysis{State: fact.AnalysisInTriage, Detail: "to be checked by hand", Source: tool}
	}
	if strings.EqualFold(c.muted, "true") || strings.EqualFold(c.muted, "Suppressed") {
		f.Analysis = fact.Analysis{State: fact.AnalysisAcceptedRisk, Detail: "muted in Prowler", Source: tool}
	}
	if c.old {
		// Its titles number the checks: "[check114] Ensure ...".
		if id, ok := strings.CutPrefix(f.Rule, "["); ok {
			f.Rule, _, _ = strings.Cut(id, "]")
		}
		f.Anchor = cmp.Or(c.id, f.Title)
	}
	report.Attribute(&f, "provider", c.provider)
	report.Attribute(&f, "account", c.account)
	report.Attribute(&f, "region", c.region)
	report.Attribute(&f, "service", c.service)
	report.Attribute(&f, "resource_type", c.kind)
	return f
}

func item(d *report.Document) {
	var c check
	place := d.Place()
	if !d.Object(func(key string) { c.field(d, key) }) {
		return
	}
	switch {
	case d.Err() != nil:
		return
	case c.f.Rule == "" || c.status == "":
		d.Expect("the result of a check, with its id and status")
		return
	}
	f := c.finding()
	f.Position = place()
	d.As(tool, c.target())
	if f.Kind == "" {
		if strings.EqualFold(c.status, "PASS") {
			d.Looked(f.Asset)
		}
		return
	}
	d.Give(f)
}

// field reads a member of any of the three layouts, whose names do not collide.
func (c *check) field(d *report.Document, key string) {
	switch key {
	case "CheckID", "Control":
		c.old = key == "Control"
		c.f.Rule = d.Text()
	case "CheckTitle", "Message":
		c.f.Title = d.Text()
	case "Status", "status_code":
		c.status = d.Text()
	case "StatusExtended", "status_detail":
		c.detail = d.Text()
	case "status", "Muted":
		c.muted = d.Text()
	case "Severity", "severity":
		report.Rate(&c.f, d.Text())
	case "Risk", "risk_details":
		c.risk = d.Text()
	case "Provider":
		c.provider = d.Text()
	case "AccountId", "Account Number":
		c.account = d.Text()
	case "ServiceName", "Service":
		c.service = d.Text()
	case "Region":
		c.region = d.Text()
	case "ResourceType":
		c.kind = d.Text()
	case "ResourceId", "Resource ID":
		c.name = d.Text()
		c.id = cmp.Or(c.id, c.name)
	case "ResourceArn":
		c.id = cmp.Or(d.Text(), c.id)
	case "ResourceTags":
		c.tags(d)
	case "RelatedUrl", "Doc link":
		c.f.References = append(c.f.References, d.Texts()...)
	case "FindingUniqueId":
		report.Attribute(&c.f, "id", d.Text())
	case "Remediation":
		if d.Kind() == report.KindString {
			c.f.Mitigation = d.Text()
			return
		}
		d.Object(func(key string) {
			if key == "Recommendation" {
				d.Object(func(key string) {
					switch key {
					case "Text":
						c.f.Mitigation = d.Text()
					case "Url":
						c.f.References = append(c.f.References, d.Texts()...)
					}
				})
			}
		})
	default:
		c.event(d, key)
	}
}

// tags reads the tags of a resource, an object or a list of "key:value".
func (c *check) tags(d *report.Document) {
	if d.Kind() == report.KindObject {
		d.Object(func(tag string) { report.Attribute(&c.f, "tag:"+tag, d.Text()) })
		return
	}
	for _, tag := range d.Texts() {
		name, value, _ := strings.Cut(tag, ":")
		report.Attribute(&c.f, "tag:"+name, value)
	}
}
