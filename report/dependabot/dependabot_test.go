package dependabot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
	"github.com/backstitch/backstitch/report/reporttest"
)

// collector keeps what a reader gives; it fails from the finding numbered stop on.
type collector struct {
	runs     []fact.Run
	findings []fact.Finding
	stop     int
}

var errStop = errors.New("the sink is full")

func (c *collector) Run(r fact.Run) error { c.runs = append(c.runs, r); return nil }

func (c *collector) Finding(f fact.Finding) error {
	if c.stop > 0 && len(c.findings)+1 >= c.stop {
		return errStop
	}
	c.findings = append(c.findings, f)
	return nil
}

func (*collector) Component(fact.Component) error { return nil }
func (*collector) Statement(fact.Statement) error { return nil }

// inShort says in short what a finding holds.
func inShort(f fact.Finding) string {
	text := fmt.Sprintf("%s %s %s", f.Kind, f.Rule, f.Severity)
	if f.Package.Name != "" {
		text += fmt.Sprintf(" %s@%s", f.Package.PURL, f.Package.Version)
	}
	if f.Path != "" {
		text += fmt.Sprintf(" %s:%d-%d", f.Path, f.Line, f.EndLine)
	}
	for _, part := range []struct {
		name string
		list []string
	}{{"aka", f.Aliases}, {"fixed", f.FixedVersions}, {"via", f.Introduced}} {
		if len(part.list) > 0 {
			text += " " + part.name + " " + strings.Join(part.list, ",")
		}
	}
	if f.Analysis.State != "" {
		text += " " + f.Analysis.State
	}
	return text
}

func TestEachLayoutIsReadIntoFindings(t *testing.T) {
	t.Parallel()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if score := New().Detect([]byte(c.in)); score < c.score {
				t.Errorf("Detect = %d, want at least %d", score, c.score)
			}
			var sink collector
			if err := New().Read(context.Background(), strings.NewReader(c.in), &sink); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range sink.findings {
				got = append(got, inShort(f))
				at := f.Position
				if at.Offset < 0 || at.Length <= 0 || at.Offset+at.Length > int64(len(c.in)) {
					t.Errorf("position %+v is outside the report of %d bytes", at, len(c.in))
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if len(sink.runs) != 1 || sink.runs[0].Complete != c.complete {
				t.Errorf("runs = %+v, want one with Complete %t", sink.runs, c.complete)
			}
		})
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	var samples []string
	for _, c := range cases {
		if len(c.want) > 0 {
			samples = append(samples, c.in)
		}
	}
	reporttest.Conformance(t, New(), samples...)
}

func TestACutReportIsAnErrorWithItsPositionAndNeverPanics(t *testing.T) {
	t.Parallel()
	for _, c := range cases {
		whole := strings.TrimRight(c.in, " \n]}")
		for _, cut := range []int{len(whole), len(whole) / 2, len(whole) / 3} {
			var sink collector
			err := New().Read(context.Background(), strings.NewReader(whole[:cut]), &sink)
			var fault *report.Error
			if cut > 1 && !strings.HasSuffix(whole[:cut], "}") && !errors.As(err, &fault) {
				t.Errorf("%s cut at %d: error %v, want an *report.Error", c.name, cut, err)
			}
		}
	}
}

func TestAnErrorOfTheSinkEndsTheReading(t *testing.T) {
	t.Parallel()
	for _, c := range cases {
		if len(c.want) == 0 {
			continue
		}
		err := New().Read(context.Background(), strings.NewReader(c.in), &collector{stop: 1})
		if !errors.Is(err, errStop) {
			t.Errorf("%s: error %v, want that of the sink", c.name, err)
		}
	}
}

