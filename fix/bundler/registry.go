package bundler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/backstitch/backstitch/fix"
)

// newTool prepares runs of bundler, with nothing of the operator's settings.
func newTool() (*fix.Tool, error) {
	return fix.NewTool("BUNDLE_IGNORE_CONFIG=1", "BUNDLE_DISABLE_VERSION_CHECK=1", "BUNDLE_SILENCE_ROOT_WARNING=1", "BUNDLE_RETRY=1", "BUNDLE_VERSION=system", "BUNDLE_ALLOW_OFFLINE_INSTALL=0")
}

// Registry asks the registry of the operator through bundler: it lets bundler
// resolve a gem in a folder of its own and reads what bundler fetched of the index.
// It asks once for each gem and is safe for concurrent use.
type Registry struct {
	tool   *fix.Tool
	source string

	mu   sync.Mutex
	gems map[string][]release
}

// release is one line of the index.
type release struct {
	version string
	needs   map[string]string
}

// NewRegistry prepares a Registry. Close it when done.
func NewRegistry(ctx context.Context) (*Registry, error) {
	source, err := configured(ctx)
	if err != nil {
		return nil, err
	}
	tool, err := newTool()
	if err != nil {
		return nil, err
	}
	return &Registry{tool: tool, source: source, gems: map[string][]release{}}, nil
}

// configured asks gem for the source of the operator's own settings.
func configured(ctx context.Context) (string, error) {
	var settings []string
	if home, err := os.UserHomeDir(); err == nil {
		settings = append(settings, "HOME="+home)
	}
	ask, err := fix.NewTool(settings...)
	if err != nil {
		return "", err
	}
	defer ask.Close()
	out, err := ask.Run(ctx, ask.Home(), "gem", "sources")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(out)) {
		if source := fix.WithoutUser(strings.TrimSpace(line)); checkSource(source) == nil {
			return source, nil
		}
	}
	return "", errors.New("gem sources: expected an address")
}

// Close removes what the registry kept.
func (r *Registry) Close() error { return r.tool.Close() }

// Versions implements fix.Registry. Versions for one platform only are left out.
func (r *Registry) Versions(ctx context.Context, name string) ([]string, error) {
	releases, err := r.gem(ctx, name)
	if err != nil {
		return nil, err
	}
	var versions []string
	for _, one := range releases {
		versions = append(versions, one.version)
	}
	return versions, nil
}

// Requirements implements fix.Registry.
func (r *Registry) Requirements(ctx context.Context, name, version string) (map[string]string, error) {
	releases, err := r.gem(ctx, name)
	if err != nil {
		return nil, err
	}
	for _, one := range releases {
		if one.version == version {
			return one.needs, nil
		}
	}
	return nil, fmt.Errorf("the registry has no %s %s", name, version)
}

func (r *Registry) gem(ctx context.Context, name string) ([]release, error) {
	if !gemName.MatchString(name) {
		return nil, fmt.Errorf("%q: expected the name of a gem", name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.gems[name]; ok {
		return known, nil
	}
	data, err := r.fetched(name)
	if errors.Is(err, fs.ErrNotExist) {
		gemfile := fmt.Sprintf("source '%s'\ngem '%s'\n", r.source, name)
		if err := fix.PutFile(r.tool.Home(), "ask/Gemfile", []byte(gemfile)); err != nil {
			return nil, err
		}
		if err := fix.Remove(r.tool.Home(), "ask/Gemfile.lock"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		// A gem that does not resolve here is in the index all the same.
		_, failed := r.tool.Run(ctx, filepath.Join(r.tool.Home(), "ask"), "bundle", "lock")
		if data, err = r.fetched(name); errors.Is(err, fs.ErrNotExist) {
			return nil, cmp.Or(failed, fmt.Errorf("the registry has no %s", name))
		}
	}
	if err != nil {
		return nil, err
	}
	releases := parseIndex(data)
	if len(releases) == 0 {
		return nil, fmt.Errorf("index entry of %s: expected lines of releases", name)
	}
	r.gems[name] = releases
	return releases, nil
}

// fetched gives what bundler kept of a gem's index entry.
func (r *Registry) fetched(name string) (string, error) {
	files, err := filepath.Glob(filepath.Join(r.tool.Home(), ".bundle", "cache", "compact_index", "*", "info", name))
	if err != nil {
		return "", err
	}
	if len(files) == 0 {
		return "", fs.ErrNotExist
	}
	data, err := os.ReadFile(files[0])
	return string(data), err
}

// parseIndex reads an entry of the compact index: lines of a version, a space, what
// it needs as name:clause&clause separated by commas, and after a bar what else it
// says. Releases are in rising order.
func parseIndex(text string) []release {
	var found []release
	for line := range strings.Lines(text) {
		version, rest, ok := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		if !ok || !gemVersion.MatchString(version) {
			continue // a header, or a release for one platform
		}
		needs := map[string]string{}
		list, _, _ := strings.Cut(rest, "|")
		for entry := range strings.SplitSeq(list, ",") {
			if name, constraint, ok := strings.Cut(entry, ":"); ok {
				needs[name] = strings.Join(strings.Split(constraint, "&"), ", ")
			}
		}
		found = append(found, release{version, needs})
	}
	slices.SortStableFunc(found, func(a, b release) int {
		switch {
		case higher(a.version, b.version):
			return 1
		case higher(b.version, a.version):
			return -1
		}
		return 0
	})
	return found
}
