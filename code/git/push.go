package git

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Remote is another repository, by URL or path.
type Remote struct {
	URL string // https, ssh (also user@host:path) or a path; nothing else is spoken
	// Token is sent to an https remote as basic credentials, and to no other
	// host: redirects are not followed.
	Token string
}

// ErrStale says that a remote's branch is not where it was expected to be.
var ErrStale = errors.New("the remote's branch has moved")

// where gives the remote as git is told it: paths are made absolute, since git
// runs elsewhere.
func (m Remote) where() (string, error) {
	switch {
	case m.URL == "" || strings.HasPrefix(m.URL, "-") || strings.ContainsAny(m.URL, "\x00\n\r") || strings.Contains(m.URL, "::"):
		return "", fmt.Errorf("remote %q: expected an https or ssh URL, or a path", m.URL)
	case strings.Contains(m.URL, "://"):
		return m.URL, nil
	}
	if host, _, scp := strings.Cut(m.URL, ":"); scp && !strings.Contains(host, "/") {
		return m.URL, nil
	}
	return filepath.Abs(m.URL)
}

// environment allows the protocols of remotes, which nothing else here speaks.
// Keys and agents of ssh are the operator's own.
func (m Remote) environment(where string) []string {
	env := []string{
		"GIT_ALLOW_PROTOCOL=https:ssh:file",
		"GIT_SSH_COMMAND=ssh -o BatchMode=yes -o ConnectTimeout=20",
		"HOME=" + os.Getenv("HOME"), "SSH_AUTH_SOCK=" + os.Getenv("SSH_AUTH_SOCK"),
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.followRedirects", "GIT_CONFIG_VALUE_0=false",
	}
	// Which certificates are believed and how the network is reached is the operator's
	// to say.
	for _, name := range []string{"GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"} {
		if value := os.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	if m.Token != "" && strings.HasPrefix(where, "https://") {
		credentials := base64.StdEncoding.EncodeToString([]byte("x-access-token:" + m.Token))
		env = append(env, "GIT_CONFIG_COUNT=2", "GIT_CONFIG_KEY_1=http."+where+".extraHeader", "GIT_CONFIG_VALUE_1=Authorization: Basic "+credentials)
	}
	return env
}

func branchRef(branch string) (string, error) {
	if branch == "" || strings.HasPrefix(branch, "-") || strings.Contains(branch, "..") || strings.ContainsAny(branch, " \t\n\r~^:?*[\\\x00\x7f") {
		return "", fmt.Errorf("branch %q: not a name git takes", branch)
	}
	return "refs/heads/" + branch, nil
}

// RemoteBranch gives the commit a remote's branch stands at, "" when there is no
// such branch.
func (r *Repository) RemoteBranch(ctx context.Context, remote Remote, branch string) (string, error) {
	ref, err := branchRef(branch)
	if err != nil {
		return "", err
	}
	where, err := remote.where()
	if err != nil {
		return "", err
	}
	out, err := r.run(ctx, maxSmallFile, nil, remote.environment(where), "ls-remote", "--", where, ref)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(out)) {
		if id, name, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok && name == ref && isID(id) {
			return id, nil
		}
	}
	return "", nil
}

// Head is what a commit holds.
type Head struct {
	Tree    string
	Parents []string
	Message string
}

// Head gives what a commit holds. A commit that is not here is fetched from the
// branch of the remote first; no ref of the repository changes.
func (r *Repository) Head(ctx context.Context, remote Remote, branch, commit string) (Head, error) {
	if !isID(commit) {
		return Head{}, fmt.Errorf("commit %q: expected a full id", commit)
	}
	out, err := r.run(ctx, maxSmallFile, nil, nil, "cat-file", "commit", commit)
	if err != nil {
		ref, refErr := branchRef(branch)
		where, whereErr := remote.where()
		if refErr = errors.Join(refErr, whereErr); refErr != nil {
			return Head{}, refErr
		}
		if _, err := r.run(ctx, maxSmallFile, nil, remote.environment(where), "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--", where, ref); err != nil {
			return Head{}, err
		}
		if out, err = r.run(ctx, maxSmallFile, nil, nil, "cat-file", "commit", commit); err != nil {
			return Head{}, err
		}
	}
	header, message, _ := strings.Cut(string(out), "\n\n")
	head := Head{Message: message}
	for line := range strings.Lines(header) {
		switch name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " "); name {
		case "tree":
			head.Tree = value
		case "parent":
			head.Parents = append(head.Parents, value)
		}
	}
	return head, nil
}

// Push puts a commit on a remote's branch, provided that the branch stands where
// expect says ("" for absent). Otherwise nothing happens and the error is
// ErrStale.
func (r *Repository) Push(ctx context.Context, remote Remote, commit, branch, expect string) error {
	ref, err := branchRef(branch)
	if err != nil {
		return err
	}
	if !isID(commit) || expect != "" && !isID(expect) {
		return fmt.Errorf("push %q over %q: expected full commit ids", commit, expect)
	}
	where, err := remote.where()
	if err != nil {
		return err
	}
	_, err = r.run(ctx, maxSmallFile, nil, remote.environment(where),
		"push", "--quiet", "--no-verify", "--recurse-submodules=no", "--force-with-lease="+ref+":"+expect, "--", where, commit+":"+ref)
	if err != nil && (strings.Contains(err.Error(), "stale info") || strings.Contains(err.Error(), "fetch first")) {
		return fmt.Errorf("%s: %w", branch, ErrStale)
	}
	return err
}
