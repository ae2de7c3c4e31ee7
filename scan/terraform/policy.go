package terraform

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// statement is one statement of a policy; nil lists are of what it does not state.
type statement struct {
	allows     bool
	actions    []string
	resources  []string
	principals []string
	conditions bool
	whole      bool   // whether all of it is known
	path       string // in the document, "" when a data source makes it
}

// policy breaks where a policy document holds a statement that is bad.
// The field that is told leads into the document, "policy#Statement[0].Action", where the
// document is written there.
func policy(field string, bad func(statement) bool, part, ask string) judge {
	return func(s *subject) ([]flaw, bool) {
		if _, how := at(s.value, field); how == absent {
			return nil, true
		}
		list, known := s.statements(field)
		if i := slices.IndexFunc(list, bad); i >= 0 {
			at := field
			if list[i].path != "" {
				at += "#" + list[i].path + "." + part
			}
			return []flaw{{field: at, wanted: ask}}, true
		}
		return nil, known
	}
}

// statements reads the policy document of an attribute, also one that a data source
// makes; false when some of it is not known.
func (s *subject) statements(field string) (list []statement, known bool) {
	if doc, ok := s.estate.c.Document(s.address, field); ok {
		return statementsOf(doc)
	}
	known = false
	for _, a := range s.estate.c.Refers(s.address, field) {
		if !a.Data || a.Type != "aws_iam_policy_document" {
			continue
		}
		for i := range s.estate.byKind["data.aws_iam_policy_document"] {
			other := &s.estate.byKind["data.aws_iam_policy_document"][i]
			if ref := (&subject{address: other.address}); ref.same(a, s.address) {
				more, ok := documentStatements(other.value)
				list, known = append(list, more...), ok
			}
		}
	}
	return list, known
}

// statementsOf reads a document in JSON.
func statementsOf(doc cty.Value) (list []statement, known bool) {
	all, ok := many(doc, "Statement")
	if !ok || !doc.IsKnown() {
		return nil, false
	}
	known = true
	listed := false
	if v, how := at(doc, "Statement"); how == given {
		listed = isList(v)
	}
	for i, v := range all {
		if !v.IsKnown() {
			known = false
			continue
		}
		st := statement{whole: true, path: "Statement"}
		if listed {
			st.path = "Statement[" + number10(i) + "]"
		}
		effect, how := at(v, "Effect")
		st.allows = same(effect, "Allow")
		st.whole = how != opaque
		read := func(field string) []string {
			value, how := at(v, field)
			if how == opaque {
				st.whole = false
			}
			if how != given {
				return nil
			}
			found, all := texts(value)
			st.whole = st.whole && all
			return found
		}
		st.actions, st.resources = read("Action"), read("Resource")
		if p, how := at(v, "Principal"); how == given && (p.Type().IsObjectType() || p.Type().IsMapType()) {
			for it := p.ElementIterator(); it.Next(); {
				kind, value := it.Element()
				found, all := texts(value)
				st.whole = st.whole && all
				if same(kind, "AWS") || same(kind, "*") {
					st.principals = append(st.principals, found...)
				}
			}
		} else {
			st.principals = read("Principal")
		}
		_, how = at(v, "Condition")
		st.conditions = how != absent
		known = known && st.whole
		list = append(list, st)
	}
	return list, known
}

// documentStatements reads the statements of a data source that makes a document.
func documentStatements(v cty.Value) (list []statement, known bool) {
	all, known := many(v, "statement")
	if !known {
		return nil, false
	}
	for _, one := range all {
		if !one.IsKnown() {
			known = false
			continue
		}
		st := statement{whole: true}
		effect, how := at(one, "effect")
		st.allows = how == absent || same(effect, "Allow")
		st.whole = how != opaque
		read := func(of cty.Value, field string) []string {
			value, how := at(of, field)
			if how == opaque {
				st.whole = false
			}
			if how != given {
				return nil
			}
			found, all := texts(value)
			st.whole = st.whole && all
			return found
		}
		st.actions, st.resources = read(one, "actions"), read(one, "resources")
		principals, ok := many(one, "principals")
		st.whole = st.whole && ok
		for _, p := range principals {
			if kind, _ := at(p, "type"); same(kind, "AWS") || same(kind, "*") {
				st.principals = append(st.principals, read(p, "identifiers")...)
			}
		}
		conditions, ok := many(one, "condition")
		st.conditions = !ok || len(conditions) > 0
		known = known && st.whole
		list = append(list, st)
	}
	return list, known
}

// openPrincipal is a statement that lets anybody act.
func openPrincipal(st statement) bool {
	return st.allows && !st.conditions && slices.ContainsFunc(st.principals, func(p string) bool {
		return p == "*" || strings.HasPrefix(p, "arn:") && strings.HasSuffix(p, ":iam::*:root")
	})
}

// fullAdmin allows every action on everything.
func fullAdmin(st statement) bool {
	return st.allows && allActions(st.actions) && slices.Contains(st.resources, "*")
}

// anyAction allows every action.
func anyAction(st statement) bool { return st.allows && allActions(st.actions) }

func allActions(actions []string) bool {
	return slices.Contains(actions, "*") || slices.Contains(actions, "*:*")
}

// documents judges the statements of a data source that makes a document.
func documents(bad func(statement) bool, ask string) judge {
	return func(s *subject) (flaws []flaw, known bool) {
		list, known := documentStatements(s.value)
		for i, st := range list {
			if bad(st) {
				flaws = append(flaws, flaw{field: "statement[" + number10(i) + "].actions", wanted: ask})
			}
		}
		return flaws, known
	}
}

// document breaks where a JSON document, or one of a list of them, is bad.
func document(field, part string, bad func(cty.Value) bool, wanted string) judge {
	return func(s *subject) ([]flaw, bool) {
		if _, how := at(s.value, field); how == absent {
			return nil, true
		}
		doc, ok := s.estate.c.Document(s.address, field)
		if !ok || !doc.IsKnown() {
			return nil, false
		}
		list, prefix := []cty.Value{doc}, ""
		if isList(doc) {
			list, prefix = elements(doc), "[%d]."
		}
		for i, one := range list {
			if bad(one) {
				at := part
				if prefix != "" {
					at = fmt.Sprintf(prefix, i) + part
				}
				return []flaw{{field: field + "#" + at, wanted: wanted}}, true
			}
		}
		return nil, doc.IsWhollyKnown()
	}
}
