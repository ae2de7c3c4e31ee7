package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// job is one command of the project, or the reason why there is none.
type job struct {
	check   string
	command Command
	none    string
}

// toolchain says how a module is built and tested. fetch brings what it
// depends on into a folder, with a network and without running project code.
type toolchain struct {
	fetch func(ctx context.Context, work string) error
	jobs  []job
}

// buildAndTest runs the project's own build and tests on the change and, when
// they are red, on what was before.
func (p *prover) buildAndTest(ctx context.Context, modules []lockfile.Module) error {
	none := ""
	switch {
	case !p.request.Build:
		none = "not asked for"
	case slices.ContainsFunc(p.checks, func(c fact.Check) bool { return c.Status == fact.CheckFail }):
		none = "not run, as the change does not hold already"
	}
	if none == "" && p.request.Sandbox == nil {
		var err error
		if p.request.Sandbox, err = FindBuildSandbox(ctx, p.request.Consent); err != nil {
			none = fmt.Sprintf("project code is not run: %v", err)
		}
	}
	var chain toolchain
	if none == "" {
		chain, none = p.toolchain(ctx, &modules[0])
	}
	if none != "" {
		p.check(CheckBuild, fact.CheckSkip, "%s", none)
		p.check(CheckTests, fact.CheckSkip, "%s", none)
		return nil
	}
	cache := p.request.Cache
	if cache == "" {
		cache = filepath.Join(p.dir, "cache")
	}
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return err
	}
	fetched := map[string]error{}
	for _, j := range chain.jobs {
		if j.none != "" {
			p.check(j.check, fact.CheckSkip, "%s", j.none)
			continue
		}
		j.command.Cache, j.command.Timeout, j.command.Memory = cache, p.request.Timeout, p.request.Memory
		if err := p.job(ctx, chain, j, fetched); err != nil {
			return err
		}
	}
	return nil
}

// attempt runs a job in one of the two folders.
func (p *prover) attempt(ctx context.Context, chain toolchain, j job, work string, fetched map[string]error) (Outcome, error) {
	if _, done := fetched[work]; !done {
		fetched[work] = chain.fetch(ctx, work)
		if err := fetched[work]; err != nil {
			fmt.Fprintf(&p.log, "fetch dependencies: %s\n", fix.Scrub(err.Error()))
		}
	}
	j.command.Work = work
	outcome, err := p.request.Sandbox.Run(ctx, j.command)
	fmt.Fprintf(&p.log, "$ %s (%s)\n%s\n%s\n", strings.Join(j.command.Argv, " "), filepath.Base(work), fix.Scrub(string(outcome.Output)), outcome.text())
	return outcome, err
}

func (o Outcome) text() string {
	if o.Reason != "" {
		return o.Reason
	}
	return fmt.Sprintf("exit code %d", o.Exit)
}

func (p *prover) job(ctx context.Context, chain toolchain, j job, fetched map[string]error) error {
	// Where a program is installed differs between machines, and proves nothing.
	name := strings.Join(append([]string{filepath.Base(j.command.Argv[0])}, j.command.Argv[1:]...), " ")
	after, err := p.attempt(ctx, chain, j, p.after, fetched)
	if err != nil {
		return err
	}
	if after.Exit == 0 {
		p.check(j.check, fact.CheckPass, "%s: exit code 0", name)
		return nil
	}
	before, err := p.attempt(ctx, chain, j, p.before, fetched)
	if err != nil {
		return err
	}
	if before.Exit != 0 {
		detail := fmt.Sprintf("%s: %s after the change, but before it %s too; this says nothing about the change", name, after.text(), before.text())
		if fetched[p.before] != nil || fetched[p.after] != nil {
			detail += " (what it depends on could not be fetched)"
		}
		p.check(j.check, fact.CheckSkip, "%s", detail)
		return nil
	}
	again, err := p.attempt(ctx, chain, j, p.after, fetched)
	if err != nil {
		return err
	}
	if again.Exit == 0 {
		p.check(j.check, fact.CheckPass, "%s: exit code 0 at the second try; the first gave %s, so it is not reliable", name, after.text())
		return nil
	}
	if fetched[p.after] != nil && fetched[p.before] == nil {
		p.check(j.check, fact.CheckFail, "%s: %s, exit code 0 before the change; what it depends on now could not be fetched", name, again.text())
		return nil
	}
	p.check(j.check, fact.CheckFail, "%s: %s, exit code 0 before the change", name, again.text())
	return nil
}

