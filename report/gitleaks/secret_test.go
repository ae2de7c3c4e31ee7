package gitleaks

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
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
		var sink collector
		if err := New().Read(context.Background(), bytes.NewReader(in), &sink); err != nil {
			t.Fatal(err)
		}
		if len(sink.findings) != 1 || sink.findings[0].Anchor == "" {
			t.Fatalf("findings %+v, want one with an anchor", sink.findings)
		}
		if strings.Contains(fmt.Sprintf("%+v", sink.findings[0]), strings.TrimSpace(secret)) {
			t.Errorf("the secret is kept: %+v", sink.findings[0])
		}
	})
}
