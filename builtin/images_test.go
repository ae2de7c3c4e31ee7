package builtin

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/fix/fixtest"
	"github.com/backstitch/backstitch/scan"
	"github.com/backstitch/backstitch/verify"
)

// commit is a repository with one commit.
type commit map[string]string

func (c commit) Checkout(_ context.Context, _, dir string) error {
	for name, text := range c {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// shelf is what is known of images.
type shelf map[string][]fact.Package

func (s shelf) Tags(context.Context, string) ([]fix.ImageTag, error) {
	return []fix.ImageTag{{Name: "12.2", Source: "test"}, {Name: "12.3", Source: "test"}}, nil
}

func (s shelf) Packages(_ context.Context, reference string) ([]fact.Package, bool, error) {
	packages, ok := s["docker.io/library/"+strings.TrimPrefix(reference, "docker.io/library/")]
	return packages, ok, nil
}

// index is advisories in memory with a digest.
type index struct{ fixtest.Advisories }

func (index) Digest() string { return "sha256:0" }

func openssl(version string) []fact.Package {
	return []fact.Package{{Ecosystem: "Debian:12", Name: "openssl", Version: version}}
}

// proven plans for a flaw of a Dockerfile and proves the first path of a kind, changed
// by spoil.
func proven(t *testing.T, text string, flaw fix.Flaw, images shelf, kind string, spoil func(*fix.Path)) verify.Record {
	t.Helper()
	files := commit{"Dockerfile": text}
	known := index{fixtest.Advisories{fixtest.Flaw("CVE-1", "Debian:12", "openssl", "0", "3.0.2")}}
	fixer := dockerfiles()
	var inside fix.Images
	if len(images) > 0 {
		inside = images
	}
	site := &fix.Site{Location: fact.Location{Path: "Dockerfile", Line: 1, EndLine: 1}, Tree: code.Files{"Dockerfile": []byte(text)}, Images: images, Flaws: []fix.Flaw{flaw}}
	paths, err := fixer.(fix.SiteFixer).PlanSite(context.Background(), site)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if path.Kind != kind || path.Manual {
			continue
		}
		if spoil != nil {
			spoil(&path)
		}
		record, err := verify.Prove(context.Background(), verify.Request{
			Repo: files, Repository: "example.test/shop", Commit: strings.Repeat("0", 40), Scanner: scan.Several(ofDockerfiles(known, inside)...), Fixer: fixer, Path: path,
			Closes: []verify.Closes{{Issue: "i1", Advisories: flaw.Rules, Package: flaw.Package.Name, Severity: flaw.Severity, Objects: []string{"Dockerfile#0"}}},
			Tool:   "test", Now: time.Unix(0, 0),
		})
		if err != nil {
			t.Fatal(err)
		}
		return record
	}
	t.Fatalf("no path of kind %s among %+v, blocked %q", kind, paths, site.Blocked)
	return verify.Record{}
}

func status(record verify.Record, name string) string {
	for _, check := range record.Verification.Checks {
		if check.Name == name {
			return check.Status
		}
	}
	return ""
}

func TestAChangeOfTheBaseIsProvenByWhatBothHold(t *testing.T) {
	t.Parallel()
	flaw := fix.Flaw{Issue: "i1", Kind: fact.Vulnerability, Rules: []string{"CVE-1"}, Severity: fact.SeverityHigh, Package: openssl("3.0.1")[0], Fixed: []string{"3.0.2"}}
	images := shelf{"docker.io/library/debian:12.1": openssl("3.0.1"), "docker.io/library/debian:12.3": openssl("3.0.2"), "docker.io/library/debian:12.2": openssl("3.0.1")}
	text := "FROM debian:12.1\nUSER 1\nHEALTHCHECK NONE\n"
	record := proven(t, text, flaw, images, fix.ChangeBase, nil)
	if record.Verification.Status != fact.VerificationProven || string(record.Files["Dockerfile"]) != strings.Replace(text, "12.1", "12.3", 1) {
		t.Errorf("status %s, checks %+v", record.Verification.Status, record.Verification.Checks)
	}
	for name, to := range map[string]string{"a base that has the flaw too": "debian:12.2", "a comment": "debian:12.1\n# debian:12.3"} {
		record := proven(t, text, flaw, images, fix.ChangeBase, func(p *fix.Path) { p.Edits[0].New = to })
		if status(record, verify.CheckAfter) == fact.CheckPass {
			t.Errorf("%s passes for a fix: %+v", name, record.Verification.Checks)
		}
	}
	delete(images, "docker.io/library/debian:12.3")
	delete(images, "docker.io/library/debian:12.2")
	record = proven(t, text, flaw, images, fix.ChangeBase, nil)
	if record.Verification.Status != fact.VerificationUnchecked || status(record, verify.CheckAfter) != fact.CheckSkip {
		t.Errorf("a base of which nothing is known is %s: %+v", record.Verification.Status, record.Verification.Checks)
	}
}

func TestAnUpgradeOfAPackageIsProvenByTheLinesThatAskForIt(t *testing.T) {
	t.Parallel()
	flaw := fix.Flaw{Issue: "i1", Kind: fact.Vulnerability, Rules: []string{"CVE-1"}, Severity: fact.SeverityHigh, Package: openssl("3.0.1")[0], Fixed: []string{"3.0.2"}}
	images := shelf{"docker.io/library/debian:12.1": openssl("3.0.1")}
	text := "FROM debian:12.1\nUSER 1\nHEALTHCHECK NONE\n"
	if record := proven(t, text, flaw, images, fix.UpgradePackage, nil); record.Verification.Status != fact.VerificationProven {
		t.Errorf("checks %+v", record.Verification.Checks)
	}
	for _, line := range []string{"# RUN apt-get upgrade -y openssl", "RUN apt-get install -y openssl=3.0.1", "RUN apt-get install -y --only-upgrade zlib1g", "RUN echo apt-get upgrade"} {
		record := proven(t, text, flaw, images, fix.UpgradePackage, func(p *fix.Path) { p.Edits[0].New = "\n" + line })
		if status(record, verify.CheckAfter) == fact.CheckPass {
			t.Errorf("%s passes for a fix", line)
		}
	}
}

func TestARuleOfGoodPracticeIsProvenByItsAbsence(t *testing.T) {
	t.Parallel()
	text := "FROM debian:12.1\nRUN apk add x\nRUN apk add y\nCMD z\nHEALTHCHECK NONE\n"
	for rule, flaw := range map[string]fix.Flaw{"DL3019": {}, "CKV_DOCKER_3": {}} {
		flaw = fix.Flaw{Issue: "i1", Kind: fact.Misconfiguration, Rules: []string{rule}, Severity: fact.SeverityHigh, Seen: []fact.Finding{{Rule: rule, Attributes: map[string]string{fix.AttributeObject: "Dockerfile#0"}}}}
		if record := proven(t, text, flaw, shelf{}, fix.EditValue, nil); record.Verification.Status != fact.VerificationProven {
			t.Errorf("%s: checks %+v", rule, record.Verification.Checks)
		}
		half := func(p *fix.Path) { p.Edits = p.Edits[:1]; p.Edits[0].New = " " }
		if record := proven(t, text, flaw, shelf{}, fix.EditValue, half); record.Verification.Status == fact.VerificationProven {
			t.Errorf("%s: a change that mends nothing is proven", rule)
		}
	}
}

func TestWithoutImagesNoScannerSpeaksOfThem(t *testing.T) {
	t.Parallel()
	ids := map[string]bool{}
	for _, scanner := range ofDockerfiles(index{}, nil) {
		ids[scanner.Describe().ID] = true
	}
	if !maps.Equal(ids, map[string]bool{"scan/dockerfile": true}) {
		t.Errorf("scanners %v", ids)
	}
}
