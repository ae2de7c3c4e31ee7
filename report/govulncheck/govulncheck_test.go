package govulncheck

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
		name: "stream of messages", score: 95, complete: true,
		in: `{"config":{"protocol_version":"v1.0.0","scanner_name":"govulncheck","scanner_version":"v1.1.4"}}
{"osv":{"id":"GO-1","aliases":["CVE-1-1"],"summary":"s"}}
{"osv":{"id":"GO-2"}}
{"finding":{"osv":"GO-1","fixed_version":"v0.3.8","trace":[{"module":"x.test/t","version":"v0.3.5"}]}}
{"finding":{"osv":"GO-1","fixed_version":"v0.3.8","trace":[{"module":"x.test/t","version":"v0.3.5","package":"x.test/t/l","function":"Parse"},{"module":"x.test/mid","package":"x.test/mid","function":"F"},{"module":"own.test","package":"own.test","function":"main","position":{"filename":"main.go","line":12}}]}}`,
		want: []string{
			"vulnerability GO-1 unknown pkg:golang/x.test/t@v0.3.5@v0.3.5 main.go:12-12 aka CVE-1-1 fixed v0.3.8 via x.test/mid,x.test/t",
		},
	},
	{
		name: "messages in an array", score: 90, complete: true,
		in: `[{"config":{"scanner_name":"govulncheck","protocol_version":"v1"}},{"finding":{"osv":"GO-3","trace":[{"module":"stdlib","version":"v1.2.0","package":"net/http"}]}}]`,
		want: []string{
			"vulnerability GO-3 unknown pkg:golang/stdlib@v1.2.0@v1.2.0",
		},
	},
	{
		name: "object of early versions", score: 90, complete: true,
		in: `{"Calls":{"Functions":{"1":{"ID":1,"Name":"main","PkgPath":"own.test","CallSites":[]},"2":{"ID":2,"Name":"Open","PkgPath":"net/http","CallSites":[{"Parent":1,"Pos":{"Filename":"/src/main.go","Line":9}}]}}},"Requires":{"Modules":{"1":{"Path":"stdlib","Version":"v1.19.0"}}},"Vulns":[{"OSV":{"id":"GO-4","aliases":["CVE-4-4"]},"Symbol":"Open","PkgPath":"net/http","ModPath":"stdlib","CallSink":2}],"Modules":null}`,
		want: []string{
			"vulnerability GO-4 unknown pkg:golang/stdlib@v1.19.0@v1.19.0 /src/main.go:9-9 aka CVE-4-4",
		},
	},
	{
		name: "object with call stacks", score: 90, complete: true,
		in: `{"Vulns":[{"OSV":{"id":"GO-5"},"Modules":[{"Path":"m.test","FoundVersion":"v1.0.0","FixedVersion":"v1.1.0","Packages":[{"Path":"m.test/p","CallStacks":[{"Symbol":"Do","Frames":[{"PkgPath":"own.test","FuncName":"main","Position":{"Filename":"m.go","Line":5}},{"PkgPath":"m.test/p","FuncName":"Do"}]}]}]}]}]}`,
		want: []string{
			"vulnerability GO-5 unknown pkg:golang/m.test@v1.0.0@v1.0.0 m.go:5-5 fixed v1.1.0",
		},
	},
}
