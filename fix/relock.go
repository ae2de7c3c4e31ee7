package fix

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/backstitch/backstitch/code"
)

// maxCopied is how many manifests one repository may have.
const maxCopied = 5000

// CopyFiles copies the files of a working copy that a tool needs to see into the
// folder work, at the same paths. Links are not followed.
func CopyFiles(ctx context.Context, dir, work string, wants func(name string) bool) error {
	tree, err := code.OpenDir(dir)
	if err != nil {
		return err
	}
	defer tree.Close()
	names, err := tree.Paths(ctx)
	if err != nil {
		return err
	}
	copied := 0
	for _, name := range names {
		if !wants(name) {
			continue
		}
		if copied++; copied > maxCopied {
			return fmt.Errorf("more than %d manifests", maxCopied)
		}
		data, err := tree.Read(ctx, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := PutFile(work, name, data); err != nil {
			return err
		}
	}
	return nil
}

// PutFile writes a file below a folder of a tool, with the folders that lead to it.
func PutFile(work, name string, data []byte) error {
	root, err := os.OpenRoot(work)
	if err != nil {
		return err
	}
	defer root.Close()
	name = filepath.FromSlash(name)
	if err := root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	return root.WriteFile(name, data, 0o600)
}

// WriteAll writes the files that differ from before, all of them or none, and
// returns their paths in order.
func WriteAll(dir string, before, after map[string][]byte) ([]string, error) {
	var changed []string
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if bytes.Equal(before[name], after[name]) {
			continue
		}
		if err := WriteFile(dir, name, after[name]); err != nil {
			for _, done := range changed {
				err = errors.Join(err, WriteFile(dir, done, before[done]))
			}
			return nil, err
		}
		changed = append(changed, name)
	}
	return changed, nil
}
