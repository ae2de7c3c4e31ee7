package fact

// Finding is one observation by one detector in one run. It is immutable.
//
// Empty fields mean that the detector did not say. Severity is the detector's
// own word; SeverityText keeps it verbatim when it is not one of ours.
type Finding struct {
	Kind         Kind
	Rule         string   // rule id, or the detector's primary advisory id
	Aliases      []string // other ids of the same flaw, without Rule
	Title        string
	Description  string
	Severity     Severity
	SeverityText string
	Score        float64 // CVSS base score, 0 when unknown
	Vector       string  // CVSS vector
	CWE          []int
	EPSS         float64 // probability 0..1, 0 when unknown
	References   []string
	Mitigation   string

	Asset         Asset    // what is affected; set by the reader, completed by intake
	Package       Package  // for vulnerabilities of packages
	FixedVersions []string // versions the detector says contain the fix, in its order
	Introduced    []string // path from the direct dependency to the package, when the detector gives it

	Path    string // file the detector saw it in, as the detector wrote it
	Line    int    // 1-based, 0 unknown
	EndLine int
	Anchor  string // stable text of the location (function, resource address, snippet hash, secret fingerprint)
	Commit  string // commit the detector looked at, when it says so

	// Analysis is a VEX or suppression statement that came with the finding.
	Analysis Analysis

	// Position is where in the report this finding was read, for evidence and errors.
	Position Position

	// Attributes keeps what a detector says beyond the fields above, by its own name.
	Attributes map[string]string
}

// Position is a place in a report: byte offset of its first byte, length in
// bytes, both 0 when unknown, and the item's path in the document's structure,
// for example "runs[0].results[3]".
type Position struct {
	Offset int64
	Length int64
	Item   string
}

// Analysis is a statement about whether a finding matters, from VEX or from a
// detector's own suppression. State is one of the constants below.
type Analysis struct {
	State         string `json:"state,omitempty"`
	Justification string `json:"justification,omitempty"`
	Detail        string `json:"detail,omitempty"`
	Source        string `json:"source,omitempty"`
}

// States of an Analysis, with the words of CycloneDX. AcceptedRisk is not one
// of CycloneDX: it marks a suppression by decision (ignore file, will_not_fix),
// which must never become not_affected.
const (
	AnalysisExploitable   = "exploitable"
	AnalysisInTriage      = "in_triage"
	AnalysisFalsePositive = "false_positive"
	AnalysisNotAffected   = "not_affected"
	AnalysisResolved      = "resolved"
	AnalysisAcceptedRisk  = "accepted_risk"
)

// Run describes one run of one detector as its report tells it.
type Run struct {
	Tool        string // name of the detector, for example "trivy"
	ToolVersion string
	Format      string // reader id that read the report, for example "trivy"
	Target      string // what was scanned, as the detector wrote it
	Started     int64  // microseconds since 1970 UTC, 0 unknown
	// Complete says that the report lists everything the detector found in
	// its target, so that what it no longer lists was looked for and not seen.
	Complete bool
	// Part is the part of the detector that ran, where its report tells: a
	// framework or check type. What another part found was not looked for.
	Part string
	// Rules names the rule or advisory database revision, when the report says so.
	Rules string
	// Assets are the assets that the run covered even where it found nothing.
	Assets []Asset
	// Image is the configuration of the image that was scanned, when the report
	// holds it.
	Image *ImageConfig `json:"-"`
}

// ImageConfig is an image's configuration as its JSON, whose fields are those of
// the OCI image specification: history, rootfs and config.
type ImageConfig struct {
	Asset Asset
	JSON  []byte
}

// Component is one entry of an inventory (SBOM).
type Component struct {
	Package  Package
	Type     string // library, application, operating-system ...
	Ref      string // the document's own reference, bom-ref or similar
	Licenses []string
	Hashes   map[string]string
	Requires []string // refs of direct dependencies
	Path     string
	Position Position
}

// Statement is a VEX statement that stands apart from a finding: it applies to
// findings of the same alias class in the named products.
type Statement struct {
	Advisory string   // primary id
	Aliases  []string // other ids
	Products []string // purls or bom-refs; empty means the document's subject
	Analysis Analysis
	Position Position
}
