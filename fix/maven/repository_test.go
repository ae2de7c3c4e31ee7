package maven

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/fix"
)

// layout writes a repository with files by path and opens it.
func layout(t *testing.T, files map[string]string) *Repository {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		to := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := OpenRepository(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

var laid = map[string]string{
	"a/b/maven-metadata-central.xml": "<metadata><versioning><versions><version>1.0</version><version> 1.1 </version><version>../x</version></versions></versioning></metadata>",
	"a/b/maven-metadata-local.xml":   "<metadata><versioning><versions><version>9-mine</version></versions></versioning></metadata>",
	"o/parent/3/parent-3.pom": "<project><groupId>o</groupId><artifactId>parent</artifactId><version>3</version><properties><x>2.0</x></properties>" +
		"<dependencyManagement><dependencies><dependency><groupId>m</groupId><artifactId>m</artifactId><version>${x}</version></dependency>" +
		"<dependency><groupId>o</groupId><artifactId>bom</artifactId><version>7</version><type>pom</type><scope>import</scope></dependency></dependencies></dependencyManagement></project>",
	"o/bom/7/bom-7.pom": "<project><groupId>o</groupId><artifactId>bom</artifactId><version>7</version><dependencyManagement><dependencies>" +
		"<dependency><groupId>k</groupId><artifactId>k</artifactId><version>4</version></dependency></dependencies></dependencyManagement></project>",
	"c/d/1.0/d-1.0.pom": "<project><parent><groupId>o</groupId><artifactId>parent</artifactId><version>3</version></parent><artifactId>d</artifactId><dependencies>" +
		"<dependency><groupId>a</groupId><artifactId>b</artifactId><version>1.0</version></dependency>" +
		"<dependency><groupId>m</groupId><artifactId>m</artifactId></dependency><dependency><groupId>k</groupId><artifactId>k</artifactId></dependency>" +
		"<dependency><groupId>t</groupId><artifactId>t</artifactId><version>1</version><scope>test</scope></dependency>" +
		"<dependency><groupId>u</groupId><artifactId>u</artifactId><version>1</version><optional>true</optional></dependency></dependencies></project>",
}

func TestARepositoryTellsVersionsAndWhatIsRequired(t *testing.T) {
	r := layout(t, laid)
	versions, err := r.Versions(t.Context(), "a:b")
	if slices.Sort(versions); err != nil || !cmp.Equal(versions, []string{"1.0", "1.1"}) {
		t.Errorf("versions %q, %v", versions, err)
	}
	if versions, err := r.Versions(t.Context(), "c:d"); err != nil || versions != nil {
		t.Errorf("without metadata: %q, %v, expected that nobody can say", versions, err)
	}
	requires, err := r.Requirements(t.Context(), "c:d", "1.0")
	if want := map[string]string{"a:b": "1.0", "m:m": "2.0", "k:k": "4"}; err != nil || !cmp.Equal(requires, want) {
		t.Errorf("requires %v, %v, want %v", requires, err, want)
	}
	manages, err := r.Managed(t.Context(), "o:parent", "3")
	if want := map[string]string{"m:m": "2.0", "k:k": "4"}; err != nil || !cmp.Equal(manages, want) {
		t.Errorf("manages %v, %v, want %v", manages, err, want)
	}
	if _, err := r.Requirements(t.Context(), "c:d", "2.0"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a pom that is not there: %v", err)
	}
	for _, name := range []string{"..:x", "a:../../x", "a/b:c", "a:b:c"} {
		if _, err := r.Versions(t.Context(), name); err == nil {
			t.Errorf("%q was taken for a name", name)
		}
	}
	if _, err := r.Requirements(t.Context(), "c:d", "../1.0"); err == nil {
		t.Error("a path was taken for a version")
	}
}

func TestALocalRepositoryThatIsOldHidesNoVersionThatAnAdvisoryNames(t *testing.T) {
	files := map[string]string{"pom.xml": pomOf(dependencies(dependency("a:b", "1.0"), dependency("c:d", "1.0")))}
	target := targetOf(files, "", "a:b", "1.0", flaw("a:b", "1.2"))
	target.Registry = layout(t, laid)
	paths := planned(t, target)
	if len(paths) != 1 || paths[0].Changes[0].To != "1.2" || len(paths[0].Steps) != 2 {
		t.Errorf("paths %+v", paths)
	}
	target = targetOf(files, "", "k:k", "4", flaw("k:k", "5"), "c:d")
	target.Registry = layout(t, laid)
	if paths := planned(t, target); len(paths) != 1 || paths[0].Kind != fix.Override {
		t.Errorf("paths %+v", paths)
	}
}
