//go:build unix

package advisory

import (
	"fmt"
	"os"
	"syscall"
)

// mapFile maps a file for reading. Files are replaced by renaming and never
// written in place, so the view does not change.
func mapFile(file *os.File) (data string, unmap func() error, err error) {
	info, err := file.Stat()
	if err != nil {
		return "", nil, err
	}
	if !info.Mode().IsRegular() {
		return "", nil, fmt.Errorf("%s: not a regular file", file.Name())
	}
	size := info.Size()
	if size == 0 || int64(int(size)) != size {
		return "", func() error { return nil }, nil
	}
	view, err := syscall.Mmap(int(file.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return "", nil, fmt.Errorf("map %s: %w", file.Name(), err)
	}
	return textOf(view), func() error { return syscall.Munmap(view) }, nil
}
