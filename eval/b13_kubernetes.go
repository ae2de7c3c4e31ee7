package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/builtin"
	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// sought is a question about Kubernetes: an object, one of its fields, and the value
// that it should get.
type sought struct {
	object, field, wanted string
	remove                bool
	file                  string // of the object, as a scan of files tells it
	block                 span   // what holds the field in that file
}

// placeKubernetes asks about the fields of objects whose values differ before and after,
// with the value after, as a look at the running estate would show them. Of a list that
// grew or shrank, the item is asked about. The files at hand are those that the commit
// changed: templates of charts do not render without their chart, values files without
// it hold no objects, and objects that are new have no field to ask about.
func placeKubernetes(ctx context.Context, c *placed) ([]placedAt, string, error) {
	var questions []sought
	templates, values, fresh := 0, 0, 0
	names, err := c.before.Paths(ctx)
	if err != nil {
		return nil, "", err
	}
	for _, name := range names {
		objects, problems := kubernetes.Objects(name, c.before[name])
		switch {
		case strings.Contains(string(c.before[name]), "{{"):
			templates++
			continue
		case len(objects) == 0 && len(problems) == 0:
			values++
			continue
		}
		later, _ := kubernetes.Objects(name, c.after[name])
		for _, o := range objects {
			if o.Group() == "kustomize.config.k8s.io" {
				values++
				continue
			}
			at := slices.IndexFunc(later, func(other *kubernetes.Object) bool { return other.ID() == o.ID() })
			if at < 0 {
				continue
			}
			questions = append(questions, seek(name, o, later[at])...)
			later = slices.Delete(later, at, at+1)
		}
		fresh += len(later)
	}
	if len(questions) == 0 {
		return nil, fmt.Sprintf("of the files at hand %d are templates without their chart, %d hold no objects, and %d objects are new; the others do not differ in values", templates, values, fresh), nil
	}
	var fixer fix.SiteFixer
	for _, one := range builtin.Fixers(nil) {
		if site, ok := one.(fix.SiteFixer); ok && one.Describe().ID == "fix/kubernetes" {
			fixer = site
		}
	}
	if fixer == nil {
		return nil, "", fmt.Errorf("fix/kubernetes is not built in")
	}
	var answers []placedAt
	for _, q := range questions[:min(len(questions), 200)] {
		attributes := map[string]string{fix.AttributeObject: q.object, fix.AttributeField: q.field}
		if q.remove {
			attributes[fix.AttributeRemove] = "true"
		} else {
			attributes[fix.AttributeWanted] = q.wanted
		}
		site := &fix.Site{Tree: c.before, Flaws: []fix.Flaw{{Issue: "asked", Kind: fact.Misconfiguration,
			Told: []fact.Finding{{Kind: fact.Misconfiguration, Rule: "asked", Path: q.file, Attributes: attributes}}}}}
		paths, err := fixer.PlanSite(ctx, site)
		if err != nil {
			return nil, "", err
		}
		answer := placedAt{question: q.object + " " + q.field}
		if len(paths) > 0 && len(paths[0].Edits) > 0 {
			edit := paths[0].Edits[0]
			answer.path, answer.lines = edit.Path, span{edit.Line, edit.Line + strings.Count(edit.Old, "\n")}
			answer.block = answer.lines
			if edit.Path == q.file && q.block.meets(answer.lines) {
				answer.block = q.block
			}
		}
		answers = append(answers, answer)
	}
	return answers, "", nil
}

// seek gives the questions of one object.
func seek(file string, before, after *kubernetes.Object) []sought {
	object := before.Kind + "/" + before.Name
	if group := before.Group(); group != "" {
		object = before.Kind + "." + group + "/" + before.Name
	}
	if before.Namespace != "" {
		object = before.Namespace + "/" + object
	}
	var all []sought
	for _, d := range kubernetes.Differences(before.Root, after.Root) {
		q := sought{object: object, file: file, remove: d.To == nil, wanted: d.To.JSON()}
		path := d.Path
		for i, segment := range d.Path {
			if segment.Key != "" {
				continue
			}
			old, _ := before.Root.Find(d.Path[:i])
			now, _ := after.Root.Find(d.Path[:i])
			if old == nil || now == nil || len(old.Items) == len(now.Items) {
				continue
			}
			index := 0
			if q.remove = len(old.Items) > len(now.Items); q.remove {
				index = lacking(old.Items, now.Items)
			} else {
				index = len(old.Items)
				q.wanted = now.Items[lacking(now.Items, old.Items)].JSON()
			}
			path = append(slices.Clone(d.Path[:i]), kubernetes.Segment{Index: index})
			break
		}
		q.field = kubernetes.PathText(path)
		if slices.ContainsFunc(all, func(other sought) bool { return other.field == q.field }) {
			continue
		}
		holder, nearest := before.Root.Find(path[:len(path)-1])
		if holder == nil {
			holder = nearest
		}
		q.block = span{holder.Place.Line, max(holder.Place.Line, holder.Place.EndLine)}
		all = append(all, q)
	}
	return all
}

// lacking gives the first item of a list that the other lacks, else the last one.
func lacking(list, other []*kubernetes.Node) int {
	for i, item := range list {
		if !slices.ContainsFunc(other, item.Same) {
			return i
		}
	}
	return len(list) - 1
}

// changedSpans gives the lines of a text before that differ from the one after, by the
// longest common run of lines, for commits whose hunks are not told.
func changedSpans(before, after []byte) []span {
	a, b := strings.Split(string(before), "\n"), strings.Split(string(after), "\n")
	width := len(b) + 1
	best := make([]int32, (len(a)+1)*width)
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				best[i*width+j] = best[(i+1)*width+j+1] + 1
			} else {
				best[i*width+j] = max(best[(i+1)*width+j], best[i*width+j+1])
			}
		}
	}
	var all []span
	i, j, from, fresh := 0, 0, 0, 0
	add := func() {
		switch {
		case i > from:
			all = append(all, span{from + 1, i})
		case j > fresh:
			all = append(all, span{i, i + 1})
		}
	}
	for i < len(a) && j < len(b) {
		switch {
		case a[i] == b[j]:
			add()
			i, j = i+1, j+1
			from, fresh = i, j
		case best[(i+1)*width+j] >= best[i*width+j+1]:
			i++
		default:
			j++
		}
	}
	i, j = len(a), len(b)
	add()
	return all
}
