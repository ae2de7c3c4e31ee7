package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxCheckout bounds the bytes that Checkout writes.
const maxCheckout = 8 << 30

// Signature is who made a commit, and when.
type Signature struct {
	Name, Email string
	When        time.Time
}

// Checkout writes the regular files of a commit into an empty folder, from
// objects: no hook and no filter runs, line ends stay as they are. Links and
// submodules are left out (Links lists the links); a name that is no path below
// the folder, or would enter a .git folder, is an error after the rest was
// written, as are two names that collide on this file system.
func (r *Repository) Checkout(ctx context.Context, commit, dir string) error {
	entries, err := r.entries(ctx, commit)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	present, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return err
	}
	if len(present) > 0 {
		return fmt.Errorf("%s: expected an empty folder, it holds %s", dir, present[0].Name())
	}
	var problems []error
	made := map[string]bool{".": true}
	total := int64(0)
	for _, e := range entries {
		if !e.regular() {
			continue
		}
		if err := checkPath(e.path); err != nil {
			problems = append(problems, err)
			continue
		}
		data, err := r.object(ctx, e.id, "blob")
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", clean(e.path, 1024), err))
			continue
		}
		if total += int64(len(data)); total > maxCheckout {
			return fmt.Errorf("checkout of %s: more than %d bytes", commit, int64(maxCheckout))
		}
		if err := writeNew(root, made, e, data); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

func writeNew(root *os.Root, made map[string]bool, e entry, data []byte) error {
	name := filepath.FromSlash(e.path)
	if parent := path.Dir(e.path); !made[parent] {
		if err := root.MkdirAll(filepath.FromSlash(parent), 0o755); err != nil {
			return err
		}
		made[parent] = true
	}
	mode := fs.FileMode(0o644)
	if e.mode == "100755" {
		mode = 0o755
	}
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if _, err := file.Write(data); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}

// checkPath refuses names that leave the root or enter a git folder.
func checkPath(name string) error {
	bad := name == "" || len(name) > 4096 || strings.ContainsAny(name, "\x00\\")
	for _, part := range strings.Split(name, "/") {
		lower := strings.ToLower(strings.TrimRight(part, " ."))
		bad = bad || part == "" || part == "." || part == ".." || lower == ".git" || strings.HasPrefix(lower, "git~") || strings.HasPrefix(lower, ".git:")
	}
	if bad {
		return fmt.Errorf("%q: expected a path below the root and outside .git", clean(name, 1024))
	}
	return nil
}

// Commit makes a commit whose tree is that of parent with files replaced: a nil
// content deletes the file, a new file is not executable, an old one keeps its
// mode; a link is never written through but replaced. Objects go to the
// repository; no ref, index or work tree is touched and no hook runs.
func (r *Repository) Commit(ctx context.Context, parent string, files map[string][]byte, message string, author Signature) (string, error) {
	entries, err := r.entries(ctx, parent)
	if err != nil {
		return "", err
	}
	modes := map[string]string{}
	for _, e := range entries {
		modes[e.path] = e.mode
	}
	shadow, err := r.shadow()
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(shadow)
	index := []string{"GIT_INDEX_FILE=" + filepath.Join(shadow, "index")}
	if _, err := r.runIn(ctx, shadow, maxSmallFile, nil, index, "read-tree", parent); err != nil {
		return "", err
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	var info bytes.Buffer
	for _, name := range names {
		if err := checkPath(name); err != nil {
			return "", fmt.Errorf("commit: %w", err)
		}
		if files[name] == nil {
			fmt.Fprintf(&info, "0 %s\t%s\x00", strings.Repeat("0", len(parent)), name)
			continue
		}
		out, err := r.runIn(ctx, shadow, maxSmallFile, files[name], nil, "hash-object", "-w", "--no-filters", "--stdin", "-t", "blob")
		if err != nil {
			return "", fmt.Errorf("commit: %s: %w", name, err)
		}
		mode := "100644"
		if modes[name] == "100755" {
			mode = "100755"
		}
		fmt.Fprintf(&info, "%s %s\t%s\x00", mode, strings.TrimSpace(string(out)), name)
	}
	if _, err := r.runIn(ctx, shadow, maxSmallFile, info.Bytes(), index, "update-index", "-z", "--index-info"); err != nil {
		return "", err
	}
	out, err := r.runIn(ctx, shadow, maxSmallFile, nil, index, "write-tree")
	if err != nil {
		return "", err
	}
	name, email := identText(author.Name, "Backstitch"), identText(author.Email, "backstitch@localhost")
	when := "@" + strconv.FormatInt(author.When.Unix(), 10) + " " + author.When.Format("-0700")
	env := []string{
		"GIT_AUTHOR_NAME=" + name, "GIT_AUTHOR_EMAIL=" + email, "GIT_AUTHOR_DATE=" + when,
		"GIT_COMMITTER_NAME=" + name, "GIT_COMMITTER_EMAIL=" + email, "GIT_COMMITTER_DATE=" + when,
	}
	message = strings.ReplaceAll(strings.ToValidUTF8(message, "\uFFFD"), "\x00", "")
	out, err = r.runIn(ctx, shadow, maxSmallFile, []byte(message), env, "commit-tree", "--no-gpg-sign", "-p", parent, "-F", "-", strings.TrimSpace(string(out)))
	if err != nil {
		return "", err
	}
	id := strings.TrimSpace(string(out))
	if !isID(id) {
		return "", fmt.Errorf("git commit-tree: unexpected answer %q", clean(id, 100))
	}
	return id, nil
}

// identText is a name or address as git accepts it in a commit.
func identText(s, fallback string) string {
	s = strings.Trim(strings.NewReplacer("<", "", ">", "").Replace(clean(s, 200)), " .,:;\"'\\")
	if s == "" {
		return fallback
	}
	return s
}
