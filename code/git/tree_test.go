package git

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOmissionsNameWhatTheTreeDoesNotList(t *testing.T) {
	t.Parallel()
	dir := initRepository(t)
	write(t, dir, "go.mod", "module a\n")
	write(t, dir, "bad\xff/go.mod", "module b\n")
	write(t, dir, "bad\xff/README", "not asked for\n")
	for name, target := range map[string]string{
		"in/go.mod": "../go.mod", "out/go.mod": "../../go.mod", "root/go.mod": "/etc/passwd", "folder/go.mod": "../in",
		"vendor/x/go.mod": "/etc/passwd", "out/README": "/etc/passwd",
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, name); err != nil {
			t.Fatal(err)
		}
	}
	sub := initRepository(t)
	commitAll(t, sub, "sub")
	sh(t, dir, nil, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", sub, "sub")
	head := commitAll(t, dir, "first")
	list, err := open(t, dir).Omissions(t.Context(), head, func(path string) bool { return strings.HasSuffix(path, "go.mod") })
	if err != nil {
		t.Fatal(err)
	}
	const link = "is a symbolic link to what the commit does not hold"
	want := []Omission{
		{"bad\xff/go.mod", "has a path that is no valid UTF-8", false},
		{"folder/go.mod", link, false},
		{"out/go.mod", link, false},
		{"root/go.mod", link, false},
		{"sub", "is a submodule; its files belong to another repository", true},
	}
	if diff := cmp.Diff(want, list); diff != "" {
		t.Error(diff)
	}
}
