package agent_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/agent"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

const shopPOM = `<?xml version="1.0" encoding="UTF-8"?>
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>org.acme</groupId>
  <artifactId>shop</artifactId>
  <version>1</version>
  <!-- what the shop needs -->
  <dependencies>
    <dependency>
      <groupId>org.acme</groupId>
      <artifactId>client</artifactId>
      <version>1.2.0</version>
    </dependency>
  </dependencies>
</project>
`

const shopBuild = `plugins {
    id 'java'
}

dependencies {
    implementation 'org.acme:client:1.2.0'
}
`

// commitAll makes a repository of files.
func commitAll(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	run(t, dir, "init", "-q", ".")
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run(t, dir, "add", "-A")
	run(t, dir, "commit", "-q", "-m", "start")
	return dir
}

// trivyReport is a report about one package of a file.
func trivyReport(t *testing.T, target, kind, pkg, version, fixed string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "trivy.json")
	purl := strings.Replace(pkg, ":", "/", 1)
	text := `{"SchemaVersion": 2, "ArtifactName": ".", "ArtifactType": "filesystem", "Results": [{"Target": "` + target + `", "Class": "lang-pkgs", "Type": "` + kind + `", "Vulnerabilities": [
{"VulnerabilityID": "CVE-2024-1", "PkgName": "` + pkg + `", "PkgIdentifier": {"PURL": "pkg:maven/` + purl + `@` + version + `"}, "InstalledVersion": "` + version + `", "FixedVersion": "` + fixed + `", "Severity": "HIGH"}]}]}`
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func recommendedOf(t *testing.T, paths []fix.Path) fix.Path {
	t.Helper()
	for _, path := range paths {
		if path.Recommended {
			return path
		}
	}
	t.Fatalf("nothing is recommended of %d paths", len(paths))
	return fix.Path{}
}

func TestAPackageThatOnlyAReportNamesIsFixedWhereItsVersionIsManaged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ target, kind string }{
		"the report names the pom":        {"pom.xml", "pom"},
		"the report names what was built": {"target/shop-1.jar", "jar"},
	} {
		later := 0
		_, desk := build(t, &later)
		dir := commitAll(t, map[string]string{"pom.xml": shopPOM})
		report := trivyReport(t, c.target, c.kind, "org.acme:parser", "2.8.0", "2.9.1")
		result := triage(t, desk, agent.Request{Repo: dir, Reports: []string{report}, Verify: true})
		if len(result.Issues) != 1 {
			t.Fatalf("%s: issues %+v", name, result.Issues)
		}
		it := result.Issues[0]
		if it.Cause.Status != fact.CauseFound || it.Cause.Locations[0].Path != "pom.xml" || it.Cause.Locations[0].Line != 8 {
			t.Errorf("%s: cause %+v", name, it.Cause)
		}
		if want := "mvn dependency:tree would"; !slices.ContainsFunc(it.Cause.Missing, func(m string) bool { return strings.Contains(m, want) }) {
			t.Errorf("%s: missing %q, expected %q", name, it.Cause.Missing, want)
		}
		path := recommendedOf(t, it.FixPaths)
		if path.Kind != fix.Override || path.Verification == nil || path.Verification.Status != fact.VerificationProven {
			t.Errorf("%s: %s %+v", name, path.Summary, path.Verification)
		}
		if !strings.Contains(path.Diff, "+        <version>2.9.1</version>") {
			t.Errorf("%s: diff %s", name, path.Diff)
		}

		// The same report, once the change is in: the managed version is in force.
		edited := strings.Replace(shopPOM, "  <dependencies>", "  <dependencyManagement>\n    <dependencies>\n      <dependency>\n        <groupId>org.acme</groupId>\n        <artifactId>parser</artifactId>\n        <version>2.9.1</version>\n      </dependency>\n    </dependencies>\n  </dependencyManagement>\n  <dependencies>", 1)
		if err := os.WriteFile(filepath.Join(dir, "pom.xml"), []byte(edited), 0o644); err != nil {
			t.Fatal(err)
		}
		run(t, dir, "commit", "-q", "-a", "-m", "manage the parser")
		after := triage(t, desk, agent.Request{Repo: dir, Reports: []string{report}})
		for _, it := range after.Issues {
			if it.Cause.Status == fact.CauseFound || len(it.FixPaths) > 0 {
				t.Errorf("%s: after the change: %+v, %d paths", name, it.Cause, len(it.FixPaths))
			}
		}
	}
}

