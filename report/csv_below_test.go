package report

import (
	"strings"
	"testing"

	"github.com/backstitch/backstitch/fact"
)

func TestAHeaderMayStandBelowLinesOfText(t *testing.T) {
	t.Parallel()
	const text = "\"A report\",\"today\"\n\"Nobody\",\"x\",\"y\"\nQID,Title\n7,old\n"
	if !HasColumnsBelow([]byte(text), "QID", "Title") || HasColumnsBelow([]byte(text), "QID", "Nothing") || HasColumns([]byte(text), "QID", "Title") {
		t.Error("the header is not found where it is, or where it is not")
	}
	sink := &kept{}
	err := RowsBelow(t.Context(), strings.NewReader(text), sink, fact.Run{Tool: "t"}, []string{"QID"}, func(r *Row) error {
		return r.Finding(fact.Finding{Rule: r.Text("qid"), Title: r.Text("title")})
	})
	if err != nil || len(sink.titles) != 1 || sink.titles[0] != "old" {
		t.Fatalf("findings %q, %v", sink.titles, err)
	}
	if at := sink.places[0]; text[at.Offset:at.Offset+at.Length] != "7,old\n" {
		t.Errorf("the row stands at %+v", at)
	}
	if err := RowsBelow(t.Context(), strings.NewReader(strings.Repeat("a,b\n", 100)), &kept{}, fact.Run{}, []string{"QID"}, nil); err == nil || !strings.Contains(err.Error(), "QID") {
		t.Errorf("a table without the column: %v", err)
	}
}
