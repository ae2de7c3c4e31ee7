package cargo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/pelletier/go-toml/v2"

	"github.com/backstitch/backstitch/fix"
)

// newTool prepares runs of cargo: the registry sources of the operator, and nothing
// else of his settings.
func newTool() (*fix.Tool, error) {
	env := []string{
		"CARGO_TERM_COLOR=never", "CARGO_TERM_PROGRESS_WHEN=never", "CARGO_NET_RETRY=1", "CARGO_NET_GIT_FETCH_WITH_CLI=false",
		"RUSTUP_AUTO_INSTALL=0",
	}
	home, _ := os.UserHomeDir()
	toolchains := os.Getenv("RUSTUP_HOME")
	if toolchains == "" && home != "" {
		toolchains = filepath.Join(home, ".rustup")
	}
	if info, err := os.Stat(toolchains); err == nil && info.IsDir() {
		env = append(env, "RUSTUP_HOME="+toolchains) // else a cargo of rustup finds no toolchain
	}
	for _, name := range []string{"RUSTUP_TOOLCHAIN", "CARGO_HTTP_CAINFO"} {
		if value := os.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	settings, err := operatorSources(home)
	if err != nil {
		return nil, err
	}
	tool, err := fix.NewTool(env...)
	if err != nil {
		return nil, err
	}
	if len(settings) > 0 {
		if err := fix.PutFile(tool.Home(), ".cargo/config.toml", settings); err != nil {
			return nil, errors.Join(err, tool.Close())
		}
	}
	return tool, nil
}

// operatorSources gives the part of the operator's own settings that says where
// crates come from, without credentials.
func operatorSources(home string) ([]byte, error) {
	dir := os.Getenv("CARGO_HOME")
	if dir == "" && home != "" {
		dir = filepath.Join(home, ".cargo")
	}
	for _, name := range []string{"config.toml", "config"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("settings of cargo: %w", err)
		}
		var all struct {
			Source map[string]map[string]any `toml:"source"`
			HTTP   map[string]any            `toml:"http"`
		}
		if err := toml.Unmarshal(data, &all); err != nil {
			return nil, fmt.Errorf("settings of cargo: %s: %w", name, err)
		}
		sources := map[string]map[string]string{}
		for source, values := range all.Source {
			sources[source] = some(values, "replace-with", "registry", "local-registry", "directory")
		}
		result := map[string]any{"source": sources}
		if http := some(all.HTTP, "proxy", "cainfo"); len(http) > 0 {
			result["http"] = http
		}
		return toml.Marshal(result)
	}
	return nil, nil
}

// some keeps the texts of some keys, without user information in URLs.
func some(values map[string]any, keys ...string) map[string]string {
	kept := map[string]string{}
	for _, key := range keys {
		if text, ok := values[key].(string); ok {
			kept[key] = fix.WithoutUser(text)
		}
	}
	return kept
}

// Registry asks the registry of the operator through cargo: it lets cargo resolve a
// crate in a folder of its own and reads what cargo fetched of the index. It asks
// once for each crate and is safe for concurrent use.
type Registry struct {
	tool *fix.Tool

	mu     sync.Mutex
	crates map[string][]release
}

// release is one line of the index.
type release struct {
	Version string `json:"vers"`
	Yanked  bool   `json:"yanked"`
	Deps    []struct {
		Name    string `json:"name"`
		Package string `json:"package"`
		Req     string `json:"req"`
		Kind    string `json:"kind"`
	} `json:"deps"`
}

// NewRegistry prepares a Registry. Close it when done.
func NewRegistry(context.Context) (*Registry, error) {
	tool, err := newTool()
	if err != nil {
		return nil, err
	}
	return &Registry{tool: tool, crates: map[string][]release{}}, nil
}

// Close removes what the registry kept.
func (r *Registry) Close() error { return r.tool.Close() }

