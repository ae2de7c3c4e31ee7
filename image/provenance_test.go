package image

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/fact"
)

func named(name, digest string) Descriptor {
	return Descriptor{Digest: digest, Annotations: map[string]string{"org.opencontainers.image.ref.name": name}}
}

func TestProvenanceStrengthensTheBasesThatAreKnownAndAddsTheRest(t *testing.T) {
	derived := fact.Evidence{Method: "layer chain", Strength: fact.Derived}
	digest := digestOf([]byte("base"))
	parts := withProvenance([]BasePart{
		{Layers: 2, Names: []string{"debian:13"}, Evidence: derived},
		{Names: []string{"other:1"}, Evidence: fact.Evidence{Strength: fact.Declared}},
	}, []Provenance{
		{Bases: []Descriptor{named("docker.io/library/debian:13", digest)}, BaseLayers: 2},
		{Bases: []Descriptor{named("inner:1", "")}, BaseLayers: 3, Signed: true},
		{Bases: []Descriptor{named("other:1", "")}},
	})
	var got []string
	for _, p := range parts {
		got = append(got, strings.Join(p.Names, "+")+" "+string(p.Evidence.Strength))
	}
	if want := []string{"inner:1 proven", "debian:13 attested", "other:1 attested"}; !slices.Equal(got, want) {
		t.Errorf("bases %q, want %q", got, want)
	}
	if parts[1].Digest != digest {
		t.Errorf("the base's digest is %q, want %s", parts[1].Digest, digest)
	}
}

func TestABaseIsLearntFromProvenanceWhenItsLayersAreKnown(t *testing.T) {
	a, b := tarOf(t, entry{name: "a", content: "1"}), tarOf(t, entry{name: "b", content: "2"})
	image := imageOf(t, a, b)
	base, ok := Attested(image, Provenance{Bases: []Descriptor{named("debian:13", "")}, BaseLayers: 1})
	if !ok || base.Chain != digestOf(a) || base.Layers != 1 || !slices.Equal(base.Names, []string{"debian:13"}) {
		t.Errorf("%+v %v", base, ok)
	}
	for _, layers := range []int{0, -1, 3} {
		if base, ok := Attested(image, Provenance{Bases: []Descriptor{named("debian:13", "")}, BaseLayers: layers}); ok {
			t.Errorf("%d layers of an image of two give %+v", layers, base)
		}
	}
}

func TestLinesOfAWeakerProvenanceThatContradictsAStrongerAreNotUsed(t *testing.T) {
	layer := tarOf(t, entry{name: "a", content: "1"})
	image := imageOf(t, layer)
	unsigned := Provenance{Repository: "git.example/evil/shop", Commit: strings.Repeat("a", 40), Path: "Dockerfile", Dockerfile: []byte("FROM scratch\nCOPY a /a\n"),
		Layers: map[string]Lines{digestOf(layer): {2, 2}}, Source: "unsigned"}
	signed := Provenance{Repository: "git.example/acme/shop", Commit: strings.Repeat("b", 40), Signed: true, Source: "signed"}
	trace, err := Investigate(context.Background(), image, Inputs{Provenance: []Provenance{unsigned}})
	if err != nil {
		t.Fatal(err)
	}
	if l := trace.Layers[0]; len(l.Locations) != 1 || l.Locations[0].Repository != "git.example/evil/shop" || l.Evidence.Strength != fact.Attested {
		t.Fatalf("alone it leads to %+v", l)
	}
	if trace, err = Investigate(context.Background(), image, Inputs{Provenance: []Provenance{signed, unsigned}}); err != nil {
		t.Fatal(err)
	}
	if l := trace.Layers[0]; len(l.Locations) != 0 {
		t.Errorf("beside a stronger one it leads to %+v", l.Locations)
	}
	if best := trace.Source.Best; len(best) != 1 || best[0].Repository != "git.example/acme/shop" || best[0].Strength != fact.Proven {
		t.Errorf("source %+v", best)
	}
	if gaps := strings.Join(trace.Inventory.Gaps, " "); !strings.Contains(gaps, "stronger evidence") {
		t.Errorf("gaps %q do not say why", gaps)
	}
}
