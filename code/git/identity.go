package git

import (
	"context"
	"net"
	"net/url"
	"slices"
	"strings"
)

// Identity is the repository's identity: its canonical remote, for example
// "github.com/acme/shop" (no scheme, user, password, default port or .git).
// The remote "origin" counts first, then the others by name. Without a remote
// on another machine it is "local/" and the id of the first root commit.
func (r *Repository) Identity(ctx context.Context) (string, error) {
	remotes, err := r.remotes(ctx)
	if err != nil {
		return "", err
	}
	for _, remote := range remotes {
		if identity := Canonical(remote); identity != "" {
			return identity, nil
		}
	}
	head, err := r.Resolve(ctx, "HEAD")
	if err != nil {
		branches, listErr := r.Branches(ctx)
		if listErr != nil || len(branches) == 0 {
			return "", err
		}
		head = branches[0].Commit
	}
	out, err := r.run(ctx, maxOutput, nil, nil, "rev-list", "--max-parents=0", "--end-of-options", head)
	if err != nil {
		return "", err
	}
	roots := strings.Fields(string(out))
	if len(roots) == 0 {
		return "local/" + head, nil
	}
	return "local/" + roots[len(roots)-1], nil
}

// Remote gives the address that the repository is pushed to when nothing else is said:
// that of the remote "origin", or the first of the others by name, "" for none.
func (r *Repository) Remote(ctx context.Context) (string, error) {
	remotes, err := r.remotes(ctx)
	if err != nil || len(remotes) == 0 {
		return "", err
	}
	return remotes[0], nil
}

// remotes lists the addresses of the remotes, that of "origin" first.
func (r *Repository) remotes(ctx context.Context) ([]string, error) {
	values, err := r.config(ctx, `^remote\..*\.url$`)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(values, func(a, b [2]string) int {
		if origin := "remote.origin.url"; (a[0] == origin) != (b[0] == origin) {
			if a[0] == origin {
				return -1
			}
			return 1
		}
		return strings.Compare(a[0], b[0])
	})
	list := make([]string, len(values))
	for i, value := range values {
		list[i] = value[1]
	}
	return list, nil
}

// Canonical gives the canonical form of a remote's address, "" for one that
// names a folder of this machine or is no address.
func Canonical(remote string) string {
	remote = strings.TrimSpace(remote)
	var host, path string
	if scheme, _, ok := strings.Cut(remote, "://"); ok {
		u, err := url.Parse(remote)
		if err != nil || strings.EqualFold(scheme, "file") || u.Host == "" {
			return ""
		}
		host, path = strings.ToLower(u.Hostname()), u.Path
		port := u.Port()
		standard := map[string]string{"https": "443", "http": "80", "ssh": "22", "git": "9418", "git+ssh": "22"}[strings.ToLower(scheme)]
		if port != "" && port != standard {
			host = net.JoinHostPort(host, port)
		}
	} else {
		before, after, ok := strings.Cut(remote, ":")
		if !ok || strings.ContainsAny(before, `/\`) || len(before) < 2 || strings.HasPrefix(after, ":") {
			return ""
		}
		if at := strings.LastIndexByte(before, '@'); at >= 0 {
			before = before[at+1:]
		}
		host, path = strings.ToLower(before), after
	}
	path = strings.Trim(path, "/")
	path = strings.TrimRight(strings.TrimSuffix(path, ".git"), "/")
	if host == "" || path == "" || strings.HasPrefix(host, "-") {
		return ""
	}
	for _, part := range strings.Split(path, "/") {
		if part == ".." || part == "." {
			return ""
		}
	}
	if clean(host+"/"+path, 1024) != host+"/"+path {
		return ""
	}
	return host + "/" + path
}
