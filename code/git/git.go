// Package git reads a repository through the system's git, and writes new
// commits into it, without running anything that the repository brings.
//
// The repository is untrusted. Its own configuration is never read by the git
// processes started here: each of them gets a throw-away git folder with a
// configuration of ours, in which refs point to the repository's refs and
// GIT_OBJECT_DIRECTORY to its objects. So no key of .git/config, no hook, no
// attribute, no alias and no credential helper can name a program. The
// environment is cleared, every protocol is refused, replace refs and grafts
// are ignored, and there is no work tree.
//
// Alternates of the object store are followed, as git does: they can only make
// more objects readable, and an object is read only when its id is known.
package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Errors of Open and Resolve.
var (
	ErrNotRepository = errors.New("not a git repository")
	ErrNoCommits     = errors.New("the repository has no commits")
	ErrUnknownRev    = errors.New("unknown revision")
)

// Oldest version of git that is used: 2.39.
const (
	oldestMajor = 2
	oldestMinor = 39
)

// maxOutput bounds what is kept of the output of one git process, in bytes.
const maxOutput = 256 << 20

// maxSmallFile bounds the files of a git folder that are read here, in bytes.
const maxSmallFile = 1 << 20

// Repository is one repository on disk. It is safe for concurrent use.
type Repository struct {
	root     string // top of the work tree, or the bare repository
	gitDir   string // absolute; of this work tree
	common   string // absolute; shared by all work trees
	program  string // absolute path of git
	format   string // sha1 or sha256
	storage  string // files or reftable
	bare     bool
	mu       sync.Mutex
	batch    *batch
	histLock sync.Mutex
}

// Open finds the repository that holds a folder: the folder may lie anywhere in
// a work tree, be the top of a linked work tree, or be a bare repository. It
// refuses a git older than 2.39. A folder outside any repository gives
// ErrNotRepository.
func Open(ctx context.Context, dir string) (*Repository, error) {
	program, err := exec.LookPath("git")
	if err != nil {
		return nil, fmt.Errorf("git 2.39 or newer is needed: %w", err)
	}
	if program, err = filepath.Abs(program); err != nil {
		return nil, err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		dir = resolved
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("open repository: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s: not a folder: %w", dir, ErrNotRepository)
	}
	r := &Repository{program: program}
	if err := r.discover(dir); err != nil {
		return nil, err
	}
	if err := r.checkVersion(ctx); err != nil {
		return nil, err
	}
	return r, r.readFormat(ctx)
}

// discover sets the folders of a repository that holds dir.
func (r *Repository) discover(dir string) error {
	for at := dir; ; {
		dotGit := filepath.Join(at, ".git")
		if info, err := os.Stat(dotGit); err == nil {
			switch {
			case info.IsDir():
				if isGitDir(dotGit) {
					r.root, r.gitDir = at, dotGit
					return r.setCommon()
				}
			case info.Mode().IsRegular():
				target, err := gitFile(dotGit)
				if err != nil {
					return err
				}
				if !isGitDir(target) {
					return fmt.Errorf("%s names %s, which is no git folder: %w", dotGit, target, ErrNotRepository)
				}
				r.root, r.gitDir = at, target
				return r.setCommon()
			}
		}
		if isGitDir(at) && filepath.Base(at) != ".git" {
			r.root, r.gitDir, r.bare = at, at, true
			return r.setCommon()
		}
		up := filepath.Dir(at)
		if up == at {
			return fmt.Errorf("%s: %w", dir, ErrNotRepository)
		}
		at = up
	}
}

func isGitDir(dir string) bool {
	if _, err := os.Lstat(filepath.Join(dir, "HEAD")); err != nil {
		return false
	}
	if _, err := os.Stat(filepath.Join(dir, "commondir")); err == nil {
		return true
	}
	objects, err := os.Stat(filepath.Join(dir, "objects"))
	if err != nil || !objects.IsDir() {
		return false
	}
	refs, err := os.Stat(filepath.Join(dir, "refs"))
	return err == nil && refs.IsDir()
}

// gitFile reads a .git file of a linked work tree or submodule.
func gitFile(name string) (string, error) {
	data, err := readSmall(name)
	if err != nil {
		return "", err
	}
	target, ok := strings.CutPrefix(strings.TrimRight(string(data), "\r\n"), "gitdir: ")
	if !ok {
		return "", fmt.Errorf("%s:1: expected \"gitdir: FOLDER\": %w", name, ErrNotRepository)
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(name), target)
	}
	return filepath.Clean(target), nil
}

