package service_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/service"
)

// TestEachWorkloadIsInOneServiceAndPeopleKeepTheLastWord lets estates change at random
// under random edits: each workload is in exactly one service, what was split off stays
// so, services that were merged stay one, and a run without changes says the same.
func TestEachWorkloadIsInOneServiceAndPeopleKeepTheLastWord(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		random := rand.New(rand.NewPCG(seed, 7))
		e := newEstate(t)
		labels := []string{"label:app.kubernetes.io/part-of", "label:app.kubernetes.io/instance", "label:app", "helm_release", "label:backstage.io/kubernetes-id", "tag:service"}
		split := map[string]string{}     // workload to the service that it was split into
		merged := map[string][2]string{} // what was merged, by a workload of each
		for round := range 8 {
			var facts []any
			for n := range 12 {
				w := workload(fmt.Sprintf("c%d/ns%d/Deployment.apps/w%d", n%2, n%3, n))
				w.Properties[labels[random.IntN(len(labels))]] = fmt.Sprint("s", random.IntN(5))
				facts = append(facts, w)
				if random.IntN(2) == 0 {
					facts = append(facts, built(w, fmt.Sprint("github.com/acme/r", random.IntN(4)))...)
				}
			}
			e.say("cluster", facts...)
			e.say("catalog", component("s1", "backstage.io/kubernetes-id=s1"), component("s2"),
				fact.Relation{From: asset(fact.AssetRepository, "github.com/acme/r2"), Kind: fact.PartOf, To: component("s2").Asset})
			found, _, err := e.keeper.Sync(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			where := map[string]string{}
			for _, s := range found.Services {
				for _, m := range s.Members {
					if m.Asset.Kind != fact.AssetWorkload {
						continue
					}
					if other, twice := where[m.Asset.Key]; twice {
						t.Fatalf("seed %d, round %d: %s is in %s and %s", seed, round, m.Asset.Key, other, s.Key)
					}
					where[m.Asset.Key] = s.Key
				}
			}
			if len(where) != 12 {
				t.Fatalf("seed %d, round %d: %d of 12 workloads are in a service", seed, round, len(where))
			}
			for w, into := range split {
				s, err := found.Service(where[w])
				if err != nil || s.Key != into && !slices.Contains(s.Also, into) {
					t.Errorf("seed %d, round %d: %s was split into %s and is in %s", seed, round, w, into, where[w])
				}
			}
			for from, pair := range merged {
				a, err := found.Service(pair[0])
				b, err2 := found.Service(pair[1])
				if err == nil && err2 == nil && a.Key != b.Key {
					t.Errorf("seed %d, round %d: %s was merged, and %s and %s are two", seed, round, from, a.Key, b.Key)
				}
			}
			again, err := e.keeper.Find(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(found, again); diff != "" {
				t.Errorf("seed %d, round %d: the same estate gives another answer: %s", seed, round, diff)
			}
			// A person says something.
			one, two := found.Services[random.IntN(len(found.Services))], found.Services[random.IntN(len(found.Services))]
			switch {
			case random.IntN(2) == 0 && one.Key != two.Key:
				if err := e.keeper.Merge(t.Context(), "ada", "", one.Key, two.Key); err != nil {
					t.Fatal(err)
				}
				merged[fmt.Sprint(round, " ", one.Key)] = [2]string{one.Key, two.Key}
			case len(one.Members) > 0:
				member := one.Members[random.IntN(len(one.Members))].Asset
				if err := e.keeper.Split(t.Context(), "ada", "", one.Key, fmt.Sprint("split ", round), []string{member.Kind + ":" + member.Key}); err != nil {
					t.Fatal(err)
				}
				if member.Kind == fact.AssetWorkload {
					split[member.Key] = service.Prefix + fmt.Sprint("split/split ", round)
				}
			}
		}
	}
}
