package kubernetes

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync"
	"time"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
)

// Limits of rendering. A template can loop forever or ask for all memory, and
// nothing inside a process can stop it; so a chart is rendered in a child process
// that is killed at the deadline and ends itself at the memory limit.
const (
	renderDeadline = 10 * time.Second
	renderMemory   = 768 << 20
	renderOutput   = 64 << 20
	chartBytes     = 64 << 20
)

// RenderCommand is the only argument of the child process that renders charts. A
// program that hands out ChildRenderer calls ServeRenders when it is given it.
const RenderCommand = "render-charts"

const (
	renderHello = "backstitch renderer 2"
	renderEnv   = "BACKSTITCH_RENDERER"
)

// RenderJob is a chart, its files by their path below the chart's folder, and the
// release it is rendered for.
type RenderJob struct {
	Files     map[string][]byte `json:"files"`
	Release   string            `json:"release"`
	Namespace string            `json:"namespace"`
}

// Renderer renders charts.
type Renderer interface {
	// Open starts rendering one chart.
	Open(ctx context.Context, job RenderJob) (Rendering, error)
}

// Rendering renders one chart with changing values.
type Rendering interface {
	// As makes the renders from now on those of another release.
	As(release, namespace string)
	// Render gives the rendered files by template path; the values are those that
	// a user gives, over those of the chart.
	Render(ctx context.Context, values map[string]any) (map[string]string, error)
	Close() error
}

// ChildRenderer renders in a child process: program, called with RenderCommand and
// an empty environment.
func ChildRenderer(program string) Renderer { return childRenderer(program) }

type childRenderer string

type childRendering struct {
	program string
	job     []byte
	release string
	space   string
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	failed  int
}

func (r childRenderer) Open(_ context.Context, job RenderJob) (Rendering, error) {
	if os.Getenv(renderEnv) != "" {
		return nil, errors.New("a process that renders charts starts no other")
	}
	encoded, err := json.Marshal(job)
	if err != nil {
		return nil, err
	}
	return &childRendering{program: string(r), job: append(encoded, '\n'), release: job.Release, space: job.Namespace}, nil
}

func (c *childRendering) As(release, namespace string) { c.release, c.space = release, namespace }

// renderAsk is one line to the child.
type renderAsk struct {
	Release   string         `json:"release"`
	Namespace string         `json:"namespace"`
	Values    map[string]any `json:"values"`
}

func (c *childRendering) start() error {
	cmd := exec.Command(c.program, RenderCommand)
	cmd.Env = []string{renderEnv + "=1"}
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the renderer: %w", err)
	}
	c.cmd, c.in, c.out = cmd, in, bufio.NewReaderSize(out, 64<<10)
	return nil
}

func (c *childRendering) stop() {
	if c.cmd == nil {
		return
	}
	_ = c.in.Close()
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
	c.cmd = nil
}

func (c *childRendering) Close() error { c.stop(); return nil }

