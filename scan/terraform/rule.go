package terraform

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"github.com/backstitch/backstitch/code/terraform"
	"github.com/backstitch/backstitch/fact"
)

// Rule is one thing that is judged of resources of some kinds.
type Rule struct {
	ID       string
	Title    string
	Severity fact.Severity
	Aliases  []string // ids of the same rule in other tools, sorted
	Kinds    []string // of resources; those of data sources begin with "data."

	judge judge
}

// flaw is one place at which a rule is broken.
type flaw struct {
	field  string // path of the value, or a terraform.Companion
	wanted string // JSON of a value that satisfies the rule, or "?" and what is asked for
	remove bool   // the field has to go
	detail string // what it is now, "" for not stated
	// more is what a finding says beside, such as the ports of an open rule.
	more map[string]string
}

// closable marks a flaw whose usual remedy is to take away what lets the world in, since
// little that is meant for the world answers there.
const closable = "close"

// sensitive says whether ports are not those of services for the world: all of them at
// once, or those of administration and databases.
func sensitive(ports []int64) bool {
	return !slices.Contains(ports, anyPort) && !slices.Contains(ports, 80)
}

// judge gives the flaws of a resource, and whether all that decides is known.
type judge func(s *subject) (flaws []flaw, known bool)

// subject is one instance of a resource while it is judged.
type subject struct {
	estate  *estate
	address terraform.Address
	value   cty.Value
}

// estate is one configuration with all its instances.
type estate struct {
	c      *terraform.Configuration
	byKind map[string][]subject // "aws_s3_bucket", "data.aws_iam_policy_document"
}

func kindOf(a terraform.Address) string {
	if a.Data {
		return "data." + a.Type
	}
	return a.Type
}

// rule makes a rule; aliases are separated by blanks. An id of trivy is also told in the
// form without its prefix, which later versions of it use.
func rule(id, title string, severity fact.Severity, aliases, kinds string, j judge) Rule {
	var all []string
	for _, alias := range strings.Fields(aliases) {
		all = append(all, alias)
		if short, ok := strings.CutPrefix(alias, "AVD-"); ok {
			all = append(all, short)
		}
	}
	slices.Sort(all)
	return Rule{ID: "terraform/" + id, Title: title, Severity: severity, Aliases: all, Kinds: strings.Fields(kinds), judge: j}
}

// is wants a field to have a value, given as JSON. lax says that the provider's own
// default satisfies the rule, so that only another value breaks it.
func is(field, wanted string, lax bool) judge {
	return accepts(field, wanted, lax, func(v cty.Value) bool { return same(v, wanted) })
}

// same compares a simple value with the JSON of one.
func same(v cty.Value, wanted string) bool {
	s, ok := text(v)
	return ok && s == strings.Trim(wanted, `"`)
}

// isNot breaks when a field has one of some values.
func isNot(field, wanted string, bad ...string) judge {
	return accepts(field, wanted, true, func(v cty.Value) bool {
		s, _ := text(v)
		return !slices.Contains(bad, s)
	})
}

// atLeast wants a number of at least least.
func atLeast(field string, least int64, lax bool) judge {
	return accepts(field, fmt.Sprint(least), lax, func(v cty.Value) bool {
		n, ok := number(v)
		return ok && n >= least
	})
}

// states wants a field to be stated and not empty.
func states(field, wanted string) judge {
	return accepts(field, wanted, false, func(v cty.Value) bool {
		switch {
		case isList(v) || v.Type().IsMapType():
			return v.LengthInt() > 0
		case v.Type().IsPrimitiveType():
			s, _ := text(v)
			return s != ""
		}
		return true
	})
}

// accepts is the general form: ok judges a known value.
func accepts(field, wanted string, lax bool, ok func(cty.Value) bool) judge {
	return func(s *subject) ([]flaw, bool) {
		v, how := at(s.value, field)
		switch {
		case how == opaque:
			return nil, false
		case how == absent && lax, how == given && ok(v):
			return nil, true
		}
		return []flaw{{field: field, wanted: wanted, detail: shown(v)}}, true
	}
}

// gone breaks when a nested block or attribute is there.
func gone(field string) judge {
	return func(s *subject) ([]flaw, bool) {
		switch v, how := at(s.value, field); how {
		case opaque:
			return nil, false
		case given:
			return []flaw{{field: field, remove: true, detail: shown(v)}}, true
		}
		return nil, true
	}
}

