package noseyparker

import (
	"fmt"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/report/reporttest"
)

func TestEachLayoutIsReadIntoFindings(t *testing.T) {
	t.Parallel()
	reporttest.Table(t, New(), cases)
}

func TestConformance(t *testing.T) {
	t.Parallel()
	reporttest.Conformance(t, New(), reporttest.Samples(cases)...)
}

func FuzzRead(f *testing.F) { reporttest.FuzzTable(f, New(), cases) }

var cases = []reporttest.Case{
	{
		Name: "lines", Score: 95, Complete: false,
		Report: `{"type":"finding","rule_name":"Generic API Key","match_content":"hunter22hunter22","num_matches":1,"matches":[{"provenance":[{"kind":"file","path":"./a.py"},{"kind":"git_repo","repo_path":"./.git","commit_provenance":{"commit_kind":"first_seen","commit_metadata":{"commit_id":"c1","message":"m hunter22hunter22"},"blob_path":"src/a.py"}}],"location":{"source_span":{"start":{"line":16,"column":1},"end":{"line":17,"column":2}}},"snippet":{"before":"","matching":"hunter22hunter22","after":""},"rule_name":"Generic API Key"}]}`,
		Want: []string{
			"secret Generic API Key high src/a.py:16-17",
		},
	},
	{
		Name: "a list of a newer version", Score: 95, Complete: true,
		Report: `[{"finding_id":"f1","rule_name":"AWS Key","rule_text_id":"np.aws.1","groups":["aHVudGVyMjJodW50ZXIyMg=="],"num_matches":2,"statuses":["reject"],"comment":"a test","matches":[{"provenance":[{"kind":"file","path":"b.txt"}],"groups":["aHVudGVyMjJodW50ZXIyMg=="],"location":{"source_span":{"start":{"line":1},"end":{"line":1}}}},{"provenance":[{"kind":"file","path":"c.txt"}],"location":{"source_span":{"start":{"line":2},"end":{"line":2}}}}]}]`,
		Want: []string{
			"secret AWS Key high b.txt:1-1 false_positive",
			"secret AWS Key high c.txt:2-2 false_positive",
		},
	},
}

func TestTheSecretIsOneAnchorAndIsNotKept(t *testing.T) {
	t.Parallel()
	anchors := map[string]bool{}
	for _, c := range cases {
		for _, f := range reporttest.Read(t, New(), c.Report).Findings {
			anchors[f.Anchor] = true
			if text := fmt.Sprintf("%+v", f); strings.Contains(text, "hunter22") || strings.Contains(text, "aHVudGVy") {
				t.Errorf("the secret is kept: %s", text)
			}
		}
	}
	if len(anchors) != 1 || anchors[""] {
		t.Errorf("anchors %v, want one", anchors)
	}
}
