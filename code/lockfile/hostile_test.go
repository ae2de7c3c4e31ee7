package lockfile

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/backstitch/backstitch/code"
)

func TestHostileFilesEndSoonWithAProblemOrAnAnswer(t *testing.T) {
	t.Parallel()
	var chain, versions, deps strings.Builder
	chain.WriteString(`{"packages":{"":{"dependencies":{"p0":"1"}}`)
	for i := range 60_000 {
		fmt.Fprintf(&chain, ",\n\"node_modules/p%d\":{\"version\":\"1.0.0\",\"dependencies\":{\"p%d\":\"1\",\"p0\":\"1\"}}", i, i+1)
	}
	chain.WriteString("}}")
	for i := range 60_000 {
		fmt.Fprintf(&versions, "[[package]]\nname = \"a\"\nversion = \"%d\"\n[package.dependencies]\na = \"*\"\n", i)
		fmt.Fprintf(&deps, "%s\"d%d\":\"1\"", strings.Repeat(",", min(i, 1)), i)
	}
	long := `{"packages":{"` + strings.Repeat("node_modules/a/", 60_000) + `node_modules/a":{"version":"1","dependencies":{` + deps.String() + `}}}}`
	for _, c := range []struct {
		name, file, text string
		problem          bool
	}{
		{"a chain of 60,000 packages with cycles", "package-lock.json", chain.String(), false},
		{"a key of a megabyte with 60,000 dependencies", "package-lock.json", long, true},
		{"60,000 versions of one package", "poetry.lock", versions.String(), true},
		{"60,000 lines that are no requirements", "requirements.txt", strings.Repeat("$\n", 60_000), true},
		{"an include of itself", "requirements.txt", "-r requirements.txt\n-c requirements.txt\na==1\n", false},
		{"a link in a circle", "package-lock.json", `{"packages":{"node_modules/a":{"link":true,"resolved":"node_modules/a"},"":{"dependencies":{"a":"1"}}}}`, true},
		{"UTF-16", "go.mod", "\xff\xfem\x00", true},
		{"binary", "package-lock.json", "{\x00}", true},
	} {
		modules := make(chan []Module, 1)
		go func() {
			list, err := Read(context.Background(), code.Files{c.file: []byte(c.text)})
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			for i := range list {
				g := list[i].Graph()
				for j := range min(len(list[i].Packages), 3000) {
					g.Paths(len(list[i].Packages) - 1 - j)
				}
			}
			modules <- list
		}()
		select {
		case list := <-modules:
			if len(list) != 1 || len(list[0].Problems) > 0 != c.problem {
				t.Errorf("%s: %d modules, problems %.300v", c.name, len(list), list)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: no end", c.name)
		}
	}
}
