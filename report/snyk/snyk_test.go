package snyk

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
		name: "one project", score: 95, complete: true,
		in: `{"vulnerabilities":[{"id":"SNYK-JS-MS-1","title":"ReDoS","severity":"high","severityWithCritical":"critical","cvssScore":9.1,"packageManager":"npm","packageName":"ms","name":"ms","version":"1.0.0","from":["shop@1.0.0","debug@2.0.0","ms@1.0.0"],"upgradePath":[false,"debug@2.1.0","ms@2.0.0"],"fixedIn":["2.0.0"],"identifiers":{"CVE":["CVE-1-1"],"CWE":["CWE-400"],"GHSA":["GHSA-1-2-3"]}},{"id":"snyk:lic:npm:x:GPL-3.0","type":"license","severity":"medium","packageManager":"npm","packageName":"x","version":"1.0.0","from":["shop@1","x@1.0.0"]}],"ok":false,"dependencyCount":5,"packageManager":"npm","filtered":{"ignore":[{"id":"SNYK-JS-Q-2","severity":"low","packageName":"q","version":"1.0.0","from":["shop@1","q@1.0.0"],"filtered":{"ignored":[{"reason":"later","reasonType":"wont-fix"}]}}],"patch":[]},"projectName":"shop","displayTargetFile":"package-lock.json","path":"/src"}`,
		want: []string{
			"vulnerability SNYK-JS-MS-1 critical pkg:npm/ms@1.0.0@1.0.0 package-lock.json:0-0 aka CVE-1-1,GHSA-1-2-3 fixed 2.0.0 via debug@2.0.0,ms@1.0.0",
			"misconfiguration snyk:lic:npm:x:GPL-3.0 medium pkg:npm/x@1.0.0@1.0.0 package-lock.json:0-0 via x@1.0.0",
			"vulnerability SNYK-JS-Q-2 low pkg:npm/q@1.0.0@1.0.0 package-lock.json:0-0 via q@1.0.0 accepted_risk",
		},
	},
	{
		name: "an image with an application, one project failed", score: 95, complete: false,
		in: `[{"vulnerabilities":[{"id":"SNYK-DEBIAN11-GCC10-1","severity":"low","packageManager":"debian:11","packageName":"gcc-10","name":"gcc-10/libgcc-s1","version":"10.2","from":["docker-image|x@latest","gcc-10/libgcc-s1@10.2"]}],"ok":false,"dependencyCount":1,"packageManager":"deb","docker":{},"projectName":"docker-image|x","path":"x:latest","applications":[{"vulnerabilities":[{"id":"SNYK-JS-A-1","severity":"high","packageName":"a","version":"1.0.0","from":["app@1","a@1.0.0"]}],"packageManager":"npm","docker":{},"projectName":"app","displayTargetFile":"/app/package.json","path":"x:latest"}]},{"ok":false,"error":"no","path":"/y"}]`,
		want: []string{
			"vulnerability SNYK-JS-A-1 high pkg:npm/a@1.0.0@1.0.0 /app/package.json:0-0 via a@1.0.0",
			"vulnerability SNYK-DEBIAN11-GCC10-1 low pkg:deb/debian/gcc-10@10.2?distro=debian-11@10.2 via gcc-10/libgcc-s1@10.2",
		},
	},
	{
		name: "infrastructure as code", score: 95, complete: true,
		in: `[{"infrastructureAsCodeIssues":[{"id":"SNYK-CC-TF-1","publicId":"SNYK-CC-TF-1","title":"open","severity":"medium","issue":"i","impact":"m","resolve":"r","msg":"resource.a","path":["resource","a"],"lineNumber":7,"isIgnored":true,"documentation":"https://x.test"}],"targetFile":"main.tf","projectType":"terraformconfig"}]`,
		want: []string{
			"misconfiguration SNYK-CC-TF-1 medium main.tf:7-7 accepted_risk",
		},
	},
	{
		name: "issues API", score: 90, complete: false,
		in: `{"jsonapi":{"version":"1.0"},"data":[{"id":"u","type":"issue","attributes":{"title":"DoS","type":"package_vulnerability","key":"SNYK-PYTHON-PILLOW-1","effective_severity_level":"high","status":"open","ignored":false,"classes":[{"id":"CWE-400"}],"coordinates":[{"is_fixable_snyk":true,"representations":[{"dependency":{"package_name":"pillow","package_version":"9.5.0"}}]}]}}],"links":{"next":"/more"}}`,
		want: []string{
			"vulnerability SNYK-PYTHON-PILLOW-1 high pkg:pypi/pillow@9.5.0@9.5.0",
		},
	},
}
