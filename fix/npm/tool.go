package npm

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/backstitch/backstitch/fix"
)

// command is the run of a tool that rewrites a lock.
type command struct {
	tool    *fix.Tool
	program string
	name    string // with its version
	args    []string
}

// fetched matches the address that a lock of npm notes of a package, unless whoever
// wrote it told npm not to.
var fetched = regexp.MustCompile(`"resolved"\s*:\s*"https?:`)

// prepare finds the program that writes the project's lock.
func (p *project) prepare(ctx context.Context, lock []byte) (*command, error) {
	var kind string
	var programs []string
	fits := func(string) bool { return true }
	c := &command{}
	switch {
	case p.tool == "pnpm":
		kind, programs = "pnpm", []string{"pnpm"}
		c.args = append([]string{"install", "--lockfile-only", "--ignore-scripts", "--no-frozen-lockfile", "--ignore-pnpmfile", "--reporter=append-only"}, pnpmSettings(lock)...)
	case p.tool == "yarn" && p.format == "1":
		kind, programs, fits = yarnProgram(p.format)
		c.args = []string{"install", "--ignore-scripts", "--ignore-engines", "--ignore-platform", "--non-interactive", "--no-progress", "--no-bin-links", "--no-default-rc"}
	case p.tool == "yarn":
		kind, programs, fits = yarnProgram(p.format)
		c.args = []string{"install", "--mode=update-lockfile"}
	default:
		kind, programs = "npm", []string{"npm"}
		c.args = []string{"install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress", "--loglevel=error"}
		if p.format != "" {
			c.args = append(c.args, "--lockfile-version="+p.format)
		}
		if bytes.Contains(lock, []byte(`"integrity"`)) && !fetched.Match(lock) {
			c.args = append(c.args, "--omit-lockfile-registry-resolved")
		}
	}
	var err error
	if c.tool, err = newTool(ctx, p.tool, p.format); err != nil {
		return nil, err
	}
	var missing error
	for _, program := range programs {
		out, err := c.tool.Run(ctx, c.tool.Home(), program, "--version")
		if ctx.Err() != nil {
			return nil, errors.Join(ctx.Err(), c.tool.Close())
		}
		version := strings.TrimSpace(string(out))
		switch {
		case errors.Is(err, fix.ErrNoTool):
			continue
		case err != nil:
			missing = errors.Join(missing, err)
		case !fits(version):
			missing = errors.Join(missing, fmt.Errorf("%s is of version %s", program, fix.Scrub(version)))
		default:
			c.program, c.name = program, program+" "+fix.Scrub(version)
			return c, nil
		}
	}
	err = fmt.Errorf("%s: %w", kind, fix.ErrNoTool)
	if missing != nil {
		err = fmt.Errorf("%w: %w", err, missing)
	}
	return nil, errors.Join(err, c.tool.Close())
}

// newTool prepares runs of a tool: the registry of the operator, and nothing else
// of his settings. No tool may fetch from git, which would run a repository's
// scripts; none takes another program of its kind from the repository instead.
func newTool(ctx context.Context, tool, format string) (*fix.Tool, error) {
	registry := cmp.Or(os.Getenv("npm_config_registry"), os.Getenv("NPM_CONFIG_REGISTRY"))
	if registry == "" {
		var err error
		if registry, err = configured(ctx); err != nil && !(tool != "npm" && errors.Is(err, fix.ErrNoTool)) {
			return nil, err
		}
	}
	registry = fix.WithoutUser(registry)
	env := []string{"GIT_ALLOW_PROTOCOL=none", "GIT_TERMINAL_PROMPT=0", "COREPACK_ENABLE_NETWORK=0", "COREPACK_ENABLE_PROJECT_SPEC=0", "COREPACK_ENABLE_STRICT=0"}
	if home, err := os.UserHomeDir(); err == nil {
		env = append(env, "COREPACK_HOME="+cmp.Or(os.Getenv("COREPACK_HOME"), filepath.Join(home, ".cache", "node", "corepack")))
	}
	if tool == "yarn" && format != "1" {
		env = append(env,
			"YARN_IGNORE_PATH=1", "YARN_ENABLE_SCRIPTS=0", "YARN_ENABLE_TELEMETRY=0", "YARN_ENABLE_IMMUTABLE_INSTALLS=0",
			"YARN_ENABLE_PROGRESS_BARS=0", "YARN_ENABLE_COLORS=0", "YARN_ENABLE_HYPERLINKS=0", "YARN_ENABLE_HARDENED_MODE=0")
		if registry != "" {
			env = append(env, "YARN_NPM_REGISTRY_SERVER="+strings.TrimSuffix(registry, "/"))
		}
		if address, err := url.Parse(registry); err == nil && address.Scheme == "http" {
			env = append(env, "YARN_UNSAFE_HTTP_WHITELIST="+address.Hostname())
		}
		return fix.NewTool(env...)
	}
	for _, setting := range []string{
		"registry=" + registry, "globalconfig=" + os.DevNull, "update_notifier=false", "fetch_retries=1", "ignore_scripts=true",
		"manage_package_manager_versions=false", "package_manager_strict=false",
	} {
		if setting == "registry=" {
			continue
		}
		env = append(env, "npm_config_"+setting, "pnpm_config_"+setting)
	}
	env = append(env, "npm_config_git="+os.DevNull, "YARN_IGNORE_PATH=1", "SKIP_YARN_COREPACK_CHECK=1")
	if registry != "" {
		env = append(env, "YARN_REGISTRY="+registry)
	}
	return fix.NewTool(env...)
}

// configured asks npm for the registry of the operator's own settings.
func configured(ctx context.Context) (string, error) {
	var settings []string
	if home, err := os.UserHomeDir(); err == nil {
		settings = append(settings, "HOME="+home)
	}
	ask, err := fix.NewTool(append(settings, "npm_config_update_notifier=false")...)
	if err != nil {
		return "", err
	}
	defer ask.Close()
	out, err := ask.Run(ctx, ask.Home(), "npm", "config", "get", "registry")
	return strings.TrimSpace(string(out)), err
}
