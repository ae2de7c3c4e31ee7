package agent

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/issue"
)

// Trailers of a change's commit message. The key finds the change again.
const (
	trailerKey    = "Backstitch-Key"
	trailerCloses = "Backstitch-Closes"
	trailerChange = "Backstitch-Change"
	trailerProof  = "Backstitch-Proof"
)

// Bounds of texts that people read. A change's text has at most 60 lines, whatever it
// closes.
const (
	maxClosedLines = 6    // issues listed one by one
	maxTrailerIDs  = 200  // issues named in the trailer
	maxTrailerJSON = 4000 // bytes of the change in the trailer
	maxMoved       = 3    // changed packages or files
	maxChecks      = 9    // checks of a proof
	maxOwnerLines  = 3
	maxRejected    = 3  // rejected paths
	maxChainLinks  = 12 // links of a chain
	maxReasons     = 3  // terms of the risk of an issue
)

// PullRequest is the text of a change as it is offered for review.
type PullRequest struct {
	Title string `json:"title"`
	Body  string `json:"body"` // Markdown, ends in the trailers
}

// describe writes the text of a change: why now, what changed, how it was proved, what
// may break and how to take it back, why this reviewer, what was rejected, and what to
// do with it. Everything that came from a report or a repository is quoted, so that it
// reads as text whatever it holds. The same input gives the same bytes.
func describe(key string, path fix.Path, issues []issue.Issue, proof fact.Verification) PullRequest {
	var b strings.Builder
	section := func(title string) { fmt.Fprintf(&b, "\n## %s\n\n", title) }

	fmt.Fprintf(&b, "%s\n", quote(path.Summary))
	section("Why now")
	for i, it := range issues {
		if i == maxClosedLines-1 && len(issues) > maxClosedLines {
			fmt.Fprintf(&b, "- and %d more\n", len(issues)-i)
			break
		}
		fmt.Fprintf(&b, "- %s %s: %s (%s; findings: %d; risk %.0f%s)\n", it.ID, it.Severity, quote(it.Title), quote(strings.Join(it.Advisories, ", ")), it.Findings, it.Risk, pressing(it))
	}
	if len(path.Residual) > 0 {
		fmt.Fprintf(&b, "\nStays open after this change: %s\n", quote(strings.Join(path.Residual, ", ")))
	}
	section("What changed")
	for i, text := range moved(path) {
		if i == maxMoved {
			fmt.Fprintf(&b, "- and %d more\n", len(moved(path))-i)
			break
		}
		fmt.Fprintf(&b, "- %s\n", text)
	}
	if len(issues) > 0 {
		fmt.Fprintf(&b, "- cause: %s\n", chainLine(issues[0].Cause))
	}
	section("Proof: " + proof.Status)
	checks(&b, proof.Checks)
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
	section("Why you")
	why(&b, issues)
	section("Alternatives")
	alternatives(&b, path, issues)
	section("Commands")
	fmt.Fprintf(&b, "- `backstitch change show %s` tells its life; `change follow` brings it up to date, and closes it when it is overtaken\n", key)
	b.WriteString("- who may write can comment `/backstitch rebase`, `explain` or `ignore WHY` on a pull request; a commit of yours makes the branch yours\n")
	trailers(&b, key, path, issues, proof)
	return PullRequest{Title: cut(inert(oneLine(path.Summary)), 72), Body: b.String()}
}

// pressing tells what raises the risk of an issue beside its severity.
func pressing(it issue.Issue) string {
	var b strings.Builder
	said := 0
	for _, term := range it.RiskTerms {
		if term.Effect <= 0 || term.Name == "severity" || said == maxReasons {
			continue
		}
		said++
		fmt.Fprintf(&b, ", %s", quote(cut(term.Detail, 100)))
	}
	return b.String()
}

