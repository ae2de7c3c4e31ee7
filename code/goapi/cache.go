package goapi

import (
	"archive/zip"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/mod/module"
)

// Cache reads module versions from a module cache, as the go command keeps one. It
// writes nothing there and asks nobody.
type Cache struct{ dir string }

// NewCache looks at a folder of a module cache.
func NewCache(dir string) *Cache { return &Cache{dir} }

// maxArchive bounds the archive of one module version.
const maxArchive = 512 << 20

// Open gives the sources of a module version: its folder when it is unpacked, else
// its archive. It fails with ErrNoSources when neither is there. Close the sources
// when done.
func (c *Cache) Open(name, version string) (fs.FS, func() error, error) {
	escaped, err := module.EscapePath(name)
	if err != nil {
		return nil, nil, err
	}
	escapedVersion, err := module.EscapeVersion(version)
	if err != nil {
		return nil, nil, err
	}
	root, err := os.OpenRoot(filepath.Join(c.dir, filepath.FromSlash(escaped)+"@"+escapedVersion))
	if err == nil {
		return root.FS(), root.Close, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("sources of %s@%s: %w", name, version, err)
	}
	archive := filepath.Join(c.dir, "cache", "download", filepath.FromSlash(escaped), "@v", escapedVersion+".zip")
	info, err := os.Stat(archive)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%s@%s: %w", name, version, ErrNoSources)
	}
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxArchive) {
		err = fmt.Errorf("expected an archive of at most %d bytes", maxArchive)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("sources of %s@%s: %w", name, version, err)
	}
	files, err := zip.OpenReader(archive)
	if err != nil {
		return nil, nil, fmt.Errorf("sources of %s@%s: %w", name, version, err)
	}
	sources, err := fs.Sub(files, path.Clean(name+"@"+version))
	if err != nil {
		return nil, nil, errors.Join(err, files.Close())
	}
	return sources, files.Close, nil
}
