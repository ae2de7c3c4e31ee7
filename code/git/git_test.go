package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
)

// sh runs git in a test's repository with fixed people and times.
func sh(t testing.TB, dir string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Ann Author", "GIT_AUTHOR_EMAIL=ann@example.org", "GIT_AUTHOR_DATE=1700000000 +0000",
		"GIT_COMMITTER_NAME=Ann Author", "GIT_COMMITTER_EMAIL=ann@example.org", "GIT_COMMITTER_DATE=1700000000 +0000",
	}, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func write(t testing.TB, dir, name, content string) {
	t.Helper()
	name = filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func initRepository(t testing.TB, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	sh(t, dir, nil, append([]string{"init", "-q", "-b", "main"}, args...)...)
	return dir
}

func commitAll(t testing.TB, dir, message string, env ...string) string {
	t.Helper()
	sh(t, dir, nil, "add", "-A")
	sh(t, dir, env, "commit", "-q", "--allow-empty", "-m", message)
	return sh(t, dir, nil, "rev-parse", "HEAD")
}

func open(t testing.TB, dir string) *Repository {
	t.Helper()
	r, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestOpenFindsTheRepositoryAroundAFolder(t *testing.T) {
	t.Parallel()
	dir := initRepository(t)
	write(t, dir, "a/b/c.txt", "x\n")
	head := commitAll(t, dir, "first")
	sh(t, dir, nil, "worktree", "add", "-q", filepath.Join(dir, "..", "linked"), "-b", "side")
	linked := filepath.Join(dir, "..", "linked")
	write(t, linked, "d.txt", "y\n")
	side := commitAll(t, linked, "second")
	bare := t.TempDir()
	sh(t, bare, nil, "clone", "-q", "--bare", dir, "r.git")
	for _, test := range []struct{ dir, root, head string }{
		{dir, dir, head}, {filepath.Join(dir, "a/b"), dir, head}, {linked, linked, side}, {filepath.Join(bare, "r.git"), filepath.Join(bare, "r.git"), head},
	} {
		r := open(t, test.dir)
		want := must(filepath.EvalSymlinks(test.root))(t)
		if r.Root() != want {
			t.Errorf("root of %s is %s, want %s", test.dir, r.Root(), want)
		}
		if got := must(r.Resolve(t.Context(), "HEAD"))(t); got != test.head {
			t.Errorf("HEAD of %s is %s, want %s", test.dir, got, test.head)
		}
	}
	if _, err := Open(t.Context(), t.TempDir()); !errors.Is(err, ErrNotRepository) {
		t.Errorf("an empty folder: %v, want ErrNotRepository", err)
	}
}

func TestResolveRefusesWhatIsNoName(t *testing.T) {
	t.Parallel()
	dir := initRepository(t)
	r := open(t, dir)
	if _, err := r.Resolve(t.Context(), "HEAD"); !errors.Is(err, ErrNoCommits) {
		t.Errorf("empty repository: %v, want ErrNoCommits", err)
	}
	head := commitAll(t, dir, "first")
	sh(t, dir, nil, "tag", "-a", "-m", "t", "v1")
	for _, rev := range []string{"", "HEAD", "main", "v1", head[:12], head, "HEAD^{commit}"} {
		if got, err := r.Resolve(t.Context(), rev); got != head {
			t.Errorf("%q is %q, %v", rev, got, err)
		}
	}
	for _, rev := range []string{"--all", "-h", "main..main", ":/first", "HEAD:a", "^main", "HEAD^{/first}", "a b", "x\ny", "nope", strings.Repeat("a", 300)} {
		if got, err := r.Resolve(t.Context(), rev); !errors.Is(err, ErrUnknownRev) {
			t.Errorf("%q is %q, %v; want ErrUnknownRev", rev, got, err)
		}
	}
}

func TestResolveReadsADetachedHead(t *testing.T) {
	t.Parallel()
	dir := initRepository(t)
	first := commitAll(t, dir, "first")
	commitAll(t, dir, "second")
	sh(t, dir, nil, "checkout", "-q", "--detach", first)
	if got := must(open(t, dir).Resolve(t.Context(), "HEAD"))(t); got != first {
		t.Errorf("HEAD is %s, want %s", got, first)
	}
}

func TestTreeListsOnlyRegularFilesWithValidPaths(t *testing.T) {
	t.Parallel()
	dir := initRepository(t)
	write(t, dir, "b.txt", "b\n")
	write(t, dir, "B.txt", "B\n")
	write(t, dir, "a/empty", "")
	write(t, dir, "vendor/x/y.go", "package y\n")
	write(t, dir, "bad\xff.txt", "bytes\n")
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	sub := initRepository(t)
	commitAll(t, sub, "sub")
	sh(t, dir, nil, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", sub, "sub")
	head := commitAll(t, dir, "first")
	r := open(t, dir)
	tree := r.Tree(head)
	if diff := cmp.Diff([]string{".gitmodules", "B.txt", "a/empty", "b.txt"}, must(tree.Paths(t.Context()))(t)); diff != "" {
		t.Error(diff)
	}
	for name, want := range map[string]string{"b.txt": "b\n", "B.txt": "B\n", "a/empty": "", "vendor/x/y.go": "package y\n"} {
		if got := string(must(tree.Read(t.Context(), name))(t)); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"link", "sub", "nope", "../b.txt", "a"} {
		if _, err := tree.Read(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want fs.ErrNotExist", name, err)
		}
	}
	if diff := cmp.Diff([]string{"link"}, must(r.Links(t.Context(), head))(t)); diff != "" {
		t.Error(diff)
	}
	out := filepath.Join(t.TempDir(), "out")
	if err := r.Checkout(t.Context(), head, out); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(out, "link")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link was written: %v", err)
	}
	if got := string(must(os.ReadFile(filepath.Join(out, "bad\xff.txt")))(t)); got != "bytes\n" {
		t.Errorf("non-UTF-8 name: %q", got)
	}
	if err := r.Checkout(t.Context(), head, out); err == nil {
		t.Error("a folder with content was accepted")
	}
}

func TestTreeServesSHA256Repositories(t *testing.T) {
	t.Parallel()
	dir := initRepository(t, "--object-format=sha256")
	write(t, dir, "a.txt", "one\n")
	head := commitAll(t, dir, "first")
	r := open(t, dir)
	if got := must(r.Resolve(t.Context(), "main"))(t); got != head || len(got) != 64 {
		t.Errorf("main is %q, want %q", got, head)
	}
	if got := string(must(r.Tree(head).Read(t.Context(), "a.txt"))(t)); got != "one\n" {
		t.Errorf("a.txt is %q", got)
	}
	id := must(r.Commit(t.Context(), head, map[string][]byte{"a.txt": []byte("two\n")}, "m", Signature{"A", "a@b", time.Unix(1, 0)}))(t)
	if got := string(must(r.Tree(id).Read(t.Context(), "a.txt"))(t)); got != "two\n" {
		t.Errorf("a.txt is %q", got)
	}
	if h := must(r.History(t.Context(), id, ""))(t); h.Len() != 2 {
		t.Errorf("history has %d commits, want 2", h.Len())
	}
}

func TestCommitReplacesAndDeletesWithoutTouchingTheWorkTree(t *testing.T) {
	t.Parallel()
	dir := initRepository(t)
	write(t, dir, "go.mod", "module a\n")
	write(t, dir, "old.txt", "x\n")
	write(t, dir, "run.sh", "#!/bin/sh\n")
	if err := os.Chmod(filepath.Join(dir, "run.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	head := commitAll(t, dir, "first")
	r := open(t, dir)
	when := time.Unix(1700000100, 0).UTC()
	commit := func() string {
		return must(r.Commit(t.Context(), head, map[string][]byte{
			"go.mod": []byte("module b\n"), "old.txt": nil, "new/é.txt": []byte("n\n"), "run.sh": []byte("#!/bin/sh\n:\n"),
		}, "subject\n\nbody\n", Signature{"Back <x>\nStitch", "b@example.org", when}))(t)
	}
	id := commit()
	if again := commit(); again != id {
		t.Errorf("the same commit has two ids: %s, %s", id, again)
	}
	want := head + "|Back x Stitch <b@example.org> 1700000100|subject"
	if got := sh(t, dir, nil, "log", "-1", "--format=%P|%an <%ae> %at|%s", id); got != want {
		t.Errorf("commit is %q, want %q", got, want)
	}
	if got := sh(t, dir, nil, "-c", "core.quotePath=false", "diff-tree", "-r", "--name-status", head, id); got != "M\tgo.mod\nA\tnew/é.txt\nD\told.txt\nM\trun.sh" {
		t.Errorf("diff is %q", got)
	}
	if got := sh(t, dir, nil, "ls-tree", id, "run.sh"); !strings.HasPrefix(got, "100755") {
		t.Errorf("run.sh is %q, want it executable", got)
	}
	if got := sh(t, dir, nil, "status", "--porcelain"); got != "" {
		t.Errorf("the work tree changed: %q", got)
	}
	diff := must(r.Diff(t.Context(), head, id))(t)
	if !strings.Contains(diff, "--- a/go.mod\n+++ b/go.mod\n@@ -1 +1 @@\n-module a\n+module b\n") {
		t.Errorf("diff is %q", diff)
	}
	for _, name := range []string{"../x", "/x", ".git/hooks/y", "a/.GIT/y", "", "a//b"} {
		if _, err := r.Commit(t.Context(), head, map[string][]byte{name: []byte("x")}, "m", Signature{When: when}); err == nil {
			t.Errorf("%q was accepted", name)
		}
	}
}

func TestCanonicalNamesARemoteWithoutItsTransport(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://github.com/acme/shop.git":              "github.com/acme/shop",
		"https://user:secret@GitHub.com:443/acme/shop/": "github.com/acme/shop",
		"git@github.com:acme/shop.git":                  "github.com/acme/shop",
		"ssh://git@git.example.org:2222/a/b/c.git":      "git.example.org:2222/a/b/c",
		"github.com:acme/shop":                          "github.com/acme/shop",
		"/srv/git/shop.git":                             "",
		"../shop":                                       "",
		"file:///srv/shop.git":                          "",
		`C:\repos\shop`:                                 "",
		"ext::sh -c touch% x":                           "",
		"https://github.com/":                           "",
		"https://github.com/../x":                       "",
		"https://github.com/a\x1b[31m/b":                "",
	} {
		if got := Canonical(in); got != want {
			t.Errorf("Canonical(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestIdentityIsTheRemoteOrTheFirstRoot(t *testing.T) {
	t.Parallel()
	dir := initRepository(t)
	root := commitAll(t, dir, "first")
	commitAll(t, dir, "second")
	r := open(t, dir)
	if got := must(r.Identity(t.Context()))(t); got != "local/"+root {
		t.Errorf("identity is %q, want local/%s", got, root)
	}
	sh(t, dir, nil, "remote", "add", "backup", "https://b.example.org/x/y")
	sh(t, dir, nil, "remote", "add", "origin", "git@github.com:acme/shop.git")
	if got := must(r.Identity(t.Context()))(t); got != "github.com/acme/shop" {
		t.Errorf("identity is %q", got)
	}
}

func TestOperationsEndWhenTheContextDoes(t *testing.T) {
	t.Parallel()
	dir := initRepository(t)
	write(t, dir, "a", "a\n")
	head := commitAll(t, dir, "first")
	r := open(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, op := range operations(r, head, t.TempDir()) {
		if err := op(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want context.Canceled", name, err)
		}
	}
}

// operations is every exported operation that starts a process.
func operations(r *Repository, head, out string) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Identity": func(ctx context.Context) error { _, err := r.Identity(ctx); return err },
		"Resolve":  func(ctx context.Context) error { _, err := r.Resolve(ctx, "HEAD"); return err },
		"Branches": func(ctx context.Context) error { _, err := r.Branches(ctx); return err },
		"Links":    func(ctx context.Context) error { _, err := r.Links(ctx, head); return err },
		"Tree": func(ctx context.Context) error {
			tree := r.Tree(head)
			paths, err := tree.Paths(ctx)
			for _, name := range paths {
				if _, err := tree.Read(ctx, name); err != nil {
					return err
				}
			}
			return err
		},
		"Checkout": func(ctx context.Context) error { return r.Checkout(ctx, head, filepath.Join(out, "checkout")) },
		"Commit": func(ctx context.Context) error {
			_, err := r.Commit(ctx, head, map[string][]byte{"a": []byte("b\n"), "x.enc": []byte("c")}, "m", Signature{"A", "a@b", time.Unix(1, 0)})
			return err
		},
		"Diff": func(ctx context.Context) error { _, err := r.Diff(ctx, head, head); return err },
		"History": func(ctx context.Context) error {
			_, err := r.History(ctx, head, "")
			return err
		},
	}
}

func TestAHostileRepositoryRunsNothing(t *testing.T) {
	t.Parallel()
	for _, bare := range []bool{false, true} {
		t.Run(fmt.Sprintf("bare %v", bare), func(t *testing.T) {
			t.Parallel()
			dir := initRepository(t)
			canary := filepath.Join(t.TempDir(), "canary")
			run := "touch " + canary
			write(t, dir, "a", "a\n")
			write(t, dir, "x.enc", "one\n")
			commitAll(t, dir, "first")
			write(t, dir, "x.enc", "two\n")
			write(t, dir, ".gitattributes", "* diff=evil filter=evil merge=evil\n")
			head := commitAll(t, dir, "second")
			gitDir := filepath.Join(dir, ".git")
			if bare {
				to := filepath.Join(t.TempDir(), "r.git")
				sh(t, dir, nil, "clone", "-q", "--bare", dir, to)
				dir, gitDir = to, to
			}
			write(t, gitDir, "included", "[core]\n\tfsmonitor = "+run+"\n\tsshCommand = "+run+"\n")
			write(t, gitDir, "config.worktree", "[core]\n\tfsmonitor = "+run+"\n\tpager = "+run+"\n")
			write(t, gitDir, "info/attributes", "* diff=evil filter=evil\n")
			config, err := os.OpenFile(filepath.Join(gitDir, "config"), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(config, `
[core]
	fsmonitor = %[1]s
	sshCommand = %[1]s
	gitProxy = %[1]s
	pager = %[1]s
	editor = %[1]s
	askPass = %[1]s
	hooksPath = %[2]s
	alternateRefsCommand = %[1]s
[pager]
	log = %[1]s
	rev-parse = %[1]s
	ls-tree = %[1]s
	for-each-ref = %[1]s
	config = %[1]s
[diff]
	external = %[1]s
[diff "evil"]
	command = %[1]s
	textconv = %[1]s
[filter "evil"]
	clean = %[1]s
	smudge = %[1]s
	process = %[1]s
	required = true
[merge "evil"]
	driver = %[1]s
[gpg]
	program = %[1]s
[gpg "ssh"]
	program = %[1]s
	defaultKeyCommand = %[1]s
[commit]
	gpgSign = true
[log]
	showSignature = true
[uploadpack]
	packObjectsHook = %[1]s
[credential]
	helper = "!%[1]s"
[alias]
	log = "!%[1]s"
	rev-list = "!%[1]s"
	cat-file = "!%[1]s"
[trailer "x"]
	command = %[1]s
	cmd = %[1]s
[sequence]
	editor = %[1]s
[include]
	path = included
[includeIf "gitdir:/"]
	path = included
[remote "origin"]
	url = "ext::%[1]s"
	promisor = true
	partialclonefilter = blob:none
[extensions]
	worktreeConfig = true
`, run, filepath.Join(gitDir, "hooks"))
			if err := config.Close(); err != nil {
				t.Fatal(err)
			}
			for _, hook := range []string{"applypatch-msg", "pre-commit", "prepare-commit-msg", "commit-msg", "post-commit", "post-checkout", "post-merge", "reference-transaction", "post-index-change", "fsmonitor-watchman", "pre-auto-gc", "post-rewrite", "update", "pre-receive", "proc-receive"} {
				write(t, gitDir, "hooks/"+hook, "#!/bin/sh\n"+run+"\n")
				if err := os.Chmod(filepath.Join(gitDir, "hooks", hook), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			r := open(t, dir)
			for name, op := range operations(r, head, t.TempDir()) {
				if err := op(t.Context()); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if _, err := os.Stat(canary); err == nil {
					t.Fatalf("%s ran a program of the repository", name)
				}
			}
			if h := must(r.History(t.Context(), head, ""))(t); h.Len() != 2 {
				t.Errorf("history has %d commits, want 2", h.Len())
			}
		})
	}
}

func TestReplaceRefsAndGraftsAreIgnored(t *testing.T) {
	t.Parallel()
	dir := initRepository(t)
	write(t, dir, "a", "a\n")
	first := commitAll(t, dir, "first")
	write(t, dir, "a", "b\n")
	head := commitAll(t, dir, "second")
	sh(t, dir, nil, "replace", head, first)
	write(t, dir, ".git/info/grafts", head+"\n")
	r := open(t, dir)
	if got := string(must(r.Tree(head).Read(t.Context(), "a"))(t)); got != "b\n" {
		t.Errorf("a is %q: a replace ref was followed", got)
	}
	if h := must(r.History(t.Context(), head, ""))(t); h.Len() != 2 {
		t.Errorf("history has %d commits, want 2: a graft was followed", h.Len())
	}
}

func TestATreeServesManyReadersAtOnce(t *testing.T) {
	t.Parallel()
	dir := initRepository(t)
	for i := range 20 {
		write(t, dir, fmt.Sprintf("d/f%d", i), strings.Repeat(fmt.Sprintln(i), 1000))
	}
	head := commitAll(t, dir, "first")
	tree := open(t, dir).Tree(head)
	var group errgroup.Group
	for i := range 20 {
		group.Go(func() error {
			data, err := tree.Read(t.Context(), fmt.Sprintf("d/f%d", i))
			if err == nil && string(data) != strings.Repeat(fmt.Sprintln(i), 1000) {
				err = fmt.Errorf("d/f%d has the content of another file", i)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

func TestNoThrowAwayFolderIsLeft(t *testing.T) {
	dir := initRepository(t)
	write(t, dir, "a", "a\n")
	head := commitAll(t, dir, "first")
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	r := open(t, dir)
	for name, op := range operations(r, head, t.TempDir()) {
		if err := op(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left := must(os.ReadDir(temporary))(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestACloneThatSharesObjectsIsReadThroughItsAlternates(t *testing.T) {
	t.Parallel()
	dir := initRepository(t)
	write(t, dir, "a", "a\n")
	head := commitAll(t, dir, "first")
	to := filepath.Join(t.TempDir(), "shared")
	sh(t, dir, nil, "clone", "-q", "--shared", dir, to)
	if got := string(must(open(t, to).Tree(head).Read(t.Context(), "a"))(t)); got != "a\n" {
		t.Errorf("a is %q", got)
	}
}

func FuzzTreeEntry(f *testing.F) {
	f.Add([]byte("100644 a\x00aaaaaaaaaaaaaaaaaaaa40000 b\x00bbbbbbbbbbbbbbbbbbbb"), "b")
	f.Fuzz(func(t *testing.T, object []byte, name string) {
		e, ok := treeEntry(object, name, 20)
		if ok && (e.path != name || len(e.id) != 40) {
			t.Fatalf("found %+v for %q", e, name)
		}
	})
}
