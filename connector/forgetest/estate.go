package forgetest

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// newEstate is what every forge of the tests holds, beside what it says of it: a bare
// repository, changes, tickets, comments and statuses. Numbers of comments are those of
// what they are on.
func newEstate(t *testing.T, server *Server, dir, name string, clock time.Time) *GitHub {
	return &GitHub{Server: server, t: t, Dir: dir, Name: name, Token: "secret-token", Actor: "backstitch-bot", Comments: map[int][]*GitHubComment{}, Statuses: map[string][]map[string]any{}, clock: clock}
}

// file is a file of a commit that is made on a server; nil content deletes it.
type file struct {
	path    string
	content []byte
}

// record makes a commit on another one and gives its id; no branch moves.
func (g *GitHub) record(parent, message string, files []file) string {
	index := g.t.TempDir() + "/index"
	run := func(stdin []byte, args ...string) string {
		command := exec.Command("git", append([]string{"-c", "core.bare=true"}, args...)...)
		command.Dir, command.Stdin = g.Dir, bytes.NewReader(stdin)
		command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.DevNull, "GIT_INDEX_FILE=" + index}
		out, err := command.CombinedOutput()
		if err != nil {
			g.t.Errorf("git %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run(nil, "read-tree", parent)
	for _, one := range files {
		if one.content == nil {
			run([]byte("0 "+strings.Repeat("0", 40)+"\t"+one.path+"\n"), "update-index", "--index-info")
			continue
		}
		run(nil, "update-index", "--add", "--cacheinfo", "100644,"+run(one.content, "hash-object", "-w", "--stdin")+","+one.path)
	}
	return g.Git([]byte(message), "commit-tree", run(nil, "write-tree"), "-p", parent)
}

// blobAt gives the id of a file's content in a commit, "" when there is no such file.
func (g *GitHub) blobAt(commit, path string) string {
	out, err := g.git(nil, "rev-parse", "--verify", "--quiet", commit+":"+path)
	if err != nil {
		return ""
	}
	return out
}

// conflicts says whether a change cannot be merged as it is.
func (g *GitHub) conflicts(p *Pull) bool {
	_, err := g.git(nil, "merge-tree", "--write-tree", p.Base, p.HeadSHA)
	return err != nil && p.State == "open"
}

// pageOf gives the elements of the page that is asked for, of at most as many as the
// server gives.
func pageOf[T any](r *http.Request, parameter string, most int, list []T) []T {
	size, page := most, 1
	if n, err := strconv.Atoi(r.URL.Query().Get(parameter)); err == nil {
		size = min(n, most)
	}
	if n, err := strconv.Atoi(r.URL.Query().Get("page")); err == nil {
		page = n
	}
	from := min((page-1)*size, len(list))
	return append([]T{}, list[from:min(from+size, len(list))]...)
}

// idOf gives a name a number that stays the same.
func idOf(name string) int64 {
	sum := sha1.Sum([]byte(name))
	return int64(sum[0])<<16 | int64(sum[1])<<8 | int64(sum[2]) | 1<<24
}

// written is how servers write times.
func written(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// number reads a number of a path.
func (g *GitHub) number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		g.t.Errorf("number %q: %v", text, err)
	}
	return n
}

// say answers with a message of an error.
func say(w http.ResponseWriter, status int, format string, args ...any) {
	JSON(w, status, map[string]string{"message": fmt.Sprintf(format, args...)})
}
