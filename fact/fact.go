// Package fact holds what sources tell Backstitch, as plain data.
//
// A fact is a claim by a source at a time: a finding of a scanner, an advisory
// of a database, a location in a repository, the evidence for an edge. The
// package has no behaviour beyond normalising and comparing its own values,
// performs no input or output and imports nothing else of this module, so that
// every other package can share these words.
//
// Words are those of the project: a Finding is one observation by one detector
// in one run; an Issue (package issue) is the deduplicated unit of work that
// findings belong to; a Cause is the location that must change.
package fact

// Kind says what sort of flaw a finding or issue is about.
type Kind string

// The kinds of flaws.
const (
	Vulnerability    Kind = "vulnerability"
	Misconfiguration Kind = "misconfiguration"
	Secret           Kind = "secret"
	CodeFlaw         Kind = "code"
	EndOfLife        Kind = "end_of_life"
	Exposure         Kind = "exposure"
)

// Kinds lists the kinds of flaws.
func Kinds() []Kind {
	return []Kind{Vulnerability, Misconfiguration, Secret, CodeFlaw, EndOfLife, Exposure}
}

// Asset is anything that can be affected, by value. Kind is one of the words
// of the security graph ("repository", "file", "image", "workload" ...); Key
// identifies it within its kind and holds no checkout path.
type Asset struct {
	Kind string `json:"kind"`
	Key  string `json:"key"`
	Name string `json:"name"`
}

// Asset kinds that findings name today.
const (
	AssetRepository = "repository"
	AssetFile       = "file"
	AssetImage      = "image"
	AssetPackage    = "package"
	AssetHost       = "host"
	AssetResource   = "cloud_resource"
	AssetUnknown    = "unknown"
)

// Package is one package at one version. Ecosystem is the OSV ecosystem name
// without suffix ("Go", "npm", "PyPI", "Maven", "crates.io", "RubyGems",
// "Packagist", "NuGet", "Debian" ...), empty when the source did not say.
type Package struct {
	Ecosystem string `json:"ecosystem,omitempty"`
	Name      string `json:"name"`
	Version   string `json:"version"`
	PURL      string `json:"purl,omitempty"`
}

// Location is a place in a repository at a commit. Path is slash-separated and
// relative to the repository's root; lines count from 1, 0 means unknown.
// EndLine is inclusive. Repository is the canonical remote, not a checkout.
type Location struct {
	Repository string `json:"repository,omitempty"`
	Commit     string `json:"commit,omitempty"`
	Path       string `json:"path"`
	Line       int    `json:"line,omitempty"`
	EndLine    int    `json:"end_line,omitempty"`
}

// Strength says how much an edge of a chain can be relied on. A chain is as
// strong as its weakest edge.
type Strength string

// Strengths, strongest first.
const (
	Proven   Strength = "proven"   // signed provenance, content equality, a traced literal equal to the value
	Attested Strength = "attested" // unsigned provenance, build info, lockfile written by the ecosystem's tool
	Declared Strength = "declared" // labels, tags, manifests
	Derived  Strength = "derived"  // alignment or history, with a margin
	Guess    Strength = "guess"    // names only
)

// Evidence says why an answer is believed: the method that found it, the
// source it was found in, and its strength.
type Evidence struct {
	Method   string   `json:"method"`
	Source   string   `json:"source"`
	Strength Strength `json:"strength"`
	Detail   string   `json:"detail,omitempty"`
}
