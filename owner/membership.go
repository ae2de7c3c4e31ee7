package owner

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/store"
)

// memberships are the rules of projects by which assets of other sources belong to
// them: by a tag, a namespace or a path. What belongs by account or repository has a
// relation. It does not change once it is made.
type memberships struct {
	tags       map[string][]int64 // "key=value", the key in small letters, to projects
	namespaces map[string][]int64 // "cluster/namespace"
	paths      map[string][]int64 // "repository//path"
}

// loadMemberships reads the rules that projects state.
func loadMemberships(ctx context.Context, tx store.Tx) (*memberships, error) {
	m := &memberships{map[string][]int64{}, map[string][]int64{}, map[string][]int64{}}
	err := tx.Query(ctx, projectsStated, func(row store.Row) error {
		id := row.Int(0)
		var doc stated
		if err := json.Unmarshal([]byte(row.Text(1)), &doc); err != nil {
			return fmt.Errorf("project %d: %w", id, err)
		}
		for name, into := range map[string]map[string][]int64{"member:tag": m.tags, "member:namespace": m.namespaces, "member:path": m.paths} {
			for text := range strings.SplitSeq(doc.Properties[name], "\n") {
				if text = strings.Trim(strings.TrimSpace(text), "/"); text == "" {
					continue
				}
				if key, value, ok := strings.Cut(text, "="); ok && name == "member:tag" {
					text = strings.ToLower(key) + "=" + value
				}
				if !slices.Contains(into[text], id) {
					into[text] = append(into[text], id)
				}
			}
		}
		return nil
	})
	return m, err
}

func (m *memberships) empty() bool {
	return len(m.tags) == 0 && len(m.namespaces) == 0 && len(m.paths) == 0
}

// of gives the projects that an asset belongs to.
func (m *memberships) of(a *fact.Asset, tags []tag) []int64 {
	var list []int64
	if len(m.tags) > 0 {
		for i := range tags {
			list = append(list, m.tags[tags[i].key+"="+tags[i].value]...)
		}
	}
	switch a.Kind {
	case fact.AssetWorkload, fact.AssetKubernetes:
		if cluster, namespace := namespaceOf(a.Key); namespace != "" && len(m.namespaces) > 0 {
			list = append(list, m.namespaces[cluster+"/"+namespace]...)
		}
	case fact.AssetFile, fact.AssetDockerfile, fact.AssetTerraform, fact.AssetModule:
		repository, path, ok := strings.Cut(a.Key, "//")
		if !ok || len(m.paths) == 0 {
			break
		}
		path, _, _ = strings.Cut(path, ":") // the address behind a root
		for path != "" {
			list = append(list, m.paths[repository+"//"+path]...)
			path = path[:max(0, strings.LastIndexByte(path, '/'))]
		}
	}
	return list
}

// namespaceOf gives the cluster and namespace that the key of an object names, of a
// namespace itself its own.
func namespaceOf(key string) (cluster, namespace string) {
	// "cluster/namespace/Kind.group/name", and a cluster's name may hold slashes.
	parts := strings.Split(key, "/")
	n := len(parts)
	if n < 4 || strings.HasPrefix(key, "arn:") && n < 5 {
		return "", ""
	}
	cluster, namespace = strings.Join(parts[:n-3], "/"), parts[n-3]
	if namespace == "-" {
		if parts[n-2] != "Namespace" {
			return "", ""
		}
		namespace = parts[n-1]
	}
	return cluster, namespace
}