// moved lists what a path changes, a line each.
func moved(path fix.Path) (list []string) {
	for _, change := range path.Changes {
		list = append(list, fmt.Sprintf("%s: %s to %s", quote(change.Package), quote(cmp.Or(change.From, "nothing")), quote(cmp.Or(change.To, "nothing"))))
	}
	for _, edit := range path.Edits {
		if text := quote(edit.Path); !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return list
}

// chainLine retells the chain of a cause on one line.
func chainLine(cause fact.Cause) string {
	var links []string
	for i, link := range cause.Chain {
		if i == maxChainLinks {
			links = append(links, fmt.Sprintf("%d more steps", len(cause.Chain)-i))
			break
		}
		links = append(links, fmt.Sprintf("%s %s%s (%s)", link.Kind, quote(link.Key), at(link.Location), link.Evidence.Strength))
	}
	return cmp.Or(strings.Join(links, "; "), "not known")
}

// checks lists the checks of a proof, those that did not pass first when there are too
// many.
func checks(b *strings.Builder, list []fact.Check) {
	if len(list) > maxChecks {
		list = slices.Clone(list)
		slices.SortStableFunc(list, func(a, b fact.Check) int { return cmp.Compare(rank(a.Status), rank(b.Status)) })
	}
	for i, check := range list {
		if i == maxChecks-1 && len(list) > maxChecks {
			var names []string
			for _, rest := range list[i:] {
				names = append(names, quote(rest.Status+" "+rest.Name))
			}
			fmt.Fprintf(b, "- %s\n", strings.Join(names, "; "))
			break
		}
		fmt.Fprintf(b, "- %s: %s", check.Status, quote(check.Name))
		if check.Detail != "" {
			fmt.Fprintf(b, " (%s)", quote(check.Detail))
		}
		b.WriteString("\n")
	}
}

func rank(status string) int {
	return slices.Index([]string{fact.CheckFail, fact.CheckSkip, fact.CheckPass}, status)
}

// why says who owns the line, and by what that is known.
func why(b *strings.Builder, issues []issue.Issue) {
	if len(issues) == 0 || len(issues[0].Owners) == 0 {
		b.WriteString("- the owner is unknown: no ownership claim reaches this line\n")
		return
	}
	for i, owner := range issues[0].Owners {
		if i == maxOwnerLines {
			break
		}
		detail := ""
		if len(owner.Evidence) > 0 {
			detail = ": " + quote(owner.Evidence[0].Detail)
		}
		fmt.Fprintf(b, "- %s (%s, %s, confidence %.2f)%s\n", quote(owner.Name), owner.Kind, owner.Role, owner.Confidence, detail)
	}
}

func alternatives(b *strings.Builder, path fix.Path, issues []issue.Issue) {
	rejected := 0
	if len(issues) > 0 {
		for _, other := range issues[0].FixPaths {
			if other.ID == path.ID || rejected == maxRejected {
				continue
			}
			rejected++
			fmt.Fprintf(b, "- %s: %s\n", quote(other.Summary), quote(other.Reason))
		}
	}
	if rejected == 0 {
		b.WriteString("- none was found besides this one\n")
	}
}

func trailers(b *strings.Builder, key string, path fix.Path, issues []issue.Issue, proof fact.Verification) {
	var ids []string
	for i, it := range issues {
		if i == maxTrailerIDs {
			ids = append(ids, fmt.Sprintf("and %d more", len(issues)-i))
			break
		}
		ids = append(ids, it.ID)
	}
	fmt.Fprintf(b, "\n%s: %s\n%s: %s\n%s: %s\n", trailerKey, key, trailerCloses, strings.Join(ids, " "), trailerChange, trailerJSON(path))
	if proof.Digest != "" {
		fmt.Fprintf(b, "%s: sha256:%s\n", trailerProof, proof.Digest)
	}
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
		if r < ' ' || r >= 0x7f && r <= 0x9f || r >= 0x200b && r <= 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2060 && r <= 0x206f || r == 0x61c || r == 0x180e || r == 0xfeff || r >= 0xe0000 {
			return ' '
		}
		return r
	}, text)), " ")
}

// quote makes untrusted text inert in Markdown: one line, in which nothing is a
// link (bare addresses included), an image, a mention, a tag or a heading.
func quote(text string) string {
	text = inert(strings.ReplaceAll(cut(oneLine(text), 300), "://", ":\u2060//"))
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

// reference is what forges take for the number of a ticket, in titles and commit
// messages too, or for an address without a scheme.
var reference = regexp.MustCompile(`#[0-9]|(?i:\bgh-[0-9]|\bwww\.)`)

// inert keeps a word joiner in what a forge would otherwise link or close.
func inert(text string) string {
	return reference.ReplaceAllStringFunc(text, func(found string) string {
		return found[:len(found)-1] + "\u2060" + found[len(found)-1:]
	})
}

func cut(text string, width int) string {
	runes := []rune(text)
	if len(runes) <= width {
		return text
	}
	return string(runes[:width-1]) + "…"
}

// plainMarks are characters that JSON can write as escapes, so that a package's name in
// it is no mention, link or code.
var plainMarks = strings.NewReplacer("@", `\u0040`, "(", `\u0028`, "`", `\u0060`, "#", `\u0023`, "!", `\u0021`, "*", `\u002a`, "~", `\u007e`, "://", `:\u002f/`, "www.", `www\u002e`, "GH-", `GH\u002d`, "gh-", `gh\u002d`)

// trailerJSON is the machine-readable form of a change, on one line. Of a change that is
// too long for that it tells the first package only, and how many there are.
func trailerJSON(path fix.Path) string {
	form := struct {
		Path    string       `json:"path"`
		Kind    string       `json:"kind"`
		Changes []fix.Change `json:"changes"`
		More    int          `json:"more,omitempty"`
	}{path.ID, path.Kind, append([]fix.Change{}, path.Changes...), 0}
	for {
		text, err := json.Marshal(form)
		if err != nil {
			panic("agent: a plain struct of strings does not marshal: " + err.Error())
		}
		if line := plainMarks.Replace(oneLine(string(text))); len(line) <= maxTrailerJSON || len(form.Changes) == 0 {
			return line
		}
		form.Changes, form.More = form.Changes[:len(form.Changes)/2], len(path.Changes)-len(form.Changes)/2
	}
}
