package agent

import (
	"encoding/json"
	"fmt"
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
		Changes: []fix.Change{{Package: "requests" + hostile, From: "2.19.1", To: "2.20.0"}}, Closes: []string{"BS-AAAAAAAAAA"},
	}
	issues := []issue.Issue{{
		ID: "BS-AAAAAAAAAA", Title: "leak " + hostile, Severity: fact.SeverityHigh, Advisories: []string{"CVE-2018-18074"}, Findings: 2,
		RiskTerms: []issue.Term{{Name: "severity", Detail: "severity high", Effect: 60}, {Name: "exposure", Detail: "reached from the internet" + hostile, Effect: 8}},
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
		"## Why now", "BS-AAAAAAAAAA", "CVE-2018-18074", "reached from the internet", "## What changed", "requests: 2.19.1 to 2.20.0", "requirements.txt line 2",
		"## Proof: proven", "## Risk and rollback", "revert this one commit", "## Why you", "Ada", "## Alternatives", "a major step", "## Commands", "change show bs-1",
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
		"ticket":    " fixes #12, closes GH-12",
		"bare":      " www.evil.example",
		"control":   " \x1b[2J\r\x00",
		"direction": " \u202etxt.exe\u2066\u061c\ufeff\u2028",
		"comment":   " <!-- /approve -->",
		"code":      " ```\n/approve\n```",
	} {
		t.Run(name, func(t *testing.T) {
			path, issues, proof := sample(hostile)
			body := describe("bs-1", path, issues, proof).Body
			unescaped := escapedMark.ReplaceAllString(body, "")
			for _, live := range []string{"![", "](", "<img", "<!--", "```", "\x1b", "\x00", "\r", "\u202e", "\u061c", "\ufeff", "\u2028", "@everyone", "https://", "#12", "GH-12", "www.evil"} {
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

func TestAPullRequestHasAtMostSixtyLinesWhateverItCloses(t *testing.T) {
	path, issues, proof := sample("")
	one := issues[0]
	for i := range 20 {
		one.Owners = append(one.Owners, one.Owners[0])
		one.Cause.Chain = append(one.Cause.Chain, one.Cause.Chain[0])
		one.FixPaths = append(one.FixPaths, fix.Path{ID: fmt.Sprint("other", i), Summary: "another way", Reason: "worse"})
		proof.Checks = append(proof.Checks, fact.Check{Name: fmt.Sprint("check ", i), Status: fact.CheckPass, Detail: "passed"})
	}
	proof.Checks = append(proof.Checks, fact.Check{Name: "tests", Status: fact.CheckSkip, Detail: "there are none"})
	for i := range 10_000 {
		one.ID = fmt.Sprintf("BS-%010d", i)
		issues = append(issues, one)
		path.Changes = append(path.Changes, fix.Change{Package: fmt.Sprint("package-", i), From: "1.0.0", To: "1.0.1"})
		path.Edits = append(path.Edits, fix.FileEdit{Path: fmt.Sprintf("charts/%d/values.yaml", i)})
	}
	issues[0] = one
	path.Residual, path.Reach, path.Temporary, path.Expires = []string{"CVE-1", "CVE-2"}, "3 of 3 workloads", true, 24
	text := describe("bs-1", path, issues, proof)
	if lines := strings.Count(text.Body, "\n"); lines > 60 {
		t.Errorf("the text has %d lines, at most 60 are read:\n%s", lines, text.Body)
	}
	if len(text.Body) > 30_000 {
		t.Errorf("the text has %d bytes; forges take 65536", len(text.Body))
	}
	for _, want := range []string{"and 9996 more", "there are none", "and 19998 more", "24 hours", `"more":`} {
		if !strings.Contains(text.Body, want) {
			t.Errorf("the text lacks %q:\n%s", want, text.Body)
		}
	}
}

func TestTheChangeInTheTrailerIsJSONThatMentionsNobody(t *testing.T) {
	path := fix.Path{ID: "raise:npm:@acme/core@2", Kind: fix.RaiseDirect, Changes: []fix.Change{{Package: "@acme/core", From: "1", To: "2"}}}
	line := trailerJSON(path)
	if strings.Contains(line, "@") {
		t.Errorf("%s mentions somebody", line)
	}
	var back struct{ Changes []fix.Change }
	if err := json.Unmarshal([]byte(line), &back); err != nil || back.Changes[0].Package != "@acme/core" {
		t.Errorf("%s: %+v, %v", line, back, err)
	}
}
