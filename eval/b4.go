package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/backstitch/backstitch/builtin"
	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/fact"
)

// B4: owners from catalogs and registers. Truth is counted by plain decoders of
// the files themselves.
//
//   - owned: share of catalog entities and registers that state an owner and get
//     a claim with that owner's name and evidence that names file and line.
//   - resolved_or_reported: share of references in catalogs that become a relation
//     between known entities, or a relation that is told of as dangling.
var benchmarkB4 = Benchmark{
	ID: "B4", Title: "owners from catalogs and registers", Needs: "ownership/backstage",
	Targets: map[string]float64{"owned": 1, "resolved_or_reported": 1},
	Run:     b4,
}

// source is one of the sources that are built in.
func source(id string) connector.Source {
	for _, s := range builtin.Sources() {
		if s.Describe().ID == id {
			return s
		}
	}
	panic("no source " + id + " is built in")
}

// b4Sink keeps what sources tell.
type b4Sink struct {
	connector.Sink
	claims    []fact.Claim
	relations []fact.Relation
	notes     []string
}

func (s *b4Sink) Done(string) bool                   { return false }
func (s *b4Sink) Node(string, fact.Node) error       { return nil }
func (s *b4Sink) Claim(_ string, c fact.Claim) error { s.claims = append(s.claims, c); return nil }
func (s *b4Sink) Covered(string) error               { return nil }
func (s *b4Sink) Gap(string, error)                  {}
func (s *b4Sink) Note(_, text string)                { s.notes = append(s.notes, text) }
func (s *b4Sink) Progress(string, int, int)          {}
func (s *b4Sink) Relation(_ string, r fact.Relation) error {
	s.relations = append(s.relations, r)
	return nil
}

// claimed says whether a claim with evidence names an owner of a subject.
func (s *b4Sink) claimed(subject, owner string) bool {
	for _, c := range s.claims {
		id := strings.ToLower(c.Owner.ID + "|" + c.Owner.Name)
		if strings.EqualFold(c.Subject.Key, subject) && strings.Contains(id, strings.ToLower(owner)) && strings.Contains(c.Evidence.Source, ":") {
			return true
		}
	}
	return false
}

func b4(ctx context.Context, data string) (Result, error) {
	result := Result{Metrics: map[string]float64{}}
	owned, stated, settled, references := 0, 0, 0, 0
	catalogs, err := os.ReadDir(filepath.Join(data, "ownership", "backstage"))
	if err != nil {
		return result, err
	}
	for _, catalog := range catalogs {
		if !catalog.IsDir() {
			continue
		}
		root := filepath.Join(data, "ownership", "backstage", catalog.Name())
		sink := &b4Sink{}
		if err := source("connector/backstage").Sync(ctx, connector.Values{"path": root}, sink); err != nil {
			return result, err
		}
		entities, err := b4Entities(root)
		if err != nil {
			return result, err
		}
		seen := map[string]bool{}
		for _, e := range entities {
			ref := strings.ToLower(e.Kind + ":" + e.namespace() + "/" + e.Metadata.Name)
			if seen[ref] {
				continue // there twice; the first counts
			}
			seen[ref] = true
			result.Cases++
			if e.Spec.Owner != "" {
				stated++
				if sink.claimed("backstage:"+ref, e.Spec.Owner[strings.LastIndexAny(e.Spec.Owner, ":/")+1:]) {
					owned++
				} else {
					result.Notes = append(result.Notes, fmt.Sprintf("%s %s: its owner %s was not claimed", catalog.Name(), ref, e.Spec.Owner))
				}
			}
			for _, target := range e.references() {
				references++
				if b4Settled(sink, ref, target) {
					settled++
				} else {
					result.Notes = append(result.Notes, fmt.Sprintf("%s %s: %s is neither resolved nor reported", catalog.Name(), ref, target))
				}
			}
		}
	}
	registers, err := filepath.Glob(filepath.Join(data, "ownership", "project-register-*", "*.json"))
	if err != nil {
		return result, err
	}
	for _, file := range registers {
		sink := &b4Sink{}
		if err := source("connector/project").Sync(ctx, connector.Values{"path": file}, sink); err != nil {
			return result, err
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return result, err
		}
		var register struct {
			Tags struct {
				Application  string `json:"application"`
				BusinessUnit string `json:"business-unit"`
				Owner        string `json:"owner"`
			} `json:"tags"`
		}
		if err := json.Unmarshal(text, &register); err != nil {
			return result, fmt.Errorf("%s: %w", filepath.Base(file), err)
		}
		result.Cases++
		stated++
		owner := register.Tags.Owner
		name := owner[strings.LastIndex(owner, ":")+1:]
		if sink.claimed(register.Tags.BusinessUnit+"/"+register.Tags.Application, strings.TrimSpace(name)) {
			owned++
		} else {
			result.Notes = append(result.Notes, fmt.Sprintf("%s: its owner %s was not claimed", filepath.Base(file), owner))
		}
	}
	result.Metrics["owned"] = float64(owned) / float64(max(1, stated))
	result.Metrics["resolved_or_reported"] = float64(settled) / float64(max(1, references))
	return result, nil
}

