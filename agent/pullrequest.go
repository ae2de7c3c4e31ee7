package agent

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/issue"
)

// Trailers of a change's commit message. The key finds the change again.
const (
	trailerKey     = "Backstitch-Key"
	trailerCloses  = "Backstitch-Closes"
	trailerChange  = "Backstitch-Change"
	trailerProof   = "Backstitch-Proof"
	maxRejected    = 5  // rejected paths named in a text
	maxChainLinks  = 12 // links of a chain shown in a text
	maxClosedLines = 20 // closed issues listed one by one
)

// PullRequest is the text of a change as it is offered for review.
type PullRequest struct {
	Title string `json:"title"`
	Body  string `json:"body"` // Markdown, ends in the trailers
}

// describe writes the text of a change: what it closes, where the cause is, who
// owns it, how it was proved, what was rejected, what may break and how to take
// it back. Everything that came from a report or a repository is quoted, so that
// it reads as text whatever it holds. The same input gives the same bytes.
func describe(key string, path fix.Path, issues []issue.Issue, proof fact.Verification) PullRequest {
	var b strings.Builder
	section := func(title string) { fmt.Fprintf(&b, "\n## %s\n\n", title) }

	fmt.Fprintf(&b, "%s\n", quote(path.Summary))
	section("Closes")
	for i, it := range issues {
		if i == maxClosedLines {
			fmt.Fprintf(&b, "- and %d more, named in the trailer\n", len(issues)-i)
			break
		}
		fmt.Fprintf(&b, "- %s %s: %s (%s; findings: %d)\n", it.ID, it.Severity, quote(it.Title), quote(strings.Join(it.Advisories, ", ")), it.Findings)
	}
	if len(path.Residual) > 0 {
		fmt.Fprintf(&b, "\nStays open after this change: %s\n", quote(strings.Join(path.Residual, ", ")))
	}
	if len(issues) > 0 {
		section("Cause")
		for i, link := range issues[0].Cause.Chain {
			if i == maxChainLinks {
				fmt.Fprintf(&b, "- and %d more steps\n", len(issues[0].Cause.Chain)-i)
				break
			}
			fmt.Fprintf(&b, "- %s %s%s: %s, %s\n", link.Kind, quote(link.Key), at(link.Location), quote(link.Evidence.Method), link.Evidence.Strength)
		}
		section("Owner")
		if len(issues[0].Owners) == 0 {
			b.WriteString("Unknown: no ownership claim reaches this line.\n")
		}
		for _, owner := range issues[0].Owners {
			detail := ""
			if len(owner.Evidence) > 0 {
				detail = ": " + quote(owner.Evidence[0].Detail)
			}
			fmt.Fprintf(&b, "- %s (%s, %s, confidence %.2f)%s\n", quote(owner.Name), owner.Kind, owner.Role, owner.Confidence, detail)
		}
	}
	section("Proof: " + proof.Status)
	for _, check := range proof.Checks {
		fmt.Fprintf(&b, "- %s: %s", check.Status, quote(check.Name))
		if check.Detail != "" {
			fmt.Fprintf(&b, " (%s)", quote(check.Detail))
		}
		b.WriteString("\n")
	}
	section("Paths not taken")
	rejected := 0
	if len(issues) > 0 {
		for _, other := range issues[0].FixPaths {
			if other.ID == path.ID || rejected == maxRejected {
				continue
			}
			rejected++
			fmt.Fprintf(&b, "- %s: %s\n", quote(other.Summary), quote(other.Reason))
		}
	}
	if rejected == 0 {
		b.WriteString("None was found besides this one.\n")
	}
	section("Risk and rollback")
	fmt.Fprintf(&b, "What may break: %s. Effort: %s. To take it back, revert this one commit; the issues above then reopen.\n", path.Risk, path.Effort)
	if path.Reach != "" {
		fmt.Fprintf(&b, "It decides about: %s.\n", quote(path.Reach))
	}
	if path.Kind == fix.Override {
		b.WriteString("This is an override: take it out once the packages between ask for the fixed version themselves.\n")
	} else if path.Temporary {
		fmt.Fprintf(&b, "This is temporary: take it out after %d hours at the latest.\n", path.Expires)
	}
	ids := make([]string, len(issues))
	for i, it := range issues {
		ids[i] = it.ID
	}
	fmt.Fprintf(&b, "\n%s: %s\n%s: %s\n%s: %s\n", trailerKey, key, trailerCloses, strings.Join(ids, " "), trailerChange, trailerJSON(path))
	if proof.Digest != "" {
		fmt.Fprintf(&b, "%s: sha256:%s\n", trailerProof, proof.Digest)
	}
	return PullRequest{Title: cut(oneLine(path.Summary), 72), Body: b.String()}
}

func at(location fact.Location) string {
	switch {
	case location.Path == "":
		return ""
	case location.Line == 0:
		return " at " + quote(location.Path)
	}
	return fmt.Sprintf(" at %s line %d", quote(location.Path), location.Line)
}

// oneLine makes untrusted text one line without control characters.
func oneLine(text string) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r <= 0x9f || r >= 0x200b && r <= 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2060 && r <= 0x206f || r >= 0xe0000 {
			return ' '
		}
		return r
	}, text)), " ")
}

// quote makes untrusted text inert in Markdown: one line, in which nothing is a
// link (bare addresses included), an image, a mention, a tag or a heading.
func quote(text string) string {
	text = strings.ReplaceAll(cut(oneLine(text), 300), "://", ":\u2060//")
	var b strings.Builder
	for _, r := range text {
		switch r {
		case '\\', '`', '*', '_', '[', ']', '<', '>', '!', '|', '#', '~':
			b.WriteByte('\\')
		case '@':
			b.WriteString("@\u2060") // a word joiner: reads the same, mentions nobody
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func cut(text string, width int) string {
	runes := []rune(text)
	if len(runes) <= width {
		return text
	}
	return string(runes[:width-1]) + "…"
}

// trailerJSON is the machine-readable form of a change, on one line.
func trailerJSON(path fix.Path) string {
	text, err := json.Marshal(struct {
		Path    string       `json:"path"`
		Kind    string       `json:"kind"`
		Changes []fix.Change `json:"changes"`
	}{path.ID, path.Kind, path.Changes})
	if err != nil {
		panic("agent: a plain struct of strings does not marshal: " + err.Error())
	}
	return string(text)
}