// first takes the first field of several spellings that is stated; the last one is what
// is asked for when none is.
func first(fields []string, one func(field string) judge) judge {
	return func(s *subject) ([]flaw, bool) {
		for _, field := range fields {
			if _, how := at(s.value, field); how != absent {
				return one(field)(s)
			}
		}
		return one(fields[len(fields)-1])(s)
	}
}

// every judges each nested block of a kind, whose number replaces # in the fields.
func every(field string, one func(field string) judge) judge {
	return func(s *subject) (flaws []flaw, known bool) {
		list, known := many(s.value, field)
		if !known {
			return nil, false
		}
		for i := range list {
			more, ok := one(fmt.Sprintf("%s[%d]", field, i))(s)
			flaws, known = append(flaws, more...), known && ok
		}
		return flaws, known
	}
}

// unless leaves a resource out of which something holds; not knowing that is not knowing.
func unless(field string, holds func(cty.Value) bool, j judge) judge {
	return func(s *subject) ([]flaw, bool) {
		switch v, how := at(s.value, field); {
		case how == given && holds(v):
			return nil, true
		case how == opaque:
			flaws, _ := j(s)
			return nil, len(flaws) == 0
		}
		return j(s)
	}
}

// all judges by several judges.
func all(judges ...judge) judge {
	return func(s *subject) (flaws []flaw, known bool) {
		known = true
		for _, j := range judges {
			more, ok := j(s)
			flaws, known = append(flaws, more...), known && ok
		}
		return flaws, known
	}
}

// byKind judges each kind of resource by its own judge.
func byKind(judges map[string]judge) judge {
	return func(s *subject) ([]flaw, bool) {
		if j := judges[kindOf(s.address)]; j != nil {
			return j(s)
		}
		return nil, true
	}
}

func one(values ...string) func(cty.Value) bool {
	return func(v cty.Value) bool {
		s, ok := text(v)
		return ok && slices.Contains(values, s)
	}
}

// companions lists the resources of a kind that belong to the subject by one of their
// attributes, and whether it is sure that there are no others.
func (s *subject) companions(kind, link, name string) (list []*subject, sure bool) {
	sure = true
	own, _ := at(s.value, name)
	ownText, _ := text(own)
	for i := range s.estate.byKind[kind] {
		other := &s.estate.byKind[kind][i]
		v, how := at(other.value, link)
		if how == given {
			if t, ok := text(v); ok && t != "" && t == ownText {
				list = append(list, other)
				continue
			}
		}
		refers := s.estate.c.Refers(other.address, link)
		met := false
		for _, a := range refers {
			if s.same(a, other.address) {
				met = true
			}
		}
		switch {
		case met:
			list = append(list, other)
		case how == opaque && len(refers) == 0:
			sure = false // it may be about this one
		}
	}
	return list, sure
}

// same says whether a reference of another resource is to the subject. Where no key is
// written, instances of one key belong together.
func (s *subject) same(ref, from terraform.Address) bool {
	own := s.address
	if ref.Data != own.Data || ref.Type != own.Type || ref.Name != own.Name || len(ref.Modules) != len(own.Modules) {
		return false
	}
	for i, step := range ref.Modules {
		if step.Name != own.Modules[i].Name || step.Key != cty.NilVal && own.Modules[i].Key != cty.NilVal && !equal(step.Key, own.Modules[i].Key) {
			return false
		}
	}
	key := ref.Key
	if key == cty.NilVal {
		key = from.Key
	}
	return key == cty.NilVal || own.Key == cty.NilVal || equal(key, own.Key)
}

func equal(a, b cty.Value) bool {
	x, ok := text(a)
	y, also := text(b)
	return ok && also && x == y
}

// beside wants something that a companion states. inline judges what the resource states
// itself, nil when it cannot; wanted is what the companion has to hold as JSON.
func beside(kind, link, name string, inline judge, wanted string, holds judge) judge {
	return func(s *subject) ([]flaw, bool) {
		list, sure := s.companions(kind, link, name)
		known := sure
		for _, companion := range list {
			flaws, ok := holds(companion)
			if ok && len(flaws) == 0 {
				return nil, true
			}
			known = known && ok
		}
		if inline != nil {
			flaws, ok := inline(s)
			if ok && len(flaws) == 0 {
				return nil, true
			}
			known = known && ok
		}
		if !known || len(list) > 0 {
			// A companion that is there and breaks the rule is judged by itself.
			return nil, known
		}
		return []flaw{{field: terraform.Companion{Kind: kind, Link: link}.String(), wanted: wanted}}, true
	}
}

// anything accepts.
func anything(*subject) ([]flaw, bool) { return nil, true }