func TestACancelledContextEndsTheReading(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := New().Read(ctx, strings.NewReader(cases[0].in), &collector{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

func FuzzRead(f *testing.F) {
	for _, c := range cases {
		f.Add([]byte(c.in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if score := New().Detect(in); score < 0 || score > 100 {
			t.Errorf("Detect = %d", score)
		}
		var first, second collector
		err := New().Read(context.Background(), bytes.NewReader(in), &first)
		again := New().Read(context.Background(), bytes.NewReader(in), &second)
		if (err == nil) != (again == nil) || !cmp.Equal(first.findings, second.findings) {
			t.Error("two readings differ")
		}
		for _, finding := range first.findings {
			if finding.Line < 0 || finding.EndLine < finding.Line && finding.EndLine != 0 || finding.Position.Offset+finding.Position.Length > int64(len(in)) {
				t.Errorf("out of range: %+v", finding)
			}
		}
	})
}

var cases = []struct {
	name, in string
	score    int
	complete bool
	want     []string
}{
	{
		name: "REST with decisions", score: 95, complete: false,
		in: `[{"number":1,"state":"open","dismissed_reason":null,"dependency":{"package":{"ecosystem":"npm","name":"ms"},"manifest_path":"package-lock.json"},"security_advisory":{"ghsa_id":"GHSA-1-2-3","cve_id":"CVE-1-1","summary":"s","severity":"high","cvss":{"score":7.5,"vector_string":"CVSS:3.1/AV:N"},"cwes":[{"cwe_id":"CWE-400"}]},"security_vulnerability":{"package":{"ecosystem":"npm","name":"ms"},"severity":"high","first_patched_version":{"identifier":"2.0.0"}},"html_url":"https://github.com/acme/shop/security/dependabot/1"},{"number":1,"state":"dismissed","dismissed_reason":"tolerable_risk","dependency":{"package":{"ecosystem":"npm","name":"ms"},"manifest_path":"package-lock.json"},"security_advisory":{"ghsa_id":"GHSA-1-2-3","cve_id":"CVE-1-1","summary":"s","severity":"high","cvss":{"score":7.5,"vector_string":"CVSS:3.1/AV:N"},"cwes":[{"cwe_id":"CWE-400"}]},"security_vulnerability":{"package":{"ecosystem":"npm","name":"ms"},"severity":"high","first_patched_version":{"identifier":"2.0.0"}},"html_url":"https://github.com/acme/shop/security/dependabot/1"},{"number":1,"state":"dismissed","dismissed_reason":"no_bandwidth","dependency":{"package":{"ecosystem":"npm","name":"ms"},"manifest_path":"package-lock.json"},"security_advisory":{"ghsa_id":"GHSA-1-2-3","cve_id":"CVE-1-1","summary":"s","severity":"high","cvss":{"score":7.5,"vector_string":"CVSS:3.1/AV:N"},"cwes":[{"cwe_id":"CWE-400"}]},"security_vulnerability":{"package":{"ecosystem":"npm","name":"ms"},"severity":"high","first_patched_version":{"identifier":"2.0.0"}},"html_url":"https://github.com/acme/shop/security/dependabot/1"},{"number":1,"state":"dismissed","dismissed_reason":"inaccurate","dependency":{"package":{"ecosystem":"npm","name":"ms"},"manifest_path":"package-lock.json"},"security_advisory":{"ghsa_id":"GHSA-1-2-3","cve_id":"CVE-1-1","summary":"s","severity":"high","cvss":{"score":7.5,"vector_string":"CVSS:3.1/AV:N"},"cwes":[{"cwe_id":"CWE-400"}]},"security_vulnerability":{"package":{"ecosystem":"npm","name":"ms"},"severity":"high","first_patched_version":{"identifier":"2.0.0"}},"html_url":"https://github.com/acme/shop/security/dependabot/1"},{"number":1,"state":"dismissed","dismissed_reason":"not_used","dependency":{"package":{"ecosystem":"npm","name":"ms"},"manifest_path":"package-lock.json"},"security_advisory":{"ghsa_id":"GHSA-1-2-3","cve_id":"CVE-1-1","summary":"s","severity":"high","cvss":{"score":7.5,"vector_string":"CVSS:3.1/AV:N"},"cwes":[{"cwe_id":"CWE-400"}]},"security_vulnerability":{"package":{"ecosystem":"npm","name":"ms"},"severity":"high","first_patched_version":{"identifier":"2.0.0"}},"html_url":"https://github.com/acme/shop/security/dependabot/1"},{"number":1,"state":"fixed","dismissed_reason":null,"dependency":{"package":{"ecosystem":"npm","name":"ms"},"manifest_path":"package-lock.json"},"security_advisory":{"ghsa_id":"GHSA-1-2-3","cve_id":"CVE-1-1","summary":"s","severity":"high","cvss":{"score":7.5,"vector_string":"CVSS:3.1/AV:N"},"cwes":[{"cwe_id":"CWE-400"}]},"security_vulnerability":{"package":{"ecosystem":"npm","name":"ms"},"severity":"high","first_patched_version":{"identifier":"2.0.0"}},"html_url":"https://github.com/acme/shop/security/dependabot/1"},{"number":1,"state":"auto_dismissed","dismissed_reason":null,"dependency":{"package":{"ecosystem":"npm","name":"ms"},"manifest_path":"package-lock.json"},"security_advisory":{"ghsa_id":"GHSA-1-2-3","cve_id":"CVE-1-1","summary":"s","severity":"high","cvss":{"score":7.5,"vector_string":"CVSS:3.1/AV:N"},"cwes":[{"cwe_id":"CWE-400"}]},"security_vulnerability":{"package":{"ecosystem":"npm","name":"ms"},"severity":"high","first_patched_version":{"identifier":"2.0.0"}},"html_url":"https://github.com/acme/shop/security/dependabot/1"}]`,
		want: []string{
			"vulnerability GHSA-1-2-3 high pkg:npm/ms@ package-lock.json:0-0 aka CVE-1-1 fixed 2.0.0",
			"vulnerability GHSA-1-2-3 high pkg:npm/ms@ package-lock.json:0-0 aka CVE-1-1 fixed 2.0.0 accepted_risk",
			"vulnerability GHSA-1-2-3 high pkg:npm/ms@ package-lock.json:0-0 aka CVE-1-1 fixed 2.0.0 accepted_risk",
			"vulnerability GHSA-1-2-3 high pkg:npm/ms@ package-lock.json:0-0 aka CVE-1-1 fixed 2.0.0 false_positive",
			"vulnerability GHSA-1-2-3 high pkg:npm/ms@ package-lock.json:0-0 aka CVE-1-1 fixed 2.0.0 not_affected",
			"vulnerability GHSA-1-2-3 high pkg:npm/ms@ package-lock.json:0-0 aka CVE-1-1 fixed 2.0.0 resolved",
			"vulnerability GHSA-1-2-3 high pkg:npm/ms@ package-lock.json:0-0 aka CVE-1-1 fixed 2.0.0 accepted_risk",
		},
	},
	{
		name: "GraphQL", score: 90, complete: false,
		in: `{"data":{"repository":{"vulnerabilityAlerts":{"nodes":[{"id":"x","vulnerableManifestPath":"pom.xml","vulnerableRequirements":"= 1.5.0","state":"OPEN","securityVulnerability":{"severity":"CRITICAL","package":{"name":"g:a","ecosystem":"MAVEN"},"firstPatchedVersion":{"identifier":"1.6"},"advisory":{"summary":"s","identifiers":[{"type":"GHSA","value":"GHSA-9-9-9"},{"type":"CVE","value":"CVE-9-9"}],"cwes":{"nodes":[{"cweId":"CWE-1"}]}}}}]},"url":"https://github.com/acme/shop"}}}`,
		want: []string{
			"vulnerability GHSA-9-9-9 critical pkg:maven/g/a@1.5.0@1.5.0 pom.xml:0-0 aka CVE-9-9 fixed 1.6",
		},
	},
	{
		name: "code scanning", score: 90, complete: false,
		in: `[{"number":3,"state":"dismissed","dismissed_reason":"won't fix","rule":{"id":"py/x","severity":"error","security_severity_level":"high","tags":["external/cwe/cwe-312"]},"tool":{"name":"CodeQL"},"most_recent_instance":{"commit_sha":"abc","message":{"text":"m"},"location":{"path":"a.py","start_line":4,"end_line":5}}}]`,
		want: []string{
			"code py/x high a.py:4-5 accepted_risk",
		},
	},
	{
		name: "secret scanning", score: 90, complete: false,
		in: `[{"number":2,"state":"resolved","resolution":"revoked","secret_type":"aws","secret":"AKIAQQQQZZZZ","html_url":"https://github.com/acme/shop/security/secret-scanning/2"}]`,
		want: []string{
			"secret aws high resolved",
		},
	},
}
