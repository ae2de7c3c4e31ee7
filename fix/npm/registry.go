package npm

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/backstitch/backstitch/fix"
)

// Registry asks the npm registry of the operator through npm.
// It asks each question once and is safe for concurrent use.
type Registry struct {
	tool *fix.Tool

	mu      sync.Mutex
	answers map[string][]byte
}

// ask runs a command whose answer does not change, once.
func (r *Registry) ask(ctx context.Context, args ...string) ([]byte, error) {
	key := strings.Join(args, "\x00")
	r.mu.Lock()
	defer r.mu.Unlock()
	if answer, ok := r.answers[key]; ok {
		return answer, nil
	}
	answer, err := r.tool.Run(ctx, r.tool.Home(), "npm", args...)
	if err == nil {
		r.answers[key] = answer
	}
	return answer, err
}

// NewRegistry prepares a Registry. Close it when done.
func NewRegistry(ctx context.Context) (*Registry, error) {
	tool, err := newTool(ctx, "npm", "")
	if err != nil {
		return nil, err
	}
	return &Registry{tool: tool, answers: map[string][]byte{}}, nil
}

// Close removes what the registry kept.
func (r *Registry) Close() error { return r.tool.Close() }

// Versions implements fix.Registry with npm view.
func (r *Registry) Versions(ctx context.Context, name string) ([]string, error) {
	out, err := r.view(ctx, name, "versions")
	if err != nil {
		return nil, err
	}
	var versions []string
	if json.Unmarshal(out, &versions) == nil {
		return versions, nil
	}
	var one string // npm writes a list of one as its element
	if err := json.Unmarshal(out, &one); err != nil {
		return nil, fmt.Errorf("npm view %s: %w", name, err)
	}
	return []string{one}, nil
}

// Requirements implements fix.Registry with npm view.
func (r *Registry) Requirements(ctx context.Context, name, version string) (map[string]string, error) {
	if err := check([]fix.Change{{Package: name, To: version}}); err != nil {
		return nil, err
	}
	out, err := r.view(ctx, name+"@"+version, "dependencies")
	if err != nil {
		return nil, err
	}
	requires := map[string]string{}
	if len(strings.TrimSpace(string(out))) == 0 {
		return requires, nil
	}
	if err := json.Unmarshal(out, &requires); err != nil {
		return nil, fmt.Errorf("npm view %s@%s: %w", name, version, err)
	}
	return requires, nil
}

func (r *Registry) view(ctx context.Context, what, field string) ([]byte, error) {
	name := what
	if at := strings.LastIndex(what, "@"); at > 0 {
		name = what[:at]
	}
	if !packageName.MatchString(name) {
		return nil, fmt.Errorf("%q: expected the name of a package", name)
	}
	return r.ask(ctx, "view", "--json", "--", what, field)
}
