package report

import (
	"cmp"
	"regexp"

	"github.com/backstitch/backstitch/fact"
)

// Limits of an Inventory.
const (
	maxComponents   = 50_000    // components, and statements, that are held for what a document says of them later
	maxDependencies = 1_000_000 // edges between components
)

// Inventory gives the components of one document to a sink. Documents tell what they
// are about, and what depends on what, only after the components; so those are held
// until End, and statements too. Those beyond maxComponents are given on at once,
// components without their dependencies.
type Inventory struct {
	// Run is told before the first component; a reader completes it until then.
	Run fact.Run
	// Subject is what the document describes, and the asset of its findings.
	Subject fact.Asset
	// Finish, when set, completes each held component at the end.
	Finish func(c *fact.Component)

	sink         Sink
	err          error // of the sink
	begun        bool
	held         []fact.Component
	requires     map[string][]string
	dependencies int
	statements   []fact.Statement
	findings     Spool
}

// NewInventory starts the inventory of one document.
func NewInventory(sink Sink, run fact.Run) *Inventory {
	return &Inventory{Run: run, Subject: fact.Asset{Kind: fact.AssetUnknown}, sink: sink, requires: map[string][]string{}}
}

func (v *Inventory) begin() {
	if !v.begun && v.err == nil {
		v.begun = true
		v.err = v.sink.Run(v.Run)
	}
}

// Component adds an entry. An error is the sink's and ends the reading.
func (v *Inventory) Component(c fact.Component) error {
	if len(v.held) < maxComponents {
		v.held = append(v.held, c)
		return v.err
	}
	if v.begin(); v.err == nil {
		v.err = v.sink.Component(c)
	}
	return v.err
}

// Statement adds a statement, which is given after the components.
func (v *Inventory) Statement(s fact.Statement) error {
	if len(v.statements) < maxComponents {
		v.statements = append(v.statements, s)
		return v.err
	}
	if v.begin(); v.err == nil {
		v.err = v.sink.Statement(s)
	}
	return v.err
}

// Requires notes direct dependencies of the component with a reference.
func (v *Inventory) Requires(ref string, on ...string) {
	for _, other := range on {
		if ref != "" && other != "" && ref != other && v.dependencies < maxDependencies {
			v.dependencies++
			v.requires[ref] = append(v.requires[ref], other)
		}
	}
}

// Find gives the held component with a reference, nil when there is none.
func (v *Inventory) Find(ref string) *fact.Component {
	for i := range v.held {
		if v.held[i].Ref == ref {
			return &v.held[i]
		}
	}
	return nil
}

// Finding adds a finding, which is given after the components.
func (v *Inventory) Finding(f fact.Finding) error {
	if v.err == nil {
		v.err = v.findings.Add(f)
	}
	return v.err
}

// End gives what was held and returns the sink's error, or else the document's, with
// which the run is incomplete.
func (v *Inventory) End(document error) error {
	v.Run.Complete = v.Run.Complete && document == nil
	v.begin()
	for i := range v.held {
		c := &v.held[i]
		c.Requires = v.requires[c.Ref]
		if v.Finish != nil {
			v.Finish(c)
		}
		if v.err != nil {
			return v.err
		}
		v.err = v.sink.Component(*c)
	}
	for _, s := range v.statements {
		if v.err != nil {
			return v.err
		}
		v.err = v.sink.Statement(s)
	}
	if v.err != nil {
		return v.err
	}
	err := v.findings.Replay(func(f fact.Finding) error {
		f.Asset = v.Subject
		return v.sink.Finding(f)
	})
	return cmp.Or(err, document)
}

// Close releases what is held.
func (v *Inventory) Close() error { return v.findings.Close() }

// PackageOf makes a package of a document's own words and its package URL, which
// wins. Where the package URL names no ecosystem the name stays as it is for people.
func PackageOf(name, version, purl string) fact.Package {
	p, ok := fact.ParsePURL(purl)
	if !ok {
		return fact.Package{Name: name, Version: version}
	}
	p.Version = cmp.Or(p.Version, version)
	if p.Ecosystem == "" {
		p.Name = cmp.Or(name, p.Name)
	}
	return p
}

var advisoryID = regexp.MustCompile(`(?i)\b(CVE-\d{4}-\d{4,}|GHSA(-[0-9a-z]{4}){3}|GO-\d{4}-\d{4,}|PYSEC-\d{4}-\d+|RUSTSEC-\d{4}-\d{4}|(DSA|DLA|USN|ALAS2?|ELSA|RHSA)-\d[0-9:.-]*\d)\b`)

// AdvisoryID finds the id of an advisory in a text such as its address, "" when
// there is none.
func AdvisoryID(text string) string { return advisoryID.FindString(text) }
