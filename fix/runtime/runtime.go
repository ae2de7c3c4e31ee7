// Package runtime plans what is done beside the repository: stopgaps on what runs until
// the durable fix is there, the rotation of secrets, and exceptions.
//
// Nothing here is ever carried out by Backstitch. A path is a list of steps for people,
// with commands whose every word that comes from outside was held against the form that
// its system gives to such names; where one does not have that form, or where what
// would have to be taken back is not known, there is no path. Each stopgap says how it
// is taken back and when it ends.
package runtime

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// ID names the fixer in paths.
const ID = "fix/runtime"

type fixer struct{}

// New makes the fixer.
func New() fix.SiteFixer { return fixer{} }

func (fixer) Describe() fix.Description {
	return fix.Description{
		ID: ID, Name: "runtime",
		Docs: "Lists stopgaps on cloud resources and Kubernetes objects with how they are taken back, steps to rotate secrets, and what an exception needs. People carry them out.",
	}
}

// Apply refuses: people carry these paths out.
func (fixer) Apply(context.Context, string, fix.Path) ([]string, error) {
	return nil, errors.New("people carry out what is done on running systems; nothing is applied here")
}

// PlanSite implements fix.SiteFixer.
func (fixer) PlanSite(ctx context.Context, site *fix.Site) ([]fix.Path, error) {
	var paths []fix.Path
	for i := range site.Flaws {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		flaw := &site.Flaws[i]
		if flaw.Kind == fact.Secret {
			paths = append(paths, rotation(site, flaw))
		} else {
			paths = append(paths, stopgaps(site, flaw)...)
		}
		paths = append(paths, exception(flaw))
	}
	return paths, nil
}

// finish completes a path of one flaw.
func finish(p fix.Path, flaw *fix.Flaw) fix.Path {
	p.Fixer, p.Manual, p.Closes, p.Changes, p.Findings = ID, true, []string{flaw.Issue}, []fix.Change{}, flaw.Findings
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\x00%s\x00%s", p.Kind, flaw.Issue, p.Summary)
	for _, step := range slices.Concat(p.Steps, p.Undo) {
		fmt.Fprintf(sum, "\x00%s\x00%s", step.Text, step.Command)
	}
	p.ID = "runtime-" + hex.EncodeToString(sum.Sum(nil))[:16]
	return p
}

// term is how long an exception may stand by severity, in hours.
func term(s fact.Severity) int {
	switch s {
	case fact.SeverityCritical:
		return 7 * 24
	case fact.SeverityHigh:
		return 30 * 24
	case fact.SeverityMedium:
		return 90 * 24
	}
	return 180 * 24
}

// exception is the last resort for every flaw.
func exception(flaw *fix.Flaw) fix.Path {
	hours := term(flaw.Severity)
	condition := "nothing that makes it worse becomes known"
	switch flaw.Kind {
	case fact.Vulnerability:
		condition = "no exploit of it is known to be used, and what is affected is not reachable from the internet"
	case fact.Misconfiguration, fact.Exposure:
		condition = "what is affected holds no data of customers and is not reachable from the internet"
	case fact.Secret:
		condition = "the secret was shown to be without effect: revoked, or of a system that is gone"
	case fact.CodeFlaw:
		condition = "no input from outside reaches the line"
	case fact.EndOfLife:
		condition = "no flaw of it is known that will not be mended"
	}
	return finish(fix.Path{
		Kind: fix.Accept, Summary: fmt.Sprintf("accept it for at most %d days", hours/24), Effort: fix.EffortSmall, Risk: "unknown", Temporary: true, Expires: hours, Reach: "this issue",
		Steps: []fix.Step{
			{Text: "write down why none of the other ways is taken now, and who takes the risk: its owner, not who found it"},
			{Text: "let the exception hold only while " + condition},
			{Text: fmt.Sprintf("let it end after %d days at the latest; then it is open again", hours/24)},
		},
		Undo: []fix.Step{{Text: "withdraw the exception"}},
	}, flaw)
}
