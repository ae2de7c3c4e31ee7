package main

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/advisory"
	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fact"
)

const b16Universe = `system: Maven
schema: |
  g:a
    1
      g:c@1
      Opt|g:o@1
      MavenExclusions g:d|g:b@1
      Scope test|g:t@1
    2
  g:b
    1
      g:c@2
      g:d@1
      MavenClassifier android|g:e@1
      g:r@[1,2)
  g:c
    1
    2
  g:r
    1
    1.5
    2
`

func TestMavenIsResolvedNearestFirstWithManagedVersionsBeforeAll(t *testing.T) {
	u := readUniverse([]byte(b16Universe))
	pom := func(body string) code.Files {
		return code.Files{"pom.xml": []byte("<project><properties><v>1</v></properties>" + body +
			"<dependencies><dependency><groupId>g</groupId><artifactId>a</artifactId><version>${v}</version></dependency></dependencies></project>")}
	}
	for _, c := range []struct {
		body string
		want []string
	}{
		{"", []string{"g:a 1", "g:c 1", "g:b 1", "g:e:android 1", "g:r 1.5"}},
		{"<dependencyManagement><dependencies><dependency><groupId>g</groupId><artifactId>c</artifactId><version>2</version></dependency></dependencies></dependencyManagement>",
			[]string{"g:a 1", "g:c 2", "g:b 1", "g:e:android 1", "g:r 1.5"}},
	} {
		nodes, err := u.resolve(pom(c.body), nil)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, n := range nodes {
			text := n.name
			if n.classifier != "" {
				text += ":" + n.classifier
			}
			got = append(got, fmt.Sprintf("%s %s", text, n.version))
		}
		if !cmp.Equal(got, c.want) {
			t.Error(cmp.Diff(c.want, got))
		}
	}
}

func TestAnAnswerThatClosesLessOrBringsMoreIsNotEqual(t *testing.T) {
	set := func(ids ...string) map[string]bool {
		m := map[string]bool{}
		for _, id := range ids {
			m[id] = true
		}
		return m
	}
	c := &b16MavenCase{name: "x"}
	one := map[string]string{"a:b": "2"}
	two := map[string]string{"a:b": "2", "c:d": "2"}
	for _, test := range []struct {
		ours, theirs map[string]bool
		moved, peer  map[string]string
		want         bool
	}{
		{set(), set(), one, one, true},
		{set("A"), set(), one, one, false},
		{set("NEW"), set("A"), one, one, false},
		{set(), set(), two, one, false},
		{set(), set("A"), two, one, true},
	} {
		if got := c.compare(set("A"), test.ours, test.theirs, test.moved, test.peer); got.Equal != test.want {
			t.Errorf("ours %v of %v, theirs %v: equal %t, want %t (%s)", test.ours, test.moved, test.theirs, got.Equal, test.want, got.Note)
		}
	}
}

func TestAdvisoriesAreReadOffPatchesWhereACaseGivesNone(t *testing.T) {
	flaws, err := b16Flaws([]byte(`[{"packageUpdates":[{"name":"a:b","versionTo":"3"}],"fixed":[{"id":"X","packages":[{"name":"a:b"}]}]},
		{"packageUpdates":[{"name":"a:b","versionTo":"2"}],"fixed":[{"id":"X","packages":[{"name":"a:b"}]}]}]`), true)
	if err != nil || len(flaws) != 1 {
		t.Fatalf("%v, %v", flaws, err)
	}
	for version, want := range map[string]int{"1": 1, "2": 0} {
		found, err := advisory.FromMemory(flaws).Affecting(fact.Package{Ecosystem: "Maven", Name: "a:b", Version: version})
		if err != nil || len(found) != want {
			t.Errorf("%s is affected by %d, %v, want %d", version, len(found), err, want)
		}
	}
}
