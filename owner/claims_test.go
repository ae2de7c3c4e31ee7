package owner

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
)

func claimOf(source, role, kind, id string, confidence float64, via ...fact.Asset) Claimed {
	var steps []graph.Via
	for _, a := range via {
		steps = append(steps, graph.Via{Kind: fact.PartOf, Asset: a, Strength: fact.Declared})
	}
	return Claimed{Via: steps, Claim: fact.Claim{
		Subject: fact.Asset{Kind: fact.AssetResource, Key: "r"}, Owner: fact.Party{Kind: kind, ID: id, Name: id}, Role: role, Source: source, Confidence: confidence,
		Evidence: fact.Evidence{Method: "m", Source: "where " + source, Strength: fact.Declared},
	}}
}

func first(s Suggested) string {
	if len(s.Owners) == 0 {
		return ""
	}
	return s.Owners[0].Kind + " " + s.Owners[0].ID
}

const now = int64(1.8e15)

func TestClaimsAreWeighed(t *testing.T) {
	t.Parallel()
	p := DefaultPrecedence()
	service := fact.Asset{Kind: fact.AssetService, Key: "s", Name: "shop"}
	old := claimOf("auditlog:aws", "creator", "person", "ada", .8)
	old.Since = now - int64(2000*dayMicros)
	ended := claimOf("backstage:x", "owner", "team", "gone", .9)
	ended.Until = now - 1
	for _, c := range []struct {
		name    string
		claims  []Claimed
		rulings []Ruling
		first   string
		clear   bool
		why     string
	}{
		{"nobody", nil, nil, "", false, "nobody claims it"},
		{"a catalog before a creator", []Claimed{claimOf("auditlog:aws", "creator", "person", "ada", .8), claimOf("backstage:x", "owner", "team", "web", .9)}, nil, "team web", true, ""},
		{"what is its own before what is inherited", []Claimed{claimOf("backstage:x", "owner", "team", "shop", .9, service, service), claimOf("backstage:x", "owner", "team", "own", .9)}, nil, "team own", true, ""},
		{"two sources together before one", []Claimed{claimOf("backstage:x", "owner", "team", "web", .9), claimOf("tagrule:owner", "owner", "team", "ops", .8), claimOf("project", "owner", "team", "ops", .8)}, nil, "team ops", false, "no clear owner: team ops"},
		{"one source twice counts once", []Claimed{claimOf("project", "owner", "team", "a", .6), claimOf("project", "owner", "team", "a", .6), claimOf("project", "owner", "team", "b", .9)}, nil, "team b", true, ""},
		{"who made it years ago", []Claimed{old}, nil, "person ada", false, "no clear owner: the surest, ada"},
		{"what ended", []Claimed{ended}, nil, "", false, "nobody claims it"},
		{"a human's word", []Claimed{claimOf("backstage:x", "owner", "team", "web", .9)}, []Ruling{{Owner: fact.Party{Kind: "team", ID: "ops"}, Accept: true, Pinned: true, By: "ada"}}, "team ops", true, ""},
		{"a human's no", []Claimed{claimOf("backstage:x", "owner", "team", "web", .9)}, []Ruling{{Owner: fact.Party{Kind: "team", ID: "WEB"}, By: "ada", Reason: "not ours"}}, "", false, "nobody claims it"},
		{"claimed alike", []Claimed{claimOf("project", "owner", "team", "a", .9), claimOf("project", "owner", "team", "b", .9)}, nil, "team a", false, "no clear owner: team a"},
	} {
		s := p.Weigh(c.claims, c.rulings, now)
		if first(s) != c.first || s.Clear != c.clear || !strings.HasPrefix(s.Why, c.why) {
			t.Errorf("%s: %q, clear %v, %q; want %q, %v, %q", c.name, first(s), s.Clear, s.Why, c.first, c.clear, c.why)
		}
		for _, o := range s.Owners {
			if o.Confidence < 0 || o.Confidence > 1 || len(o.Evidence) == 0 || o.Role == "" {
				t.Errorf("%s: owner %+v", c.name, o)
			}
		}
	}
	if s := p.Weigh([]Claimed{ended, old}, []Ruling{{Owner: fact.Party{Kind: "person", ID: "ada"}, By: "bo"}}, now); len(s.Stale) != 2 || len(s.Overruled) != 1 {
		t.Errorf("stale %q, and overruled %v, want what ended, what is old, and that it was rejected", s.Stale, s.Overruled)
	}
}

func TestTheOrderOfClaimsDecidesNothing(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(4, 2))
	p := DefaultPrecedence()
	for range 300 {
		var claims []Claimed
		for range 1 + random.IntN(8) {
			c := claimOf([]string{"backstage:x", "project", "tagrule:owner", "auditlog:aws", "other"}[random.IntN(5)], []string{"owner", "creator", "on_call"}[random.IntN(3)],
				[]string{"team", "person"}[random.IntN(2)], fmt.Sprint("o", random.IntN(4)), float64(random.IntN(10))/10)
			c.Since = now - int64(random.IntN(1000))*int64(dayMicros)
			claims = append(claims, c)
		}
		want := p.Weigh(claims, nil, now)
		random.Shuffle(len(claims), func(i, j int) { claims[i], claims[j] = claims[j], claims[i] })
		if diff := cmp.Diff(want, p.Weigh(claims, nil, now)); diff != "" {
			t.Fatal(diff)
		}
	}
}

