package fix

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/backstitch/backstitch/code"
)

// ReadFile reads a regular file of a working copy. A path that leaves dir, a
// link and a file over code.MaxFile are refused.
func ReadFile(dir, name string) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open working copy: %w", err)
	}
	defer root.Close()
	info, err := root.Lstat(filepath.FromSlash(name))
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", name)
	}
	if info.Size() > code.MaxFile {
		return nil, fmt.Errorf("%s: %w", name, code.ErrTooLarge)
	}
	file, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, code.MaxFile+1))
}

// WriteFile replaces the content of a file of a working copy, or makes it. It
// keeps the file's mode and refuses what ReadFile refuses.
func WriteFile(dir, name string, data []byte) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open working copy: %w", err)
	}
	defer root.Close()
	mode := fs.FileMode(0o644)
	if info, err := root.Lstat(filepath.FromSlash(name)); err == nil {
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s: not a regular file", name)
		}
		mode = info.Mode().Perm()
	}
	return root.WriteFile(filepath.FromSlash(name), data, mode)
}

// Remove removes a file of a working copy.
func Remove(dir, name string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open working copy: %w", err)
	}
	defer root.Close()
	return root.Remove(filepath.FromSlash(name))
}
