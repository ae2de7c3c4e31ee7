package fix

import (
	"cmp"
	"fmt"
	"slices"
)

// Edit replaces the bytes [Start, End) of a file. Old is what must stand there.
type Edit struct {
	Start, End int
	Old, New   string
}

// Splice carries out edits on data and leaves every other byte as it is. It
// fails when an edit is out of range, overlaps another, or does not find what
// it expects.
func Splice(data []byte, edits ...Edit) ([]byte, error) {
	edits = slices.Clone(edits)
	slices.SortStableFunc(edits, func(a, b Edit) int { return cmp.Compare(a.Start, b.Start) })
	var result []byte
	last := 0
	for _, edit := range edits {
		if edit.Start < last || edit.End < edit.Start || edit.End > len(data) {
			return nil, fmt.Errorf("edit of bytes %d to %d: out of range or overlapping", edit.Start, edit.End)
		}
		if got := string(data[edit.Start:edit.End]); got != edit.Old {
			return nil, fmt.Errorf("edit of bytes %d to %d: expected what was planned for, found something else", edit.Start, edit.End) // which may be a secret
		}
		result = append(result, data[last:edit.Start]...)
		result = append(result, edit.New...)
		last = edit.End
	}
	return append(result, data[last:]...), nil
}
