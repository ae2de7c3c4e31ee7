package bundler

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/fix"
)

func FuzzRaisedGemfilesChangeOneConstraint(f *testing.F) {
	for _, seed := range []string{"gem 'qs', '~> 1.0',\n  '!= 1.1', require: false\n", "s.add_dependency(\"qs\")\r\ngem \"web\", \"1\"\n", "gem 'qs', \"a\" => 1\ngem 'qs', '< 2' # x"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		after, constraint, err := raised("Gemfile", data, fix.Change{Package: "qs", To: "3.2.1"}, func(string) bool { return true })
		if err != nil || constraint == "" {
			return
		}
		before, read := calls(data), calls(after)
		for i := range before {
			if before[i].name != "qs" && before[i].constraint() != read[i].constraint() {
				t.Errorf("%s %s became %s", before[i].name, before[i].constraint(), read[i].constraint())
			}
			if fits, known := syntax.Admits(read[i].constraint(), "3.2.1"); before[i].name == "qs" && (!fits || !known) {
				t.Errorf("%s does not allow 3.2.1:\n%s", read[i].constraint(), after)
			}
		}
	})
}

func FuzzLocksAreWrittenAsTheyWereRead(f *testing.F) {
	for _, seed := range []string{
		"GEM\n  remote: https://gems.example/\n  specs:\n    qs (1.0.0-x86_64-linux)\n      a (~> 1.0, != 2)\n\nDEPENDENCIES\n  qs (< 2)!\n",
		"GIT\r\n  remote: x\r\n  specs:\r\n\r\nGEM\r\n\r\nDEPENDENCIES\r\n\r\nBUNDLED WITH\r\n   2.1.4\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := parseLock("Gemfile.lock", data)
		if err != nil {
			return
		}
		again, err := parseLock("Gemfile.lock", l.write())
		if err != nil {
			t.Fatal(err)
		}
		if !cmp.Equal(l.specs, again.specs, cmp.AllowUnexported(spec{}, need{})) || !cmp.Equal(l.asked, again.asked) {
			t.Errorf("read %+v, after writing %+v", l.specs, again.specs)
		}
		if text, err := l.gemfile(t.TempDir(), "https://gems.example/", l.asked); err == nil {
			for line := range strings.Lines(string(text)) {
				if strings.ContainsAny(strings.NewReplacer("'", "").Replace(line), "\"#;`\\$(){}") {
					t.Errorf("the Gemfile holds more than literals: %q", line)
				}
			}
		}
	})
}
