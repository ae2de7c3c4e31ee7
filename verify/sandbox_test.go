package verify

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backstitch/backstitch/fact"
)

// sandbox gives a sandbox, or skips the test where none holds.
func sandbox(t *testing.T) Sandbox {
	t.Helper()
	s, err := FindSandbox(t.Context())
	if err != nil {
		t.Skipf("%v", err)
	}
	return s
}

func TestProjectCodeReachesNothingOutside(t *testing.T) {
	s := sandbox(t)
	outside, work := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("s"), 0o644); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("BACKSTITCH_TEST_TOKEN", "do-not-leak")
	for name, script := range map[string]string{
		"another folder":    "cat " + outside + "/secret",
		"the network":       "exec 3<>/dev/tcp/127.0.0.1/" + port,
		"the environment":   `env | grep -q do-not-leak`,
		"the parent's":      `tr '\0' '\n' < /proc/1/environ | grep -q do-not-leak`,
		"the home folder":   "ls /root /home/* 2>/dev/null | grep .",
		"writing to /usr":   "touch /usr/x",
		"writing to /etc":   "touch /etc/ssl/x",
		"other processes":   "kill -0 " + "$(ls /proc | grep -E '^[0-9]{4,}$' | head -1)",
		"mounting":          "mount -t tmpfs none /mnt",
		"password database": "cat /etc/shadow",
		"the git folder":    "ls -d /work/.git",
	} {
		outcome, err := s.Run(t.Context(), Command{Work: work, Argv: []string{"bash", "-c", script}, Timeout: 10 * time.Second})
		if err != nil || outcome.Exit == 0 {
			t.Errorf("%s is reached: exit %d, %v: %s", name, outcome.Exit, err, outcome.Output)
		}
	}
	outcome, err := s.Run(t.Context(), Command{Work: work, Argv: []string{"bash", "-c", "echo made > /work/x && pwd"}, Timeout: 10 * time.Second})
	if err != nil || outcome.Exit != 0 || strings.TrimSpace(string(outcome.Output)) != "/work" {
		t.Errorf("work folder: %+v, %v", outcome, err)
	}
	if made, err := os.ReadFile(filepath.Join(work, "x")); err != nil || string(made) != "made\n" {
		t.Errorf("what was written to the work folder: %q, %v", made, err)
	}
}

