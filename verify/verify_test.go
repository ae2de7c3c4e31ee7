package verify

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/advisory"
	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/scan"
)

var clock = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// index knows of a flaw of flask, known under two ids, one of an older flask,
// and one of jinja2.
func index() *advisory.Index {
	flaw := func(id, name, introduced, fixed string, severity fact.Severity, aliases ...string) fact.Advisory {
		return fact.Advisory{ID: id, Aliases: aliases, Severity: severity, Affected: []fact.Affected{{
			Ecosystem: "PyPI", Name: name,
			Ranges: []fact.Range{{Type: "ECOSYSTEM", Events: []fact.RangeEvent{{Introduced: introduced}, {Fixed: fixed}}}},
		}}}
	}
	return advisory.FromMemory([]fact.Advisory{
		flaw("PYSEC-1", "flask", "1.0", "2.2.5", fact.SeverityHigh, "CVE-2023-1"),
		flaw("PYSEC-2", "jinja2", "0", "3.1.0", fact.SeverityMedium),
		flaw("PYSEC-3", "flask", "2.5", "2.6", fact.SeverityCritical),
		flaw("PYSEC-4", "flask", "2.7", "2.8", fact.SeverityLow),
	})
}

// scanner finds advisories of pinned requirements; a file .scanignore lists
// ids that it leaves out, which is what a false fix may abuse.
type scanner struct {
	index *advisory.Index
	// touchy makes a detector that sees nothing once a file has changed.
	touchy string
}

func (s *scanner) Describe() scan.Description {
	return scan.Description{ID: "scan/test", Name: "test", Rules: s.index.Digest()}
}

func (s *scanner) Scan(ctx context.Context, tree code.Tree, found func(fact.Finding) error) ([]scan.Problem, error) {
	ignored, err := tree.Read(ctx, ".scanignore")
	if err != nil {
		ignored = nil
	}
	if s.touchy != "" {
		content, err := tree.Read(ctx, "requirements.txt")
		if err != nil || string(content) != s.touchy {
			return nil, err
		}
	}
	modules, err := lockfile.Read(ctx, tree)
	if err != nil {
		return nil, err
	}
	for _, m := range modules {
		for i, pkg := range m.Packages {
			advisories, err := s.index.Affecting(m.Fact(i))
			if err != nil {
				return nil, err
			}
			for _, a := range advisories {
				if bytes.Contains(ignored, []byte(a.ID)) {
					continue
				}
				f := fact.Finding{Kind: fact.Vulnerability, Rule: a.ID, Aliases: a.Aliases, Severity: a.Severity, Package: m.Fact(i), Path: pkg.Path, Line: pkg.Line}
				if err := found(f); err != nil {
					return nil, err
				}
			}
		}
	}
	return nil, nil
}

// fixer does to a working folder what a test says.
type fixer func(dir string) ([]string, error)

func (f fixer) Describe() fix.Description       { return fix.Description{ID: "fix/test", Name: "test"} }
func (f fixer) Handles(m *lockfile.Module) bool { return m.Tool == "pip" || m.Tool == "gomod" }
func (f fixer) Plan(context.Context, *fix.Target) ([]fix.Path, error) {
	return nil, errors.New("not asked")
}
func (f fixer) Apply(_ context.Context, dir string, _ fix.Path) ([]string, error) { return f(dir) }

// rewrite replaces text in files; a file that is not there begins empty.
func rewrite(edits ...string) fixer {
	return func(dir string) ([]string, error) {
		var changed []string
		for i := 0; i < len(edits); i += 3 {
			name := filepath.Join(dir, edits[i])
			content, err := os.ReadFile(name)
			if err != nil && !os.IsNotExist(err) {
				return nil, err
			}
			if err := os.WriteFile(name, []byte(strings.Replace(string(content), edits[i+1], edits[i+2], 1)), 0o644); err != nil {
				return nil, err
			}
			changed = append(changed, edits[i])
		}
		return changed, nil
	}
}

const requirements = "# what the shop needs\nflask==2.0.1\njinja2==3.0.0\nclick==8.0\n"

var shop = map[string]string{
	"requirements.txt": requirements, "shop.py": "def price():\n    return 1\n", "test_shop.py": "from shop import price\n\ndef test_price():\n    assert price() == 1\n",
}

// repository makes a git repository with one commit.
func repository(t *testing.T, files map[string]string) (*git.Repository, string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"init", "-q"},
		{"remote", "add", "origin", "https://user:secret@example.org/acme/shop.git"},
		{"add", "-A"},
		{"-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "-q", "-m", "Open the shop"},
	} {
		command := exec.CommandContext(t.Context(), "git", args...)
		command.Dir = dir
		command.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
			"GIT_AUTHOR_DATE=2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE=2026-01-01T00:00:00Z")
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	repo, err := git.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	commit, err := repo.Resolve(t.Context(), "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	return repo, commit
}

