package composer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/backstitch/backstitch/fix"
)

// newTool prepares runs of composer: the repositories of the operator, and nothing
// else of his settings.
func newTool() (*fix.Tool, error) {
	settings, err := operatorRepositories()
	if err != nil {
		return nil, err
	}
	tool, err := fix.NewTool(
		"COMPOSER_ALLOW_SUPERUSER=1", "COMPOSER_NO_INTERACTION=1", "COMPOSER_NO_AUDIT=1", "COMPOSER_MINIMAL_CHANGES=1", "COMPOSER_DISABLE_XDEBUG_WARN=1",
		"GIT_ALLOW_PROTOCOL=https", "GIT_TERMINAL_PROMPT=0",
	)
	if err != nil || len(settings) == 0 {
		return tool, err
	}
	if err := fix.PutFile(tool.Home(), ".config/composer/config.json", settings); err != nil {
		return nil, errors.Join(err, tool.Close())
	}
	return tool, nil
}

// operatorRepositories gives the part of the operator's own settings that says where
// packages come from, without credentials.
func operatorRepositories() ([]byte, error) {
	homes := []string{os.Getenv("COMPOSER_HOME")}
	if home, err := os.UserHomeDir(); err == nil && homes[0] == "" {
		homes = []string{filepath.Join(home, ".config", "composer"), filepath.Join(home, ".composer")}
	}
	for _, home := range homes {
		data, err := os.ReadFile(filepath.Join(home, "config.json"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("settings of composer: %w", err)
		}
		var all struct {
			Config       map[string]any `json:"config"`
			Repositories any            `json:"repositories"`
		}
		if err := json.Unmarshal(data, &all); err != nil {
			return nil, fmt.Errorf("settings of composer: config.json: %w", err)
		}
		config := map[string]any{}
		for _, key := range []string{"secure-http", "cafile", "capath"} {
			if value, ok := all.Config[key]; ok {
				config[key] = value
			}
		}
		return json.Marshal(map[string]any{"config": config, "repositories": withoutUsers(all.Repositories)})
	}
	return nil, nil
}

// withoutUsers keeps type and address of repositories, and which are switched off.
func withoutUsers(repositories any) any {
	switch value := repositories.(type) {
	case []any:
		list := []any{}
		for _, one := range value {
			list = append(list, withoutUsers(one))
		}
		return list
	case map[string]any:
		kept := map[string]any{}
		for key, one := range value {
			switch text := one.(type) {
			case string:
				if key == "type" || key == "url" || key == "name" {
					kept[key] = fix.WithoutUser(text)
				}
			case bool:
				kept[key] = text
			case map[string]any:
				if key != "options" {
					kept[key] = withoutUsers(text)
				}
			}
		}
		return kept
	}
	return []any{}
}

// Registry asks the repositories of the operator through composer. It asks each
// question once and is safe for concurrent use.
type Registry struct {
	tool *fix.Tool

	mu      sync.Mutex
	answers map[string]shown
}

// shown is what composer says about a package.
type shown struct {
	Versions []string          `json:"versions"`
	Requires map[string]string `json:"requires"`
}

// NewRegistry prepares a Registry. Close it when done.
func NewRegistry(context.Context) (*Registry, error) {
	tool, err := newTool()
	if err == nil {
		if err = fix.PutFile(tool.Home(), "ask/composer.json", []byte("{}\n")); err != nil {
			err = errors.Join(err, tool.Close())
		}
	}
	if err != nil {
		return nil, err
	}
	return &Registry{tool: tool, answers: map[string]shown{}}, nil
}

// Close removes what the registry kept.
func (r *Registry) Close() error { return r.tool.Close() }

// Versions implements fix.Registry. Branches are left out.
func (r *Registry) Versions(ctx context.Context, name string) ([]string, error) {
	all, err := r.show(ctx, name)
	if err != nil {
		return nil, err
	}
	var versions []string
	for i := len(all.Versions) - 1; i >= 0; i-- { // composer lists the newest first
		if packageVersion.MatchString(all.Versions[i]) {
			versions = append(versions, all.Versions[i])
		}
	}
	return versions, nil
}

// Requirements implements fix.Registry.
func (r *Registry) Requirements(ctx context.Context, name, version string) (map[string]string, error) {
	if !packageVersion.MatchString(version) {
		return nil, fmt.Errorf("%s: %q: expected a version", name, version)
	}
	one, err := r.show(ctx, name, version)
	if err != nil {
		return nil, err
	}
	requires := map[string]string{}
	for other, constraint := range one.Requires {
		if strings.Contains(other, "/") {
			requires[strings.ToLower(other)] = constraint
		}
	}
	return requires, nil
}

func (r *Registry) show(ctx context.Context, what ...string) (shown, error) {
	if !packageName.MatchString(what[0]) {
		return shown{}, fmt.Errorf("%q: expected the name of a package", what[0])
	}
	key := strings.Join(what, " ")
	r.mu.Lock()
	defer r.mu.Unlock()
	if answer, ok := r.answers[key]; ok {
		return answer, nil
	}
	args := append([]string{"show", "--all", "--format=json", "--no-ansi", "--no-interaction", "--no-plugins", "--"}, what...)
	out, err := r.tool.Run(ctx, filepath.Join(r.tool.Home(), "ask"), "composer", args...)
	if err != nil {
		return shown{}, err
	}
	var answer shown
	if err := json.Unmarshal(out, &answer); err != nil {
		return shown{}, fmt.Errorf("composer show %s: %w", key, err)
	}
	r.answers[key] = answer
	return answer, nil
}
