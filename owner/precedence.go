package owner

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/backstitch/backstitch/fact"
)

// ParsePrecedence reads a reviewed YAML file. What it does not name keeps its
// default. Errors name file, line and field.
//
//	sources: {backstage: 1, cmdb: .9}
//	other: .7
//	roles: {on_call: .75}
//	inherited: .85
//	strengths: {derived: .9}
//	half_life_days: 540
//	unknown: .4
//	hearsay: [tagrule, kubernetes, auditlog]
//	fallback: {team: .8, manager: .6}
//	clear: .5
//	lead: .1
func ParsePrecedence(file string, data []byte) (Precedence, error) {
	p := DefaultPrecedence()
	var document yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader(data)).Decode(&document); errors.Is(err, io.EOF) {
		return p, nil
	} else if err != nil {
		return p, fmt.Errorf("%s: %w", file, err)
	}
	r := &precedenceReader{file: file}
	lines := map[string]int{}
	r.fields(document.Content[0], "", func(name string, key, value *yaml.Node) {
		lines[name] = value.Line
		switch name {
		case "sources":
			r.shares(value, name, func(key string, share float64) { p.Sources[key] = share }, nil)
		case "roles":
			r.shares(value, name, func(key string, share float64) { p.Roles[key] = share }, nil)
		case "strengths":
			known := slices.Sorted(maps.Keys(p.Strengths))
			r.shares(value, name, func(key string, share float64) { p.Strengths[fact.Strength(key)] = share }, known)
		case "fallback":
			r.shares(value, name, func(key string, share float64) {
				if key == "team" {
					p.Fallback.Team = share
				} else {
					p.Fallback.Manager = share
				}
			}, []fact.Strength{"manager", "team"})
		case "other":
			p.Other = r.number(value, name, 0, 1)
		case "inherited":
			p.Inherited = r.number(value, name, 0, 1)
		case "unknown":
			p.Unknown = r.number(value, name, 0, 1)
		case "clear":
			p.Clear = r.number(value, name, 0, 1)
		case "lead":
			p.Lead = r.number(value, name, .1, 1)
		case "half_life_days":
			p.HalfLife = r.number(value, name, 0, 36500)
		case "hearsay":
			p.Hearsay = r.words(value, name)
		default:
			r.fail(key, name, "no such field; expected clear, fallback, half_life_days, hearsay, inherited, lead, other, roles, sources, strengths or unknown")
		}
	})
	if r.err == nil && p.Unknown >= p.Clear {
		r.err = fmt.Errorf("%s:%d: unknown: %v, expected less than clear (%v), so that nobody becomes an owner by hearsay alone", file, max(lines["unknown"], lines["clear"]), p.Unknown, p.Clear)
	}
	return p, r.err
}

// precedenceReader keeps the first error.
type precedenceReader struct {
	file string
	err  error
}

func (r *precedenceReader) fail(at *yaml.Node, field, expected string) {
	if r.err == nil {
		r.err = fmt.Errorf("%s:%d: %s: %s", r.file, at.Line, field, expected)
	}
}

func (r *precedenceReader) fields(node *yaml.Node, field string, each func(name string, key, value *yaml.Node)) {
	if node.Kind != yaml.MappingNode {
		r.fail(node, field, "expected names with values")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content) && r.err == nil; i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if seen[key.Value] {
			r.fail(key, field+key.Value, "is there twice")
		}
		seen[key.Value] = true
		each(key.Value, key, value)
	}
}

func (r *precedenceReader) shares(node *yaml.Node, field string, take func(key string, share float64), known []fact.Strength) {
	r.fields(node, field, func(name string, key, value *yaml.Node) {
		if known != nil && !slices.Contains(known, fact.Strength(name)) {
			r.fail(key, field+"."+name, fmt.Sprintf("no such field; expected one of %v", known))
			return
		}
		take(name, r.number(value, field+"."+name, 0, 1))
	})
}

func (r *precedenceReader) number(node *yaml.Node, field string, least, most float64) float64 {
	value, err := strconv.ParseFloat(node.Value, 64)
	if node.Kind != yaml.ScalarNode || err != nil || !(value >= least && value <= most) {
		r.fail(node, field, fmt.Sprintf("%q, expected a number from %v to %v", node.Value, least, most))
	}
	return value
}

func (r *precedenceReader) words(node *yaml.Node, field string) []string {
	list := []string{}
	if node.Kind != yaml.SequenceNode {
		r.fail(node, field, "expected a list of sources")
		return list
	}
	for _, one := range node.Content {
		if one.Kind != yaml.ScalarNode || one.Value == "" {
			r.fail(one, field, "expected the name of a source")
		}
		list = append(list, one.Value)
	}
	return list
}