func raise(to string) fix.Path {
	return fix.Path{
		ID: "p1", Kind: fix.RaiseDirect, Summary: "Raise flask to " + to, Fixer: "fix/test",
		Changes: []fix.Change{{Package: "flask", From: "2.0.1", To: to, Direct: true}},
	}
}

func request(t *testing.T, f fixer, files map[string]string) Request {
	t.Helper()
	repo, commit := repository(t, files)
	x := index()
	return Request{
		Repo: repo, Repository: "example.org/acme/shop", Commit: commit, Scanner: &scanner{index: x}, Fixer: f, Path: raise("2.2.5"),
		Closes: []Closes{{Advisories: []string{"CVE-2023-1"}, Package: "flask"}}, Class: x.Class, Advisories: x.Digest(), Tool: "backstitch test", Now: clock,
	}
}

func prove(t *testing.T, r Request) Record {
	t.Helper()
	record, err := Prove(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return record
}

func statusOf(v fact.Verification, name string) string {
	for _, check := range v.Checks {
		if check.Name == name {
			return check.Status
		}
	}
	return "none"
}

func TestARealFixIsProven(t *testing.T) {
	t.Parallel()
	r := request(t, rewrite("requirements.txt", "flask==2.0.1", "flask==2.2.5"), shop)
	record := prove(t, r)
	if record.Verification.Status != fact.VerificationProven {
		t.Fatalf("%+v", record.Verification)
	}
	for _, name := range required {
		if got := statusOf(record.Verification, name); got != fact.CheckPass {
			t.Errorf("%s: %s", name, got)
		}
	}
	for _, name := range []string{CheckBuild, CheckTests, CheckSignature} {
		if got := statusOf(record.Verification, name); got != fact.CheckSkip {
			t.Errorf("%s was not asked for and is %s", name, got)
		}
	}
	want := map[string][]byte{"requirements.txt": []byte(strings.Replace(requirements, "2.0.1", "2.2.5", 1))}
	if diff := cmp.Diff(want, record.Files); diff != "" {
		t.Error(diff)
	}
	if record.Verification.Digest != hexDigest(record.Statement) {
		t.Error("the digest is not that of the statement")
	}
}

func TestAFalseFixIsNeverProven(t *testing.T) {
	t.Parallel()
	both := func(first, second fixer) fixer {
		return func(dir string) ([]string, error) {
			a, err := first(dir)
			if err != nil {
				return nil, err
			}
			b, err := second(dir)
			return append(a, b...), err
		}
	}
	real := rewrite("requirements.txt", "flask==2.0.1", "flask==2.2.5")
	path := func(to string) *fix.Path { p := raise(to); return &p }
	for _, test := range []struct {
		name  string
		fixer fixer
		path  *fix.Path
		check string // the one that must say no
	}{
		{"changes nothing", func(string) ([]string, error) { return nil, nil }, nil, CheckApplies},
		{"says it changed what it did not", func(string) ([]string, error) { return []string{"requirements.txt"}, nil }, nil, CheckApplies},
		{"adds a comment", rewrite("requirements.txt", "# what", "# flask==2.2.5\n# what"), nil, CheckAfter},
		{"raises another package", rewrite("requirements.txt", "click==8.0", "click==8.1"), nil, CheckAfter},
		{"raises too little", rewrite("requirements.txt", "flask==2.0.1", "flask==2.2.4"), path("2.2.4"), CheckAfter},
		{"pins to a version before the flaw", rewrite("requirements.txt", "flask==2.0.1", "flask==0.9"), path("0.9"), CheckVersions},
		{"drops the package", rewrite("requirements.txt", "flask==2.0.1\n", ""), nil, CheckVersions},
		{"raises to something worse", rewrite("requirements.txt", "flask==2.0.1", "flask==2.5.1"), path("2.5.1"), CheckNothing},
		{"hides it from the scanner", rewrite(".scanignore", "", "PYSEC-1\n"), nil, CheckPaths},
		{"fixes it and hides another", both(real, rewrite(".scanignore", "", "PYSEC-2\n")), nil, CheckPaths},
		{"fixes it and lowers another", both(real, rewrite("requirements.txt", "click==8.0", "click==7.0")), nil, CheckVersions},
		{"fixes it and edits a test", both(real, rewrite("test_shop.py", "== 1", "== price()")), nil, CheckPaths},
		{"fixes it and edits without saying so", func(dir string) ([]string, error) {
			_, err := both(real, rewrite("shop.py", "1", "2"))(dir)
			return []string{"requirements.txt"}, err
		}, nil, CheckPaths},
		{"fixes it and removes a test", both(real, func(dir string) ([]string, error) {
			return []string{"test_shop.py"}, os.Remove(filepath.Join(dir, "test_shop.py"))
		}), nil, CheckPaths},
		{"removes the manifest", func(dir string) ([]string, error) {
			return []string{"requirements.txt"}, os.Remove(filepath.Join(dir, "requirements.txt"))
		}, nil, CheckSync},
		{"makes the manifest a link", func(dir string) ([]string, error) {
			name := filepath.Join(dir, "requirements.txt")
			return []string{"requirements.txt"}, errors.Join(os.Remove(name), os.Symlink("/etc/hostname", name))
		}, nil, CheckPaths},
		{"breaks the manifest", rewrite("requirements.txt", "flask==2.0.1", "flask==2.2.5\n<<<<<<< HEAD"), nil, CheckSync},
		{"fails half way", func(dir string) ([]string, error) {
			_, err := real(dir)
			return nil, errors.Join(err, fmt.Errorf("no network in %s", dir))
		}, nil, CheckApplies},
	} {
		r := request(t, test.fixer, shop)
		if test.path != nil {
			r.Path = *test.path
		}
		record := prove(t, r)
		if record.Verification.Status != fact.VerificationFailed || statusOf(record.Verification, test.check) != fact.CheckFail {
			t.Errorf("%s: %s, and %q is %s: %+v", test.name, record.Verification.Status, test.check, statusOf(record.Verification, test.check), record.Verification.Checks)
		}
		if bytes.Contains(record.Statement, []byte(`"result":"PASSED"`)) || bytes.Contains(record.Statement, []byte(os.TempDir()+"/")) {
			t.Errorf("%s: statement %s", test.name, record.Statement)
		}
	}
}

func TestADetectorThatFailsItsControlProvesNothing(t *testing.T) {
	t.Parallel()
	real := rewrite("requirements.txt", "flask==2.0.1", "flask==2.2.5")
	r := request(t, real, shop)
	r.Scanner = &scanner{index: index(), touchy: requirements}
	record := prove(t, r)
	if record.Verification.Status != fact.VerificationFailed || statusOf(record.Verification, CheckNoOp) != fact.CheckFail {
		t.Errorf("a detector that reacts to any change: %+v", record.Verification)
	}
	r = request(t, real, shop)
	r.Closes = []Closes{{Advisories: []string{"PYSEC-99"}, Package: "flask"}}
	if record := prove(t, r); record.Verification.Status != fact.VerificationFailed || statusOf(record.Verification, CheckBefore) != fact.CheckFail {
		t.Errorf("a flaw that was never there: %+v", record.Verification)
	}
	r = request(t, real, shop)
	r.Closes = nil
	if record := prove(t, r); record.Verification.Status != fact.VerificationFailed {
		t.Errorf("nothing to close: %+v", record.Verification)
	}
	r = request(t, real, shop)
	r.Path.Module = "elsewhere"
	if record := prove(t, r); record.Verification.Status != fact.VerificationFailed {
		t.Errorf("a module that is not there: %+v", record.Verification)
	}
}

func TestASmallerNewFlawIsAllowed(t *testing.T) {
	t.Parallel()
	r := request(t, rewrite("requirements.txt", "flask==2.0.1", "flask==2.7"), shop)
	r.Path = raise("2.7")
	if record := prove(t, r); record.Verification.Status != fact.VerificationProven {
		t.Errorf("%+v", record.Verification)
	}
}

func TestTheSameProofGivesTheSameBytes(t *testing.T) {
	t.Parallel()
	key, public := newKey(t)
	signer, err := LoadSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	var records []Record
	for range 2 {
		r := request(t, rewrite("requirements.txt", "flask==2.0.1", "flask==2.2.5"), shop)
		r.Signer = signer
		records = append(records, prove(t, r))
	}
	if diff := cmp.Diff(records[0], records[1]); diff != "" {
		t.Error(diff)
	}
	statement, err := OpenEnvelope(records[0].Envelope, public)
	if err != nil || !bytes.Equal(statement, records[0].Statement) {
		t.Errorf("the envelope holds %s, %v", statement, err)
	}
	if got := statusOf(records[0].Verification, CheckSignature); got != fact.CheckPass {
		t.Errorf("signature is %s", got)
	}
	var parsed struct {
		Type          string `json:"_type"`
		PredicateType string
		Subject       []resource
		Predicate     struct {
			Result        string
			Configuration []resource
			PassedTests   []string
			Closes        []string
			Time          string
		}
	}
	if err := json.Unmarshal(statement, &parsed); err != nil {
		t.Fatal(err)
	}
	if parsed.Type != statementType || parsed.PredicateType != predicateType || parsed.Predicate.Result != "PASSED" || parsed.Predicate.Time != "2026-03-04T05:06:07Z" {
		t.Errorf("statement %s", statement)
	}
	if len(parsed.Subject) != 1 || parsed.Subject[0].Name != "requirements.txt" || parsed.Subject[0].Digest["sha256"] != hexDigest(records[0].Files["requirements.txt"]) {
		t.Errorf("subject %+v", parsed.Subject)
	}
	if !slices.Equal(parsed.Predicate.Closes, []string{"CVE-2023-1"}) {
		t.Errorf("closes %v", parsed.Predicate.Closes)
	}
	rules := strings.TrimPrefix(index().Digest(), "sha256:")
	for _, want := range []string{`"uri":"git+https://example.org/acme/shop"`, `"name":"scan/test","digest":{"sha256":"` + rules, `"name":"advisory index","digest":{"sha256":"` + rules, `"name":"backstitch test"`, `"name":"fix/test"`} {
		if !strings.Contains(string(statement), want) {
			t.Errorf("%s is not in %s", want, statement)
		}
	}
	if strings.Contains(string(statement), "secret") {
		t.Error("the statement holds the remote's password")
	}
}

// newKey writes a P-256 key and gives its file and its public half.
func newKey(t *testing.T) (file string, public []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return writeKey(t, key, key.Public())
}

func writeKey(t *testing.T, key, public any) (string, []byte) {
	t.Helper()
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: shown})
}

