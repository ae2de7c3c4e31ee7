package report

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/fact"
)

// kept is a sink that keeps runs and the titles of findings.
type kept struct {
	runs   []fact.Run
	titles []string
	places []fact.Position
}

func (k *kept) Run(r fact.Run) error           { k.runs = append(k.runs, r); return nil }
func (k *kept) Component(fact.Component) error { return nil }
func (k *kept) Statement(fact.Statement) error { return nil }
func (k *kept) Finding(f fact.Finding) error {
	k.titles, k.places = append(k.titles, f.Title), append(k.places, f.Position)
	return nil
}

// readRows reads the columns a and b of a table.
func readRows(ctx context.Context, in io.Reader) (*kept, error) {
	var sink kept
	err := Rows(ctx, in, &sink, fact.Run{Complete: true}, []string{"A", "b"}, func(r *Row) error {
		if r.Text("a") == "bad" {
			r.Expect("a", "something good")
			return nil
		}
		return r.Finding(fact.Finding{Title: r.Text("a") + "|" + r.Text("B") + "|" + r.Text("none")})
	})
	return &sink, err
}

func TestRowsAreReadAsTheyStand(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"A,b\n1,2\n":                                  {"1|2|"},
		"\xef\xbb\xbf\"a\";\"B\"\r\n1;2\r\n3;4":       {"1|2|", "3|4|"},
		"a\tb\tc\n1\t2\t3\n\n \n4\t5\t6\n":            {"1|2|", "4|5|"},
		"a,b\n\"x\ny\",\"say \"\"z\"\"\"\n":           {"x\ny|say \"z\"|"},
		"a,b\nthe \"root\" user, 2 \n1,2,,\n":         {"the \"root\" user|2|", "1|2|"},
		"a,b\n\"a,b\",\"\"\n\"\",\"\r\n\"\r\n":        {"a,b||", "||"},
		"a,b\n\xff,2\n":                               {"\ufffd|2|"},
		"b,a,\"the\nthird\"\n1,2,3\n":                 {"2|1|"},
		"a,b\n" + strings.Repeat("é", 40000) + ",2\n": {strings.Repeat("é", 40000) + "|2|"},
	} {
		for _, in := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text))} {
			sink, err := readRows(t.Context(), in)
			for i := range want {
				want[i] = strings.TrimSpace(want[i])
			}
			if diff := cmp.Diff(want, sink.titles); diff != "" || err != nil || sink.runs[0].Complete != strings.HasSuffix(text, "\n") {
				t.Errorf("%.60q: %v, runs %+v, rows (-want +got):\n%s", text, err, sink.runs, diff)
			}
		}
	}
}

func TestFaultsOfTablesNameRowAndColumn(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a,b\n1,2\n\"3\",4\n5\n":            "report:5 (byte 16): row 4: expected 2 cells, as the header has: the row has 1: unexpected EOF",
		"a,b\n1,2\n3,\"4":                   "report:3 (byte 12): row 3, column 2: expected the closing quote of a cell in the row of line 3: unexpected EOF",
		"a,b\n1,\"x\ny\" z\n":               `report:3 (byte 11): row 2, column 2: expected a separator or the end of the row after the closing quote: there is ' '`,
		"a,b\n1,2,3\n":                      "report:2 (byte 8): row 2: expected 2 cells, as the header has: the row has 3",
		"a,b\nbad,2\n":                      `report:2 (byte 4): row 2, column a: expected something good: it is "bad"`,
		"a,b\n1,2\x00\n":                    "report:2 (byte 7): row 2, column 2: expected text: there is a NUL byte",
		"a,c\n1,2\n":                        "report:1 (byte 0): row 1: expected a column b: the header does not name it",
		"a,b,A\n1,2,3\n":                    "report:1 (byte 4): row 1, column a: expected each column once: the header names it twice",
		"prose without any columns\n":       "expected a row of column names between commas, semicolons or tabs",
		"":                                  "expected a row of column names between commas, semicolons or tabs",
		"a,b\n" + strings.Repeat(",", 9999): fmt.Sprintf("at most %d cells in a row", maxCells),
		"a,b\n\"" + strings.Repeat("x", maxRow+1): fmt.Sprintf("at most %d bytes in a row", maxRow),
	} {
		sink, err := readRows(t.Context(), strings.NewReader(text))
		var fault *Error
		if !errors.As(err, &fault) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %s", text, err, want)
		}
		if len(sink.runs) != 1 || sink.runs[0].Complete {
			t.Errorf("%.40q: runs %+v, want an incomplete one", text, sink.runs)
		}
	}
}

func TestATableThatWasCutOffInsideARowIsNoticed(t *testing.T) {
	t.Parallel()
	header, first, second := "a,b,c\n", "1,2,3\n", "\"4\",\"5\n5\",\"6\"\n"
	text := header + first + second
	for cut := len(header) + 1; cut < len(text); cut++ {
		whole := cut == len(header+first) || cut == len(text)-1
		sink, err := readRows(t.Context(), strings.NewReader(text[:cut]))
		if sure := err == nil && sink.runs[0].Complete; sure != whole {
			t.Errorf("cut at %d, %q: %v, complete %t", cut, text[:cut], err, sink.runs[0].Complete)
		}
	}
}

