package lockfile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/code"
)

const gradleCatalogText = `[versions]
guava = "32.0.0-jre" # keep
jackson = { strictly = "2.15.0" }

[libraries]
guava = { module = "com.google.guava:guava", version.ref = "guava" }
jackson-core = { group = "com.fasterxml.jackson.core", name = "jackson-core", version.ref = "jackson" }
jackson_databind = { module = "com.fasterxml.jackson.core:jackson-databind", version.ref = "jackson" }
okio = "com.squareup.okio:okio:3.4.0"
unused = "org.acme:unused:1.0"

[bundles]
jackson = ["jackson-core", "jackson_databind"]
`

const gradleGroovy = `buildscript {
  ext.kotlinVersion = '1.9.0'
  dependencies { classpath "org.jetbrains.kotlin:kotlin-gradle-plugin:${kotlinVersion}" }
}
plugins {
  id 'org.springframework.boot' version '2.7.0'
}
ext {
  nettyVersion = "4.1.94.Final" // why
  versions = [ slf4j: '1.7.36',
    junit: '5.9.0' ]
}
/* implementation 'not:this:1' */
dependencies {
  implementation platform('org.acme:bom:7')
  implementation "io.netty:netty-handler:$nettyVersion"
  api("org.slf4j:slf4j-api:${versions.slf4j}") {
    exclude group: 'x', module: 'y'
  }
  runtimeOnly group: 'com.h2database', name: 'h2', version: '2.1.210'
  implementation 'org.acme:concat:' + acmeVersion
  testImplementation 'a.b:multi:1.0', 'a.b:other:2.+'
  implementation libs.guava
  implementation(libs.bundles.jackson)
  implementation 'org.acme:classified:1.5:linux@zip'
  implementation project(':core')
  constraints {
    implementation('org.yaml:snakeyaml:1.33') { because 'of it' }
  }
}
`

// gradleSays writes the declarations of a module.
func gradleSays(m *Module) []string {
	var lines []string
	for _, d := range m.Declared {
		text := fmt.Sprintf("%s:%d %s %s %s", d.Path, d.Line, d.Group, d.Name, d.Constraint)
		if d.ValueLine > 0 {
			text += fmt.Sprintf(" by %s:%d", d.ValuePath, d.ValueLine)
		}
		lines = append(lines, text)
	}
	return lines
}

func gradleModule(t *testing.T, tree code.Files, manifest string) *Module {
	t.Helper()
	for _, m := range read(t, tree) {
		if m.Tool == "gradle" && m.file() == manifest {
			return &m
		}
	}
	t.Fatalf("no module of %s", manifest)
	return nil
}

func TestGradleScriptsSayWhatStandsInThemAndWhereItIsDecided(t *testing.T) {
	tree := files("build.gradle", gradleGroovy, "gradle/libs.versions.toml", gradleCatalogText, "gradle.properties", "# x\nacmeVersion = 3.1\n")
	got := gradleSays(gradleModule(t, tree, "build.gradle"))
	want := []string{
		"build.gradle:3 build org.jetbrains.kotlin:kotlin-gradle-plugin 1.9.0 by build.gradle:2",
		"build.gradle:6 build org.springframework.boot:org.springframework.boot.gradle.plugin 2.7.0",
		"build.gradle:15 override org.acme:bom 7",
		"build.gradle:16 production io.netty:netty-handler 4.1.94.Final by build.gradle:9",
		"build.gradle:17 production org.slf4j:slf4j-api 1.7.36 by build.gradle:10",
		"build.gradle:20 production com.h2database:h2 2.1.210",
		"build.gradle:21 production org.acme:concat 3.1 by gradle.properties:2",
		"build.gradle:22 test a.b:multi 1.0",
		"build.gradle:22 test a.b:other 2.+",
		"build.gradle:23 production com.google.guava:guava 32.0.0-jre by gradle/libs.versions.toml:2",
		"build.gradle:24 production com.fasterxml.jackson.core:jackson-core 2.15.0 by gradle/libs.versions.toml:3",
		"build.gradle:24 production com.fasterxml.jackson.core:jackson-databind 2.15.0 by gradle/libs.versions.toml:3",
		"build.gradle:25 production org.acme:classified 1.5",
		"build.gradle:28 override org.yaml:snakeyaml 1.33",
	}
	if !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
	if m := gradleModule(t, tree, "build.gradle"); !cmp.Equal(m.Manifests, []string{"build.gradle", "gradle.properties", "gradle/libs.versions.toml"}) {
		t.Errorf("manifests %q, want those that decide versions too", m.Manifests)
	}
	rest := gradleSays(gradleModule(t, tree, "gradle/libs.versions.toml"))
	if want := []string{
		"gradle/libs.versions.toml:9 production com.squareup.okio:okio 3.4.0",
		"gradle/libs.versions.toml:10 production org.acme:unused 1.0",
	}; !cmp.Equal(rest, want) {
		t.Error(cmp.Diff(want, rest))
	}
}

