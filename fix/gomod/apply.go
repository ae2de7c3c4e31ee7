package gomod

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/backstitch/backstitch/fix"
)

// apply edits go.mod in dir and runs go. Whoever calls it puts the files back
// when it fails.
func (m *manifest) apply(ctx context.Context, dir string, p fix.Path) error {
	if p.Changes[0].Package == standardLibrary {
		line, _ := m.toolchain()
		if line == nil {
			return fmt.Errorf("%s: no go line", m.path)
		}
		old := strings.TrimPrefix(line.Token[len(line.Token)-1], "go")
		edit, err := m.literal(line, old)
		if err != nil {
			return err
		}
		edit.New = strings.TrimPrefix(p.Changes[0].To, "go")
		return m.write(dir, edit)
	}
	work := filepath.Join(dir, filepath.FromSlash(path.Dir(m.path)))
	if _, err := os.Lstat(filepath.Join(work, "vendor", "modules.txt")); err == nil {
		return fmt.Errorf("%s: the module is vendored; its vendor folder has to be made anew with go mod vendor", path.Join(path.Dir(m.path), "vendor"))
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	tool, err := newTool(ctx)
	if err != nil {
		return err
	}
	defer tool.Close()
	tidy, err := isTidy(ctx, tool, work)
	if err != nil {
		return err
	}
	if p.Kind == fix.Replace {
		r := m.replaced(p.Changes[0].Package, "")
		for _, other := range m.file.Replace {
			if other.Old.Path == p.Changes[0].Package && other.New.Version == p.Changes[0].From {
				r = other
			}
		}
		if r == nil {
			return fmt.Errorf("%s: no replace directive for %s", m.path, p.Changes[0].Package)
		}
		edit, err := m.literal(r.Syntax, r.New.Version)
		if err != nil {
			return err
		}
		edit.New = p.Changes[0].To
		if err := m.write(dir, edit); err != nil {
			return err
		}
	} else {
		args := []string{"get", "--"}
		for _, change := range p.Changes {
			args = append(args, change.Package+"@"+change.To)
		}
		if _, err := tool.Run(ctx, work, "go", args...); err != nil {
			return err
		}
		if err := m.keepFormat(dir); err != nil {
			return err
		}
	}
	// Loading every package, with its tests, makes go fetch the modules that
	// it needs for them and note their sums. Nothing is built.
	if _, err := tool.Run(ctx, work, "go", "list", "-mod=mod", "-e", "-deps", "-test", "-f", "{{.ImportPath}}", "--", "./..."); err != nil {
		return err
	}
	for _, change := range p.Changes {
		out, err := tool.Run(ctx, work, "go", "list", "-mod=readonly", "-m", "-json", "--", change.Package)
		if err != nil {
			return err
		}
		var selected struct {
			Version string
			Replace *struct{ Version string }
		}
		if err := json.Unmarshal(out, &selected); err != nil {
			return fmt.Errorf("go list -m: %w", err)
		}
		if selected.Replace != nil {
			selected.Version = selected.Replace.Version
		}
		if semver.Compare(selected.Version, change.To) < 0 {
			return fmt.Errorf("%s: %s is selected after the change, expected %s", change.Package, selected.Version, change.To)
		}
	}
	if tidy {
		if err := m.tidy(ctx, tool, dir, work); err != nil {
			return err
		}
	}
	return m.noDowngrade(dir)
}

// isTidy says whether go.mod and go.sum hold what go mod tidy would write, as far as
// go can tell here: older ones and missing modules cannot. A run that takes too long
// is an error, since those that follow would too.
func isTidy(ctx context.Context, tool *fix.Tool, work string) (bool, error) {
	_, err := tool.Run(ctx, work, "go", "mod", "tidy", "-diff")
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return false, err
	}
	return err == nil, nil
}

// tidy takes away the sums of versions that nobody needs any more, which a check of
// the repository may ask for. Where go cannot, the files stay as they are.
func (m *manifest) tidy(ctx context.Context, tool *fix.Tool, dir, work string) error {
	sums := path.Join(path.Dir(m.path), "go.sum")
	before := map[string][]byte{}
	for _, name := range []string{m.path, sums} {
		data, err := fix.ReadFile(dir, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // no module is needed
		}
		if err != nil {
			return err
		}
		before[name] = data
	}
	_, err := tool.Run(ctx, work, "go", "mod", "tidy")
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return errors.Join(fix.WriteFile(dir, m.path, before[m.path]), fix.WriteFile(dir, sums, before[sums]))
	}
	was, err := parse(m.path, before[m.path])
	if err != nil {
		return err
	}
	written, err := fix.ReadFile(dir, m.path)
	if err != nil {
		return err
	}
	is, err := parse(m.path, written)
	if err != nil {
		return fmt.Errorf("%s after go mod tidy: %w", m.path, err)
	}
	if differences(was.file, is.file) == 0 {
		return fix.WriteFile(dir, m.path, before[m.path])
	}
	return m.keepFormat(dir)
}

