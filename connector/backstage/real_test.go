package backstage_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/connector/backstage"
	"github.com/backstitch/backstitch/connector/connectortest"
	"github.com/backstitch/backstitch/fact"
)

// TestThePublishedCatalog reads the catalog of a running Backstage and the files that
// it was made from, which must say the same. make test-backstage starts one.
func TestThePublishedCatalog(t *testing.T) {
	address := os.Getenv("BACKSTITCH_BACKSTAGE")
	if address == "" {
		t.Skip("BACKSTITCH_BACKSTAGE names no running Backstage; make test-backstage starts one")
	}
	read := func(given map[string]string) *connectortest.Recorder {
		r := &connectortest.Recorder{}
		if err := connectortest.Run(t, backstage.New(nil), given, r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	live := read(map[string]string{"address": address, "token": os.Getenv("BACKSTITCH_BACKSTAGE_TOKEN")})
	files := read(map[string]string{"path": os.Getenv("BACKSTITCH_BACKSTAGE_FILES")})
	if len(live.Gaps) != 0 || !slices.Equal(live.Complete, []string{"catalog"}) || len(files.Gaps) != 0 {
		t.Fatalf("gaps %v and %v, covered %v", live.Gaps, files.Gaps, live.Complete)
	}
	nodes := func(r *connectortest.Recorder) []string {
		var list []string
		for _, said := range r.Nodes {
			list = append(list, said.Value.Kind+" "+said.Value.Key+" "+said.Value.Name+" "+said.Value.Properties["annotation:backstage.io/kubernetes-id"])
		}
		slices.Sort(list)
		return list
	}
	if diff := cmp.Diff(nodes(files), nodes(live)); diff != "" || len(live.Nodes) != 1300 {
		t.Errorf("%d entities, want 1300: %s", len(live.Nodes), diff)
	}
	claims := func(r *connectortest.Recorder) []string {
		var list []string
		for _, said := range r.Claims {
			list = append(list, said.Value.Subject.Key+" "+said.Value.Owner.ID+" "+said.Value.Owner.Name)
		}
		slices.Sort(list)
		return list
	}
	if diff := cmp.Diff(claims(files), claims(live)); diff != "" || len(live.Claims) != 1200 {
		t.Errorf("%d claims, want 1200: %s", len(live.Claims), diff)
	}
	for _, kind := range []fact.RelationKind{fact.OwnedBy, fact.DependsOn, fact.MemberOf, fact.PartOf} {
		if diff := cmp.Diff(files.Edges(kind), live.Edges(kind)); diff != "" {
			t.Errorf("%s: %s", kind, diff)
		}
	}
	// team-99 is the owner of twelve and in no file.
	dangling := func(r *connectortest.Recorder) int {
		return len(slices.DeleteFunc(slices.Clone(r.Notes), func(note connectortest.Fact[string]) bool {
			return !strings.Contains(note.Value, "group:default/team-99")
		}))
	}
	if dangling(live) != 12 || dangling(files) != 12 {
		t.Errorf("%d and %d references to a team that is not there were told of, want 12", dangling(live), dangling(files))
	}
	denied := read(map[string]string{"address": address, "token": "wrong"})
	if len(denied.Nodes) != 0 || len(denied.Gaps) != 1 || !strings.Contains(denied.Gaps[0].Value, "answered 401 Unauthorized") {
		t.Errorf("a wrong token: %v", denied.Gaps)
	}
}
