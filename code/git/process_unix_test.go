//go:build unix

package git

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestAGitThatHangsEndsWithTheContext(t *testing.T) {
	t.Parallel()
	dir := initRepository(t)
	write(t, dir, "a", "a\n")
	write(t, dir, "sub/b", "b\n")
	head := commitAll(t, dir, "first")
	for _, object := range []string{"HEAD:a", "HEAD:sub"} {
		id := sh(t, dir, nil, "rev-parse", object)
		name := filepath.Join(dir, ".git/objects", id[:2], id[2:])
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(name, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := open(t, dir)
	for name, op := range map[string]func(context.Context) error{
		"Tree.Read":  func(ctx context.Context) error { _, err := r.Tree(head).Read(ctx, "a"); return err },
		"Tree.Paths": func(ctx context.Context) error { _, err := r.Tree(head).Paths(ctx); return err },
		"History":    func(ctx context.Context) error { _, err := r.History(ctx, head, ""); return err },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if err := op(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, want context.DeadlineExceeded", name, err)
		}
		cancel()
	}
}