func node(kind, key string, properties ...string) *fact.Node {
	n := &fact.Node{Asset: fact.Asset{Kind: kind, Key: key, Name: key}, Properties: map[string]string{}}
	for i := 0; i < len(properties); i += 2 {
		n.Properties[properties[i]] = properties[i+1]
	}
	return n
}

func TestTagRulesMakeClaims(t *testing.T) {
	t.Parallel()
	rules, err := ParseTagRules("rules.yaml", []byte(`
rules:
  - name: platform
    keys: [Owner]
    value: "platform-(?P<team>[a-z]+)"
    owner: "team-${team}"
    kind: team
    final: true
  - keys: [owner]
    scope: ["arn:aws:s3"]
  - name: mail
    keys: [contact]
    assets: [cloud_resource]
    role: primary
    confidence: 0.5
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		node *fact.Node
		want []string
	}{
		{node("cloud_resource", "arn:aws:s3:::a", "tag:OWNER", "platform-web", "tag:contact", "a@b.c"), []string{"platform: team team-web as owner .90"}},
		{node("cloud_resource", "arn:aws:s3:::a", "tag:owner", "ada@acme.test; Web"), []string{"rule 2: person ada@acme.test as owner .90", "rule 2: team Web as owner .90"}},
		{node("cloud_resource", "arn:aws:ec2:::a", "tag:owner", "ada@acme.test", "tag:Contact", "x@y.z"), []string{"mail: person x@y.z as primary .50"}},
		{node("image", "arn:aws:s3:::a", "tag:owner", "N/A", "tag:contact", "x@y.z"), nil},
		{node("image", "i", "label:owner", "platform-x"), []string{"platform: team team-x as owner .90"}},
	} {
		var got []string
		rules.Apply(c.node, func(r *TagRule, claim fact.Claim) {
			got = append(got, fmt.Sprintf("%s: %s %s as %s %s", r.Name, claim.Owner.Kind, claim.Owner.ID, claim.Role, strings.TrimPrefix(fmt.Sprintf("%.2f", claim.Confidence), "0")))
			if claim.Evidence.Method == "" || claim.Evidence.Source == "" {
				t.Errorf("a claim without evidence: %+v", claim)
			}
		})
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%+v: %s", c.node, diff)
		}
	}
	for text, want := range map[string]string{
		"rules: []": "0 rules", "rules:\n- keys: []": "expected keys", "rules:\n- keys: [a]\n  value: \"(\"": "value: error parsing regexp", "rules:\n- keys: [a]\n  kind: god": `kind "god"`,
		"rules:\n- keys: [a]\n  colour: x": "line 3: field colour not found", "rules:\n- keys: [a]\n  confidence: 7": "confidence 7",
	} {
		if _, err := ParseTagRules("f.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "f.yaml: ") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestADryRunCountsWithoutKeepingAnything(t *testing.T) {
	t.Parallel()
	try := NewTry(DefaultTagRules())
	for i := range 10 {
		try.Add(node("cloud_resource", fmt.Sprint("a", i), "tag:team", fmt.Sprint("t", i%3)))
	}
	try.Add(node("cloud_resource", "b", "tag:Team-Lead", "x"))
	try.Add(node("cloud_resource", "c", "tag:owner", "x", "tag:team", "y"))
	got := try.Result()
	if got.Assets != 12 || got.Claimed != 11 || got.Several != 1 || got.Unmatched["Team-Lead"] != 1 || got.Rules[1].Assets != 11 || got.Rules[1].Owners != 4 || len(got.Rules[1].Samples) != maxSamples {
		t.Errorf("%+v", got)
	}
}

func FuzzTagRules(f *testing.F) {
	f.Add("rules:\n- keys: [owner]\n  value: (a+)+\n  owner: $1", "owner", "aaab, c")
	f.Fuzz(func(t *testing.T, text, key, value string) {
		rules, err := ParseTagRules("f", []byte(text))
		if err != nil {
			return
		}
		rules.Apply(node("cloud_resource", "a", "tag:"+key, value), func(_ *TagRule, c fact.Claim) {
			if c.Owner.ID == "" || c.Owner.Kind == "" || c.Role == "" || c.Confidence <= 0 || c.Confidence > 1 {
				t.Errorf("%q %q %q: %+v", text, key, value, c)
			}
		})
	})
}

func BenchmarkWeigh(b *testing.B) {
	p := DefaultPrecedence()
	claims := []Claimed{
		claimOf("auditlog:aws", "creator", "person", "ada", .8), claimOf("backstage:x", "owner", "team", "web", .9), claimOf("tagrule:owner", "owner", "team", "web", .9),
		claimOf("project", "owner", "person", "bo", .9, fact.Asset{Name: "p"}), claimOf("code", "reviewer", "person", "cy", .5),
	}
	b.ReportAllocs()
	for b.Loop() {
		p.Weigh(claims, nil, now)
	}
}

func BenchmarkTagRules(b *testing.B) {
	try := NewTry(DefaultTagRules())
	n := node("cloud_resource", "arn:aws:s3:::a", "tag:Name", "x", "tag:env", "prod", "tag:team", "web", "tag:owner", "ada@acme.test", "region", "eu-west-1")
	b.ReportAllocs()
	for b.Loop() {
		try.Add(n)
	}
}
