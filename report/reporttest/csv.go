package reporttest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/report"
)

// ConformanceOfTables runs on a reader of CSV what Conformance runs on one of JSON. A
// table that was cut off between two rows looks whole; cut off anywhere else it is a
// fault of the report, or not complete.
func ConformanceOfTables(t *testing.T, reader report.Reader, samples ...string) {
	t.Helper()
	if len(samples) == 0 {
		t.Fatal("a reader needs at least one sample of its format")
	}
	d := reader.Describe()
	if !strings.HasPrefix(d.ID, "report/") || d.Name == "" || d.Formats == "" || len(d.Docs) < 40 {
		t.Errorf("Describe() = %+v, want an id below report/, a name, formats and a paragraph", d)
	}
	for _, sample := range samples {
		table(t, reader, sample)
	}
	for name, data := range map[string]string{
		"empty": "", "prose": "Total: 3 findings\n", "another table": "colour,size\nblue,1\n", "XML": "<a/>", "JSON": `{"colour":"blue"}`, "a list": `[{"colour":"blue"}]`,
	} {
		fault(t, name, report.Read(t.Context(), []report.Reader{reader}, "nasty", strings.NewReader(data), &Facts{}))
	}
}

func table(t *testing.T, reader report.Reader, sample string) {
	t.Helper()
	if score := reader.Detect([]byte(sample)); score <= 0 {
		t.Fatalf("Detect = %d for a sample of the reader's own format", score)
	}
	first := Read(t, reader, sample)
	for _, f := range first.Findings {
		checkFinding(t, &f, len(sample))
	}
	inPieces := &Facts{}
	if err := reader.Read(t.Context(), &slow{data: []byte(sample), step: 7}, inPieces); err != nil {
		t.Errorf("read in small pieces: %v", err)
	} else if diff := cmp.Diff(first, inPieces, cmp.AllowUnexported(Facts{})); diff != "" {
		t.Errorf("reading in small pieces gave other facts:\n%s", diff)
	}
	for _, cut := range cuts(len(sample)) {
		fuzzed(t, reader, []byte(sample[:cut]))
		var facts Facts
		err := reader.Read(t.Context(), strings.NewReader(sample[:cut]), &facts)
		if err != nil || strings.HasSuffix(sample[:cut], "\n") || strings.HasSuffix(sample[:cut], `"`) {
			continue
		}
		for _, run := range facts.Runs {
			if run.Complete {
				t.Errorf("cut off at %d of %d: read as complete", cut, len(sample))
			}
		}
	}
	sentinel := errors.New("the sink is full")
	for after := range first.calls {
		if err := reader.Read(t.Context(), strings.NewReader(sample), &Facts{Fail: sentinel, After: after}); !errors.Is(err, sentinel) || err.Error() != sentinel.Error() {
			t.Errorf("the sink's error after %d calls came back as %v", after, err)
		}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := reader.Read(cancelled, strings.NewReader(sample), &Facts{}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a cancelled context Read gave %v", err)
	}
}
