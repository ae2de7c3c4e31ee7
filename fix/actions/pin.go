package actions

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fix"
)

// Edits gives the edits after which use i of a file is at another ref. With a
// version, the comment behind it says so: the version in it is replaced, else one is
// put before what it says, else a comment is added. Without a version the comment
// stays.
func Edits(data []byte, uses []lockfile.ActionUse, i int, ref, version string) ([]fix.Edit, error) {
	u := &uses[i]
	if u.End == 0 {
		return nil, fmt.Errorf("%s@%s does not stand on one line as it is", u.Name, u.Ref)
	}
	if strings.ContainsAny(ref+version, " \t\r\n\"'#") || ref == "" {
		return nil, fmt.Errorf("ref %q %q: expected one word", ref, version)
	}
	var edits []fix.Edit
	replace := func(start, end int, with string) {
		if old := string(data[start:end]); old != with {
			edits = append(edits, fix.Edit{Start: start, End: end, Old: old, New: with})
		}
	}
	replace(u.Start, u.End, ref)
	if version == "" {
		return edits, nil
	}
	start, end := u.CommentVersion()
	switch {
	case !u.HasComment:
		rest := data[u.CommentEnd:]
		if stop := bytes.IndexByte(rest, '\n'); stop >= 0 {
			rest = rest[:stop]
		}
		if len(bytes.TrimSpace(rest)) > 0 {
			return nil, fmt.Errorf("%s@%s is followed by more on its line", u.Name, u.Ref)
		}
		replace(u.CommentEnd, u.CommentEnd, " # "+version)
	case end > 0:
		replace(u.CommentStart+1+start, u.CommentStart+1+end, version)
	default:
		text := " " + version
		if u.Comment != "" && u.Comment[0] != ' ' {
			text += " "
		}
		replace(u.CommentStart+1, u.CommentStart+1, text)
	}
	return edits, nil
}

// Pin turns the use on a line into one of a commit, with the version in the comment
// behind it: uses: a/b@v4 becomes uses: a/b@<commit> # v4.2.1. A use that is pinned
// already is left as it is.
func Pin(data []byte, uses []lockfile.ActionUse, i int, id, version string) ([]fix.Edit, error) {
	if !commit.MatchString(id) {
		return nil, fmt.Errorf("commit %q: expected 40 hexadecimal digits", id)
	}
	if uses[i].Pinned() {
		return nil, nil
	}
	return Edits(data, uses, i, id, version)
}

// Resolve gives the commit that a use stands for now and the fullest version that is
// tagged there, else the ref itself: what Pin takes. A tag goes before a branch of
// its name.
func Resolve(ctx context.Context, resolver Resolver, u *lockfile.ActionUse) (id, version string, err error) {
	refs, err := resolver.Refs(ctx, u.Name)
	if err != nil {
		return "", "", fmt.Errorf("refs of %s: %w", u.Name, err)
	}
	id = refs.Tags[u.Ref]
	if id == "" {
		id = refs.Branches[u.Ref]
	}
	if !commit.MatchString(id) {
		return "", "", fmt.Errorf("%s has no tag or branch %s", u.Name, u.Ref)
	}
	version = u.Ref
	for name, other := range refs.Tags {
		if other == id && release.MatchString(name) && (!release.MatchString(version) || fuller(name, version)) {
			version = name
		}
	}
	return id, version, nil
}

// fuller says whether a version has more numbers than another, or as many and higher
// ones.
func fuller(a, b string) bool {
	x, y := parts(a), parts(b)
	if len(x) != len(y) {
		return len(x) > len(y)
	}
	return slices.Compare(x, y) > 0
}

func parts(version string) []int {
	var list []int
	for part := range strings.SplitSeq(strings.TrimPrefix(version, "v"), ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			n = -1
		}
		list = append(list, n)
	}
	return list
}
