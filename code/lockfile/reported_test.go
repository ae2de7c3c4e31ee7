package lockfile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/code"
)

const reportedPOM = `<project>
  <groupId>org.acme</groupId><artifactId>shop</artifactId><version>1</version>
  <dependencyManagement><dependencies><!-- managed --></dependencies></dependencyManagement>
  <dependencies>
    <dependency><groupId>org.acme</groupId><artifactId>client</artifactId><version>1.2.0</version></dependency>
    <dependency><groupId>org.acme</groupId><artifactId>silent</artifactId></dependency>
  </dependencies>
  <profiles><profile><id>off</id><dependencyManagement><dependencies><!-- profile --></dependencies></dependencyManagement></profile></profiles>
</project>
`

func managedEntry(artifact, version string) string {
	return "<dependency><groupId>org.acme</groupId><artifactId>" + artifact + "</artifactId><version>" + version + "</version></dependency>"
}

func TestWhatAReportResolvedHoldsUntilWhatDecidesChanges(t *testing.T) {
	t.Parallel()
	told := []Reported{
		{Manifest: "pom.xml", Name: "org.acme:parser", Version: "2.8.0", Through: []string{"org.acme:client"}, By: "trivy"},
		{Manifest: "pom.xml", Name: "org.acme:silent", Version: "5", By: "trivy"},
		{Manifest: "pom.xml", Name: "org.acme:client", Version: "9", By: "trivy"},   // the files decide
		{Manifest: "other.xml", Name: "org.acme:parser", Version: "1", By: "trivy"}, // no such module
	}
	look := func(pom string, told []Reported) (string, []Reported) {
		tree := code.Files{"pom.xml": []byte(pom)}
		modules, err := Read(t.Context(), tree)
		if err != nil {
			t.Fatal(err)
		}
		based, err := Complete(t.Context(), tree, modules, told)
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		for _, p := range modules[0].Packages {
			text += fmt.Sprintf("%s %s %s%v\n", p.Name, p.Version, p.Reported, p.Requires)
		}
		return text, based
	}
	got, based := look(reportedPOM, told)
	if want := "org.acme:client 1.2.0 [2]\norg.acme:silent 5 trivy[]\norg.acme:parser 2.8.0 trivy[]\n"; got != want {
		t.Fatalf("at first:\n%swant:\n%s", got, want)
	}
	for name, c := range map[string]struct{ old, new, parser string }{
		"a comment":                  {"<!-- managed -->", "<!-- still -->", "2.8.0"},
		"it is managed":              {"<!-- managed -->", managedEntry("parser", "2.9.1"), "2.9.1"},
		"it is managed twice":        {"<!-- managed -->", managedEntry("parser", "2.9.1") + managedEntry("parser", "2.8.0"), ""},
		"managed in a profile":       {"<!-- profile -->", managedEntry("parser", "2.9.1"), ""},
		"managed by a property gone": {"<!-- managed -->", managedEntry("parser", "${gone}"), ""},
		"another is managed":         {"<!-- managed -->", managedEntry("lexer", "1"), ""},
		"what brings it is raised":   {"<version>1.2.0", "<version>1.3.0", ""},
	} {
		text, again := look(strings.Replace(reportedPOM, c.old, c.new, 1), based)
		if !strings.Contains(text, "org.acme:parser "+c.parser+" trivy[]\n") {
			t.Errorf("%s: want parser %q:\n%s", name, c.parser, text)
		}
		if again[0].Basis != based[0].Basis {
			t.Errorf("%s: the basis that was given is replaced", name)
		}
	}
}

func TestAModuleOfAnotherToolIsToldNothing(t *testing.T) {
	t.Parallel()
	tree := code.Files{"requirements.txt": []byte("flask==1.0\n")}
	modules, err := Read(t.Context(), tree)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Complete(t.Context(), tree, modules, []Reported{{Manifest: "requirements.txt", Name: "jinja2", Version: "2"}}); err != nil {
		t.Fatal(err)
	}
	if len(modules[0].Packages) != 1 {
		t.Errorf("%+v", modules[0].Packages)
	}
}
