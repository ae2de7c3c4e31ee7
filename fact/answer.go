package fact

import "slices"

// CauseStatus says how much is known about a root cause.
type CauseStatus string

// Statuses of a cause.
const (
	CauseFound     CauseStatus = "found"
	CauseAmbiguous CauseStatus = "ambiguous" // equal candidates, all listed
	CauseUnknown   CauseStatus = "unknown"   // Missing says what would settle it
)

// Cause is the answer to "where": the locations that must change and the chain
// of evidence that leads from what was observed to them.
type Cause struct {
	Status    CauseStatus `json:"status"`
	Locations []Location  `json:"locations"`
	Chain     []Link      `json:"chain"`
	Missing   []string    `json:"missing"`
}

// Weakest is the strength of the weakest step of the chain, on which the answer as a
// whole stands; "" for a chain without steps.
func (c Cause) Weakest() Strength {
	order := []Strength{Guess, Derived, Declared, Attested, Proven}
	weakest := Strength("")
	for _, link := range c.Chain {
		if weakest == "" || slices.Index(order, link.Evidence.Strength) < slices.Index(order, weakest) {
			weakest = link.Evidence.Strength
		}
	}
	return weakest
}

// Link is one step of a chain, from what was observed towards the cause.
type Link struct {
	Kind     string   `json:"kind"` // finding, lock, package, manifest, file
	Key      string   `json:"key"`
	Location Location `json:"location"`
	Evidence Evidence `json:"evidence"`
}

// Owner is one suggestion of who should act, reached through ownership claims.
type Owner struct {
	Kind       string          `json:"kind"` // team or person
	ID         string          `json:"id"`
	Name       string          `json:"name"`
	Role       string          `json:"role"` // owner, primary, reviewer, creator, last_author ...
	Confidence float64         `json:"confidence"`
	Evidence   []OwnerEvidence `json:"evidence"`
}

// OwnerEvidence is one reason for a suggestion. Kind names the signal
// (codeowners, line_history ...), Source where it was read, Detail what it said
// and, for signals that lost, what overruled them.
type OwnerEvidence struct {
	Kind   string  `json:"kind"`
	Source string  `json:"source"`
	Detail string  `json:"detail"`
	Weight float64 `json:"weight,omitempty"`
}

// Verification is the evidence that a change closes an issue.
type Verification struct {
	Status string  `json:"status"` // proven, failed, unchecked
	Checks []Check `json:"checks"`
	// Digest is the sha256 of the in-toto statement that records it, hex.
	Digest string `json:"digest,omitempty"`
}

// Statuses of a Verification.
const (
	VerificationProven    = "proven"
	VerificationFailed    = "failed"
	VerificationUnchecked = "unchecked"
)

// Check is one thing that was checked, with what came out.
type Check struct {
	Name   string `json:"name"`
	Status string `json:"status"` // pass, fail, skip
	Detail string `json:"detail"`
}

// Statuses of a Check.
const (
	CheckPass = "pass"
	CheckFail = "fail"
	CheckSkip = "skip"
)
