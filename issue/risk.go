package issue

import (
	"fmt"
	"math"

	"github.com/backstitch/backstitch/fact"
)

// Factors are what the risk of an issue is made of.
type Factors struct {
	Severity    fact.Severity
	Score       float64 // CVSS base score, 0 unknown
	Exploited   bool    // listed in CISA KEV
	EPSS        float64
	Direct      bool
	Development bool
	Situation
}

// Situation is where the affected assets stand, the worst of each. An empty
// value is unknown and changes nothing; Why says how each is known.
type Situation struct {
	Exposure    Exposure
	Privileges  Privileges
	Environment Environment
	Impact      Impact
	Why         SituationEvidence
}

// SituationEvidence says how each part of a Situation is known.
type SituationEvidence struct{ Exposure, Privileges, Environment, Impact string }

// Exposure is from where an asset can be reached.
type Exposure string

// Exposures, worst first.
const (
	ExposureInternet Exposure = "internet"
	ExposureInternal Exposure = "internal" // from inside its cluster or network
	ExposureNone     Exposure = "none"     // nothing leads to it
)

// Privileges is what an asset may do with what it runs as.
type Privileges string

// Privileges, worst first.
const (
	PrivilegesAdmin   Privileges = "admin"   // everything, or enough to take it
	PrivilegesWide    Privileges = "wide"    // secrets, other workloads, data of others
	PrivilegesLimited Privileges = "limited" // known, and neither of these
)

// Environment is what an asset is used for.
type Environment string

// Environments, worst first.
const (
	EnvironmentProduction  Environment = "production"
	EnvironmentStaging     Environment = "staging"
	EnvironmentDevelopment Environment = "development"
)

// Impact is how much the business depends on an asset, as its project says.
type Impact string

// Impacts, worst first.
const (
	ImpactHigh   Impact = "high"
	ImpactMedium Impact = "medium"
	ImpactLow    Impact = "low"
)

// Term is one step of a risk's arithmetic: what it adds (or takes, below 0) to
// what stands before it.
type Term struct {
	Name   string  `json:"name"`
	Detail string  `json:"detail"`
	Effect float64 `json:"effect"`
}

// severityRisk is the part of a severity word, when no score refines it.
var severityRisk = [...]float64{30, 4, 16, 40, 62, 76}

// kevFloor is the least risk of a flaw that is known to be exploited.
const kevFloor = 90

// Risk is a number from 0 to 100 to sort by, with its arithmetic: the effects of
// the terms add up to it.
//
//	base         severity word: critical 76, high 62, medium 40, low 16, info 4, unknown 30;
//	             with a CVSS score the mean of that and 8 times the score
//	EPSS         + 14 times the square root of the probability
//	dependency   + 2 when direct
//	exposure     + 8 from the internet, - 15 % when nothing leads to it
//	privileges   + 7 admin, + 4 wide
//	environment  + 4 production, - 25 % development
//	impact       + 5 high, - 10 % low
//	development  - 40 % when only development needs the package and nobody exploits it
//	KEV          + 5, and at least 90 unless nothing leads to it
//
// Where a program is known not to reach the flaw, agent takes a share off afterwards,
// as a term of its own (fix.Reachability.Weight); never of one that is exploited.
//
// Additions come before shares. Every term is rounded to one decimal; the sum is
// cut at 0 and 100 by a term of its own.
func Risk(f Factors) (float64, []Term) {
	severity := max(fact.SeverityUnknown, min(f.Severity, fact.SeverityCritical))
	terms := []Term{}
	sum := 0.0
	add := func(name, detail string, effect float64) {
		effect = tenth(effect)
		if effect == 0 {
			return
		}
		sum = tenth(sum + effect)
		terms = append(terms, Term{name, detail, effect})
	}
	base, detail := severityRisk[severity], "severity "+severity.String()
	if f.Score > 0 {
		base = (base + 8*min(f.Score, 10)) / 2
		detail += fmt.Sprintf(", CVSS %.1f", min(f.Score, 10))
	}
	add("severity", detail, base)
	epss := max(0, min(f.EPSS, 1))
	add("epss", fmt.Sprintf("exploited within 30 days with probability %.2g", epss), 14*math.Sqrt(epss))
	if f.Direct {
		add("dependency", "direct dependency", 2)
	}
	because := func(value, why string) string {
		if why == "" {
			return value
		}
		return value + ": " + why
	}
	switch f.Exposure {
	case ExposureInternet:
		add("exposure", because("reached from the internet", f.Why.Exposure), 8)
	case ExposureNone:
		add("exposure", because("nothing leads to it", f.Why.Exposure), -0.15*sum)
	}
	switch f.Privileges {
	case PrivilegesAdmin:
		add("privileges", because("administrator", f.Why.Privileges), 7)
	case PrivilegesWide:
		add("privileges", because("wide", f.Why.Privileges), 4)
	}
	if f.Environment == EnvironmentProduction {
		add("environment", because("production", f.Why.Environment), 4)
	}
	if f.Impact == ImpactHigh {
		add("impact", because("high", f.Why.Impact), 5)
	}
	if f.Environment == EnvironmentDevelopment {
		add("environment", because("development", f.Why.Environment), -0.25*sum)
	}
	if f.Impact == ImpactLow {
		add("impact", because("low", f.Why.Impact), -0.1*sum)
	}
	if f.Development && !f.Exploited {
		add("development", "only development needs the package", -0.4*sum)
	}
	if f.Exploited {
		effect := 5.0
		if f.Exposure != ExposureNone {
			effect = max(effect, kevFloor-sum)
		}
		add("exploited", "listed in CISA KEV", effect)
	}
	if sum > 100 {
		add("limit", "a risk is at most 100", 100-sum)
	}
	return sum, terms
}

func tenth(v float64) float64 { return math.Round(v*10) / 10 }
