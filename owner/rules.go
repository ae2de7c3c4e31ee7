package owner

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/backstitch/backstitch/fact"
)

// TagRule makes ownership claims of cloud tags and Kubernetes labels.
type TagRule struct {
	Name string `yaml:"name" json:"name"`
	// Keys are the tags that are looked at, whatever their capitals; the first that
	// an asset has counts.
	Keys []string `yaml:"keys" json:"keys"`
	// Value is a regular expression that the whole value must match; "" for any.
	Value string `yaml:"value" json:"value,omitempty"`
	// Owner is who it makes of the value: "$1" and "${name}" are groups of Value, "$0"
	// the whole. "" is the value itself.
	Owner string `yaml:"owner" json:"owner,omitempty"`
	Kind  string `yaml:"kind" json:"kind"` // team or person; "" tells by an address
	Role  string `yaml:"role" json:"role,omitempty"`
	// Split are characters that part several owners in one value; "" is ",;".
	Split string `yaml:"split" json:"split,omitempty"`
	// Assets restricts the rule to kinds of assets, Scope to keys that begin so, for
	// example "arn:aws:s3" or "aws/123456789012"; empty restricts nothing.
	Assets []string `yaml:"assets" json:"assets,omitempty"`
	Scope  []string `yaml:"scope" json:"scope,omitempty"`
	// Confidence of the claims, .9 when 0.
	Confidence float64 `yaml:"confidence" json:"confidence,omitempty"`
	// Final ends the list of rules for an asset that it matches.
	Final bool `yaml:"final" json:"final,omitempty"`

	match  *regexp.Regexp
	source string // of its claims
}

// TagRules are rules in their order.
type TagRules []TagRule

// maxRules bounds the rules of a file.
const maxRules = 1000

// ParseTagRules reads a reviewed YAML file with the rules under "rules". Errors name
// file and line, or the rule.
func ParseTagRules(file string, data []byte) (TagRules, error) {
	var document struct {
		Rules TagRules `yaml:"rules"`
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(data)))
	decoder.KnownFields(true)
	if err := decoder.Decode(&document); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(document.Rules) == 0 || len(document.Rules) > maxRules {
		return nil, fmt.Errorf("%s: %d rules, expected 1 to %d under \"rules\"", file, len(document.Rules), maxRules)
	}
	if err := document.Rules.compile(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return document.Rules, nil
}

// DefaultTagRules look for the tags that companies use for owners.
func DefaultTagRules() TagRules {
	rules := TagRules{
		{Name: "owner", Keys: []string{"owner", "owners", "ownedby", "owned-by", "owned_by", "ownership", "technical-owner", "service-owner", "app-owner"}},
		{Name: "team", Keys: []string{"team", "squad", "owner-team", "owning-team", "team-name", "app.kubernetes.io/team"}, Kind: "team"},
		{Name: "contact", Keys: []string{"contact", "owner-email", "owneremail", "email", "maintainer", "poc"}, Role: "primary", Confidence: .8},
		{Name: "support", Keys: []string{"infrastructure-support", "support", "support-group", "on-call", "oncall"}, Role: "on_call", Confidence: .8},
		{Name: "creator", Keys: []string{"createdby", "created-by", "created_by", "creator", "creatorname"}, Kind: "person", Role: "creator", Confidence: .7},
	}
	if err := rules.compile(); err != nil {
		panic("owner: " + err.Error()) // part of the program
	}
	return rules
}

func (rules TagRules) compile() error {
	for i := range rules {
		r := &rules[i]
		if r.Name == "" {
			r.Name = fmt.Sprintf("rule %d", i+1)
		}
		r.source = SourceTagRule + ":" + r.Name
		if len(r.Keys) == 0 {
			return fmt.Errorf("%s: expected keys", r.Name)
		}
		for k := range r.Keys {
			r.Keys[k] = strings.ToLower(r.Keys[k])
		}
		if r.Kind != "" && r.Kind != "team" && r.Kind != "person" {
			return fmt.Errorf("%s: kind %q, expected team or person", r.Name, r.Kind)
		}
		if r.Confidence < 0 || r.Confidence > 1 {
			return fmt.Errorf("%s: confidence %v, expected 0 to 1", r.Name, r.Confidence)
		}
		if r.Value != "" {
			var err error
			if r.match, err = regexp.Compile(`^(?:` + r.Value + `)$`); err != nil {
				return fmt.Errorf("%s: value: %w", r.Name, err)
			}
		}
	}
	return nil
}