// b4Settled says whether a relation between an entity and a target, in either
// direction, is known, and told of when it leads to nothing.
func b4Settled(sink *b4Sink, ref, target string) bool {
	name := "/" + strings.ToLower(target[strings.LastIndexAny(target, ":/")+1:])
	for _, r := range sink.relations {
		ends := [2]string{r.From.Key, r.To.Key}
		for i, end := range ends {
			if end != "backstage:"+ref || !strings.HasSuffix(ends[1-i], name) {
				continue
			}
			if r.Properties["dangling"] == "" {
				return true
			}
			for _, note := range sink.notes {
				if strings.Contains(note, ref) && strings.Contains(note, name) {
					return true
				}
			}
		}
	}
	return false
}

// b4Entity is an entity as far as its references go.
type b4Entity struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Name      string `yaml:"name"`
		Namespace string `yaml:"namespace"`
	} `yaml:"metadata"`
	Spec struct {
		Owner          string   `yaml:"owner"`
		System         string   `yaml:"system"`
		Domain         string   `yaml:"domain"`
		SubcomponentOf string   `yaml:"subcomponentOf"`
		Parent         string   `yaml:"parent"`
		DependsOn      []string `yaml:"dependsOn"`
		DependencyOf   []string `yaml:"dependencyOf"`
		ProvidesApis   []string `yaml:"providesApis"`
		ConsumesApis   []string `yaml:"consumesApis"`
		MemberOf       []string `yaml:"memberOf"`
		Members        []string `yaml:"members"`
		Children       []string `yaml:"children"`
	} `yaml:"spec"`
}

func (e *b4Entity) namespace() string {
	if e.Metadata.Namespace == "" {
		return "default"
	}
	return e.Metadata.Namespace
}

func (e *b4Entity) references() []string {
	var list []string
	for _, one := range []string{e.Spec.Owner, e.Spec.System, e.Spec.Domain, e.Spec.SubcomponentOf, e.Spec.Parent} {
		if one != "" {
			list = append(list, one)
		}
	}
	for _, many := range [][]string{e.Spec.DependsOn, e.Spec.DependencyOf, e.Spec.ProvidesApis, e.Spec.ConsumesApis, e.Spec.MemberOf, e.Spec.Members, e.Spec.Children} {
		list = append(list, many...)
	}
	return list
}

// b4Entities reads every entity of a folder's YAML files.
func b4Entities(root string) ([]b4Entity, error) {
	var list []b4Entity
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(name) != ".yaml" {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		decoder := yaml.NewDecoder(bytes.NewReader(text))
		for {
			var e b4Entity
			err := decoder.Decode(&e)
			var other *yaml.TypeError
			switch {
			case errors.Is(err, io.EOF):
				return nil
			case errors.As(err, &other):
				continue // no entity
			case err != nil:
				return fmt.Errorf("%s: %w", filepath.Base(name), err)
			}
			if strings.HasPrefix(e.APIVersion, "backstage.io/") && e.Kind != "" {
				list = append(list, e)
			}
		}
	})
	return list, err
}