// write replaces literals of go.mod and checks that just as many values changed.
func (m *manifest) write(dir string, edits ...fix.Edit) error {
	data, err := fix.Splice(m.data, edits...)
	if err != nil {
		return fmt.Errorf("%s: %w", m.path, err)
	}
	after, err := parse(m.path, data)
	if err != nil {
		return fmt.Errorf("%s after the edit: %w", m.path, err)
	}
	if n := differences(m.file, after.file); n != len(edits) {
		return fmt.Errorf("%s: the edit changed %d values, expected %d", m.path, n, len(edits))
	}
	return fix.WriteFile(dir, m.path, data)
}

// keepFormat turns what go wrote back into the file as its authors laid it
// out, when nothing but versions moved. Where go added or took away lines its
// own layout stays, with the line ends of the file.
func (m *manifest) keepFormat(dir string) error {
	written, err := fix.ReadFile(dir, m.path)
	if err != nil {
		return err
	}
	after, err := parse(m.path, written)
	if err != nil {
		return fmt.Errorf("%s after go get: %w", m.path, err)
	}
	var edits []fix.Edit
	for _, r := range m.file.Require {
		other := after.require(r.Mod.Path)
		if other == nil || other.Mod.Version == r.Mod.Version {
			continue
		}
		edit, err := m.literal(r.Syntax, r.Mod.Version)
		if err != nil {
			return err
		}
		edit.New = other.Mod.Version
		edits = append(edits, edit)
	}
	if spliced, err := fix.Splice(m.data, edits...); err == nil {
		if same, err := parse(m.path, spliced); err == nil && differences(same.file, after.file) == 0 {
			return fix.WriteFile(dir, m.path, spliced)
		}
	}
	if bytes.Contains(m.data, []byte("\r\n")) && !bytes.Contains(written, []byte("\r\n")) {
		return fix.WriteFile(dir, m.path, bytes.ReplaceAll(written, []byte("\n"), []byte("\r\n")))
	}
	return nil
}

func (m *manifest) noDowngrade(dir string) error {
	data, err := fix.ReadFile(dir, m.path)
	if err != nil {
		return err
	}
	after, err := parse(m.path, data)
	if err != nil {
		return err
	}
	for _, r := range m.file.Require {
		if other := after.require(r.Mod.Path); other != nil && semver.Compare(other.Mod.Version, r.Mod.Version) < 0 {
			return fmt.Errorf("%s: the change would lower it from %s to %s", r.Mod.Path, r.Mod.Version, other.Mod.Version)
		}
	}
	return nil
}

// values lists what a go.mod says, one entry a directive.
func values(file *modfile.File) map[string]string {
	result := map[string]string{}
	if file.Module != nil {
		result["module"] = file.Module.Mod.String()
	}
	if file.Go != nil {
		result["go"] = file.Go.Version
	}
	if file.Toolchain != nil {
		result["toolchain"] = file.Toolchain.Name
	}
	for _, r := range file.Require {
		result["require "+r.Mod.Path] = fmt.Sprintf("%s %v", r.Mod.Version, r.Indirect)
	}
	for _, r := range file.Replace {
		result["replace "+r.Old.String()] = r.New.String()
	}
	for _, x := range file.Exclude {
		result["exclude "+x.Mod.String()] = ""
	}
	for _, r := range file.Retract {
		result["retract "+r.Low+" "+r.High] = r.Rationale
	}
	for _, t := range file.Tool {
		result["tool "+t.Path] = ""
	}
	for _, d := range file.Godebug {
		result["godebug "+d.Key] = d.Value
	}
	return result
}

// differences counts the values in which two files differ.
func differences(a, b *modfile.File) int {
	va, vb := values(a), values(b)
	n := 0
	for key, value := range va {
		if other, ok := vb[key]; !ok || other != value {
			n++
		}
	}
	for key := range vb {
		if _, ok := va[key]; !ok {
			n++
		}
	}
	return n
}

