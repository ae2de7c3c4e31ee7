package advisory

import (
	"testing"

	"github.com/backstitch/backstitch/fact"
)

func TestCoversTheEcosystemsOfItsPackages(t *testing.T) {
	t.Parallel()
	x := FromMemory([]fact.Advisory{
		{ID: "A-1", Affected: []fact.Affected{{Ecosystem: "Go", Name: "a", Versions: []string{"1.0.0"}}}},
		{ID: "A-2", Affected: []fact.Affected{{Ecosystem: "PyPI", Name: "a", Versions: []string{"1.0.0"}}}},
	})
	for ecosystem, want := range map[string]bool{"Go": true, "PyPI": true, "npm": false, "G": false, "Maven": false, "": false, "nonsense": false} {
		if got, err := x.Covers(ecosystem); err != nil || got != want {
			t.Errorf("%q: %t, %v; want %t", ecosystem, got, err, want)
		}
	}
	if got, err := FromMemory(nil).Covers("Go"); err != nil || got {
		t.Errorf("an empty index: %t, %v; want false", got, err)
	}
}
