package trufflehog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/fact"
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

const git = `{"SourceMetadata":{"Data":{"Git":{"commit":"c1","file":"k","email":"a@b.test","repository":"https://g.test/r","timestamp":"2024-05-01","line":4}}},"SourceID":1,"SourceType":16,"DetectorType":2,"DetectorName":"AWS","DetectorDescription":"Keys of AWS","DecoderName":"PLAIN","Verified":true,"Raw":"AKIAQQQQZZZZ","RawV2":"AKIAQQQQZZZZ:s3cr3ts3cr3t","Redacted":"AKIAQQ","ExtraData":{"account":"1","user":"AKIAQQQQZZZZ"},"StructuredData":null}`

var cases = []reporttest.Case{
	{
		Name: "version 3", Score: 95, Complete: true,
		Report: git + "\n" +
			`{"SourceMetadata":{"Data":{"Docker":{"file":"/app/.env","image":"r/i@sha256:ab","layer":"sha256:cd","tag":"latest"}}},"DetectorType":17,"DetectorName":"URI","DecoderName":"BASE64","Verified":false,"Raw":"https://u:hunter22@h.test"}` + "\n" +
			`{"level":"info-0","ts":"2024-05-01T00:00:00Z","logger":"trufflehog","msg":"finished scanning","chunks":4}`,
		Want: []string{
			"secret AWS critical k:4-4",
			"secret URI high /app/.env:0-0",
		},
	},
	{
		Name: "early version 3, cut off perhaps", Score: 95, Complete: false,
		Report: `{"SourceMetadata":{"Data":{"Github":{"link":"https://g.test/k","commit":"c1","file":"k","line":4}}},"DetectorType":2,"DetectorName":"AWS","Verified":true,"Raw":"QUtJQVFRUVFaWlpa","Redacted":"AKIAQQQQZZZZ","ExtraData":null}`,
		Want: []string{
			"secret AWS critical k:4-4",
		},
	},
	{
		Name: "version 2", Score: 95, Complete: true,
		Report: `[{"date":"2024-05-01","path":"a.py","branch":"origin/main","commit":"message","commitHash":"c2","reason":"High Entropy","stringsFound":["hunter22hunter22"],"diff":"+ hunter22hunter22"}]`,
		Want: []string{
			"secret High Entropy high a.py:0-0",
		},
	},
	{
		Name: "Rusty Hog", Score: 95, Complete: true,
		Report: `[{"stringsFound":["hunter22hunter22"],"path":"a.html","reason":"password","linenum":7,"diff":"hunter22hunter22"},{"stringsFound":["hunter22hunter22"],"page_id":"12","reason":"RSA key","url":"https://w.test/12"},{"commit":"m","commitHash":"c4","path":"b","reason":"Email","stringsFound":["x@y.test"],"old_line_num":3,"new_line_num":4,"parent_commit_hash":"c3"}]`,
		Want: []string{
			"secret password high a.html:7-7",
			"secret RSA key high https://w.test/12:0-0",
			"secret Email high b:4-4",
		},
	},
	{
		Name: "trufflehog3", Score: 90, Complete: true,
		Report: `[{"rule":{"id":"aws.key","message":"AWS key","pattern":"AKIA","severity":"LOW"},"path":"a.py","line":"5","secret":"AKIAQQQQZZZZ","context":{"5":"k = AKIAQQQQZZZZ"},"id":"1","branch":"main","message":"m","author":"a","commit":"c3","date":"d"}]`,
		Want: []string{
			"secret aws.key low a.py:5-5",
		},
	},
}

func TestEqualSecretsHaveOneAnchorInEachVersion(t *testing.T) {
	t.Parallel()
	anchors := map[string]bool{}
	for _, i := range []int{0, 1, 4} {
		anchors[reporttest.Read(t, New(), cases[i].Report).Findings[0].Anchor] = true
	}
	if len(anchors) != 1 || anchors[""] {
		t.Errorf("anchors %v, want one", anchors)
	}
}

func TestRustyHogIsNamedAsItself(t *testing.T) {
	t.Parallel()
	for i, want := range map[int]string{2: "trufflehog", 3: "rusty-hog", 4: "trufflehog"} {
		if got := reporttest.Read(t, New(), cases[i].Report).Runs[0].Tool; got != want {
			t.Errorf("%s is of the tool %q, want %q", cases[i].Name, got, want)
		}
	}
}

func TestASecretOfAnImageIsTheImages(t *testing.T) {
	t.Parallel()
	f := reporttest.Read(t, New(), cases[0].Report).Findings[1]
	if f.Asset != (fact.Asset{Kind: fact.AssetImage, Key: "sha256:ab", Name: "r/i@sha256:ab"}) || f.Attributes["layer"] != "sha256:cd" {
		t.Errorf("finding %+v", f)
	}
}

func TestNoSecretIsKept(t *testing.T) {
	t.Parallel()
	for _, c := range cases {
		for _, f := range reporttest.Read(t, New(), c.Report).Findings {
			text := fmt.Sprintf("%+v", f)
			for _, secret := range []string{"AKIAQQ", "hunter22", "s3cr3t", "QUtJQVFRUVFaWlpa"} {
				if strings.Contains(text, secret) {
					t.Errorf("%s: %s is kept: %s", c.Name, secret, text)
				}
			}
			if f.Anchor == "" {
				t.Errorf("%s: no anchor: %s", c.Name, text)
			}
		}
	}
}

// FuzzNoSecretIsKept puts a secret into every text of a result.
func FuzzNoSecretIsKept(f *testing.F) {
	f.Add("AKIA\"x\\", "aws in ", 0)
	f.Add("\u2028päß\tword", "", 1)
	f.Add("k", "x", 2)
	f.Fuzz(func(t *testing.T, value, around string, version int) {
		secret := strings.ToValidUTF8("S3CRET#"+value+"#", "?")
		text := strings.ToValidUTF8(around, "?") + secret
		one := map[string]any{
			"SourceMetadata": map[string]any{"Data": map[string]any{text: map[string]any{"file": text, "commit": text, "link": text, "email": text, "image": text}}},
			"DetectorName":   text, "DetectorDescription": text, "DecoderName": "PLAIN", "Raw": secret, "Redacted": text, "ExtraData": map[string]any{"account": text, "arn": text},
		}
		switch version % 3 {
		case 1:
			one = map[string]any{"path": text, "branch": text, "commit": text, "commitHash": text, "reason": text, "stringsFound": []string{secret}, "date": text}
		case 2:
			one = map[string]any{"rule": map[string]any{"id": text, "message": text}, "path": text, "line": 1, "secret": secret, "branch": text, "author": text, "commit": text}
		}
		in, err := json.Marshal(one)
		if err != nil {
			t.Fatal(err)
		}
		var facts reporttest.Facts
		if err := New().Read(t.Context(), bytes.NewReader(in), &facts); err != nil {
			t.Fatal(err)
		}
		if len(facts.Findings) != 1 || facts.Findings[0].Anchor == "" {
			t.Fatalf("findings %+v, want one with an anchor", facts.Findings)
		}
		if strings.Contains(fmt.Sprintf("%+v", facts.Findings[0]), strings.TrimSpace(secret)) {
			t.Errorf("the secret is kept: %+v", facts.Findings[0])
		}
	})
}
