package cargo

import (
	"errors"
	"testing"

	"github.com/backstitch/backstitch/fix"
)

func FuzzEditedManifestsChangeOnlyWhatTheyShould(f *testing.F) {
	for _, seed := range []string{
		"[dependencies]\nqs = \"1.0\" # x\nother = { package = 'qs', version = \"^1.2\", features = [\"a\"] }\r\n",
		"[workspace.dependencies.qs]\nversion = '=1.0.0'\n[target.'cfg(unix)'.build-dependencies]\nqs.version = \"~1\"\n[[bin]]\nname = \"x\"\npath = \"../y.rs\"\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if files, err := sources("a/Cargo.toml", data); err == nil && len(files) < 2 {
			t.Errorf("sources %q", files)
		}
		after, n, err := edited("Cargo.toml", data, []fix.Change{{Package: "qs", From: "1.0.0", To: "3.2.1"}}, func(old, to string) (string, error) {
			text, ok := syntax.Raise(old, to)
			if !ok {
				return "", errors.New("no")
			}
			return text, nil
		})
		if err != nil || n == 0 {
			return
		}
		list, err := requirements("Cargo.toml", after)
		if err != nil {
			t.Fatal(err)
		}
		raised := 0
		for _, r := range list {
			if fits, _ := syntax.Admits(r.Value, "3.2.1"); r.crate == "qs" && fits {
				raised++
			}
		}
		if raised < n {
			t.Errorf("%d of %d requirements allow the version:\n%s", raised, n, after)
		}
	})
}

func FuzzIndexEntriesAreReadWithoutHarm(f *testing.F) {
	f.Add([]byte("\x03\x02\x00\x00\x00etag\x001.0.0\x00{\"vers\":\"1.0.0\",\"deps\":[{\"name\":\"a\",\"req\":\"^1\"}]}\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		releases, err := parseIndex(data)
		if err == nil && len(releases) == 0 {
			t.Error("nothing was read and nothing was said")
		}
		for _, one := range releases {
			if !crateVersion.MatchString(one.Version) {
				t.Errorf("version %q", one.Version)
			}
		}
	})
}