// newTool prepares runs of go: the proxy, checksum database and module cache
// of the operator, and nothing else of his environment.
func newTool(ctx context.Context) (*fix.Tool, error) {
	var settings []string
	for _, name := range []string{"GOENV", "GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOPRIVATE", "GOINSECURE", "GOMODCACHE", "GOPATH", "XDG_CONFIG_HOME"} {
		if value := os.Getenv(name); value != "" {
			settings = append(settings, name+"="+value)
		}
	}
	if home, err := os.UserHomeDir(); err == nil {
		settings = append(settings, "HOME="+home)
	}
	ask, err := fix.NewTool(append(settings, "GOTOOLCHAIN=local")...)
	if err != nil {
		return nil, err
	}
	defer ask.Close()
	names := []string{"GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOPRIVATE", "GOINSECURE", "GOMODCACHE"}
	out, err := ask.Run(ctx, ask.Home(), "go", append([]string{"env", "-json"}, names...)...)
	if err != nil {
		return nil, err
	}
	var found map[string]string
	if err := json.Unmarshal(out, &found); err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	env := []string{"GOENV=off", "GOFLAGS=-mod=mod", "GOTOOLCHAIN=local", "GOWORK=off", "GOAUTH=off", "GOVCS=*:off", "GOTELEMETRY=off"}
	for _, name := range names {
		env = append(env, name+"="+fix.WithoutUser(found[name]))
	}
	tool, err := fix.NewTool(env...)
	if err != nil {
		return nil, err
	}
	return tool, nil
}

// Registry asks the module proxy of the operator through the go command.
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
	answer, err := r.tool.Run(ctx, r.tool.Home(), "go", args...)
	if err == nil {
		r.answers[key] = answer
	}
	return answer, err
}

// NewRegistry prepares a Registry. Close it when done.
func NewRegistry(ctx context.Context) (*Registry, error) {
	tool, err := newTool(ctx)
	if err != nil {
		return nil, err
	}
	return &Registry{tool: tool, answers: map[string][]byte{}}, nil
}

// Close removes what the registry kept.
func (r *Registry) Close() error { return r.tool.Close() }

// Versions implements fix.Registry with go list -m -versions.
func (r *Registry) Versions(ctx context.Context, name string) ([]string, error) {
	if err := module.CheckPath(name); err != nil {
		return nil, err
	}
	out, err := r.ask(ctx, "list", "-m", "-versions", "-json", "--", name)
	if err != nil {
		return nil, err
	}
	var listed struct{ Versions []string }
	if err := json.Unmarshal(out, &listed); err != nil {
		return nil, fmt.Errorf("go list -m -versions: %w", err)
	}
	return listed.Versions, nil
}

// Sources implements fix.Sources with go mod download, which runs nothing of the
// module.
func (r *Registry) Sources(ctx context.Context, name, version string) (fs.FS, func() error, error) {
	if err := module.Check(name, version); err != nil {
		return nil, nil, err
	}
	out, err := r.ask(ctx, "mod", "download", "-json", "--", name+"@"+version)
	if err != nil {
		return nil, nil, err
	}
	var downloaded struct{ Dir string }
	if err := json.Unmarshal(out, &downloaded); err != nil {
		return nil, nil, fmt.Errorf("go mod download: %w", err)
	}
	root, err := os.OpenRoot(downloaded.Dir)
	if err != nil {
		return nil, nil, err
	}
	return root.FS(), root.Close, nil
}

// Requirements implements fix.Registry with the go.mod of that version.
func (r *Registry) Requirements(ctx context.Context, name, version string) (map[string]string, error) {
	if err := module.Check(name, version); err != nil {
		return nil, err
	}
	out, err := r.ask(ctx, "list", "-m", "-json", "--", name+"@"+version)
	if err != nil {
		return nil, err
	}
	var downloaded struct{ GoMod string }
	if err := json.Unmarshal(out, &downloaded); err != nil {
		return nil, fmt.Errorf("go list -m: %w", err)
	}
	data, err := os.ReadFile(downloaded.GoMod)
	if err != nil {
		return nil, err
	}
	file, err := modfile.ParseLax(downloaded.GoMod, data, nil)
	if err != nil {
		return nil, err
	}
	requires := make(map[string]string, len(file.Require))
	for _, require := range file.Require {
		requires[require.Mod.Path] = require.Mod.Version
	}
	return requires, nil
}