func TestAReportThatTellsTheWayLeadsToTheDeclarationThatBringsThePackage(t *testing.T) {
	t.Parallel()
	later := 0
	_, desk := build(t, &later)
	dir := commitAll(t, map[string]string{"pom.xml": shopPOM})
	report := filepath.Join(t.TempDir(), "snyk.json")
	text := `{"ok": false, "packageManager": "maven", "displayTargetFile": "pom.xml", "targetFile": "pom.xml", "projectName": "org.acme:shop", "path": ".", "dependencyCount": 3, "vulnerabilities": [
{"id": "SNYK-JAVA-ORGACME-1", "title": "Overflow", "severity": "high", "packageName": "org.acme:parser", "name": "org.acme:parser", "version": "2.8.0", "packageManager": "maven", "language": "java",
 "identifiers": {"CVE": ["CVE-2024-1"]}, "fixedIn": ["2.9.1"], "from": ["org.acme:shop@1", "org.acme:client@1.2.0", "org.acme:wire@3.0", "org.acme:parser@2.8.0"]}]}`
	if err := os.WriteFile(report, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	result := triage(t, desk, agent.Request{Repo: dir, Reports: []string{report}, Verify: true})
	if len(result.Issues) != 1 {
		t.Fatalf("issues %+v, problems %q", result.Issues, result.Problems)
	}
	it := result.Issues[0]
	if it.Cause.Status != fact.CauseFound || len(it.Cause.Locations) != 1 || it.Cause.Locations[0].Line != 12 || len(it.Cause.Missing) > 0 {
		t.Errorf("cause %+v", it.Cause)
	}
	var steps []string
	for _, link := range it.Cause.Chain {
		steps = append(steps, link.Key)
	}
	if want := []string{"SNYK-JAVA-ORGACME-1", "org.acme:parser@2.8.0", "org.acme:wire@3.0", "org.acme:client@1.2.0", "org.acme:client", "org.acme:client"}; !slices.Equal(steps, want) {
		t.Errorf("chain %q, want %q", steps, want)
	}
	if path := recommendedOf(t, it.FixPaths); path.Verification == nil || path.Verification.Status != fact.VerificationProven {
		t.Errorf("%s: %+v", path.Summary, path.Verification)
	}
}

func TestWhatABuildScriptResolvesAfterAChangeIsNotClaimed(t *testing.T) {
	t.Parallel()
	later := 0
	_, desk := build(t, &later)
	dir := commitAll(t, map[string]string{"build.gradle": shopBuild})
	report := trivyReport(t, "build/libs/shop.jar", "jar", "org.acme:parser", "2.8.0", "2.9.1")
	result := triage(t, desk, agent.Request{Repo: dir, Reports: []string{report}, Verify: true})
	if len(result.Issues) != 1 {
		t.Fatalf("issues %+v", result.Issues)
	}
	path := recommendedOf(t, result.Issues[0].FixPaths)
	if path.Verification == nil || path.Verification.Status != fact.VerificationUnchecked {
		t.Fatalf("%s: %+v", path.Summary, path.Verification)
	}
	if !slices.ContainsFunc(path.Verification.Checks, func(c fact.Check) bool {
		return c.Status == fact.CheckSkip && strings.Contains(c.Detail, "which version of org.acme:parser build.gradle resolves after the change is not told by its files")
	}) {
		t.Errorf("no reason: %+v", path.Verification.Checks)
	}
}