func (p *prover) toolchain(ctx context.Context, m *lockfile.Module) (chain toolchain, none string) {
	switch m.Tool {
	case "gomod":
		return p.goChain(ctx, m.Dir)
	case "npm":
		return p.npmChain(m.Dir)
	case "pip", "poetry", "uv", "pipenv":
		return p.pythonChain(ctx, m.Dir)
	}
	return toolchain{}, fmt.Sprintf("no way to build with %s is known", m.Tool)
}

// goSettings are those of the machine's Go that fetching needs; none holds a
// credential.
var goSettings = []string{"GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOPRIVATE", "GOMODCACHE"}

func (p *prover) goChain(ctx context.Context, dir string) (toolchain, string) {
	program, err := exec.LookPath("go")
	if err != nil {
		return toolchain{}, "go is not installed"
	}
	command := exec.CommandContext(ctx, program, append([]string{"env", "-json", "GOROOT"}, goSettings...)...)
	command.Dir = p.dir // outside of any module
	said, err := command.Output()
	settings := map[string]string{}
	if err == nil {
		err = json.Unmarshal(said, &settings)
	}
	if err != nil || settings["GOROOT"] == "" || settings["GOMODCACHE"] == "" {
		return toolchain{}, "go env does not work"
	}
	if err := os.MkdirAll(settings["GOMODCACHE"], 0o755); err != nil {
		return toolchain{}, "the module cache cannot be written"
	}
	env := []string{"GOENV=off", "GOTOOLCHAIN=local", "GOTELEMETRY=off", "GOVCS=*:off", "GOAUTH=off", "GOFLAGS="}
	fetch := func(ctx context.Context, work string) error {
		extra := slices.Clone(env)
		for _, name := range goSettings {
			if value := settings[name]; value != "" {
				extra = append(extra, name+"="+fix.WithoutUser(value))
			}
		}
		return fetchWith(ctx, work, dir, extra, program, "mod", "download")
	}
	inside := append(env, "GOROOT="+settings["GOROOT"], "GOMODCACHE="+settings["GOMODCACHE"], "GOCACHE=/cache", "GOPATH=/tmp/go", "GOPROXY=off", "GOFLAGS=-buildvcs=false")
	run := func(args ...string) Command {
		return Command{
			Dir: dir, Env: inside, ReadOnly: []string{settings["GOROOT"], settings["GOMODCACHE"]},
			Argv: append([]string{filepath.Join(settings["GOROOT"], "bin", "go")}, args...),
		}
	}
	return toolchain{fetch, []job{{check: CheckBuild, command: run("build", "./...")}, {check: CheckTests, command: run("test", "./...")}}}, ""
}

// noTest is what npm init writes when there are no tests.
const noTest = "no test specified"

