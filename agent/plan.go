package agent

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// shellQuote writes a value for a POSIX shell: nothing in it is understood by the shell.
func shellQuote(text string) string {
	safe := text != ""
	for _, c := range text {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-_./:@%+=,", c) {
			safe = false
		}
	}
	if safe && text[0] != '-' {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// plan writes what to do here, in order, each step with what it is expected to show.
func (q *inquiry) plan() {
	add := func(evidence []int, text, command, expected string) {
		if evidence == nil {
			evidence = q.chain()
		}
		q.record.Plan = append(q.record.Plan, PlanStep{Text: oneLine(text), Command: command, Expected: oneLine(expected), Evidence: once(evidence)})
	}
	p := q.recommended()
	if p == nil {
		q.planWithout(add)
		return
	}
	if q.it.Kind == fact.Secret {
		add(nil, "Rotate the secret before anything else: whoever read it has it.", "", "The old one is refused by its provider.")
	}
	at := slices.IndexFunc(q.it.FixPaths, func(one fix.Path) bool { return one.Kind == fix.Stopgap && !one.Recommended })
	if at >= 0 {
		q.planSteps(&q.it.FixPaths[at], "Until the durable fix is there: ", add)
	}
	id := " --path " + shellQuote(p.ID)
	if p.Manual {
		q.planSteps(p, "", add)
	} else {
		add(nil, "Prove the change: "+p.Summary, "backstitch fix verify "+q.it.ID+id, "The proof is \"proven\": seen before, still seen after a change that does nothing, not seen after it, nothing new as bad.")
		if len(p.Reviewers) > 0 || len(q.record.Who) > 0 {
			text := "Tell who owns the line"
			if len(q.record.Who) > 0 {
				text += ": " + q.record.Who[0].Text
			}
			var numbers []int
			if len(q.record.Who) > 0 {
				numbers = q.record.Who[0].Evidence
			}
			add(numbers, text, "backstitch owner explain "+q.it.ID, "They agree that it is theirs, or name whose it is.")
		}
		add(nil, "Offer the change for review.", "backstitch fix open "+q.it.ID+id+" --remote "+shellQuote(remoteOf(q.record.Repository)), fmt.Sprintf("A branch, and where the forge has them a pull request, that closes %s.", closing(len(p.Closes))))
		add(nil, "Follow it to its end.", "backstitch change follow", "The change goes from change_open over merged to verified; anything else names its reason.")
	}
	q.planAfter(p, add)
	for _, i := range []int{at, slices.IndexFunc(q.it.FixPaths, func(one fix.Path) bool { return one.Recommended && one.Manual })} {
		if i >= 0 {
			q.planBack(&q.it.FixPaths[i], add)
		}
	}
}

// planBack says how something temporary is taken back.
func (q *inquiry) planBack(p *fix.Path, add func([]int, string, string, string)) {
	if p.Expires > 0 {
		add(nil, fmt.Sprintf("Take back within %d hours: %s.", p.Expires, strings.TrimSuffix(p.Summary, ".")), "", "Nothing of it is left, and the durable fix holds alone.")
	}
	for _, step := range p.Undo {
		add(nil, "The way back: "+step.Text, step.Command, done(step))
	}
}

// done says what a step is expected to show.
func done(step fix.Step) string {
	if step.Command != "" {
		return "The command ends without an error."
	}
	return "It is as the step says."
}

// remoteOf gives a repository's address from its identity.
func remoteOf(identity string) string {
	if identity == "" || strings.HasPrefix(identity, "local/") {
		return "REMOTE"
	}
	return "https://" + identity
}

func closing(n int) string {
	if n == 1 {
		return "this issue"
	}
	return fmt.Sprintf("%d issues", n)
}

// handOver begins the command that hands an issue over; a fix path does not know where.
const handOver = "backstitch fix handoff "

func (q *inquiry) planSteps(p *fix.Path, before string, add func([]int, string, string, string)) {
	for _, step := range p.Steps {
		numbers := q.chain()
		if step.Location != nil {
			numbers = []int{q.number(fact.Evidence{Method: "fix path", Source: cmp.Or(p.Fixer, p.ID), Strength: fact.Derived, Detail: p.Summary}, step.Location)}
		}
		command := step.Command
		if strings.HasPrefix(command, handOver) && !strings.Contains(command, "--remote") {
			command += " --remote " + shellQuote(remoteOf(q.record.Repository))
		}
		add(numbers, before+step.Text, command, done(step))
	}
}

// planAfter says how an independent look shows that it worked.
func (q *inquiry) planAfter(p *fix.Path, add func([]int, string, string, string)) {
	images := 0
	for _, a := range q.it.Assets {
		if a.Kind == fact.AssetImage {
			images++
		}
	}
	if images > 0 {
		add(nil, "Build the image from the merged commit and deploy it.", "", "What runs is an image of that revision; a rebuilt image that is not deployed fixes nothing.")
	}
	if slices.ContainsFunc(q.it.Assets, func(a fact.Asset) bool { return a.Kind == fact.AssetResource }) && !p.Manual {
		add(nil, "Apply the Terraform root that holds the line.", "", "The plan shows the change of this value and nothing else.")
	}
	add([]int{q.told()}, "Let the same detectors look again: "+strings.Join(q.it.Tools, ", ")+".", "backstitch import REPORT --repo DIR", "The report no longer holds it, and the issue is resolved as fixed_verified.")
}

// planWithout says what would settle an issue without a fix path.
func (q *inquiry) planWithout(add func([]int, string, string, string)) {
	for _, missing := range q.it.Cause.Missing {
		add([]int{q.told()}, "Find out: "+missing, "", "The chain leads further.")
	}
	for _, block := range q.it.Blocked {
		add(nil, "In the way: "+block, "", "The constraint is gone, or the risk is accepted for a time.")
	}
	add([]int{q.told()}, "Until there is a fix, decide what is to become of it.", "backstitch issue reject "+q.it.ID+" --reason exception --note 'WHY, UNTIL WHEN'", "The decision is kept with its reason, and the risk is never called not affected.")
}