func TestAFindingOfARowKnowsItsPlace(t *testing.T) {
	t.Parallel()
	text := "a,b\n1,2\n\"3\n\",4\n"
	sink, err := readRows(t.Context(), strings.NewReader(text))
	want := []fact.Position{{Offset: 4, Length: 4, Item: "row 2"}, {Offset: 8, Length: 7, Item: "row 3"}}
	if diff := cmp.Diff(want, sink.places); diff != "" || err != nil {
		t.Errorf("%v, places (-want +got):\n%s", err, diff)
	}
}

func TestTablesEndWithTheContextAndWithTheSink(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := readRows(ctx, strings.NewReader("a,b\n1,2\n")); !errors.Is(err, context.Canceled) {
		t.Errorf("with a cancelled context: %v", err)
	}
	broken := errors.New("broken pipe")
	if _, err := readRows(t.Context(), io.MultiReader(strings.NewReader("a,b\n1,"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("of a broken pipe: %v", err)
	}
}

func TestReportsAreToldFromTables(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{"a,b\n": false, " \n\n[1]": true, "\xef\xbb\xbf{}": true, "": true, strings.Repeat(" ", 500) + "{": true, strings.Repeat(" ", 500) + "a,b": false} {
		json, whole := IsJSON(strings.NewReader(text))
		if rest, err := io.ReadAll(whole); json != want || string(rest) != text || err != nil {
			t.Errorf("%.20q: JSON %t, the rest %.20q, %v", text, json, rest, err)
		}
	}
	if !HasColumns([]byte("\"One\";Two\n1;2"), "two", "ONE") || HasColumns([]byte("one,two\n"), "three") || HasColumns([]byte("{\"one\",\"two\"}"), "one") || HasColumns(nil, "one") {
		t.Error("columns of a header were not recognised as they stand")
	}
}

func TestAssetsOfClouds(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"arn:aws:s3:::logs": "cloud_resource arn:aws:s3:::logs logs", "AWS::::Account:111122223333": "account aws/111122223333 111122223333",
		"arn:aws:iam::111122223333:root": "account aws/111122223333 111122223333", "111122223333": "account aws/111122223333 111122223333",
		"11112222333": "cloud_resource 11112222333 11112222333", "": "unknown  ", "/": "cloud_resource / /", "::": "cloud_resource :: ::",
	} {
		if a := CloudAsset(id, ""); a.Kind+" "+a.Key+" "+a.Name != want {
			t.Errorf("CloudAsset(%q) = %+v, want %s", id, a, want)
		}
	}
	for want, a := range map[string]fact.Asset{
		"prod/shop/Deployment.apps/web": KubernetesAsset("prod", "shop", "apps/v1", "Deployment", "web"), "-/Node/n1": KubernetesAsset("", "", "v1", "Node", "n1"),
		"x/VPA.vpa.io/v": KubernetesAsset("", "x", "vpa.io", "VPA", "v"),
	} {
		if a.Key != want || a.Kind != fact.AssetKubernetes {
			t.Errorf("%+v, want the key %s", a, want)
		}
	}
}

func TestFindingsThatShareALongTextAreBounded(t *testing.T) {
	t.Parallel()
	e, long := &Emitter{}, strings.Repeat("x", 1<<20)
	for i := range 5000 {
		err := e.Give(fact.Finding{Kind: fact.Misconfiguration, Title: "t", Position: fact.Position{Item: "here"}, Attributes: map[string]string{"a": long, "b": long}, Description: long, Mitigation: long})
		var fault *Error
		switch {
		case err == nil:
		case errors.As(err, &fault) && strings.Contains(err.Error(), "here: expected findings with at most") && i > 1000:
			return
		default:
			t.Fatalf("finding %d: %v", i, err)
		}
	}
	t.Error("20 GB of findings were taken")
}

func TestRunsOverTargetsAreApartAndBounded(t *testing.T) {
	t.Parallel()
	text := "a,b\n"
	for i := range maxRuns + 50 {
		text += fmt.Sprintf("%d,t%04d\n", i, i)
	}
	text += "again,t0000\n"
	var sink kept
	err := Rows(t.Context(), strings.NewReader(text), &sink, fact.Run{Tool: "x", Format: "f", Complete: true}, nil, func(r *Row) error {
		r.Run.ToolVersion = "7"
		r.As("x", r.Text("b"))
		return r.Finding(fact.Finding{Title: r.Text("a")})
	})
	if err != nil || len(sink.runs) != maxRuns || len(sink.titles) != maxRuns+51 {
		t.Fatalf("%v, %d runs, %d findings", err, len(sink.runs), len(sink.titles))
	}
	rest, one := sink.runs[0], sink.runs[1]
	if rest.Target != "" || rest.Complete || rest.Tool != "x" {
		t.Errorf("the run of what is too much is %+v, want it incomplete and without a target", rest)
	}
	if one.Target != "t0000" || !one.Complete || one.ToolVersion != "7" || one.Format != "f" {
		t.Errorf("the first run is %+v", one)
	}
	if at := slices.Index(sink.titles, "0"); sink.titles[at+1] != "again" {
		t.Errorf("after the first finding of a run stands %q, want the next one of that run", sink.titles[at+1])
	}
}
