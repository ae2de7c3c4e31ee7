package backstage

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Entity is one entity of a catalog, as the descriptor format writes it.
type Entity struct {
	APIVersion string         `yaml:"apiVersion" json:"apiVersion"`
	Kind       string         `yaml:"kind" json:"kind"`
	Metadata   Metadata       `yaml:"metadata" json:"metadata"`
	Spec       map[string]any `yaml:"spec" json:"spec"`
	// Relations are those that the catalog's API computed; descriptor files have
	// none.
	Relations []Relation `yaml:"-" json:"relations"`

	File string `yaml:"-" json:"-"` // below the folder that was read, "" from the API
	Line int    `yaml:"-" json:"-"` // of the entity's first line in File
}

// Metadata names an entity.
type Metadata struct {
	Name        string            `yaml:"name" json:"name"`
	Namespace   string            `yaml:"namespace" json:"namespace"`
	Title       string            `yaml:"title" json:"title"`
	Annotations map[string]string `yaml:"annotations" json:"annotations"`
	Labels      map[string]string `yaml:"labels" json:"labels"`
}

// Relation is one relation as the API gives it.
type Relation struct {
	Type      string `json:"type"`
	TargetRef string `json:"targetRef"`
}

// Ref is the entity's full reference in lower case: "component:default/shop".
func (e *Entity) Ref() string {
	namespace := e.Metadata.Namespace
	if namespace == "" {
		namespace = "default"
	}
	return strings.ToLower(e.Kind + ":" + namespace + "/" + e.Metadata.Name)
}

// Title is what people read.
func (e *Entity) Title() string {
	if profile, ok := e.Spec["profile"].(map[string]any); ok {
		if name, ok := profile["displayName"].(string); ok && name != "" {
			return name
		}
	}
	if e.Metadata.Title != "" {
		return e.Metadata.Title
	}
	return e.Metadata.Name
}

// Full completes a reference "[kind:][namespace/]name" with the kind that its
// place expects and the namespace of the entity that states it, "" when it is no
// reference.
func Full(ref, kind, namespace string) string {
	if before, rest, ok := strings.Cut(ref, ":"); ok {
		kind, ref = before, rest
	}
	if before, rest, ok := strings.Cut(ref, "/"); ok {
		namespace, ref = before, rest
	}
	if namespace == "" {
		namespace = "default"
	}
	if kind == "" || ref == "" || strings.ContainsAny(ref, "/:") {
		return ""
	}
	return strings.ToLower(kind + ":" + namespace + "/" + ref)
}

// Words of relations.
const (
	ownedBy     = "ownedBy"
	partOf      = "partOf"
	memberOf    = "memberOf"
	childOf     = "childOf"
	dependsOn   = "dependsOn"
	providesAPI = "providesApi"
	consumesAPI = "consumesApi"
)

// stated are the members of spec that state relations: the relation, the kind
// that a short reference means, and whether the statement is read backwards.
var stated = []struct {
	member, relation, kind string
	backwards              bool
}{
	{"owner", ownedBy, "group", false},
	{"system", partOf, "system", false},
	{"domain", partOf, "domain", false},
	{"subcomponentOf", partOf, "component", false},
	{"subdomainOf", partOf, "domain", false},
	{"dependsOn", dependsOn, "component", false},
	{"dependencyOf", dependsOn, "component", true},
	{"providesApis", providesAPI, "api", false},
	{"consumesApis", consumesAPI, "api", false},
	{"memberOf", memberOf, "group", false},
	{"members", memberOf, "user", true},
	{"parent", childOf, "group", false},
	{"children", childOf, "group", true},
}

// edge is one relation between two full references, with what states it.
type edge struct {
	from, kind, to string
	stated         string // "spec.owner", or "relations" of the API
	by             *entry
}

// edges lists an entity's relations: those that the API computed, else those
// that its spec states.
func (e *Entity) edges() (list []edge, bad []string) {
	add := func(from, kind, to, stated string) {
		if !slices.ContainsFunc(list, func(other edge) bool { return other.from == from && other.kind == kind && other.to == to }) {
			list = append(list, edge{from: from, kind: kind, to: to, stated: stated})
		}
	}
	known := []string{ownedBy, partOf, memberOf, childOf, dependsOn, providesAPI, consumesAPI}
	for _, relation := range e.Relations {
		to := Full(relation.TargetRef, "", "")
		switch {
		case to == "":
			bad = append(bad, fmt.Sprintf("relation %s to %q is no reference", relation.Type, relation.TargetRef))
		case slices.Contains(known, relation.Type):
			add(e.Ref(), relation.Type, to, "relations")
		}
	}
	if len(e.Relations) > 0 {
		return list, bad
	}
	for _, s := range stated {
		for _, ref := range words(e.Spec[s.member]) {
			to := Full(ref, s.kind, e.Metadata.Namespace)
			switch {
			case to == "":
				bad = append(bad, fmt.Sprintf("spec.%s: %q is no reference", s.member, ref))
			case s.backwards:
				add(to, s.relation, e.Ref(), "spec."+s.member)
			default:
				add(e.Ref(), s.relation, to, "spec."+s.member)
			}
		}
	}
	return list, bad
}

// words gives a text or a list of texts.
func words(value any) []string {
	switch v := value.(type) {
	case string:
		if v != "" {
			return []string{v}
		}
	case []any:
		var list []string
		for _, element := range v {
			list = append(list, words(element)...)
		}
		return list
	}
	return nil
}

// Bounds of descriptor files.
const (
	maxFile     = 5 << 20
	maxEntities = 10000 // in one file
)

var entityKind = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{0,62}$`)

// Parse reads the entities of a descriptor file. Documents that are no entities
// are passed over; an entity without kind or name is a problem, and the rest
// goes on. A file that ends in bad YAML gives what stands before it.
func Parse(file string, data []byte) (entities []Entity, problems []string) {
	if len(data) > maxFile {
		return nil, []string{fmt.Sprintf("%s: larger than %d MiB", file, maxFile>>20)}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for range maxEntities {
		var node yaml.Node
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			return entities, problems
		}
		if err != nil {
			return entities, append(problems, fmt.Sprintf("%s: %v", file, err))
		}
		var entity Entity
		if err := node.Decode(&entity); err != nil {
			if strings.Contains(string(data), "backstage.io/") {
				problems = append(problems, fmt.Sprintf("%s:%d: expected an entity: %v", file, node.Line, err))
			}
			continue
		}
		if !strings.HasPrefix(entity.APIVersion, "backstage.io/") {
			continue
		}
		entity.File, entity.Line = file, node.Line
		if len(node.Content) > 0 {
			entity.Line = node.Content[0].Line
		}
		if !entityKind.MatchString(entity.Kind) || entity.Metadata.Name == "" {
			problems = append(problems, fmt.Sprintf("%s:%d: expected an entity with kind and metadata.name", file, entity.Line))
			continue
		}
		entities = append(entities, entity)
	}
	return entities, append(problems, fmt.Sprintf("%s: more than %d documents; the rest was not read", file, maxEntities))
}

// targets lists the files that a Location entity points at, relative to the
// folder that is read; addresses of other systems are told of.
func (e *Entity) targets() (files []string, outside []string) {
	if !strings.EqualFold(e.Kind, "Location") {
		return nil, nil
	}
	for _, target := range append(words(e.Spec["target"]), words(e.Spec["targets"])...) {
		switch {
		case strings.Contains(target, "://"):
			outside = append(outside, target)
		default:
			files = append(files, path.Join(path.Dir(e.File), target))
		}
	}
	return files, outside
}
