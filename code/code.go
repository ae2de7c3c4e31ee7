// Package code is the contract for what a repository says: a read-only tree of
// files, every value that a child package reads from it with its file and line.
//
// A Tree is either a commit's objects (code/git) or a folder (Dir). Contents
// are untrusted: readers bound sizes and depth, never run anything and never
// follow a link out of the root.
package code

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// MaxFile is the largest file a Tree hands out, in bytes.
const MaxFile = 64 << 20

// ErrTooLarge says that a file is over MaxFile.
var ErrTooLarge = errors.New("file is larger than 64 MiB")

// Tree is a read-only view of one version of a repository. Paths are
// slash-separated and relative to the root. A Tree is safe for concurrent use.
type Tree interface {
	// Paths lists every regular file, sorted by bytes. Links, submodules and
	// names that are not valid paths are left out.
	Paths(ctx context.Context) ([]string, error)
	// Read returns a file's content; fs.ErrNotExist when there is none,
	// ErrTooLarge when it is over MaxFile. A link is not followed.
	Read(ctx context.Context, name string) ([]byte, error)
}

// Dir is a Tree over a folder of the file system, confined to it by os.Root.
// Folders named .git, node_modules, vendor and .venv are left out.
type Dir struct{ root *os.Root }

// OpenDir opens a folder as a Tree. Close it when done.
func OpenDir(name string) (*Dir, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, fmt.Errorf("open tree: %w", err)
	}
	return &Dir{root}, nil
}

// Close releases the folder.
func (d *Dir) Close() error { return d.root.Close() }

// SkipFolder says whether a folder holds installed or internal files that
// describe other repositories than this one.
func SkipFolder(name string) bool {
	switch name {
	case ".git", "node_modules", "vendor", ".venv":
		return true
	}
	return false
}

// Paths implements Tree.
func (d *Dir) Paths(ctx context.Context) ([]string, error) {
	var paths []string
	err := fs.WalkDir(d.root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if entry.IsDir() {
			if name != "." && SkipFolder(entry.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if entry.Type().IsRegular() {
			paths = append(paths, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list tree: %w", err)
	}
	slices.Sort(paths)
	return paths, nil
}

// Read implements Tree.
func (d *Dir) Read(_ context.Context, name string) ([]byte, error) {
	info, err := d.root.Lstat(filepath.FromSlash(name))
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file: %w", name, fs.ErrNotExist)
	}
	if info.Size() > MaxFile {
		return nil, fmt.Errorf("%s: %w", name, ErrTooLarge)
	}
	file, err := d.root.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, MaxFile+1))
	if err == nil && len(data) > MaxFile {
		err = fmt.Errorf("%s: %w", name, ErrTooLarge)
	}
	return data, err
}

// Files is a Tree held in memory, by path. It serves readers that got their
// files from elsewhere, and tests.
type Files map[string][]byte

// Paths implements Tree.
func (f Files) Paths(context.Context) ([]string, error) {
	paths := make([]string, 0, len(f))
	for name := range f {
		paths = append(paths, name)
	}
	slices.Sort(paths)
	return paths, nil
}

// Read implements Tree.
func (f Files) Read(_ context.Context, name string) ([]byte, error) {
	data, ok := f[name]
	if !ok {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
	}
	return data, nil
}

// CleanPath turns a path as a tool wrote it into one relative to the root: it
// drops "./", a file: scheme and a leading slash, and turns backslashes of
// Windows reports into slashes. It returns "" for a path that leaves the root.
func CleanPath(name string) string {
	name = strings.TrimPrefix(name, "file://")
	name = strings.TrimLeft(strings.ReplaceAll(name, `\`, "/"), "/")
	name = path.Clean(name)
	if name == "." || name == ".." || strings.HasPrefix(name, "../") {
		return ""
	}
	return name
}
