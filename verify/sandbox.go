package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrNoSandbox says that no sandbox holds on this machine; project code is not
// run then.
var ErrNoSandbox = errors.New("no sandbox")

// Sandbox runs project code so that it reaches neither the network, nor files
// beyond its work folder, nor the environment of this process.
type Sandbox interface {
	// Name says what holds, for the record: "bubblewrap 0.8.0".
	Name() string
	// Run runs one command. An error says that it could not be run at all;
	// how the command ended is in the Outcome.
	Run(ctx context.Context, c Command) (Outcome, error)
}

// Command is one program to run in a Sandbox.
type Command struct {
	Work     string   // folder of this machine that is writable as /work
	Dir      string   // folder below Work to start in, "" for itself
	Cache    string   // folder of this machine that is writable as /cache, "" for none
	ReadOnly []string // folders of this machine that are readable in their own place
	Env      []string // beside PATH and HOME; nothing is inherited
	Argv     []string // the program is looked up on the sandbox's PATH
	Timeout  time.Duration
	Memory   int64 // bytes, for each process and for all together
}

// Outcome is how a command ended. Output is what it said, its middle left out
// when it was too long; it is the program's word and proves nothing.
type Outcome struct {
	Exit    int // exit code, -1 when it was ended
	Reason  string
	Output  []byte
	Elapsed time.Duration
}

// Bounds of what project code gets when the request does not say.
const (
	defaultTimeout = 5 * time.Minute
	defaultMemory  = 4 << 30
	maxOutput      = 256 << 10
	maxFileSize    = 2 << 30
	maxTemporary   = 1 << 30
	maxOpenFiles   = 4096
	maxProcesses   = 4096
	watchEvery     = 100 * time.Millisecond
)

// systemFiles are what programs need of the system's configuration.
var systemFiles = []string{"/etc/alternatives", "/etc/ssl", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/etc/mime.types"}

// sandboxPath is the PATH inside.
const sandboxPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

type bubblewrap struct {
	program, limiter, version string
	// temporary bounds the temporary folder inside, which is memory; bubblewrap
	// older than 0.7 cannot.
	temporary []string
}

// FindBuildSandbox looks for what a repository's own code may run in: gVisor, whose
// kernel is not that of the machine. Bubblewrap, behind which the machine's kernel is all
// that stands, is taken only with the written consent of the operator.
func FindBuildSandbox(ctx context.Context, consent bool) (Sandbox, error) {
	s, err := findGVisor(ctx)
	if err == nil {
		return s, nil
	}
	if consent {
		return FindSandbox(ctx)
	}
	return nil, fmt.Errorf("%w; bubblewrap is taken only when the operator consents to it in writing, by BACKSTITCH_RUN_CODE_IN=bubblewrap", err)
}

// FindSandbox looks for bubblewrap, in which programs of ours and of the ecosystems look
// at a repository without running its code, and tries it. It fails with ErrNoSandbox and
// the reason when nothing holds.
func FindSandbox(ctx context.Context) (Sandbox, error) {
	program, err := exec.LookPath("bwrap")
	if err != nil {
		return nil, fmt.Errorf("%w: bubblewrap (bwrap) is not installed", ErrNoSandbox)
	}
	limiter, err := exec.LookPath("prlimit")
	if err != nil {
		return nil, fmt.Errorf("%w: prlimit of util-linux is not installed", ErrNoSandbox)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	said, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("%w: bwrap --version: %w", ErrNoSandbox, err)
	}
	b := &bubblewrap{program, limiter, strings.TrimSpace(string(said)), []string{"--size", strconv.Itoa(maxTemporary)}}
	empty, err := os.MkdirTemp("", "backstitch-probe-")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoSandbox, err)
	}
	defer os.RemoveAll(empty)
	probe := Command{Work: empty, Argv: []string{"true"}, Timeout: 5 * time.Second}
	outcome, err := b.Run(ctx, probe)
	if err == nil && outcome.Exit != 0 {
		b.temporary = nil
		outcome, err = b.Run(ctx, probe)
	}
	if err != nil || outcome.Exit != 0 {
		return nil, fmt.Errorf("%w: bubblewrap does not start here: %s", ErrNoSandbox, firstLine(string(outcome.Output)+errText(err)))
	}
	return b, nil
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Name implements Sandbox.
func (b *bubblewrap) Name() string { return b.version }

// arguments are those of bwrap for a command: nothing is there but the system's
// programs, read-only, and the work folder.
func (b *bubblewrap) arguments(c Command) []string {
	args := slices.Concat([]string{
		"--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL", "--hostname", "sandbox",
		"--proc", "/proc", "--dev", "/dev",
		// Started by root, what is inside owns the settings of the kernel although it has
		// no capability.
		"--ro-bind-try", "/proc/sys", "/proc/sys", "--ro-bind-try", "/proc/sysrq-trigger", "/proc/sysrq-trigger",
	}, b.temporary, []string{"--tmpfs", "/tmp", "--dir", "/tmp/home", "--ro-bind", "/usr", "/usr"})
	for _, name := range []string{"/bin", "/sbin", "/lib", "/lib32", "/lib64"} {
		if target, err := os.Readlink(name); err == nil {
			args = append(args, "--symlink", target, name)
		} else if info, err := os.Stat(name); err == nil && info.IsDir() {
			args = append(args, "--ro-bind", name, name)
		}
	}
	for _, name := range systemFiles {
		if _, err := os.Stat(name); err == nil {
			args = append(args, "--ro-bind", name, name)
		}
	}
	for _, name := range c.ReadOnly {
		if !strings.HasPrefix(name, "/usr/") {
			args = append(args, "--ro-bind", name, name)
		}
	}
	args = append(args, "--bind", c.Work, "/work")
	if c.Cache != "" {
		args = append(args, "--bind", c.Cache, "/cache")
	}
	args = append(args, "--chdir", "/work/"+c.Dir)
	for _, pair := range c.environment() {
		name, value, _ := strings.Cut(pair, "=")
		args = append(args, "--setenv", name, value)
	}
	return append(append(args, "--"), c.Argv...)
}