func (r *Repository) setCommon() error {
	r.common = r.gitDir
	name := filepath.Join(r.gitDir, "commondir")
	data, err := readSmall(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	common := strings.TrimRight(string(data), "\r\n")
	if !filepath.IsAbs(common) {
		common = filepath.Join(r.gitDir, common)
	}
	r.common = filepath.Clean(common)
	if !isGitDir(r.common) {
		return fmt.Errorf("%s names %s, which is no git folder: %w", name, r.common, ErrNotRepository)
	}
	return nil
}

// readSmall reads a regular file of a git folder, at most maxSmallFile bytes.
func readSmall(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxSmallFile {
		return nil, fmt.Errorf("%s: expected a regular file of at most %d bytes", name, maxSmallFile)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxSmallFile))
}

func (r *Repository) checkVersion(ctx context.Context) error {
	out, err := r.plain(ctx, "version")
	if err != nil {
		return err
	}
	words := strings.Fields(string(out))
	if len(words) < 3 {
		return fmt.Errorf("git version: unexpected answer %q", out)
	}
	parts := strings.SplitN(words[2], ".", 3)
	if len(parts) >= 2 {
		major, err1 := strconv.Atoi(parts[0])
		minor, err2 := strconv.Atoi(parts[1])
		if err1 == nil && err2 == nil && (major > oldestMajor || major == oldestMajor && minor >= oldestMinor) {
			return nil
		}
	}
	return fmt.Errorf("git %s is too old: %d.%d or newer is needed", words[2], oldestMajor, oldestMinor)
}

// readFormat reads the two keys that say how objects and refs are stored.
func (r *Repository) readFormat(ctx context.Context) error {
	r.format, r.storage = "sha1", "files"
	values, err := r.config(ctx, `^extensions\.(objectformat|refstorage)$`)
	if err != nil {
		return err
	}
	for _, v := range values {
		value := strings.ToLower(v[1])
		switch {
		case v[0] == "extensions.objectformat" && (value == "sha1" || value == "sha256"):
			r.format = value
		case v[0] == "extensions.refstorage" && (value == "files" || value == "reftable"):
			r.storage = value
		default:
			return fmt.Errorf("%s: %s = %q is not supported", filepath.Join(r.common, "config"), v[0], v[1])
		}
	}
	return nil
}

// config reads keys of the repository's own configuration file as data:
// includes are not followed and nothing acts on it.
func (r *Repository) config(ctx context.Context, pattern string) ([][2]string, error) {
	name := filepath.Join(r.common, "config")
	if _, err := readSmall(name); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	out, err := r.plain(ctx, "config", "--file", name, "--no-includes", "-z", "--get-regexp", pattern)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var values [][2]string
	for _, item := range strings.Split(string(out), "\x00") {
		if key, value, _ := strings.Cut(item, "\n"); key != "" {
			values = append(values, [2]string{key, value})
		}
	}
	return values, nil
}

// Root is the top of the work tree, or the folder of a bare repository.
func (r *Repository) Root() string { return r.root }

// Bare says whether the repository has no work tree.
func (r *Repository) Bare() bool { return r.bare }

// Shallow says whether history was cut off when the repository was cloned.
func (r *Repository) Shallow() bool {
	info, err := os.Stat(filepath.Join(r.common, "shallow"))
	return err == nil && info.Size() > 0
}

// Close ends the processes kept for reading objects. A Repository can be used
// again after it; one that is never closed ends them when it is collected.
func (r *Repository) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.batch != nil {
		r.batch.stop()
		r.batch = nil
	}
	return nil
}

const shadowConfig = `[core]
	repositoryformatversion = %d
	bare = true
	filemode = false
	symlinks = false
	fsmonitor = false
	hooksPath = /dev/null
	attributesFile = /dev/null
	excludesFile = /dev/null
	commitGraph = false
	untrackedCache = false
	pager = cat
	editor = false
	sshCommand = false
	askPass = false
	quotePath = true
	logAllRefUpdates = false
	bigFileThreshold = 64m
[safe]
	bareRepository = explicit
	directory = *
[protocol]
	allow = never
[log]
	showSignature = false
	mailmap = false
	showRoot = true
[diff]
	renameLimit = 1000
	suppressBlankEmpty = false
	noprefix = false
	mnemonicPrefix = false
[i18n]
	logOutputEncoding = UTF-8
	commitEncoding = UTF-8
[gc]
	auto = 0
[maintenance]
	auto = false
[commit]
	gpgSign = false
[gpg]
	program = false
[gpg "ssh"]
	program = false
[uploadpack]
	packObjectsHook =
[fetch]
	recurseSubmodules = false
[submodule]
	recurse = false
[credential]
	helper =
`

