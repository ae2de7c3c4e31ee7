package lockfile

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/code"
	"github.com/google/go-cmp/cmp"
)

const mavenRoot = `<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <groupId>org.acme</groupId>
  <artifactId>parent</artifactId>
  <version>${revision}</version>
  <properties>
    <revision>1.0</revision>
    <guava.version>32.0.0-jre</guava.version>
    <alias>${guava.version}</alias>
  </properties>
  <dependencyManagement>
    <dependencies>
      <dependency>
        <groupId>org.managed</groupId>
        <artifactId>one</artifactId>
        <version>${one.version}</version>
      </dependency>
      <dependency><groupId>org.acme</groupId><artifactId>bill</artifactId><version>2</version><type>pom</type><scope>import</scope></dependency>
    </dependencies>
  </dependencyManagement>
</project>
`

const mavenChild = `<project>
  <parent>
    <groupId>org.acme</groupId>
    <artifactId>parent</artifactId>
    <version>${revision}</version>
  </parent>
  <artifactId>app</artifactId>
  <properties>
    <one.version>1.1</one.version>
  </properties>
  <dependencies>
    <dependency>
      <groupId>com.google.guava</groupId>
      <artifactId>guava</artifactId>
      <version>${alias}</version>
    </dependency>
    <dependency>
      <groupId>org.managed</groupId>
      <artifactId>one</artifactId>
    </dependency>
    <dependency>
      <groupId>org.billed</groupId>
      <artifactId>two</artifactId>
      <scope>test</scope>
    </dependency>
    <dependency><groupId>a</groupId><artifactId>range</artifactId><version>[1,2)</version></dependency>
    <dependency><groupId>a</groupId><artifactId>exact</artifactId><version>[1.5]</version></dependency>
    <dependency><groupId>a</groupId><artifactId>lost</artifactId><version>${nowhere}</version></dependency>
    <dependency><groupId>a</groupId><artifactId>bare</artifactId></dependency>
    <dependency><groupId>${project.groupId}</groupId><artifactId>parent</artifactId><version>${project.version}</version></dependency>
  </dependencies>
  <profiles>
    <profile>
      <id>extra</id>
      <dependencies>
        <dependency><groupId>a</groupId><artifactId>profiled</artifactId><version>3</version></dependency>
      </dependencies>
    </profile>
  </profiles>
</project>
`

const mavenBill = `<project>
  <groupId>org.acme</groupId><artifactId>bill</artifactId><version>2</version>
  <properties><two>2.2</two></properties>
  <dependencyManagement><dependencies>
    <dependency><groupId>org.billed</groupId><artifactId>two</artifactId>
      <version>${two}</version></dependency>
  </dependencies></dependencyManagement>
</project>
`

// listing writes packages and problems in short.
func listing(m *Module) []string {
	var lines []string
	for _, p := range m.Packages {
		line := fmt.Sprintf("%s@%s %s:%d-%d", p.Name, p.Version, p.Path, p.Line, p.EndLine)
		for _, mark := range []struct {
			on   bool
			text string
		}{{p.Direct, "direct"}, {p.Dev, "dev"}, {p.Optional, "optional"}, {p.Source != "", p.Source}} {
			if mark.on {
				line += " " + mark.text
			}
		}
		for _, i := range p.Declared {
			d := m.Declared[i]
			line += fmt.Sprintf(" [%s %s:%d", d.Constraint, d.Path, d.Line)
			if d.ValueLine > 0 {
				line += fmt.Sprintf(" value %s:%d", d.ValuePath, d.ValueLine)
			}
			line += "]"
		}
		for _, j := range p.Requires {
			line += " >" + m.Packages[j].Name + "@" + m.Packages[j].Version
		}
		lines = append(lines, line)
	}
	for _, p := range m.Problems {
		lines = append(lines, "problem "+p.String())
	}
	return lines
}

func only(t *testing.T, modules []Module, dir, tool string) *Module {
	t.Helper()
	var found *Module
	for i := range modules {
		if modules[i].Dir == dir && modules[i].Tool == tool {
			if found != nil {
				t.Fatalf("two modules of %s in %q", tool, dir)
			}
			found = &modules[i]
		}
	}
	if found == nil {
		t.Fatalf("no module of %s in %q: %+v", tool, dir, modules)
	}
	return found
}