// nobody are values that people put in an owner's tag when there is none.
var nobody = []string{"", "-", "n/a", "na", "none", "null", "unknown", "tbd", "todo", "todo!", "nobody", "default", "unassigned", "?"}

// tag is one tag or label of an asset.
type tag struct {
	key   string // small letters
	name  string // of the property, with the capitals that it has
	value string
}

// before says which of two tags counts that differ in capitals only, or of a tag and
// a label: that in small letters, then the tag, then the first by name.
func (t *tag) before(other *tag) bool {
	small := func(t *tag) bool { return strings.HasSuffix(t.name, t.key) }
	if small(t) != small(other) {
		return small(t)
	}
	if a, b := strings.HasPrefix(t.name, "tag:"), strings.HasPrefix(other.name, "tag:"); a != b {
		return a
	}
	return t.name < other.name
}

// addTag adds a property to tags when it is one.
func addTag(tags []tag, name, value string) []tag {
	key, ok := strings.CutPrefix(name, "tag:")
	if !ok {
		if key, ok = strings.CutPrefix(name, "label:"); !ok {
			return tags
		}
	}
	one := tag{strings.ToLower(key), name, value}
	for i := range tags {
		if tags[i].key == one.key {
			if one.before(&tags[i]) {
				tags[i] = one
			}
			return tags
		}
	}
	return append(tags, one)
}

// Apply gives the claims that the rules make of an asset.
func (rules TagRules) Apply(node *fact.Node, give func(rule *TagRule, claim fact.Claim)) {
	var room [16]tag
	tags := room[:0]
	for name, value := range node.Properties {
		tags = addTag(tags, name, value)
	}
	rules.apply(&node.Asset, tags, give)
}

func (rules TagRules) apply(asset *fact.Asset, tags []tag, give func(rule *TagRule, claim fact.Claim)) {
	if len(tags) == 0 {
		return
	}
	for i := range rules {
		r := &rules[i]
		if !r.covers(asset) {
			continue
		}
		for _, key := range r.Keys {
			at := slices.IndexFunc(tags, func(t tag) bool { return t.key == key })
			if at < 0 {
				continue
			}
			if r.claim(asset, key, tags[at].value, give) && r.Final {
				return
			}
			break
		}
	}
}

// restricted says whether any rule looks at what an asset is, and not only at tags.
func (rules TagRules) restricted() bool {
	return slices.ContainsFunc(rules, func(r TagRule) bool { return len(r.Assets) > 0 || len(r.Scope) > 0 })
}

func (r *TagRule) covers(a *fact.Asset) bool {
	if len(r.Assets) > 0 && !slices.Contains(r.Assets, a.Kind) {
		return false
	}
	return len(r.Scope) == 0 || slices.ContainsFunc(r.Scope, func(prefix string) bool { return strings.HasPrefix(a.Key, prefix) })
}

// claim gives the claims of one value, and says whether it gave any.
func (r *TagRule) claim(asset *fact.Asset, key, value string, give func(*TagRule, fact.Claim)) bool {
	split := r.Split
	if split == "" {
		split = ",;"
	}
	given := false
	for part := range strings.FieldsFuncSeq(value, func(c rune) bool { return strings.ContainsRune(split, c) }) {
		part = strings.TrimSpace(part)
		if slices.Contains(nobody, strings.ToLower(part)) {
			continue
		}
		id := part
		if r.match != nil {
			at := r.match.FindStringSubmatchIndex(part)
			if at == nil {
				continue
			}
			if r.Owner != "" {
				id = string(r.match.ExpandString(nil, r.Owner, part, at))
			}
		} else if r.Owner != "" {
			id = strings.ReplaceAll(r.Owner, "$0", part)
		}
		if id = strings.TrimSpace(id); id == "" {
			continue
		}
		party := fact.Party{Kind: r.Kind, ID: id, Name: id}
		if party.Kind == "" {
			party.Kind = "team"
			if strings.Contains(id, "@") && !strings.HasPrefix(id, "@") {
				party.Kind = "person"
			}
		}
		role, confidence := r.Role, r.Confidence
		if role == "" {
			role = RoleOwner
		}
		if confidence == 0 {
			confidence = .9
		}
		given = true
		give(r, fact.Claim{
			Subject: *asset, Owner: party, Role: role, Source: r.source, Confidence: confidence,
			Evidence: fact.Evidence{Method: "tag " + key, Source: asset.Key, Strength: fact.Declared, Detail: value},
		})
	}
	return given
}

