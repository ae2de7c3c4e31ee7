package issue

import "github.com/backstitch/backstitch/fact"

// StoredFinding is a finding as it is kept: with the detector that saw it, what
// became of it, and the alias class of its advisory.
type StoredFinding struct {
	fact.Finding
	// ID names the finding in its asset for as long as it is the same one.
	ID     string
	Tool   string
	Format string
	// State is FindingOpen or FindingUnconfirmed.
	State string
	// Class are all known ids of the alias class, sorted, with Rule; for rules
	// that are no advisories it is Rule alone.
	Class     []string
	FirstSeen int64 // microseconds since 1970 UTC
	LastSeen  int64
	// Report is the name of the report that the finding was last written from,
	// Blob the id of its kept raw text (store.ReadBlob with Position), 0 when it
	// was not kept.
	Report string
	Blob   int64
}

// States of a StoredFinding.
const (
	FindingOpen        = "open"
	FindingUnconfirmed = "unconfirmed" // a complete run of its scope did not see it again
)