func TestMavenFollowsParentsPropertiesAndBillsToTheLiteral(t *testing.T) {
	t.Parallel()
	modules := read(t, files("pom.xml", mavenRoot, "app/pom.xml", mavenChild, "bill/pom.xml", mavenBill))
	m := only(t, modules, "app", "maven")
	if m.Name != "org.acme:app" || m.Version != "1.0" {
		t.Errorf("module %s@%s", m.Name, m.Version)
	}
	want := []string{
		"com.google.guava:guava@32.0.0-jre app/pom.xml:12-16 direct [${alias} app/pom.xml:12 value pom.xml:8]",
		"org.managed:one@1.1 app/pom.xml:17-20 direct [${one.version} app/pom.xml:17 value app/pom.xml:9]",
		"org.billed:two@2.2 app/pom.xml:21-25 direct dev [${two} app/pom.xml:21 value bill/pom.xml:3]",
		"a:range@ app/pom.xml:26-26 direct [[1,2) app/pom.xml:26]",
		"a:exact@1.5 app/pom.xml:27-27 direct [[1.5] app/pom.xml:27]",
		"a:lost@ app/pom.xml:28-28 direct [${nowhere} app/pom.xml:28]",
		"a:bare@ app/pom.xml:29-29 direct [ app/pom.xml:29]",
		"org.acme:parent@1.0 app/pom.xml:30-30 direct workspace [${project.version} app/pom.xml:30 value pom.xml:7]",
		"a:profiled@3 app/pom.xml:36-36 direct optional [3 app/pom.xml:36]",
		`problem app/pom.xml:28: version of a:lost: property "nowhere" is not in the repository`,
		"problem app/pom.xml:29: a:bare has no version, and nothing in the repository gives one",
	}
	if diff := cmp.Diff(want, listing(m)); diff != "" {
		t.Error(diff)
	}
}

func TestMavenNamesTheOutsideParentThatDecides(t *testing.T) {
	t.Parallel()
	modules := read(t, files("pom.xml", `<project>
<parent><groupId>org.boot</groupId><artifactId>starter</artifactId>
<version>3.1.0</version></parent>
<groupId>a</groupId><artifactId>b</artifactId><version>1</version>
<dependencies><dependency><groupId>c</groupId><artifactId>d</artifactId></dependency>
<dependency><groupId>c</groupId><artifactId>e</artifactId><version>${e.version}</version></dependency></dependencies>
</project>`))
	want := []string{
		"c:d@ pom.xml:5-5 direct [ pom.xml:5 value pom.xml:3]",
		"c:e@ pom.xml:6-6 direct [${e.version} pom.xml:6 value pom.xml:3]",
		"problem pom.xml: 2 versions are decided by org.boot:starter, not in the repository",
	}
	if diff := cmp.Diff(want, listing(only(t, modules, "", "maven"))); diff != "" {
		t.Error(diff)
	}
}

func TestMavenRefusesNastyFilesAndGoesOn(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"a document type":      "<!DOCTYPE project [<!ENTITY a 'b'>]><project>&a;</project>",
		"an unknown entity":    "<project>&a;</project>",
		"depth":                strings.Repeat("<a>", 100_000),
		"another document":     "<web-app/>",
		"nothing":              "",
		"a property of itself": "<project><artifactId>x</artifactId><properties><a>${a}${a}${b}</a><b>${a}</b></properties><dependencies><dependency><groupId>g</groupId><artifactId>h</artifactId><version>${a}</version></dependency></dependencies></project>",
		"a parent of itself":   "<project><parent><groupId>g</groupId><artifactId>x</artifactId><version>1</version><relativePath>pom.xml</relativePath></parent><artifactId>x</artifactId><dependencies><dependency><groupId>g</groupId><artifactId>h</artifactId><version>${a}</version></dependency></dependencies></project>",
	} {
		modules := read(t, files("pom.xml", text))
		if len(modules) != 1 || len(modules[0].Problems) == 0 {
			t.Errorf("%s: %+v", name, modules)
		}
	}
}

var xmlComment = regexp.MustCompile(`(?s)<!--.*?-->`)

func TestMavenFindsEveryDependencyOfRealProjects(t *testing.T) {
	t.Parallel()
	data := dataFolder(t)
	dirs, err := filepath.Glob(filepath.Join(data, "fixes", "maven-bump", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	packages := 0
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			continue
		}
		tree, err := code.OpenDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		modules, err := Read(context.Background(), tree)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range modules {
			if m.Tool != "maven" {
				continue
			}
			text, err := tree.Read(context.Background(), m.Manifests[0])
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Count(xmlComment.ReplaceAllString(string(text), ""), "<dependency>")
			got := len(m.Packages)
			for _, d := range m.Declared {
				if d.Group == "override" {
					got++
				}
			}
			plugged := strings.Count(xmlComment.ReplaceAllString(string(text), ""), "<plugin>")
			if got > want || got < want-plugged {
				t.Errorf("%s: %d dependencies read, %d counted", m.Manifests[0], got, want)
			}
			lines := strings.Split(string(text), "\n")
			for _, p := range m.Packages {
				packages++
				for _, i := range p.Declared {
					d := m.Declared[i]
					if p.Version != "" && d.ValuePath == m.Manifests[0] && !strings.Contains(lines[d.ValueLine-1], p.Version) {
						t.Errorf("%s:%d does not hold %s of %s", d.ValuePath, d.ValueLine, p.Version, p.Name)
					}
				}
			}
		}
		if err := tree.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if packages == 0 {
		t.Error("no package found")
	}
}

func FuzzMaven(f *testing.F) {
	f.Add(mavenRoot, mavenChild)
	f.Add(mavenBill, mavenChild)
	f.Add("<project/>", "<project><parent/></project>")
	f.Fuzz(func(t *testing.T, root, child string) {
		read(t, files("pom.xml", root, "app/pom.xml", child))
	})
}
