package issue

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/backstitch/backstitch/fact"
)

// analysisWeight orders statements about one finding: the greater one holds.
// A decision to accept a risk stays one whatever others say (law 7); that
// somebody calls it exploitable outweighs that somebody calls it harmless.
var analysisWeight = map[string]int{
	fact.AnalysisAcceptedRisk:  6,
	fact.AnalysisExploitable:   5,
	fact.AnalysisFalsePositive: 4,
	fact.AnalysisNotAffected:   4,
	fact.AnalysisResolved:      3,
	fact.AnalysisInTriage:      2,
	"":                         0,
}

// CombineAnalyses gives the statement that holds among several about one
// finding, in the order in which they were made: an accepted risk, then
// exploitable, then false positive or not affected, then resolved, then in
// triage; of equal ones the latest.
func CombineAnalyses(list ...fact.Analysis) fact.Analysis {
	var holds fact.Analysis
	best := -1
	for _, a := range list {
		weight, known := analysisWeight[a.State]
		if !known {
			weight = 1
		}
		if weight >= best && a != (fact.Analysis{}) {
			holds, best = a, weight
		}
	}
	return holds
}

// derive gives the state of an issue from its findings alone. It never gives
// resolved: a statement that something is resolved is a claim, not a proof
// (law 2). One accepted risk keeps the whole issue from being called not
// affected (law 7).
func derive(members []member) (state State, reason, analysis string) {
	count := map[string]int{}
	var words fact.Analysis
	for _, m := range members {
		words = CombineAnalyses(words, m.Analysis)
		switch a := m.Analysis.State; {
		case a == fact.AnalysisAcceptedRisk, a == fact.AnalysisNotAffected, a == fact.AnalysisFalsePositive:
			count[a]++
		case m.State == FindingUnconfirmed:
			count[FindingUnconfirmed]++
		default:
			count[FindingOpen]++
		}
	}
	switch {
	case count[FindingOpen] > 0:
		state = Open
	case count[fact.AnalysisAcceptedRisk] > 0:
		state, reason = Rejected, Exception
	case count[FindingUnconfirmed] > 0:
		state = Unconfirmed
	case count[fact.AnalysisNotAffected] > 0:
		state, reason = Rejected, NotAffected
	default:
		state, reason = Rejected, FalsePositive
	}
	analysis = words.State
	for _, more := range []string{words.Justification, words.Detail} {
		if more != "" {
			analysis += ": " + more
		}
	}
	if words.Source != "" {
		analysis += " (" + words.Source + ")"
	}
	return state, reason, analysis
}

// reasons lists the reasons that may stand beside each state.
var reasons = map[State][]string{
	Open:        {""},
	InProgress:  {Planned, ChangeOpen, Merged, Deployed},
	Resolved:    {FixedVerified, TargetDeleted, RuleChanged},
	Rejected:    {FalsePositive, NotAffected, Exception, WontFix},
	Unconfirmed: {""},
}

// transitions lists where an issue may go from each state.
var transitions = map[State][]State{
	Open:        {InProgress, Resolved, Rejected, Unconfirmed},
	InProgress:  {Open, InProgress, Resolved, Rejected, Unconfirmed},
	Unconfirmed: {Open, InProgress, Resolved, Rejected},
	Resolved:    {Open}, // reopening
	Rejected:    {Open, Rejected},
}

// ErrTransition says that a move is not allowed.
var ErrTransition = errors.New("state change is not allowed")

// Move is a decision about an issue's state.
type Move struct {
	To       State
	Reason   string
	Actor    string          // who decided: "person:ada", "backstitch"
	Evidence []fact.Evidence // why; needed for resolved and rejected
	Key      string          // once-only key: the same move again changes nothing
}

// Check says whether a move from a state is allowed.
//
// Whatever closes needs evidence; fixed_verified needs a proof (law 2). An
// exception or a won't-fix does not turn into not_affected or false_positive:
// reopen it first, and say why (law 7).
func (m Move) Check(from State, reason string) error {
	switch {
	case m.Actor == "":
		return fmt.Errorf("%w: it names no actor", ErrTransition)
	case m.Key == "":
		return fmt.Errorf("%w: it has no idempotency key", ErrTransition)
	case !slices.Contains(transitions[from], m.To):
		return fmt.Errorf("%w: from %s to %s", ErrTransition, from, m.To)
	case !slices.Contains(reasons[m.To], m.Reason):
		return fmt.Errorf("%w: %s cannot have the reason %q, expected one of %q", ErrTransition, m.To, m.Reason, reasons[m.To])
	case from == Rejected && (reason == Exception || reason == WontFix) && m.To == Rejected && (m.Reason == NotAffected || m.Reason == FalsePositive):
		return fmt.Errorf("%w: an accepted risk is not %s; reopen the issue first", ErrTransition, m.Reason)
	}
	if m.To != Resolved && m.To != Rejected {
		return nil
	}
	proven := false
	for _, e := range m.Evidence {
		if e.Method == "" || e.Source == "" {
			return fmt.Errorf("%w: evidence without method or source", ErrTransition)
		}
		proven = proven || e.Strength == fact.Proven
	}
	if len(m.Evidence) == 0 {
		return fmt.Errorf("%w: %s needs evidence", ErrTransition, cmp.Or(m.Reason, string(m.To)))
	}
	if m.Reason == FixedVerified && !proven {
		return fmt.Errorf("%w: %s needs evidence of strength %s", ErrTransition, m.Reason, fact.Proven)
	}
	return nil
}

// VEX is what a state means in the words of other formats. Empty means that no
// statement is made.
type VEX struct {
	CycloneDX string   // analysis state
	Response  []string // CycloneDX responses
	OpenVEX   string   // status
	OCSF      int      // status_id of a finding
}

// Export translates a state for other tools. Only a false positive or a
// justified not_affected is exported as not_affected: an accepted risk stays
// exploitable and affected, with the response that was chosen (law 7).
func Export(state State, reason string) VEX {
	switch state {
	case InProgress:
		return VEX{"exploitable", []string{"update"}, "affected", 2}
	case Resolved:
		if reason == FixedVerified {
			return VEX{"resolved", nil, "fixed", 4}
		}
		return VEX{OCSF: 4}
	case Rejected:
		switch reason {
		case FalsePositive:
			return VEX{"false_positive", nil, "not_affected", 3}
		case NotAffected:
			return VEX{"not_affected", nil, "not_affected", 3}
		}
		return VEX{"exploitable", []string{"will_not_fix"}, "affected", 3}
	case Unconfirmed:
		return VEX{"in_triage", nil, "under_investigation", 2}
	}
	return VEX{"in_triage", nil, "under_investigation", 1}
}

// Export translates the issue's state for other tools.
func (i *Issue) Export() VEX { return Export(i.State, i.Reason) }