func (p *prover) npmChain(dir string) (toolchain, string) {
	text, err := fix.ReadFile(p.after, path.Join(dir, "package.json"))
	var manifest struct {
		Scripts map[string]string `json:"scripts"`
	}
	if err == nil {
		err = json.Unmarshal(text, &manifest)
	}
	if err != nil {
		return toolchain{}, "package.json cannot be read"
	}
	jobs := []job{
		{check: CheckBuild, command: Command{Argv: []string{"npm", "run", "build"}}},
		{check: CheckTests, command: Command{Argv: []string{"npm", "test"}}},
	}
	if manifest.Scripts["build"] == "" {
		jobs[0].none = "package.json has no build script"
	}
	if script := manifest.Scripts["test"]; script == "" || strings.Contains(script, noTest) {
		jobs[1].none = "package.json has no test script"
	}
	programs, readOnly, none := insideOf("node", "npm")
	if none != "" {
		return toolchain{}, none
	}
	for i := range jobs {
		c := &jobs[i].command
		c.Dir, c.ReadOnly = dir, readOnly
		c.Env = []string{"npm_config_offline=true", "npm_config_update_notifier=false", "npm_config_cache=/tmp/npm", "PATH=" + programs}
	}
	fetch := func(ctx context.Context, work string) error {
		return fetchWith(ctx, work, dir, nil, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	}
	return toolchain{fetch, jobs}, ""
}

// insideOf makes programs that are installed outside of /usr reachable: it
// gives the PATH and the folders that must be readable.
func insideOf(names ...string) (searchPath string, readOnly []string, none string) {
	folders := []string{}
	for _, name := range names {
		found := slices.ContainsFunc(strings.Split(sandboxPath, ":"), func(folder string) bool {
			info, err := os.Stat(filepath.Join(folder, name))
			return err == nil && info.Mode().IsRegular()
		})
		if found {
			continue
		}
		program, err := exec.LookPath(name)
		if err != nil {
			return "", nil, name + " is not installed"
		}
		folders = append(folders, filepath.Dir(program))
		readOnly = append(readOnly, filepath.Dir(filepath.Dir(program)))
	}
	return strings.Join(append(slices.Compact(folders), sandboxPath), ":"), slices.Compact(readOnly), ""
}

func (p *prover) pythonChain(ctx context.Context, dir string) (toolchain, string) {
	python := ""
	for _, name := range []string{"/usr/local/bin/python3", "/usr/bin/python3"} {
		if _, err := os.Stat(name); err == nil && python == "" {
			python = name
		}
	}
	if python == "" {
		return toolchain{}, "there is no python3 below /usr"
	}
	jobs := []job{
		{check: CheckBuild, command: Command{Dir: dir, Argv: []string{python, "-m", "compileall", "-q", "."}}},
		{check: CheckTests, command: Command{Dir: dir, Argv: []string{python, "-m", "pytest", "-q", "-p", "no:cacheprovider"}}},
	}
	switch sources, tests := pythonFiles(filepath.Join(p.after, filepath.FromSlash(dir))); {
	case !sources:
		jobs[0].none, jobs[1].none = "there is no Python source to compile", "there are no tests"
	case !tests:
		jobs[1].none = "there are no tests"
	default:
		probe, err := p.request.Sandbox.Run(ctx, Command{Work: p.after, Argv: []string{python, "-c", "import pytest"}})
		if err != nil || probe.Exit != 0 {
			jobs[1].none = "pytest is not installed for " + python
		}
	}
	return toolchain{func(context.Context, string) error { return nil }, jobs}, ""
}

// pythonFiles says whether a folder has Python sources, and tests of them.
func pythonFiles(dir string) (sources, tests bool) {
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		base := filepath.Base(name)
		switch {
		case err != nil:
			return err
		case tests:
			return fs.SkipAll
		case entry.IsDir() && (base == ".venv" || base == "node_modules"):
			return fs.SkipDir
		case filepath.Ext(base) == ".py" && entry.Type().IsRegular():
			sources = true
			tests = strings.HasPrefix(base, "test_") || strings.HasSuffix(base, "_test.py")
		}
		return nil
	})
	return sources && err == nil, tests
}

// fetchWith runs an ecosystem's own tool with a network, an environment
// without credentials and nothing of the project.
func fetchWith(ctx context.Context, work, dir string, env []string, program string, args ...string) (err error) {
	tool, err := fix.NewTool(env...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tool.Close()) }()
	_, err = tool.Run(ctx, filepath.Join(work, filepath.FromSlash(dir)), program, args...)
	return err
}
