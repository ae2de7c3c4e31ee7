package npm

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/backstitch/backstitch/code/lockfile"
)

// lock is what a lock says, by its own keys: of npm the folder that a package
// lies in, of pnpm and yarn the entry.
type lock struct {
	version string // of the format, as the lock states it
	entries map[string]entry
	named   map[string][]string   // keys by the name of the package, sorted
	asking  map[string][]requirer // who asks for a key, sorted by their keys
}

type entry struct {
	Name     string // of the package, "" for a manifest
	As       string // the name that it is installed under
	Version  string
	InBundle bool     // shipped inside an ancestor's archive
	Manifest string   // path of the package.json of the root and of workspaces
	Specs    []string // of yarn: the requirements that lead here
}

// requirer is a package or a manifest that asks for another.
type requirer struct {
	key, as    string // its key in the lock; the name that it asks for
	constraint string
	unknown    bool // the lock does not say with which constraint
}

// instances lists the keys of a package, sorted.
func (l *lock) instances(name string) []string { return l.named[name] }

// requirers lists who gets the package of a key when they ask for its name.
func (l *lock) requirers(key string) []requirer { return l.asking[key] }

// isManifest says whether a key is that of the project's own manifests.
func (l *lock) isManifest(key string) bool { return l.entries[key].Manifest != "" }

// label names the package of a key with its version.
func (l *lock) label(key string) string { return l.entries[key].As + " " + l.entries[key].Version }

// finish sorts what was collected.
func (l *lock) finish() {
	l.named = map[string][]string{}
	for _, key := range slices.Sorted(maps.Keys(l.entries)) {
		if e := l.entries[key]; e.Name != "" {
			l.named[e.Name] = append(l.named[e.Name], key)
		}
	}
	for key, list := range l.asking {
		slices.SortStableFunc(list, func(a, b requirer) int {
			return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.as, b.as))
		})
		l.asking[key] = slices.Compact(list)
	}
}

// installed is an entry of a lock of npm.
type installed struct {
	Version              string            `json:"version"`
	Name                 string            `json:"name"`
	Link                 bool              `json:"link"`
	InBundle             bool              `json:"inBundle"`
	Dependencies         map[string]string `json:"dependencies"`
	OptionalDependencies map[string]string `json:"optionalDependencies"`
	DevDependencies      map[string]string `json:"devDependencies"`
	PeerDependencies     map[string]string `json:"peerDependencies"`
}

// nested is an entry of a lock of npm of version 1.
type nested struct {
	Version      string            `json:"version"`
	Bundled      bool              `json:"bundled"`
	Requires     jsontext.Value    `json:"requires"`
	Dependencies map[string]nested `json:"dependencies"`
}

// parseLock reads package-lock.json and npm-shrinkwrap.json of versions 1 to 3.
func parseLock(name string, data []byte) (*lock, error) {
	var document struct {
		LockfileVersion int                  `json:"lockfileVersion"`
		Packages        map[string]installed `json:"packages"`
		Dependencies    map[string]nested    `json:"dependencies"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), &document); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	all := document.Packages
	if all == nil {
		all = map[string]installed{}
		flatten(all, "", document.Dependencies, 0)
	}
	l := &lock{entries: map[string]entry{}, asking: map[string][]requirer{}}
	if document.LockfileVersion > 0 {
		l.version = strconv.Itoa(document.LockfileVersion)
	}
	for key, e := range all {
		one := entry{As: nameOf(key), Version: e.Version, InBundle: e.InBundle}
		switch {
		case !strings.Contains("/"+key, "/node_modules/"):
			one.Manifest = path.Join(path.Dir(name), key, "package.json")
		case !e.Link:
			one.Name = cmp.Or(e.Name, one.As)
		}
		l.entries[key] = one
		asked := map[string]bool{}
		for _, dependencies := range []map[string]string{e.Dependencies, e.OptionalDependencies, e.DevDependencies, e.PeerDependencies} {
			for as, constraint := range dependencies {
				if asked[as] {
					continue
				}
				asked[as] = true
				if found := resolve(all, key, as); found != "" {
					l.asking[found] = append(l.asking[found], requirer{key: key, as: as, constraint: constraint})
				}
			}
		}
	}
	l.finish()
	return l, nil
}

// flatten gives the nested entries of old locks the keys of later ones.
func flatten(into map[string]installed, under string, dependencies map[string]nested, depth int) {
	if depth > maxDepth {
		return
	}
	for name, old := range dependencies {
		key := strings.TrimPrefix(under+"/node_modules/"+name, "/")
		e := installed{Version: old.Version, InBundle: old.Bundled}
		// "requires": true stands at the top of a lock; an entry holds an object.
		_ = json.Unmarshal(old.Requires, &e.Dependencies)
		into[key] = e
		flatten(into, key, old.Dependencies, depth+1)
	}
}

// nameOf is the name under which the package of a key of npm is installed; the
// key itself for the root and for workspaces.
func nameOf(key string) string {
	if at := strings.LastIndex("/"+key, "/node_modules/"); at >= 0 {
		return key[at+len("node_modules/"):]
	}
	return key
}

// resolve finds the key that a name leads to from a package, as node does.
func resolve(all map[string]installed, from, name string) string {
	for {
		key := strings.TrimPrefix(from+"/node_modules/"+name, "/")
		if _, ok := all[key]; ok {
			return key
		}
		if from == "" {
			return ""
		}
		at := strings.LastIndex(from, "/node_modules/")
		switch {
		case at >= 0:
			from = from[:at]
		default:
			from = ""
		}
	}
}

// bundler names the package in whose archive the package of a key is shipped.
func (l *lock) bundler(key string) string {
	for l.entries[key].InBundle {
		at := strings.LastIndex(key, "/node_modules/")
		if at < 0 {
			return "the project"
		}
		key = key[:at]
	}
	return l.label(key)
}

// lockOf takes the lock of pnpm or yarn from a module. blocks are the entries of
// a yarn.lock by key; pnpm-lock.yaml does not say what packages ask for.
func lockOf(m *lockfile.Module, version string, blocks map[string]block) *lock {
	l := &lock{version: version, entries: map[string]entry{}, asking: map[string][]requirer{}}
	for i := range m.Packages {
		p := &m.Packages[i]
		b, known := blocks[p.Key]
		l.entries[p.Key] = entry{Name: p.Name, As: p.Name, Version: p.Version, Specs: b.specs}
		for _, j := range p.Requires {
			other := &m.Packages[j]
			r := requirer{key: p.Key, as: other.Name, unknown: !known}
			if known {
				if r.as, r.constraint = asked(b.requires, other.Name); r.as == "" {
					r.as, r.unknown = other.Name, true
				}
			}
			l.asking[other.Key] = append(l.asking[other.Key], r)
		}
		for _, d := range p.Declared {
			declared := &m.Declared[d]
			key := manifestKey(declared.Path)
			l.entries[key] = entry{Manifest: declared.Path}
			l.asking[p.Key] = append(l.asking[p.Key], requirer{key: key, as: cmp.Or(declared.Alias, declared.Name), constraint: declared.Constraint})
		}
	}
	l.finish()
	return l
}

// manifestKey is the key of a manifest in locks that give it none.
func manifestKey(name string) string { return "./" + name }

// asked finds how a package asks for another: by its name, or by an alias.
func asked(requires map[string]string, name string) (as, constraint string) {
	if constraint, ok := requires[name]; ok {
		return name, constraint
	}
	for _, as := range slices.Sorted(maps.Keys(requires)) {
		if strings.HasPrefix(requires[as], "npm:"+name+"@") {
			return as, requires[as]
		}
	}
	return "", ""
}
