package git

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// FileVersion is one content that a path had, and the commits of the first-parent
// history that had it there.
type FileVersion struct {
	Path  string
	Blob  string // object id
	First string // commit that brought it
	Last  string // last commit that has it, in the order of history
}

const maxBlobLog = 1 << 30

// Versions lists every content that the wanted paths had in the first-parent
// history of a commit, oldest first: what content equality needs to tell the
// window of commits that a file came from.
func (r *Repository) Versions(ctx context.Context, commit string, wants func(path string) bool) ([]FileVersion, error) {
	if !isID(commit) {
		return nil, fmt.Errorf("%q: expected a full commit id", clean(commit, 100))
	}
	out, err := r.run(ctx, maxBlobLog, []byte(commit+"\n"), nil, "log", "--stdin", "--first-parent", "--reverse", "--diff-merges=first-parent", "--root", "--raw", "-z",
		"--no-abbrev", "--no-renames", "--no-color", "--no-ext-diff", "--no-textconv", "--no-show-signature", "--no-notes", "--no-decorate", "--submodule=short", "--format=%x01%H")
	if err != nil {
		return nil, err
	}
	var versions []FileVersion
	standing := map[string]int{} // path -> index of the version that stands there
	now, before := "", ""
	raw := ""
	for token := range strings.SplitSeq(string(out), "\x00") {
		if raw != "" {
			name, entry := token, strings.Fields(raw)
			raw = ""
			if len(entry) < 5 || !wants(name) {
				continue
			}
			if at, ok := standing[name]; ok {
				versions[at].Last = before
				delete(standing, name)
			}
			if regular := strings.HasPrefix(entry[1], "100"); regular && strings.Trim(entry[3], "0") != "" {
				standing[name] = len(versions)
				versions = append(versions, FileVersion{Path: name, Blob: entry[3], First: now})
			}
			continue
		}
		token = strings.TrimLeft(token, "\n")
		if id, ok := strings.CutPrefix(token, "\x01"); ok {
			id, rest, _ := strings.Cut(id, "\n")
			before, now = now, id
			token = strings.TrimLeft(rest, "\n")
		}
		if entry, ok := strings.CutPrefix(token, ":"); ok {
			raw = entry
		}
	}
	for _, at := range standing {
		versions[at].Last = now
	}
	slices.SortStableFunc(versions, func(a, b FileVersion) int { return strings.Compare(a.Path, b.Path) })
	return versions, nil
}

// FirstParents lists a commit's first-parent history, oldest first.
func (r *Repository) FirstParents(ctx context.Context, commit string) ([]string, error) {
	if !isID(commit) {
		return nil, fmt.Errorf("%q: expected a full commit id", clean(commit, 100))
	}
	out, err := r.run(ctx, maxBlobLog, []byte(commit+"\n"), nil, "rev-list", "--stdin", "--first-parent", "--reverse")
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(out)), nil
}
