package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// DefaultBranch asks a remote which branch its HEAD names, and where that stands.
func (r *Repository) DefaultBranch(ctx context.Context, remote Remote) (name, commit string, err error) {
	where, err := remote.where()
	if err != nil {
		return "", "", err
	}
	out, err := r.run(ctx, maxSmallFile, nil, remote.environment(where), "ls-remote", "--symref", "--", where, "HEAD")
	if err != nil {
		return "", "", err
	}
	for line := range strings.Lines(string(out)) {
		what, ref, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if ref != "HEAD" {
			continue
		}
		if symbolic, ok := strings.CutPrefix(what, "ref: refs/heads/"); ok {
			name = symbolic
		} else if isID(what) {
			commit = what
		}
	}
	if name == "" {
		return "", "", fmt.Errorf("remote %s: its HEAD names no branch", clean(userless(where), 200))
	}
	return name, commit, nil
}

// userless takes what may be a credential out of a remote's URL.
func userless(where string) string {
	scheme, rest, ok := strings.Cut(where, "://")
	if !ok {
		return where
	}
	if at := strings.LastIndex(strings.SplitN(rest, "/", 2)[0], "@"); at >= 0 {
		rest = rest[at+1:]
	}
	return scheme + "://" + rest
}

// Fetch brings the objects of a remote's branch here and gives the commit that it stands
// at, "" when there is no such branch. No ref of the repository changes.
func (r *Repository) Fetch(ctx context.Context, remote Remote, branch string) (string, error) {
	commit, err := r.RemoteBranch(ctx, remote, branch)
	if err != nil || commit == "" {
		return "", err
	}
	if _, err := r.Head(ctx, remote, branch, commit); err != nil {
		return "", err
	}
	return commit, nil
}

// Contains says whether a commit has another one in its history. A commit that is not
// here is in none.
func (r *Repository) Contains(ctx context.Context, commit, other string) (bool, error) {
	if !isID(commit) || !isID(other) {
		return false, fmt.Errorf("history of %q for %q: expected full commit ids", clean(commit, 64), clean(other, 64))
	}
	for _, id := range []string{commit, other} {
		if _, err := r.run(ctx, maxSmallFile, nil, nil, "cat-file", "-e", id+"^{commit}"); err != nil {
			return false, ctx.Err()
		}
	}
	_, err := r.run(ctx, maxSmallFile, nil, nil, "merge-base", "--is-ancestor", other, commit)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return false, nil
	}
	return err == nil, err
}

// MergeBase gives the commit at which two lines parted.
func (r *Repository) MergeBase(ctx context.Context, a, b string) (string, error) {
	if !isID(a) || !isID(b) {
		return "", fmt.Errorf("where %q and %q parted: expected full commit ids", clean(a, 64), clean(b, 64))
	}
	out, err := r.run(ctx, maxSmallFile, nil, nil, "merge-base", a, b)
	if err != nil {
		return "", err
	}
	id := strings.TrimSpace(string(out))
	if !isID(id) {
		return "", fmt.Errorf("%.12s and %.12s have no common commit", a, b)
	}
	return id, nil
}

// Changed gives the files that differ between a commit and another as they are in the
// second, nil for those it lacks.
func (r *Repository) Changed(ctx context.Context, from, to string) (map[string][]byte, error) {
	if !isID(from) || !isID(to) {
		return nil, fmt.Errorf("changes from %q to %q: expected full commit ids", clean(from, 64), clean(to, 64))
	}
	out, err := r.run(ctx, 64<<20, nil, nil, "diff-tree", "-r", "-z", "--no-renames", "--end-of-options", from, to, "--")
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	parts := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	for i := 0; i+1 < len(parts); i += 2 {
		fields := strings.Fields(parts[i])
		if len(fields) != 5 {
			return nil, fmt.Errorf("changes from %s to %s: git wrote %q", from, to, clean(parts[i], 200))
		}
		if fields[4] == "D" {
			files[parts[i+1]] = nil
			continue
		}
		content, err := r.object(ctx, fields[3], "blob")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", clean(parts[i+1], 1024), err)
		}
		if content == nil {
			content = []byte{}
		}
		files[parts[i+1]] = content
	}
	return files, nil
}

// maxBetween bounds the commits that Between lists.
const maxBetween = 1000

// Step is one commit on the way between two others.
type Step struct {
	ID      string
	Parents []string
	Author  string // name and address, as written
	At      int64  // seconds since 1970 UTC, of the commit
	Message string
}