// line reads one line of the child, at most renderOutput bytes.
func (c *childRendering) line() ([]byte, error) {
	var line []byte
	for {
		part, err := c.out.ReadSlice('\n')
		line = append(line, part...)
		if err == nil {
			return line, nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
		if len(line) > renderOutput {
			return nil, errors.New("rendered more than 64 MiB")
		}
	}
}

func (c *childRendering) Render(ctx context.Context, values map[string]any) (map[string]string, error) {
	if c.failed >= 3 {
		return nil, errors.New("the chart ran into the deadline or the memory limit three times; it is not rendered any more")
	}
	encoded, err := json.Marshal(renderAsk{c.release, c.space, values})
	if err != nil {
		return nil, err
	}
	fresh := c.cmd == nil
	if fresh {
		if err := c.start(); err != nil {
			return nil, err
		}
	}
	type answer struct {
		Files map[string]string `json:"files"`
		Error string            `json:"error"`
	}
	var got answer
	done := make(chan error, 1)
	go func() {
		done <- func() error {
			if fresh {
				hello, err := c.line()
				if err != nil || strings.TrimSpace(string(hello)) != renderHello {
					return errors.New("the program does not serve renders")
				}
				if _, err := c.in.Write(c.job); err != nil {
					return err
				}
			}
			if _, err := c.in.Write(append(encoded, '\n')); err != nil {
				return err
			}
			line, err := c.line()
			if err != nil {
				return err
			}
			return json.Unmarshal(line, &got)
		}()
	}()
	timer := time.NewTimer(renderDeadline)
	defer timer.Stop()
	select {
	case err = <-done:
		if err != nil {
			err = fmt.Errorf("the renderer ended: %w", err)
		}
	case <-timer.C:
		err = fmt.Errorf("rendering took longer than %s", renderDeadline)
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		c.failed++
		_ = c.cmd.Process.Kill()
		c.stop()
		return nil, err
	}
	if got.Error != "" {
		return nil, errors.New(got.Error)
	}
	return got.Files, nil
}

// ServeRenders is the child's side: it reads a chart, then values line by line, and
// answers each with the rendered files. It ends when in does, and ends the process
// when rendering takes too much memory.
func ServeRenders(in io.Reader, out io.Writer) error {
	log.SetOutput(io.Discard)
	debug.SetMemoryLimit(renderMemory)
	limitProcess()
	go watchMemory()
	if _, err := fmt.Fprintln(out, renderHello); err != nil {
		return err
	}
	decoder := json.NewDecoder(in)
	decoder.UseNumber()
	var job RenderJob
	if err := decoder.Decode(&job); err != nil {
		return err
	}
	rendering, openErr := inProcess{}.Open(context.Background(), job)
	encoder := json.NewEncoder(out)
	for {
		var ask renderAsk
		if err := decoder.Decode(&ask); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		answer := map[string]any{}
		err := openErr
		if err == nil {
			// Charts that make up passwords or names must make up the same ones each time.
			rand.Reader = mathrand.NewChaCha8([32]byte{})
			var files map[string]string
			rendering.As(ask.Release, ask.Namespace)
			values, _ := numbers(ask.Values).(map[string]any)
			files, err = rendering.Render(context.Background(), values)
			answer["files"] = files
		}
		if err != nil {
			answer["error"] = short(err.Error(), 2000)
		}
		if err := encoder.Encode(answer); err != nil {
			return err
		}
	}
}

// numbers turns JSON numbers into those that YAML gives.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
		f, _ := v.Float64()
		return f
	case map[string]any:
		for key := range v {
			v[key] = numbers(v[key])
		}
		return v
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
		return v
	}
	return v
}

func short(s string, most int) string {
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + " ..."
	}
	return s
}

func watchMemory() {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	for range time.Tick(20 * time.Millisecond) {
		if metrics.Read(sample); sample[0].Value.Uint64() > renderMemory {
			os.Exit(3)
		}
	}
}

// inProcess renders in this very process, without a deadline that holds.
type inProcess struct{}

type rendering struct {
	mu  sync.Mutex
	job RenderJob
}

func (inProcess) Open(_ context.Context, job RenderJob) (Rendering, error) {
	return &rendering{job: job}, nil
}

func (r *rendering) Close() error { return nil }

func (r *rendering) As(release, namespace string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.job.Release, r.job.Namespace = release, namespace
}

func (r *rendering) Render(_ context.Context, values map[string]any) (files map[string]string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("rendering failed: %v", p)
		}
	}()
	var buffered []*loader.BufferedFile
	for _, name := range sorted(r.job.Files) {
		buffered = append(buffered, &loader.BufferedFile{Name: name, Data: r.job.Files[name]})
	}
	c, err := loader.LoadFiles(buffered)
	if err != nil {
		return nil, err
	}
	c.Schema = nil // a schema may name addresses to fetch
	for _, d := range c.Dependencies() {
		d.Schema = nil
	}
	if err := chartutil.ProcessDependenciesWithMerge(c, values); err != nil {
		return nil, err
	}
	all, err := chartutil.ToRenderValues(c, values, chartutil.ReleaseOptions{Name: r.job.Release, Namespace: r.job.Namespace, Revision: 1, IsInstall: true}, nil)
	if err != nil {
		return nil, err
	}
	return engine.Engine{}.Render(c, all)
}