func TestATamperedEnvelopeIsRefused(t *testing.T) {
	t.Parallel()
	ed, edPrivate, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecFile, ecPublic := newKey(t)
	edFile, edPublic := writeKey(t, edPrivate, ed)
	body := []byte(`{"_type":"x"}`)
	for _, test := range []struct {
		file          string
		public, other []byte
	}{{ecFile, ecPublic, edPublic}, {edFile, edPublic, ecPublic}} {
		signer, err := LoadSigner(test.file)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := envelope(body, signer)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := OpenEnvelope(sealed, test.public); err != nil || !bytes.Equal(got, body) {
			t.Errorf("the right key: %s, %v", got, err)
		}
		if _, err := OpenEnvelope(sealed, test.other); !errors.Is(err, ErrEnvelope) {
			t.Errorf("another key: %v", err)
		}
		forged, err := envelope([]byte(`{"_type":"y"}`), nil)
		if err != nil {
			t.Fatal(err)
		}
		payload := regexp.MustCompile(`"payload":"[^"]*"`)
		tampered := payload.ReplaceAll(sealed, payload.Find(forged))
		if bytes.Equal(tampered, sealed) {
			t.Fatal("nothing was tampered with")
		}
		for name, text := range map[string][]byte{"another payload": tampered, "no signature": forged, "nothing": nil, "cut off": sealed[:len(sealed)/2]} {
			if _, err := OpenEnvelope(text, test.public); !errors.Is(err, ErrEnvelope) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if _, err := LoadSigner(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no key: %v", err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	file, _ := writeKey(t, p384, p384.Public())
	if _, err := LoadSigner(file); err == nil {
		t.Error("a P-384 key is taken")
	}
}

func FuzzOpenEnvelope(f *testing.F) {
	_, private, err := ed25519.GenerateKey(bytes.NewReader(make([]byte, 64)))
	if err != nil {
		f.Fatal(err)
	}
	shown, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		f.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: shown})
	signer, err := newSigner("fuzz", private)
	if err != nil {
		f.Fatal(err)
	}
	body := []byte(`{"_type":"x"}`)
	sealed, err := envelope(body, signer)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed, public)
	f.Add(sealed[:len(sealed)/2], public)
	f.Add([]byte(`{"payload":"","signatures":[{"sig":""}]}`), []byte("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"))
	f.Fuzz(func(t *testing.T, text, key []byte) {
		if got, err := OpenEnvelope(text, public); err == nil && !bytes.Equal(got, body) {
			t.Fatalf("a statement that was never signed is taken: %q", got)
		}
		if _, err := OpenEnvelope(text, key); err != nil && !errors.Is(err, ErrEnvelope) {
			t.Fatalf("an error of another kind: %v", err)
		}
	})
}