func TestProjectCodeIsBounded(t *testing.T) {
	t.Parallel()
	s := sandbox(t)
	for _, test := range []struct {
		name, script string
		timeout      time.Duration
		memory       int64
		reason       string
	}{
		{"time", "sleep 60 & sleep 60", 300 * time.Millisecond, 0, "longer than 300ms"},
		{"a child that stays", "(trap '' HUP TERM; sleep 60) & disown; exit 3", 5 * time.Second, 0, ""},
		{"memory of one process", `head -c 400000000 /dev/zero | tail -c 300000000 >/dev/null`, 20 * time.Second, 64 << 20, ""},
		{"a large file", `head -c 3000000000 /dev/zero > /tmp/x`, 20 * time.Second, 64 << 20, ""},
	} {
		begun := time.Now()
		outcome, err := s.Run(t.Context(), Command{Work: t.TempDir(), Argv: []string{"bash", "-c", test.script}, Timeout: test.timeout, Memory: test.memory})
		if err != nil || outcome.Exit == 0 || !strings.Contains(outcome.Reason, test.reason) {
			t.Errorf("%s: exit %d, %q, %v", test.name, outcome.Exit, outcome.Reason, err)
		}
		if spent := time.Since(begun); spent > 30*time.Second {
			t.Errorf("%s: took %s", test.name, spent)
		}
	}
	outcome, err := s.Run(t.Context(), Command{Work: t.TempDir(), Argv: []string{"bash", "-c", "echo first; yes | head -c 5000000; echo last"}, Timeout: 20 * time.Second})
	if err != nil || outcome.Exit != 0 || len(outcome.Output) > maxOutput+100 {
		t.Fatalf("much output: exit %d, %d bytes, %v", outcome.Exit, len(outcome.Output), err)
	}
	if text := string(outcome.Output); !strings.HasPrefix(text, "first\n") || !strings.HasSuffix(text, "last\n") || !strings.Contains(text, "bytes left out") {
		t.Errorf("much output begins %q and ends %q", text[:20], text[len(text)-20:])
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Run(cancelled, Command{Work: t.TempDir(), Argv: []string{"sleep", "60"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// scripted is a sandbox that ends as it is told, by the folder it runs in.
type scripted map[string][]int

func (s scripted) Name() string { return "scripted" }
func (s scripted) Run(_ context.Context, c Command) (Outcome, error) {
	key := filepath.Base(c.Work) + " " + c.Argv[len(c.Argv)-1]
	exits := s[key]
	if len(exits) == 0 {
		return Outcome{}, nil
	}
	s[key] = exits[1:]
	return Outcome{Exit: exits[0], Output: []byte("ALL TESTS PASSED\n")}, nil
}

func TestTheVerdictOnTestsComesFromExitCodes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name          string
		exits         scripted
		tests, status string
		detail        string
	}{
		{"green", scripted{}, fact.CheckPass, fact.VerificationProven, "exit code 0"},
		{"red after, green before", scripted{"after no:cacheprovider": {1, 1}}, fact.CheckFail, fact.VerificationFailed, "exit code 0 before"},
		{"red before and after", scripted{"after no:cacheprovider": {1}, "before no:cacheprovider": {1}}, fact.CheckSkip, fact.VerificationProven, "says nothing about the change"},
		{"red once", scripted{"after no:cacheprovider": {1}}, fact.CheckPass, fact.VerificationProven, "not reliable"},
	} {
		r := request(t, rewrite("requirements.txt", "flask==2.0.1", "flask==2.2.5"), shop)
		r.Build, r.Sandbox = true, test.exits
		record := prove(t, r)
		detail := ""
		for _, c := range record.Verification.Checks {
			if c.Name == CheckTests {
				detail = c.Detail
			}
		}
		if statusOf(record.Verification, CheckTests) != test.tests || record.Verification.Status != test.status || !strings.Contains(detail, test.detail) {
			t.Errorf("%s: tests %s, status %s: %s", test.name, statusOf(record.Verification, CheckTests), record.Verification.Status, detail)
		}
	}
}

func TestWithoutASandboxNoProjectCodeRuns(t *testing.T) {
	r := request(t, rewrite("requirements.txt", "flask==2.0.1", "flask==2.2.5"), shop)
	r.Build = true
	t.Setenv("PATH", t.TempDir()) // no bwrap there
	record := prove(t, r)
	for _, c := range record.Verification.Checks {
		if (c.Name == CheckBuild || c.Name == CheckTests) && (c.Status != fact.CheckSkip || !strings.Contains(c.Detail, "project code is not run: no sandbox: gVisor")) {
			t.Errorf("%+v", c)
		}
	}
	if record.Verification.Status != fact.VerificationProven {
		t.Errorf("%+v", record.Verification)
	}
}

func TestAGoModuleIsBuiltAndTestedInTheSandbox(t *testing.T) {
	if testing.Short() {
		t.Skip("builds with an empty cache")
	}
	s := sandbox(t)
	cache := t.TempDir()
	files := map[string]string{
		"go.mod":       "module example.org/m\n\ngo 1.24\n",
		"m.go":         "package m\n\nfunc F() int { return 1 }\n",
		"m_test.go":    "package m\n\nimport \"testing\"\n\nfunc TestF(t *testing.T) {\n\tif F() != 1 {\n\t\tt.Fatal(F())\n\t}\n}\n",
		"lib/x/lib.go": "package x\n",
	}
	for _, test := range []struct {
		name, m      string
		build, tests string
	}{
		{"as it was", files["m.go"], fact.CheckPass, fact.CheckPass},
		{"no program", "package m\n\nfunc F() int { return nothing }\n", fact.CheckFail, fact.CheckFail},
		{"ends well before it is judged", "package m\n\nimport (\n\t\"fmt\"\n\t\"os\"\n)\n\nfunc F() int { fmt.Println(\"PASS\"); os.Exit(0); return 1 }\n", fact.CheckPass, fact.CheckFail},
	} {
		repo, commit := repository(t, files)
		before, after := t.TempDir(), t.TempDir()
		for _, dir := range []string{before, after} {
			if err := repo.Checkout(t.Context(), commit, dir); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(after, "m.go"), []byte(test.m), 0o644); err != nil {
			t.Fatal(err)
		}
		p := &prover{request: Request{Sandbox: s, Build: true, Cache: cache}, dir: t.TempDir(), before: before, after: after}
		chain, none := p.goChain(t.Context(), "")
		if none != "" {
			t.Skip(none)
		}
		fetched := map[string]error{}
		for _, j := range chain.jobs {
			j.command.Cache = cache
			if err := p.job(t.Context(), chain, j, fetched); err != nil {
				t.Fatal(err)
			}
		}
		v := fact.Verification{Checks: p.checks}
		if statusOf(v, CheckBuild) != test.build || statusOf(v, CheckTests) != test.tests {
			t.Errorf("%s: build %s, tests %s; want %s, %s\n%s", test.name, statusOf(v, CheckBuild), statusOf(v, CheckTests), test.build, test.tests, p.log.String())
		}
	}
}

func TestAnNpmPackageIsTestedInTheSandbox(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("runs npm several times")
	}
	s := sandbox(t)
	manifest := `{"name":"m","version":"1.0.0","scripts":{"build":"node -e 0","test":"node test.js"}}`
	lock := `{"name":"m","version":"1.0.0","lockfileVersion":3,"requires":true,"packages":{"":{"name":"m","version":"1.0.0"}}}`
	for _, test := range []struct {
		name         string
		manifest     string
		before, now  string
		build, tests string
	}{
		{"green", manifest, "", "", fact.CheckPass, fact.CheckPass},
		{"red now", manifest, "", "process.exit(1)", fact.CheckPass, fact.CheckFail},
		{"no tests", `{"name":"m","version":"1.0.0","scripts":{"test":"echo \"Error: no test specified\" && exit 1"}}`, "", "", fact.CheckSkip, fact.CheckSkip},
	} {
		p := &prover{request: Request{Sandbox: s}, dir: t.TempDir(), before: t.TempDir(), after: t.TempDir()}
		for folder, script := range map[string]string{p.before: test.before, p.after: test.now} {
			for name, content := range map[string]string{"package.json": test.manifest, "package-lock.json": lock, "test.js": script} {
				if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		chain, none := p.npmChain("")
		if none != "" {
			t.Skip(none)
		}
		fetched := map[string]error{}
		for _, j := range chain.jobs {
			if j.none != "" {
				p.check(j.check, fact.CheckSkip, "%s", j.none)
				continue
			}
			if err := p.job(t.Context(), chain, j, fetched); err != nil {
				t.Fatal(err)
			}
		}
		v := fact.Verification{Checks: p.checks}
		if statusOf(v, CheckBuild) != test.build || statusOf(v, CheckTests) != test.tests {
			t.Errorf("%s: build %s, tests %s; want %s, %s\n%+v\n%s", test.name, statusOf(v, CheckBuild), statusOf(v, CheckTests), test.build, test.tests, v.Checks, p.log.String())
		}
	}
}
