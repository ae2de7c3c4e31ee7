package fact

// Advisory is what one database says about one flaw, restricted to what
// matching, fixing and explaining need. It follows the OSV schema.
type Advisory struct {
	ID        string
	Aliases   []string
	Summary   string
	Severity  Severity
	Score     float64
	Vector    string
	Published int64 // microseconds since 1970 UTC, 0 unknown
	Modified  int64
	Withdrawn int64 // 0 when it stands
	Affected  []Affected
	URLs      []string

	Exploited bool    // listed in CISA KEV
	EPSS      float64 // probability 0..1, 0 unknown
	Source    string  // which import brought it
}

// Affected is one package of an advisory and the versions that are affected.
type Affected struct {
	Ecosystem string // OSV name, suffix kept ("Debian:12")
	Name      string
	Ranges    []Range
	Versions  []string // explicitly affected versions
	Symbols   []string // affected symbols, for ecosystems that name them
}

// Range is a list of events in version order; it is affected from each
// Introduced up to, not including, the next Fixed (or past LastAffected).
type Range struct {
	Type   string // SEMVER, ECOSYSTEM or GIT
	Events []RangeEvent
}

// RangeEvent is one event of a Range; exactly one field is set.
type RangeEvent struct {
	Introduced   string
	Fixed        string
	LastAffected string
	Limit        string
}
