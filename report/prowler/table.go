package prowler

import (
	"cmp"
	"strings"

	"github.com/backstitch/backstitch/report"
)

// row reads a row of a table of any version.
func row(r *report.Row) error {
	c := check{
		status: r.Text("STATUS"), muted: r.Text("MUTED"), provider: r.Text("PROVIDER"), kind: r.Text("RESOURCE_TYPE"), region: r.Text("REGION"), service: cmp.Or(r.Text("SERVICE_NAME"), r.Text("CHECK_SERVICENAME")),
		account: cmp.Or(r.Text("ACCOUNT_UID"), r.Text("ACCOUNT_ID")), risk: r.Text("RISK"), detail: r.Text("STATUS_EXTENDED"),
		id: cmp.Or(r.Text("RESOURCE_UID"), r.Text("RESOURCE_ARN"), r.Text("RESOURCE_ID")), name: cmp.Or(r.Text("RESOURCE_NAME"), r.Text("RESOURCE_ID")),
	}
	c.f.Rule, c.f.Title = r.Text("CHECK_ID"), r.Text("CHECK_TITLE")
	severity, links := r.Text("SEVERITY"), []string{r.Text("RELATED_URL"), r.Text("REMEDIATION_RECOMMENDATION_URL")}
	c.f.Mitigation = r.Text("REMEDIATION_RECOMMENDATION_TEXT")
	if result := r.Text("CHECK_RESULT"); result != "" {
		c.old, c.status = true, result
		c.account, c.risk = r.Text("ACCOUNT_NUM"), r.Text("CHECK_RISK")
		c.f.Rule, c.f.Title, c.kind = r.Text("TITLE_TEXT"), r.Text("CHECK_RESULT_EXTENDED"), r.Text("CHECK_ASFF_RESOURCE_TYPE")
		c.f.Mitigation = r.Text("CHECK_REMEDIATION")
		severity, links = r.Text("CHECK_SEVERITY"), []string{r.Text("CHECK_DOC")}
	}
	if c.f.Rule == "" || c.status == "" {
		r.Expect("CHECK_ID", "the result of a check, with its id and status")
		return nil
	}
	report.Rate(&c.f, severity)
	for _, link := range links {
		if link != "" {
			c.f.References = append(c.f.References, link)
		}
	}
	if namespace, ok := strings.CutPrefix(c.region, "namespace: "); ok {
		c.namespace, c.region = namespace, ""
	}
	if cluster, ok := strings.CutPrefix(r.Text("ACCOUNT_NAME"), "context: "); ok {
		c.cluster = cluster
	}
	report.Attribute(&c.f, "id", cmp.Or(r.Text("FINDING_UID"), r.Text("FINDING_UNIQUE_ID")))
	for tag := range strings.SplitSeq(r.Text("RESOURCE_TAGS"), " | ") {
		if name, value, ok := strings.Cut(tag, "="); ok {
			report.Attribute(&c.f, "tag:"+name, value)
		}
	}
	if version := r.Text("PROWLER_VERSION"); version != "" {
		r.Run.ToolVersion = version
	}
	f := c.finding()
	r.As(tool, c.target())
	if f.Kind != "" {
		return r.Finding(f)
	}
	if strings.EqualFold(c.status, "PASS") {
		r.Looked(f.Asset)
	}
	return nil
}
