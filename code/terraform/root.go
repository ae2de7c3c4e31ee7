package terraform

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code"
)

// RootsOf finds the root modules that addresses of a plan or state belong to: the
// folders whose configuration declares most of them. Folders that no other calls
// come first; of equal ones those nearest to a file (that of the plan, "" when
// unknown) are given, all of them when they tie.
func RootsOf(ctx context.Context, tree code.Tree, addresses []Address, near string) ([]*Configuration, error) {
	roots, err := Roots(ctx, tree)
	if err != nil {
		return nil, err
	}
	paths, err := tree.Paths(ctx)
	if err != nil {
		return nil, err
	}
	var others []string
	for dir := range byFolder(paths) {
		if !slices.Contains(roots, dir) {
			others = append(others, dir)
		}
	}
	slices.Sort(others)
	for _, dirs := range [][]string{roots, others} {
		var best []*Configuration
		most, nearest := 0, 0
		for _, dir := range dirs {
			c, err := Load(ctx, tree, dir, Options{})
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			found := 0
			for _, a := range addresses {
				if _, _, ok := c.Locate(a); ok {
					found++
				}
			}
			distance := apart(dir, clean(path.Dir(near)))
			switch {
			case found == 0 || found < most || found == most && distance > nearest:
			case found > most || distance < nearest:
				best, most, nearest = []*Configuration{c}, found, distance
			default:
				best = append(best, c)
			}
		}
		if len(best) > 0 {
			return best, nil
		}
	}
	return nil, nil
}

// apart counts the steps from one folder to another.
func apart(a, b string) int {
	x, y := parts(a), parts(b)
	common := 0
	for common < len(x) && common < len(y) && x[common] == y[common] {
		common++
	}
	return len(x) + len(y) - 2*common
}

func parts(dir string) []string {
	if dir = clean(dir); dir == "" {
		return nil
	}
	return strings.Split(dir, "/")
}