// environment is all that the command finds in its environment.
func (c *Command) environment() []string {
	return append([]string{"PATH=" + sandboxPath, "HOME=/tmp/home", "TMPDIR=/tmp", "LANG=C.UTF-8", "CI=1"}, c.Env...)
}

// Run implements Sandbox. Limits are set before bwrap starts and inherited by
// everything in it; ending bwrap ends the process namespace with all in it.
func (b *bubblewrap) Run(ctx context.Context, c Command) (Outcome, error) {
	c.complete()
	return c.bounded(ctx, b.limiter, slices.Concat([]string{b.program}, b.arguments(c)))
}

func (c *Command) complete() {
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if c.Memory <= 0 {
		c.Memory = defaultMemory
	}
}

// bounded runs the program of a sandbox for the command.
func (c *Command) bounded(ctx context.Context, limiter string, argv []string) (Outcome, error) {
	seconds := int64(c.Timeout/time.Second) + 1
	limits := []string{
		"--data=" + strconv.FormatInt(c.Memory, 10), "--cpu=" + strconv.FormatInt(seconds*int64(runtime.NumCPU()), 10),
		"--fsize=" + strconv.Itoa(maxFileSize), "--nofile=" + strconv.Itoa(maxOpenFiles), "--core=0",
	}
	if os.Geteuid() != 0 {
		limits = append(limits, "--nproc="+strconv.Itoa(maxProcesses))
	}
	timed, cancel := context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("it ran longer than %s", c.Timeout))
	defer cancel()
	bounded, stop := context.WithCancelCause(timed)
	defer stop(nil)
	cmd := exec.CommandContext(bounded, limiter, slices.Concat(limits, []string{"--"}, argv)...)
	cmd.Env = []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	said := &ends{limit: maxOutput}
	cmd.Stdout, cmd.Stderr = said, said
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return Outcome{}, fmt.Errorf("start %s: %w", c.Argv[0], err)
	}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		watchMemory(bounded, cmd.Process.Pid, c.Memory, stop)
	}()
	err := cmd.Wait()
	outcome := Outcome{Exit: cmd.ProcessState.ExitCode(), Output: said.bytes(), Elapsed: time.Since(begun)}
	if cause := context.Cause(bounded); cause != nil {
		outcome.Exit, outcome.Reason = -1, cause.Error()
	}
	stop(nil)
	<-watched
	if ctx.Err() != nil {
		return outcome, ctx.Err()
	}
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited && outcome.Reason == "" {
		return outcome, fmt.Errorf("run %s: %w", c.Argv[0], err)
	}
	return outcome, nil
}

// watchMemory ends the command when the process and its children together hold
// more memory than allowed; a limit of the system bounds each alone.
func watchMemory(ctx context.Context, pid int, limit int64, stop context.CancelCauseFunc) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if used := residentMemory(pid); used > limit {
				stop(fmt.Errorf("it used more than %d MiB of memory", limit>>20))
				return
			}
		}
	}
}

// residentMemory sums what a process and its descendants hold, in bytes.
func residentMemory(pid int) int64 {
	folders, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	children := map[int][]int{}
	held := map[int]int64{}
	for _, folder := range folders {
		id, err := strconv.Atoi(folder.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile(filepath.Join("/proc", folder.Name(), "stat"))
		if err != nil {
			continue
		}
		_, after, _ := bytes.Cut(text[bytes.LastIndexByte(text, ')')+1:], []byte(" "))
		fields := strings.Fields(string(after))
		if len(fields) < 22 {
			continue
		}
		parent, _ := strconv.Atoi(fields[1])
		pages, _ := strconv.ParseInt(fields[21], 10, 64)
		children[parent] = append(children[parent], id)
		held[id] = pages * int64(os.Getpagesize())
	}
	total := int64(0)
	seen := map[int]bool{}
	for queue := []int{pid}; len(queue) > 0; queue = queue[1:] {
		if !seen[queue[0]] {
			seen[queue[0]] = true
			total += held[queue[0]]
			queue = append(queue, children[queue[0]]...)
		}
	}
	return total
}

// ends keeps the beginning and the end of an output.
type ends struct {
	limit      int
	head, tail []byte
	dropped    int
}

func (e *ends) Write(p []byte) (int, error) {
	n := len(p)
	if room := e.limit/2 - len(e.head); room > 0 {
		take := min(room, len(p))
		e.head = append(e.head, p[:take]...)
		p = p[take:]
	}
	e.tail = append(e.tail, p...)
	if over := len(e.tail) - e.limit/2; over > 0 {
		e.dropped += over
		e.tail = append(e.tail[:0], e.tail[over:]...)
	}
	return n, nil
}

func (e *ends) bytes() []byte {
	if e.dropped == 0 {
		return slices.Concat(e.head, e.tail)
	}
	return slices.Concat(e.head, fmt.Appendf(nil, "\n[%d bytes left out]\n", e.dropped), e.tail)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
