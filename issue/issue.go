// Package issue turns findings into issues: the deduplicated units of work.
//
// An issue groups by value all open findings that have the same root cause and
// the same rule or alias class, whichever scanners saw them and in however many
// assets. Its id is derived from that key, so the same findings give the same
// ids on any machine. Severity and exploitation are attributes, never states.
package issue

import (
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// State is the state of an issue.
type State string

// The states of an issue, and below them the reasons that go with two of them.
const (
	Open        State = "open"
	InProgress  State = "in_progress"
	Resolved    State = "resolved"
	Rejected    State = "rejected"
	Unconfirmed State = "unconfirmed" // not seen again, no proof
)

// Reasons of a state, kept beside it.
const (
	Planned    = "planned"
	ChangeOpen = "change_open"
	Merged     = "merged"
	Deployed   = "deployed"

	FixedVerified = "fixed_verified"
	TargetDeleted = "target_deleted"
	RuleChanged   = "rule_changed"

	FalsePositive = "false_positive"
	NotAffected   = "not_affected"
	Exception     = "exception"
	WontFix       = "wont_fix"
)

// Issue is one issue with its three answers: where (Cause), who (Owners), how
// (FixPaths). Its JSON is what CLI, API and MCP give. Lists are never null.
type Issue struct {
	ID         string        `json:"id"` // "BS-" and 10 base32 characters of the key's digest
	Title      string        `json:"title"`
	Kind       fact.Kind     `json:"kind"`
	Severity   fact.Severity `json:"severity"`
	Risk       float64       `json:"risk"`       // 0..100, the sum of its terms
	RiskTerms  []Term        `json:"risk_terms"` // how the risk comes about, in order
	State      State         `json:"state"`
	Reason     string        `json:"reason,omitempty"`
	Advisories []string      `json:"advisories"` // every id of the alias class, primary first
	Assets     []fact.Asset  `json:"assets"`
	Package    *Package      `json:"package,omitempty"`
	Cause      fact.Cause    `json:"cause"`
	Owners     []fact.Owner  `json:"owners"`
	FixPaths   []fix.Path    `json:"fix_paths"`

	// Blocked are the constraints, with their lines, that keep the package from a
	// version that would do.
	Blocked []string `json:"blocked"`

	Rule      string   `json:"rule"`       // rule id, or the primary id of the alias class
	Class     []string `json:"class"`      // ids that were joined, preferred first
	FirstSeen int64    `json:"first_seen"` // microseconds since 1970 UTC, 0 unknown
	LastSeen  int64    `json:"last_seen"`

	Key      string   `json:"key"`                // the value that ID is derived from
	Findings int      `json:"findings"`           // how many findings it groups; what is unconfirmed counts when all is
	Tools    []string `json:"tools"`              // detectors that saw it, sorted
	Exploit  bool     `json:"exploited"`          // listed in CISA KEV
	EPSS     float64  `json:"epss"`               // probability 0..1, 0 unknown
	Analysis string   `json:"analysis,omitempty"` // VEX statement in force, in words
}

// Package is the package that an issue is about.
type Package struct {
	PURL    string `json:"purl"`
	Version string `json:"version"`
}
