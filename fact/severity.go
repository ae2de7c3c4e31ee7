package fact

import (
	"fmt"
	"strings"
)

// Severity orders how bad a flaw is; greater is worse. The zero value means
// that nobody said.
type Severity int8

// Severities.
const (
	SeverityUnknown Severity = iota
	SeverityInfo
	SeverityLow
	SeverityMedium
	SeverityHigh
	SeverityCritical
)

var severityNames = [...]string{"unknown", "info", "low", "medium", "high", "critical"}

// String returns the lower-case word of s.
func (s Severity) String() string {
	if s < 0 || int(s) >= len(severityNames) {
		return fmt.Sprintf("severity(%d)", int8(s))
	}
	return severityNames[s]
}

// MarshalText writes the word of s.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads one of our own words; it fails on any other.
func (s *Severity) UnmarshalText(text []byte) error {
	for i, name := range severityNames {
		if name == string(text) {
			*s = Severity(i)
			return nil
		}
	}
	return fmt.Errorf("severity %q: expected one of %s", text, strings.Join(severityNames[:], ", "))
}

// ParseSeverity reads the words that detectors use, in any case. It returns
// SeverityUnknown for a word it does not know.
func ParseSeverity(word string) Severity {
	switch strings.ToLower(strings.TrimSpace(word)) {
	case "critical", "crit", "blocker":
		return SeverityCritical
	case "high", "error", "important", "major":
		return SeverityHigh
	case "medium", "moderate", "warning", "warn":
		return SeverityMedium
	case "low", "minor", "note":
		return SeverityLow
	case "info", "informational", "information", "negligible", "none", "inventory", "experiment":
		return SeverityInfo
	}
	return SeverityUnknown
}

// SeverityOfScore gives the CVSS qualitative rating of a base score
// (first.org CVSS v3.1 specification, section 5). 0 gives SeverityInfo.
func SeverityOfScore(score float64) Severity {
	switch {
	case score >= 9:
		return SeverityCritical
	case score >= 7:
		return SeverityHigh
	case score >= 4:
		return SeverityMedium
	case score > 0:
		return SeverityLow
	}
	return SeverityInfo
}
