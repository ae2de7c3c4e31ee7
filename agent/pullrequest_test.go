package agent

import (
	"regexp"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/issue"
)

// escapedMark is a character that a backslash makes plain in Markdown.
var escapedMark = regexp.MustCompile(`\\.`)

func sample(hostile string) (fix.Path, []issue.Issue, fact.Verification) {
	path := fix.Path{
		ID: "raise_direct:pip:requests@2.20.0", Kind: fix.RaiseDirect, Summary: "raise requests to 2.20.0", Risk: "minor", Effort: "small",
		Changes: []fix.Change{{Package: "requests", From: "2.19.1", To: "2.20.0"}}, Closes: []string{"BS-AAAAAAAAAA"},
	}
	issues := []issue.Issue{{
		ID: "BS-AAAAAAAAAA", Title: "leak " + hostile, Severity: fact.SeverityHigh, Advisories: []string{"CVE-2018-18074"}, Findings: 2,
		Cause: fact.Cause{Status: fact.CauseFound, Chain: []fact.Link{{
			Kind: "manifest", Key: "requests" + hostile, Location: fact.Location{Path: "requirements.txt", Line: 2},
			Evidence: fact.Evidence{Method: "declaration", Source: "requirements.txt", Strength: fact.Declared},
		}}},
		Owners:   []fact.Owner{{Kind: "person", Name: "Ada" + hostile, Role: "primary", Confidence: 0.5, Evidence: []fact.OwnerEvidence{{Kind: "line_history", Detail: "wrote it" + hostile}}}},
		FixPaths: []fix.Path{path, {ID: "other", Summary: "raise to 3" + hostile, Reason: "a major step"}},
	}}
	proof := fact.Verification{Status: fact.VerificationProven, Digest: "abc", Checks: []fact.Check{{Name: "before", Status: fact.CheckPass, Detail: "seen" + hostile}}}
	return path, issues, proof
}

func TestThePullRequestSaysWhatAReviewerAsks(t *testing.T) {
	path, issues, proof := sample("")
	text := describe("bs-1", path, issues, proof)
	for _, want := range []string{
		"## Closes", "BS-AAAAAAAAAA", "CVE-2018-18074", "## Cause", "requirements.txt line 2", "## Owner", "Ada", "## Proof: proven",
		"## Paths not taken", "a major step", "## Risk and rollback", "revert this one commit",
		"\nBackstitch-Key: bs-1\n", "\nBackstitch-Closes: BS-AAAAAAAAAA\n", "\nBackstitch-Change: {", "\nBackstitch-Proof: sha256:abc\n",
	} {
		if !strings.Contains(text.Body, want) {
			t.Errorf("the text lacks %q:\n%s", want, text.Body)
		}
	}
	if lines := strings.Count(text.Body, "\n"); lines > 60 {
		t.Errorf("the text has %d lines, at most 60 are read", lines)
	}
}

func TestUntrustedTextStaysTextInAPullRequest(t *testing.T) {
	for name, hostile := range map[string]string{
		"image":     " ![x](https://evil.example/?q=1)",
		"link":      " [click](javascript:alert(1))",
		"tag":       " <img src=x onerror=alert(1)>",
		"trailer":   "\nBackstitch-Key: bs-other\n",
		"heading":   "\n## Proof: proven\n",
		"mention":   " @everyone approve",
		"control":   " \x1b[2J\r\x00",
		"direction": " \u202etxt.exe\u2066",
		"comment":   " <!-- /approve -->",
		"code":      " ```\n/approve\n```",
	} {
		t.Run(name, func(t *testing.T) {
			path, issues, proof := sample(hostile)
			body := describe("bs-1", path, issues, proof).Body
			unescaped := escapedMark.ReplaceAllString(body, "")
			for _, live := range []string{"![", "](", "<img", "<!--", "```", "\x1b", "\x00", "\r", "\u202e", "@everyone", "https://"} {
				if strings.Contains(unescaped, live) {
					t.Errorf("%q is live in the text:\n%s", live, body)
				}
			}
			if n := strings.Count(body, "\n## Proof"); n != 1 {
				t.Errorf("%d sections about a proof, want 1", n)
			}
			if n := strings.Count(body, "\nBackstitch-Key:"); n != 1 {
				t.Errorf("%d key trailers, want 1", n)
			}
		})
	}
}

func TestTheSameChangeHasTheSameTextAndBranch(t *testing.T) {
	path, issues, proof := sample("")
	first := describe("bs-1", path, issues, proof)
	if second := describe("bs-1", path, issues, proof); first != second {
		t.Error("the text differs from one call to the next")
	}
	key := changeKey("example.org/a", path)
	path.Changes[0].To = "2.31.0"
	if again := changeKey("example.org/a", path); again != key {
		t.Errorf("key %s after the target version moved, want %s: a change is updated, not duplicated", again, key)
	}
	if other := changeKey("example.org/b", path); other == key {
		t.Error("two repositories share a key")
	}
	path.Changes[0].Package = "@scope/../Name with spaces;rm -rf"
	if name := branch(key, path); strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789/-") != "" {
		t.Errorf("branch %q holds more than letters, digits and dashes", name)
	}
}
