package npmaudit

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
		name: "version 1", score: 90, complete: true,
		in: `{"actions":[],"advisories":{"106":{"findings":[{"version":"0.5.3","paths":["express>accepts>negotiator","b>negotiator"]},{"version":"0.6.0","paths":["c>negotiator"]}],"id":106,"title":"ReDoS","module_name":"negotiator","cves":["CVE-2016-10539"],"patched_versions":">= 0.6.1 <1.0.0 || >=1.2.0","severity":"high","cwe":"CWE-400","url":"https://x.test/advisories/106"}},"muted":[],"metadata":{"vulnerabilities":{"high":1}}}`,
		want: []string{
			"vulnerability npm:106 high pkg:npm/negotiator@0.5.3@0.5.3 aka CVE-2016-10539 fixed 0.6.1,1.2.0 via express,accepts,negotiator",
			"vulnerability npm:106 high pkg:npm/negotiator@0.6.0@0.6.0 aka CVE-2016-10539 fixed 0.6.1,1.2.0 via c,negotiator",
		},
	},
	{
		name: "version 2", score: 95, complete: true,
		in: `{"auditReportVersion":2,"vulnerabilities":{"ms":{"name":"ms","severity":"high","isDirect":false,"via":[{"source":7,"name":"ms","title":"t","url":"https://x.test/GHSA-aaaa-bbbb-cccc","severity":"moderate","cwe":["CWE-400"],"cvss":{"score":5.3,"vectorString":"CVSS:3.0/AV:N"},"range":"<2"}],"effects":["debug"],"range":"<2","nodes":["node_modules/ms"],"fixAvailable":{"name":"express","version":"4.1.0","isSemVerMajor":false}},"debug":{"name":"debug","severity":"high","isDirect":false,"via":["ms"],"effects":["express"],"nodes":[]},"express":{"name":"express","isDirect":true,"via":["debug"],"effects":[]}},"metadata":{"vulnerabilities":{"high":1}}}`,
		want: []string{
			"vulnerability GHSA-aaaa-bbbb-cccc medium pkg:npm/ms@ aka npm:7 via express,debug,ms",
		},
	},
	{
		name: "lines of Yarn", score: 85, complete: true,
		in: `{"type":"info","data":"No lockfile found."}
{"type":"auditAdvisory","data":{"resolution":{"id":9,"path":"a>b"},"advisory":{"id":9,"findings":[{"version":"1.0.0","paths":["a>b"]}],"module_name":"b","severity":"low","github_advisory_id":"GHSA-1-2-3"}}}
{"type":"auditAdvisory","data":{"resolution":{"id":9,"path":"c>b"},"advisory":{"id":9,"findings":[{"version":"1.0.0","paths":["a>b"]}],"module_name":"b","severity":"low","github_advisory_id":"GHSA-1-2-3"}}}
{"type":"auditSummary","data":{"vulnerabilities":{"low":1}}}`,
		want: []string{
			"vulnerability GHSA-1-2-3 low pkg:npm/b@1.0.0@1.0.0 aka npm:9 via a,b",
		},
	},
}
