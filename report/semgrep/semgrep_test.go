package semgrep

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
		name: "command line", score: 95, complete: true,
		in: `{"version":"1.2.3","results":[{"check_id":"a.b.eval","path":"x.py","start":{"line":3,"col":1},"end":{"line":4,"col":2},"extra":{"message":"m","severity":"ERROR","lines":"eval(x)","metadata":{"cwe":["CWE-95: Eval"],"references":["https://x.test"]}}},{"check_id":"g.secrets.key","path":"k","start":{"line":1},"end":{"line":1},"extra":{"severity":"WARNING","is_ignored":true,"lines":"k","metadata":{"cwe":"CWE-798"}}},{"check_id":"ssc-1","path":"go.sum","start":{"line":1},"end":{"line":1},"extra":{"severity":"HIGH","metadata":{"sca-vuln-database-identifier":"CVE-2020-2","sca-fix-versions":[{"m/x":"1.1"}]},"sca_info":{"reachable":true,"dependency_match":{"lockfile":"go.sum","found_dependency":{"package":"m/x","version":"1.0","ecosystem":"gomod"}}}}}],"errors":[{"level":"warn"}]}`,
		want: []string{
			"code a.b.eval high x.py:3-4",
			"secret g.secrets.key medium k:1-1 accepted_risk",
			"vulnerability ssc-1 high pkg:golang/m/x@1.0@1.0 go.sum:1-1 aka CVE-2020-2 fixed 1.1",
		},
	},
	{
		name: "findings of the API", score: 90, complete: false,
		in: `{"findings":[{"id":1,"rule_name":"a.b","rule_message":"m","severity":"medium","triage_state":"ignored","triage_reason":"false_positive","location":{"file_path":"a.ts","line":7,"end_line":8},"rule":{"cwe_names":["CWE-319: x"]},"match_based_id":"mm"}]}`,
		want: []string{
			"code a.b medium a.ts:7-8 false_positive",
		},
	},
	{
		name: "supply chain API", score: 90, complete: false,
		in: `{"vulns":[{"title":"T","advisory":{"ruleId":"ssc-1","ecosystem":"pypi","severity":"HIGH","references":{"cveIds":["CVE-1-1"],"cweIds":["CWE-617: x"]}},"exposureType":"REACHABLE","matchedDependency":{"name":"grpcio","versionSpecifier":"1.4"},"dependencyFileLocation":{"path":"r.txt","startLine":"22","endLine":"0"},"closestSafeDependency":{"name":"grpcio","versionSpecifier":"1.5"},"triage":{"status":"NEW"}}],"hasMore":true}`,
		want: []string{
			"vulnerability ssc-1 high pkg:pypi/grpcio@1.4@1.4 r.txt:22-22 aka CVE-1-1 fixed 1.5",
		},
	},
}
