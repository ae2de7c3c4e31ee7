package actions

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/backstitch/backstitch/fix"
)

// DefaultForge is where workflows take actions from.
const DefaultForge = "https://github.com"

// Address gives the address of an action's repository on a forge.
func Address(forge, repository string) string {
	return strings.TrimSuffix(forge, "/") + "/" + repository
}

// Git knows refs by asking the forge with git ls-remote, without credentials. It asks
// once for each repository and is safe for concurrent use. The zero Git asks
// DefaultForge.
type Git struct {
	// Forge is the address that owner/name is added to: https, or an absolute path.
	Forge string

	mu   sync.Mutex
	refs map[string]Refs
}

// maxRefs bounds what is kept of one repository.
const maxRefs = 50_000

// Refs implements Resolver. Of an annotated tag it gives the commit.
func (g *Git) Refs(ctx context.Context, repository string) (Refs, error) {
	if !actor.MatchString(repository) || strings.Contains(repository, "..") {
		return Refs{}, fmt.Errorf("%q: expected owner/name", repository)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if known, ok := g.refs[repository]; ok {
		return known, nil
	}
	forge, protocol := g.Forge, "https"
	switch {
	case forge == "":
		forge = DefaultForge
	case filepath.IsAbs(forge):
		protocol = "file"
	case !strings.HasPrefix(forge, "https://"):
		return Refs{}, fmt.Errorf("forge %q: expected an https address or a path", fix.WithoutUser(forge))
	}
	tool, err := fix.NewTool(
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_TERMINAL_PROMPT=0", "GIT_ALLOW_PROTOCOL="+protocol,
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.followRedirects", "GIT_CONFIG_VALUE_0=initial",
	)
	if err != nil {
		return Refs{}, err
	}
	out, err := tool.Run(ctx, tool.Home(), "git", "ls-remote", "--tags", "--heads", "--", Address(fix.WithoutUser(forge), repository))
	if err = errors.Join(err, tool.Close()); err != nil {
		return Refs{}, err
	}
	refs := parseRefs(string(out))
	if g.refs == nil {
		g.refs = map[string]Refs{}
	}
	g.refs[repository] = refs
	return refs, nil
}

func parseRefs(out string) Refs {
	refs := Refs{Tags: map[string]string{}, Branches: map[string]string{}}
	for line := range strings.Lines(out) {
		id, name, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok || !commit.MatchString(id) || len(refs.Tags)+len(refs.Branches) >= maxRefs {
			continue
		}
		if branch, ok := strings.CutPrefix(name, "refs/heads/"); ok {
			refs.Branches[branch] = id
		}
		if tag, ok := strings.CutPrefix(name, "refs/tags/"); ok {
			bare, peeled := strings.CutSuffix(tag, "^{}")
			if _, known := refs.Tags[bare]; !known || peeled {
				refs.Tags[bare] = id
			}
		}
	}
	return refs
}

// Registry answers a fixer's questions about versions from tags.
type Registry struct{ Resolver Resolver }

// Versions implements fix.Registry: tags of three numbers, rising.
func (r Registry) Versions(ctx context.Context, name string) ([]string, error) {
	refs, err := r.Resolver.Refs(ctx, name)
	if err != nil {
		return nil, err
	}
	list := slices.DeleteFunc(slices.Collect(maps.Keys(refs.Tags)), func(tag string) bool { return !release.MatchString(tag) || strings.Count(tag, ".") != 2 })
	slices.SortFunc(list, func(a, b string) int {
		if order := slices.Compare(parts(a), parts(b)); order != 0 {
			return order
		}
		return strings.Compare(a, b)
	})
	return list, nil
}

// Requirements implements fix.Registry. What an action uses itself is not asked for.
func (Registry) Requirements(context.Context, string, string) (map[string]string, error) {
	return map[string]string{}, nil
}