func TestKotlinScriptsAndModulesBelowSeeTheRootsValues(t *testing.T) {
	tree := files(
		"build.gradle.kts", "val okhttp by extra(\"4.11.0\")\nextra[\"retrofit\"] = \"2.9.0\"\n",
		"gradle/libs.versions.toml", gradleCatalogText,
		"app/build.gradle.kts", `plugins { id("com.android.application") version "8.0.0" }
val local = "1.2"
dependencies {
    implementation("com.squareup.okhttp3:okhttp:${rootProject.extra["okhttp"]}")
    implementation("com.squareup.retrofit2:retrofit:${property("retrofit")}")
    "api"("org.acme:local:$local")
    implementation(libs.okio)
    testImplementation(group = "junit", name = "junit", version = "4.12")
    implementation("org.acme:computed:${version()}")
}
`)
	got := gradleSays(gradleModule(t, tree, "app/build.gradle.kts"))
	want := []string{
		"app/build.gradle.kts:1 build com.android.application:com.android.application.gradle.plugin 8.0.0",
		"app/build.gradle.kts:4 production com.squareup.okhttp3:okhttp 4.11.0 by build.gradle.kts:1",
		"app/build.gradle.kts:5 production com.squareup.retrofit2:retrofit 2.9.0 by build.gradle.kts:2",
		"app/build.gradle.kts:6 production org.acme:local 1.2 by app/build.gradle.kts:2",
		"app/build.gradle.kts:7 production com.squareup.okio:okio 3.4.0 by gradle/libs.versions.toml:9",
		"app/build.gradle.kts:8 test junit:junit 4.12",
		"app/build.gradle.kts:9 production org.acme:computed ",
	}
	if !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
}

func TestAGradleLockDecidesOverWhatScriptsSay(t *testing.T) {
	tree := files("build.gradle", "dependencies {\n  implementation 'a:b:1.+'\n}\n",
		"gradle.lockfile", "# generated\na:b:1.4=compileClasspath,runtimeClasspath\nc:d:2=testRuntimeClasspath\nbroken\nempty=annotationProcessor\n")
	m := gradleModule(t, tree, "build.gradle")
	var got []string
	for _, p := range m.Packages {
		got = append(got, fmt.Sprintf("%s:%d %s %s direct %t dev %t", p.Path, p.Line, p.Name, p.Version, p.Direct, p.Dev))
	}
	want := []string{"gradle.lockfile:2 a:b 1.4 direct true dev false", "gradle.lockfile:3 c:d 2 direct false dev true"}
	if !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
	if len(m.Problems) != 1 || m.Problems[0].Line != 4 {
		t.Errorf("problems %v, want one of line 4", m.Problems)
	}
}

func TestABlockOfAScriptIsFoundByItsNames(t *testing.T) {
	script := "dependencies { // {\n  implementation('a:b:1') { transitive = false }\n  constraints {\n    implementation 'c:d:2'\n  }\n}\n"
	from, to, ok := GradleBlock([]byte(script), "dependencies", "constraints")
	if got := script[from:to]; !ok || strings.TrimSpace(got) != "implementation 'c:d:2'" {
		t.Errorf("inside %q, %t", got, ok)
	}
	if _, _, ok := GradleBlock([]byte(script), "constraints"); ok {
		t.Error("a block was found where none is at the top")
	}
}

func FuzzGradleScript(f *testing.F) {
	fuzz(f, "build.gradle", files("gradle/libs.versions.toml", gradleCatalogText), gradleGroovy, "dependencies { api \"a:b:${c\n }", "ext['a'] = [b: 'c'\n'''")
}

func FuzzGradleCatalog(f *testing.F) {
	fuzz(f, "gradle/libs.versions.toml", files("build.gradle", gradleGroovy), gradleCatalogText, "[libraries]\na = { module = \"b\", version = { ref = \"c\" } }\n")
}

func FuzzGradleLock(f *testing.F) {
	fuzz(f, "gradle.lockfile", files("build.gradle", gradleGroovy), "a:b:1=c\nempty=\n", "0:0:0=\n0:0:0=")
}