// Versions implements fix.Registry.
func (r *Registry) Versions(ctx context.Context, name string) ([]string, error) {
	releases, err := r.crate(ctx, name)
	if err != nil {
		return nil, err
	}
	var versions []string
	for _, one := range releases {
		if !one.Yanked {
			versions = append(versions, one.Version)
		}
	}
	slices.SortStableFunc(versions, func(a, b string) int {
		switch {
		case higher(a, b):
			return 1
		case higher(b, a):
			return -1
		}
		return 0
	})
	return versions, nil
}

// Requirements implements fix.Registry. What a crate wants for its own tests is left
// out; several requirements of one crate have to hold together.
func (r *Registry) Requirements(ctx context.Context, name, version string) (map[string]string, error) {
	releases, err := r.crate(ctx, name)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(releases, func(one release) bool { return one.Version == version })
	if at < 0 {
		return nil, fmt.Errorf("the registry has no %s %s", name, version)
	}
	requires := map[string]string{}
	for _, d := range releases[at].Deps {
		if d.Kind == "dev" {
			continue
		}
		crate := d.Name
		if d.Package != "" {
			crate = d.Package
		}
		if before, twice := requires[crate]; twice && before != d.Req {
			d.Req = before + ", " + d.Req
		}
		requires[crate] = d.Req
	}
	return requires, nil
}

func (r *Registry) crate(ctx context.Context, name string) ([]release, error) {
	if !crateName.MatchString(name) {
		return nil, fmt.Errorf("%q: expected the name of a crate", name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.crates[name]; ok {
		return known, nil
	}
	data, err := r.fetched(name)
	if err != nil {
		return nil, err
	}
	if data == nil {
		manifest := fmt.Sprintf("[package]\nname = \"ask\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[dependencies]\nasked = { package = %q, version = \"*\" }\n", name)
		for file, text := range map[string]string{"ask/Cargo.toml": manifest, "ask/src/lib.rs": ""} {
			if err := fix.PutFile(r.tool.Home(), file, []byte(text)); err != nil {
				return nil, err
			}
		}
		// A crate without a release that resolves is in the index all the same.
		_, failed := r.tool.Run(ctx, filepath.Join(r.tool.Home(), "ask"), "cargo", "generate-lockfile", "--quiet")
		if data, err = r.fetched(name); err != nil || data == nil {
			return nil, errors.Join(err, failed)
		}
	}
	releases, err := parseIndex(data)
	if err != nil {
		return nil, fmt.Errorf("index entry of %s: %w", name, err)
	}
	r.crates[name] = releases
	return releases, nil
}

// fetched gives what cargo kept of a crate's index entry, nil for nothing.
func (r *Registry) fetched(name string) ([]byte, error) {
	name = strings.ToLower(name)
	below := filepath.Join("3", name[:1], name)
	switch {
	case len(name) < 3:
		below = filepath.Join(fmt.Sprint(len(name)), name)
	case len(name) > 3:
		below = filepath.Join(name[:2], name[2:4], name)
	}
	files, err := filepath.Glob(filepath.Join(r.tool.Home(), ".cargo", "registry", "index", "*", ".cache", below))
	if err != nil || len(files) == 0 {
		return nil, err
	}
	return os.ReadFile(files[0])
}

// parseIndex reads an entry as cargo keeps it: a header, then version and JSON line
// in turn, each ended by a zero byte. Lines of an unknown form are passed over.
func parseIndex(data []byte) ([]release, error) {
	found := map[string]release{}
	var order []string
	for part := range bytes.SplitSeq(data, []byte{0}) {
		if !bytes.HasPrefix(part, []byte("{")) {
			continue
		}
		var one release
		if json.Unmarshal(part, &one) != nil || !crateVersion.MatchString(one.Version) {
			continue
		}
		if _, twice := found[one.Version]; !twice {
			order = append(order, one.Version)
		}
		found[one.Version] = one
	}
	if len(order) == 0 {
		return nil, errors.New("expected lines of releases")
	}
	releases := make([]release, 0, len(order))
	for _, version := range order {
		releases = append(releases, found[version])
	}
	return releases, nil
}
