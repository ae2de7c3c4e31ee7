// Package cloudformation reads templates of AWS CloudFormation: which resources they
// declare and what is stated of them, each value with its place.
//
// A reference to a parameter with a default is taken for the default, which a deployment
// may replace. Other functions, such as Fn::If and Fn::Sub, are not evaluated: what they
// make is not known from the template.
package cloudformation

import (
	"bytes"
	"path"
	"strings"

	"github.com/backstitch/backstitch/code/kubernetes"
)

// Resource is one resource of a template.
type Resource struct {
	Path string // of the template
	Name string // its logical id
	Type string // "AWS::S3::Bucket"
	Line int    // of its logical id
	Node *kubernetes.Node

	defaults map[string]*kubernetes.Node // of the template's parameters
}

// Address names the resource as tools do, "AWS::S3::Bucket.Logs".
func (r *Resource) Address() string { return r.Type + "." + r.Name }

// Named says whether a file may be a template, by its name.
func Named(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".yaml", ".yml", ".json", ".template":
		return true
	}
	return false
}

// Resources lists what a file declares, in order; nothing for a file that is no template.
func Resources(name string, data []byte) ([]Resource, []kubernetes.Problem) {
	if !bytes.Contains(data, []byte("Resources")) || !bytes.Contains(data, []byte("AWS::")) {
		return nil, nil
	}
	documents, problems := kubernetes.Documents(name, data)
	var list []Resource
	for _, doc := range documents {
		defaults := map[string]*kubernetes.Node{}
		for _, field := range doc.Entries("Parameters") {
			if d := field.Value.Get("Default"); d != nil {
				defaults[field.Key] = d
			}
		}
		for _, field := range doc.Entries("Resources") {
			kind := field.Value.String("Type")
			if !strings.HasPrefix(kind, "AWS::") {
				continue
			}
			list = append(list, Resource{Path: name, Name: field.Key, Type: kind, Line: field.Line, Node: field.Value, defaults: defaults})
		}
	}
	return list, problems
}

// State says what is known of a value.
type State int

// States.
const (
	Absent State = iota
	Unknown
	Known
)

// Resolve gives what a value stands for: the default of a parameter that it refers to,
// else itself.
func (r *Resource) Resolve(n *kubernetes.Node) *kubernetes.Node {
	name := ""
	switch {
	case n == nil:
	case n.Shape == kubernetes.Scalar && n.Tag == "!Ref":
		name = n.Text
	case n.Shape == kubernetes.Map && len(n.Fields) == 1 && n.Fields[0].Key == "Ref":
		name = n.String("Ref")
	}
	if d := r.defaults[name]; d != nil {
		return d
	}
	return n
}

// At gives the value at names below a resource's Properties.
func (r *Resource) At(names ...string) (*kubernetes.Node, State) {
	n := r.Node.Get("Properties")
	for _, name := range names {
		n = r.Resolve(n)
		switch {
		case n == nil:
			return nil, Absent
		case computed(n):
			return n, Unknown
		case n.Shape != kubernetes.Map:
			return n, Unknown
		}
		n = n.Get(name)
	}
	switch n = r.Resolve(n); {
	case n == nil:
		return nil, Absent
	case computed(n):
		return n, Unknown
	case n.Shape == kubernetes.Scalar && n.Tag == "!!null":
		return n, Absent
	}
	return n, Known
}

// computed says whether a function makes a value.
func computed(n *kubernetes.Node) bool {
	if n.Shape == kubernetes.Scalar {
		return strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!") || strings.Contains(n.Text, "{{resolve:")
	}
	if n.Shape == kubernetes.Map && len(n.Fields) == 1 {
		key := n.Fields[0].Key
		return key == "Ref" || strings.HasPrefix(key, "Fn::")
	}
	return false
}
