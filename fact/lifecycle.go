package fact

// Product is something whose maker supports each of its cycles for a time.
type Product struct {
	Name   string // short and stable, for example "nodejs"
	Title  string // for people, for example "Node.js"
	PURLs  []string
	Cycles []Cycle // by the numbers in their names, the highest first
}

// Cycle is a line of releases that is supported together, such as Python 3.7.
type Cycle struct {
	Name     string // "3.7", "18.04", "buster" where a product counts in names
	Codename string // "Bionic Beaver", "" for none
	Released int64  // microseconds since 1970 UTC, 0 unknown
	End      int64  // the day from which it is not supported, 0 when none is known
	Ended    bool   // it is not supported any more, since a day that is not known
	Latest   string // its newest release, "" unknown
}

// Over says whether support of the cycle has ended at a time.
func (c *Cycle) Over(now int64) bool { return c.Ended || c.End != 0 && c.End <= now }