// shadow makes the throw-away git folder that a process runs in. It must be
// removed after the process started reading (cat-file) or ended.
func (r *Repository) shadow() (string, error) {
	dir, err := os.MkdirTemp("", "backstitch-git-")
	if err != nil {
		return "", err
	}
	if err := r.fillShadow(dir); err != nil {
		os.RemoveAll(dir)
		return "", err
	}
	return dir, nil
}

func (r *Repository) fillShadow(dir string) error {
	version := 0
	extensions := ""
	if r.format == "sha256" {
		version, extensions = 1, extensions+"\tobjectFormat = sha256\n"
	}
	if r.storage == "reftable" {
		version, extensions = 1, extensions+"\trefStorage = reftable\n"
	}
	config := fmt.Sprintf(shadowConfig, version)
	if extensions != "" {
		config += "[extensions]\n" + extensions
	}
	if err := os.WriteFile(filepath.Join(dir, "config"), []byte(config), 0o600); err != nil {
		return err
	}
	head := []byte("ref: refs/heads/main\n")
	name := filepath.Join(r.gitDir, "HEAD")
	if target, err := os.Readlink(name); err == nil {
		head = []byte("ref: " + target + "\n")
	} else if data, err := readSmall(name); err == nil {
		head = data
	}
	if err := os.WriteFile(filepath.Join(dir, "HEAD"), head, 0o600); err != nil {
		return err
	}
	for name, isDir := range map[string]bool{"refs": true, "reftable": true, "packed-refs": false, "shallow": false} {
		target := filepath.Join(r.common, name)
		if info, err := os.Stat(target); err != nil || info.IsDir() != isDir || !isDir && !info.Mode().IsRegular() {
			continue
		}
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return os.Mkdir(filepath.Join(dir, "objects"), 0o700)
}

func (r *Repository) environment(shadow string, extra ...string) []string {
	env := []string{
		"PATH=" + filepath.Dir(r.program) + ":/usr/bin:/bin",
		"HOME=/nonexistent", "XDG_CONFIG_HOME=/nonexistent",
		"LC_ALL=C", "TZ=UTC",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_ATTR_NOSYSTEM=1", "GIT_OPTIONAL_LOCKS=0", "GIT_NO_LAZY_FETCH=1", "GIT_NO_REPLACE_OBJECTS=1",
		"GIT_ALLOW_PROTOCOL=none", "GIT_TERMINAL_PROMPT=0", "GIT_LITERAL_PATHSPECS=1",
		"GIT_PAGER=cat", "PAGER=cat", "GIT_EDITOR=false", "GIT_ASKPASS=false", "SSH_ASKPASS=false", "GIT_SSH_COMMAND=false",
		"GIT_LFS_SKIP_SMUDGE=1", "GIT_ADVICE=0",
	}
	if shadow != "" {
		env = append(env, "GIT_DIR="+shadow, "GIT_OBJECT_DIRECTORY="+filepath.Join(r.common, "objects"), "TMPDIR="+shadow)
	}
	return append(env, extra...)
}

func (r *Repository) command(ctx context.Context, shadow string, env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, r.program, append([]string{"--no-pager"}, args...)...)
	cmd.Env = r.environment(shadow, env...)
	cmd.Dir = shadow
	if shadow == "" {
		cmd.Dir = string(filepath.Separator)
	}
	ownGroup(cmd)
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// plain runs a git command that opens no repository.
func (r *Repository) plain(ctx context.Context, args ...string) ([]byte, error) {
	cmd := r.command(ctx, "", []string{"GIT_DIR=/nonexistent"}, args...)
	return output(ctx, cmd, args[0], maxSmallFile)
}

// run runs one git command over the repository's objects and refs.
func (r *Repository) run(ctx context.Context, limit int64, stdin []byte, env []string, args ...string) ([]byte, error) {
	shadow, err := r.shadow()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(shadow)
	return r.runIn(ctx, shadow, limit, stdin, env, args...)
}

func (r *Repository) runIn(ctx context.Context, shadow string, limit int64, stdin []byte, env []string, args ...string) ([]byte, error) {
	cmd := r.command(ctx, shadow, env, args...)
	if stdin != nil {
		cmd.Stdin = bytes.NewReader(stdin)
	}
	return output(ctx, cmd, args[0], limit)
}

func output(ctx context.Context, cmd *exec.Cmd, verb string, limit int64) ([]byte, error) {
	stdout, stderr := &bounded{limit: limit}, &bounded{limit: 4096, drop: true}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case stdout.over:
		return nil, fmt.Errorf("git %s: more than %d bytes of output", verb, limit)
	case err != nil:
		return nil, fmt.Errorf("git %s: %w: %s", verb, err, clean(stderr.data.String(), 400))
	}
	return stdout.data.Bytes(), nil
}

