//go:build !unix

package advisory

import (
	"io"
	"os"
)

// mapFile reads the whole file where files cannot be mapped.
func mapFile(file *os.File) (data string, unmap func() error, err error) {
	all, err := io.ReadAll(file)
	return textOf(all), func() error { return nil }, err
}
