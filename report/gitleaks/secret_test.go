package gitleaks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/report/reporttest"
)

// FuzzNoSecretIsKept puts a secret into every text of a report.
func FuzzNoSecretIsKept(f *testing.F) {
	f.Add("AKIA\"x\\", "aws in ", false)
	f.Add("\u2028päß\tword", "", true)
	f.Fuzz(func(t *testing.T, value, around string, old bool) {
		secret := strings.ToValidUTF8("S3CRET#"+value+"#", "?")
		text := strings.ToValidUTF8(around, "?") + secret
		leak := map[string]any{
			"RuleID": text, "Description": text, "File": text, "StartLine": 1, "Secret": secret, "Match": text, "Commit": text, "Author": text, "Email": text,
			"Message": text, "Date": text, "Tags": []string{text}, "Fingerprint": text, "SymlinkFile": text, "Link": text,
		}
		if old {
			leak = map[string]any{"rule": text, "file": text, "lineNumber": 1, "offender": secret, "line": text, "commit": text, "commitMessage": text, "author": text, "repo": text, "tags": text, "leakURL": text}
		}
		in, err := json.Marshal([]any{leak})
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