var errOver = errors.New("output over its limit")

// bounded keeps at most limit bytes; past it, it fails the writer or drops.
type bounded struct {
	data  bytes.Buffer
	limit int64
	over  bool
	drop  bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if int64(b.data.Len())+int64(len(p)) > b.limit {
		b.over = true
		if !b.drop {
			return 0, errOver
		}
		b.data.Write(p[:max(0, b.limit-int64(b.data.Len()))])
		return len(p), nil
	}
	return b.data.Write(p)
}

// clean makes untrusted text safe to show: valid UTF-8, control characters as
// spaces, at most limit bytes.
func clean(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 || c >= 0x202a && c <= 0x202e || c >= 0x2066 && c <= 0x2069 || c == 0x200e || c == 0x200f {
			return ' '
		}
		return c
	}, s)
	s = strings.TrimSpace(s)
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "")
	}
	return s
}

// Resolve gives the full id of the commit that a revision names. A repository
// without any commit gives ErrNoCommits, a name that it does not know
// ErrUnknownRev. Names that git would read as options, ranges, paths or
// searches are refused.
func (r *Repository) Resolve(ctx context.Context, rev string) (string, error) {
	if rev == "" {
		rev = "HEAD"
	}
	if err := checkRev(rev); err != nil {
		return "", err
	}
	out, err := r.run(ctx, maxSmallFile, nil, nil, "rev-parse", "--verify", "--quiet", "--end-of-options", rev+"^{commit}")
	if err == nil {
		if id := strings.TrimSpace(string(out)); isID(id) {
			return id, nil
		}
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	branches, listErr := r.Branches(ctx)
	if listErr != nil {
		return "", listErr
	}
	if len(branches) == 0 {
		return "", fmt.Errorf("%s: %w", r.root, ErrNoCommits)
	}
	return "", fmt.Errorf("%s: %q: %w", r.root, rev, ErrUnknownRev)
}

func checkRev(rev string) error {
	bad := len(rev) > 256 || strings.HasPrefix(rev, "-") || strings.Contains(rev, "..") || strings.Contains(rev, "^{/") || strings.Contains(rev, "^!") || strings.Contains(rev, "^@")
	for _, c := range rev {
		bad = bad || c <= ' ' || c == 0x7f || strings.ContainsRune(":?*[\\", c)
	}
	if bad || strings.HasPrefix(rev, "^") {
		return fmt.Errorf("revision %q: expected a branch, tag or commit id: %w", clean(rev, 64), ErrUnknownRev)
	}
	return nil
}

func isID(id string) bool {
	if len(id) != 40 && len(id) != 64 {
		return false
	}
	for i := range len(id) {
		if c := id[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// Branch is a local branch and the commit it names.
type Branch struct {
	Name   string // without refs/heads/
	Commit string
	When   time.Time // of the commit
}

// Branches lists the local branches, the newest commit first.
func (r *Repository) Branches(ctx context.Context) ([]Branch, error) {
	out, err := r.run(ctx, maxOutput, nil, nil, "for-each-ref", "--sort=refname", "--sort=-committerdate",
		"--format=%(objectname) %(objecttype) %(committerdate:unix) %(refname:lstrip=2)", "refs/heads")
	if err != nil {
		return nil, err
	}
	var branches []Branch
	for _, line := range strings.Split(string(out), "\n") {
		parts := strings.SplitN(line, " ", 4)
		if len(parts) != 4 || parts[1] != "commit" {
			continue
		}
		seconds, err := strconv.ParseInt(parts[2], 10, 64)
		if err != nil {
			seconds = 0
		}
		branches = append(branches, Branch{parts[3], parts[0], time.Unix(seconds, 0).UTC()})
	}
	return branches, nil
}

// Diff gives the unified diff between two commits, as git writes it without
// external drivers, text conversion or colour.
func (r *Repository) Diff(ctx context.Context, from, to string) (string, error) {
	if !isID(from) || !isID(to) {
		return "", fmt.Errorf("diff %q..%q: expected full commit ids", clean(from, 64), clean(to, 64))
	}
	out, err := r.run(ctx, 64<<20, nil, nil, "diff-tree", "-r", "-p", "-M", "--no-ext-diff", "--no-textconv", "--no-color",
		"--src-prefix=a/", "--dst-prefix=b/", "--full-index", "--submodule=short", "--end-of-options", from, to, "--")
	return string(out), err
}