// maxSamples is how many assets a dry run names for each rule.
const maxSamples = 5

// DryRun is what rules would claim, before they are saved.
type DryRun struct {
	Assets  int           `json:"assets"`
	Claimed int           `json:"claimed"` // assets with at least one claim
	Rules   []RuleOutcome `json:"rules"`
	// Unmatched are tags that look like an owner's and no rule took, with how many
	// assets have them.
	Unmatched map[string]int `json:"unmatched"`
	// Several counts assets for which rules claim different owners in one role.
	Several int `json:"several"`
}

// RuleOutcome is what one rule would claim.
type RuleOutcome struct {
	Name   string `json:"name"`
	Assets int    `json:"assets"`
	Owners int    `json:"owners"` // distinct
	// Samples are the first assets with the owners claimed.
	Samples []string `json:"samples"`

	teams, persons map[string]bool
	samples        []sample
}

// sample is one claim of a dry run. The asset's id is 0 when its key is known.
type sample struct {
	id    int64
	key   string
	owner fact.Party
}

// Try runs the rules over assets without keeping anything. It is used from one
// goroutine; Result gives the outcome.
type Try struct {
	rules TagRules
	out   DryRun
	index map[*TagRule]int
}

// NewTry prepares a dry run.
func NewTry(rules TagRules) *Try {
	t := &Try{rules: rules, index: map[*TagRule]int{}}
	t.out.Unmatched = map[string]int{}
	for i := range rules {
		t.index[&rules[i]] = i
		t.out.Rules = append(t.out.Rules, RuleOutcome{Name: rules[i].Name, Samples: []string{}, teams: map[string]bool{}, persons: map[string]bool{}})
	}
	return t
}

// Add tries one asset.
func (t *Try) Add(node *fact.Node) {
	var room [16]tag
	tags := room[:0]
	for name, value := range node.Properties {
		tags = addTag(tags, name, value)
	}
	t.add(0, &node.Asset, tags)
	t.out.Assets++
}

func (t *Try) add(id int64, asset *fact.Asset, tags []tag) {
	claimed := false
	last := -1
	owner, several := "", false
	t.rules.apply(asset, tags, func(rule *TagRule, claim fact.Claim) {
		claimed = true
		i := t.index[rule]
		o := &t.out.Rules[i]
		if claim.Owner.Kind == "person" {
			o.persons[claim.Owner.ID] = true
		} else {
			o.teams[claim.Owner.ID] = true
		}
		if i != last {
			last = i
			o.Assets++
		}
		if len(o.samples) < maxSamples {
			o.samples = append(o.samples, sample{id, asset.Key, claim.Owner})
		}
		if claim.Role == RoleOwner {
			if owner == "" {
				owner = claim.Owner.ID
			} else if !strings.EqualFold(owner, claim.Owner.ID) {
				several = true
			}
		}
	})
	if several {
		t.out.Several++
	}
	if claimed {
		t.out.Claimed++
		return
	}
	for i := range tags {
		if key, ok := strings.CutPrefix(tags[i].name, "tag:"); ok && likeOwner(tags[i].key) {
			t.out.Unmatched[key]++
		}
	}
}

// likeOwner says whether the key of a tag looks like that of an owner.
func likeOwner(key string) bool {
	return strings.Contains(key, "own") || strings.Contains(key, "team") || strings.Contains(key, "contact")
}

// Result gives the outcome so far.
func (t *Try) Result() DryRun {
	for i := range t.out.Rules {
		o := &t.out.Rules[i]
		o.Samples = []string{}
		for _, s := range o.samples {
			o.Samples = append(o.Samples, fmt.Sprintf("%s: %s %s", s.key, s.owner.Kind, s.owner.ID))
		}
		o.Owners = len(o.teams) + len(o.persons)
	}
	return t.out
}