// Between lists the commits that tip has and base has not, newest first, at most a
// thousand. With firstParent only the line of the branch itself is followed.
func (r *Repository) Between(ctx context.Context, base, tip string, firstParent bool) ([]Step, error) {
	var options []string
	if firstParent {
		options = []string{"--first-parent"}
	}
	return r.log(ctx, base, tip, options...)
}

// Saying lists the commits that tip has and base has not whose message holds a text,
// newest first, at most a thousand.
func (r *Repository) Saying(ctx context.Context, base, tip, text string) ([]Step, error) {
	return r.log(ctx, base, tip, "--fixed-strings", "--grep="+text)
}

// Same lists the commits that tip has and base has not which change the same as one of
// those that lead from base to head, newest first: what a cherry-pick, a rebase or a
// squash of one commit leaves, whatever its message says. Those of head are not among
// them, nor are merges.
func (r *Repository) Same(ctx context.Context, base, tip, head string) ([]Step, error) {
	if !isID(head) || !isID(tip) {
		return nil, fmt.Errorf("commits of %q that are in %q: expected full commit ids", clean(head, 64), clean(tip, 64))
	}
	if _, err := r.run(ctx, maxSmallFile, nil, nil, "cat-file", "-e", head+"^{commit}"); err != nil {
		return nil, ctx.Err() // nothing is known of it here
	}
	return r.log(ctx, base, tip+"..."+head, "--cherry-mark", "--left-only", "--no-merges")
}

// log lists commits. The tip may be a range of two full commit ids.
func (r *Repository) log(ctx context.Context, base, tip string, options ...string) ([]Step, error) {
	if left, right, two := strings.Cut(tip, "..."); base != "" && !isID(base) || !isID(left) || two && !isID(right) {
		return nil, fmt.Errorf("commits from %q to %q: expected full commit ids", clean(base, 64), clean(tip, 64))
	}
	shadow, err := r.shadow()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(shadow)
	args := []string{"log", "-z", "--no-color", "--no-decorate", "--no-notes", "--no-show-signature", "--no-mailmap", "--encoding=UTF-8", fmt.Sprintf("--max-count=%d", maxBetween), "--format=%m%H%n%P%n%an <%ae>%n%ct%n%B"}
	args = append(append(args, options...), "--end-of-options", tip)
	if base != "" {
		args = append(args, "^"+base)
	}
	out, err := r.runIn(ctx, shadow, 64<<20, nil, nil, append(args, "--")...)
	if err != nil {
		return nil, err
	}
	var list []Step
	marked := slices.Contains(options, "--cherry-mark")
	for text := range strings.SplitSeq(string(out), "\x00") {
		parts := strings.SplitN(text, "\n", 5)
		if len(parts) < 5 || len(parts[0]) < 2 || !isID(parts[0][1:]) || marked && parts[0][0] != '=' {
			continue
		}
		step := Step{ID: parts[0][1:], Parents: strings.Fields(parts[1]), Author: clean(parts[2], 400), Message: parts[4]}
		if _, err := fmt.Sscan(parts[3], &step.At); err != nil {
			return nil, fmt.Errorf("commit %s: its time %q is no number", step.ID, clean(parts[3], 40))
		}
		list = append(list, step)
	}
	return list, nil
}

// Trailer gives the value of a trailer in a commit's message, the last one when it
// stands there several times.
func Trailer(message, name string) (value string) {
	for line := range strings.Lines(message) {
		if key, text, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && key == name {
			value = text
		}
	}
	return value
}

// Delete removes a remote's branch, provided that it stands at expect. Otherwise nothing
// happens and the error is ErrStale.
func (r *Repository) Delete(ctx context.Context, remote Remote, branch, expect string) error {
	ref, err := branchRef(branch)
	if err != nil {
		return err
	}
	if !isID(expect) {
		return fmt.Errorf("delete %s at %q: expected a full commit id", branch, clean(expect, 64))
	}
	where, err := remote.where()
	if err != nil {
		return err
	}
	_, err = r.run(ctx, maxSmallFile, nil, remote.environment(where),
		"push", "--quiet", "--no-verify", "--recurse-submodules=no", "--force-with-lease="+ref+":"+expect, "--", where, ":"+ref)
	if err != nil && strings.Contains(err.Error(), "stale info") {
		return fmt.Errorf("%s: %w", branch, ErrStale)
	}
	return err
}
