package fix

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// ErrNoTool says that a program is not installed.
var ErrNoTool = errors.New("program not found")

// ToolProxy is the variable that names the proxy through which tools reach the network,
// instead of that of this process.
const ToolProxy = "BACKSTITCH_TOOL_PROXY"

// Bounds of one run of a tool.
const (
	toolTimeout = 5 * time.Minute
	toolOutput  = 4 << 20
)

// Tool runs an ecosystem's own program on files that nobody vouches for: no
// shell, no standard input, an environment that holds no credentials, a home
// folder of its own, bounded time and output. A process that outlives its time
// is ended with all its children.
type Tool struct {
	home string
	env  []string
}

// NewTool makes a Tool with an empty home folder below the system's temporary
// folder. Close removes it. The environment of programs is PATH, the network
// settings of this process without user information, and extra.
func NewTool(extra ...string) (*Tool, error) {
	home, err := os.MkdirTemp("", "backstitch-fix-")
	if err != nil {
		return nil, fmt.Errorf("home folder of a tool: %w", err)
	}
	// The go command would count its uses there after it ended, and the folder came back.
	telemetry := filepath.Join(home, ".config", "go", "telemetry")
	if err := errors.Join(os.MkdirAll(telemetry, 0o700), os.WriteFile(filepath.Join(telemetry, "mode"), []byte("off\n"), 0o600)); err != nil {
		return nil, errors.Join(fmt.Errorf("home folder of a tool: %w", err), os.RemoveAll(home))
	}
	env := []string{"HOME=" + home, "TMPDIR=" + home, "XDG_CACHE_HOME=" + home, "LANG=C.UTF-8", "CI=1"}
	for _, name := range []string{
		"PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS",
		"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
	} {
		if value := os.Getenv(name); value != "" {
			env = append(env, name+"="+WithoutUser(value))
		}
	}
	if proxy := os.Getenv(ToolProxy); proxy != "" {
		// The last of equal names counts: everything goes through the one way out.
		for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
			env = append(env, name+"="+proxy)
		}
		env = append(env, "NO_PROXY=", "no_proxy=")
	}
	return &Tool{home: home, env: append(env, extra...)}, nil
}

// Close removes the home folder. Module caches inside are read-only; they are
// made writable first.
func (t *Tool) Close() error {
	err := filepath.WalkDir(t.home, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			err = os.Chmod(name, 0o700)
		}
		return err
	})
	return errors.Join(err, os.RemoveAll(t.home))
}

// Home is the home folder of programs.
func (t *Tool) Home() string { return t.home }

// Run runs program in dir and returns its standard output. Arguments go to it
// as they are. The error of a program that fails ends with the last lines of
// what it said, without control characters and user information of URLs.
func (t *Tool) Run(ctx context.Context, dir, program string, args ...string) ([]byte, error) {
	file, err := exec.LookPath(program)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", program, ErrNoTool)
	}
	ctx, cancel := context.WithTimeout(ctx, toolTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, file, args...)
	cmd.Dir = dir
	cmd.Env = append([]string{"PWD=" + dir}, t.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	stdout, stderr := &capped{limit: toolOutput}, &capped{limit: 64 << 10}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		said := Scrub(stderr.String())
		if said == "" {
			said = Scrub(stdout.String())
		}
		return stdout.Bytes(), fmt.Errorf("%s %s: %w: %s", program, args[0], err, lastLines(said, 12))
	}
	if stdout.dropped {
		return nil, fmt.Errorf("%s %s: more than %d bytes of output", program, args[0], toolOutput)
	}
	return stdout.Bytes(), nil
}

// capped keeps the first limit bytes and drops the rest.
type capped struct {
	bytes.Buffer
	limit   int
	dropped bool
}

func (c *capped) Write(p []byte) (int, error) {
	room := max(c.limit-c.Len(), 0)
	if len(p) > room {
		c.dropped = true
	}
	c.Buffer.Write(p[:min(len(p), room)])
	return len(p), nil
}

var (
	escape   = regexp.MustCompile("\x1b\\[[0-9;?]*[ -/]*[@-~]")
	userInfo = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)[^/\s]+@`)
	// A credential by the name it is given, or by its own form.
	credential = regexp.MustCompile(`(?i)([a-z_-]*(?:token|password|passwd|secret|authorization|_auth|authident|api_?key)["']?\s*[:=]\s*["']?(?:bearer |basic )?)[^\s"'&,;]+|\b(?:npm|gh[pousr]|github_pat|pypi|glpat|sk)[_-][A-Za-z0-9_-]{16,}`)
)

// Scrub makes what a tool said fit for a log: no escape sequences, no control
// characters beyond newlines, no user information in URLs, no credential that
// has a name or a form of its own.
func Scrub(text string) string {
	text = userInfo.ReplaceAllString(escape.ReplaceAllString(text, ""), "$1")
	text = credential.ReplaceAllString(text, "$1[removed]")
	text = strings.Map(func(r rune) rune {
		if r == '\n' || r >= ' ' && r != 0x7f {
			return r
		}
		return -1
	}, text)
	return strings.TrimSpace(strings.ToValidUTF8(text, "?"))
}

// WithoutUser removes user names and passwords from a URL or a list of URLs
// separated by commas or bars.
func WithoutUser(text string) string {
	return userInfo.ReplaceAllString(text, "$1")
}

func lastLines(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(len(lines)-n, 0):], "\n")
}
