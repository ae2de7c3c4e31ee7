package aws

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/fact"
)

// Bounds of what one answer may say.
const (
	maxProperty = 2048 // bytes of a property's value
	maxActions  = 40   // actions named on one edge
)

// place is where an answer comes from, as far as it is known.
type place struct {
	account string // twelve digits
	region  string // "" for global services
	bucket  string // whose answer it is, for the answers that do not say so
	source  string // for evidence: "aws:ACCOUNT/REGION" or the file
}

func (p place) partition() string {
	switch {
	case strings.HasPrefix(p.region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(p.region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}

// mapper turns answers into facts of one scope. The first error of the sink
// stays and stops it.
type mapper struct {
	sink     connector.Sink
	scope    string
	method   string // "ec2:DescribeInstances"
	at       place
	policies map[string][]statement // by ARN, of the managed policies seen
	err      error
	gaps     int
	nodes    int
}

// gap says that a part of the scope could not be read.
func (m *mapper) gap(format string, args ...any) {
	m.gaps++
	m.sink.Gap(m.scope, fmt.Errorf("%s: "+format, append([]any{m.method}, args...)...))
}

type properties map[string]string

func (m *mapper) tell(kind, key, name string, said properties) fact.Asset {
	asset := fact.Asset{Kind: kind, Key: key, Name: name}
	if m.err != nil || key == "" {
		return asset
	}
	clean := map[string]string{}
	for property, value := range said {
		if value != "" && property != "" {
			clean[property] = bounded(value)
		}
	}
	m.nodes++
	m.err = m.sink.Node(m.scope, fact.Node{Asset: asset, Properties: clean})
	return asset
}

// bounded cuts a value, at a whole character.
func bounded(value string) string {
	if len(value) > maxProperty {
		value = strings.ToValidUTF8(value[:maxProperty], "")
	}
	return value
}

func (m *mapper) relate(from fact.Asset, kind fact.RelationKind, to fact.Asset, said properties) {
	if m.err != nil || from.Key == "" || to.Key == "" {
		return
	}
	clean := map[string]string{}
	for property, value := range said {
		if value != "" {
			clean[property] = bounded(value)
		}
	}
	if len(clean) == 0 {
		clean = nil
	}
	m.err = m.sink.Relation(m.scope, fact.Relation{
		From: from, Kind: kind, To: to, Properties: clean,
		Evidence: fact.Evidence{Method: m.method, Source: m.at.source, Strength: fact.Attested},
	})
}

// resource tells of a cloud resource and the account it is part of. The
// properties arn, id, name and type are what it is joined with its Terraform
// address by.
func (m *mapper) resource(kind, arn, id, name string, tags tags, said properties) fact.Asset {
	all := properties{"type": kind, "id": id, "name": name}
	for property, value := range said {
		all[property] = value
	}
	for key, value := range tags {
		all["tag:"+key] = value
	}
	account, region := m.at.account, m.at.region
	if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 && parts[0] == "arn" {
		all["arn"] = arn
		account, region = or(parts[4], account), or(parts[3], region)
	}
	all["account"], all["region"] = account, region
	asset := m.tell(fact.AssetResource, or(arn, id), or(name, id, short(arn)), all)
	if accountID(account) {
		m.relate(asset, fact.PartOf, accountAsset(account), nil)
	}
	return asset
}

// as tells that a cloud resource is also a thing of another kind under the same
// key: a workload, a cluster, an identity.
func (m *mapper) as(kind string, resource fact.Asset, said properties) fact.Asset {
	asset := m.tell(kind, resource.Key, resource.Name, said)
	m.relate(asset, fact.PartOf, resource, properties{"same": "true"})
	return asset
}

// arn builds the ARN of a thing that an answer names by its id; the id alone
// when account or region are not known.
func (m *mapper) arn(service, account, rest, id string) string {
	account = or(account, m.at.account)
	if id == "" {
		return ""
	}
	if account == "" || m.at.region == "" {
		return id
	}
	return "arn:" + m.at.partition() + ":" + service + ":" + m.at.region + ":" + account + ":" + rest + id
}

// ec2 names a thing of EC2 by its id.
func (m *mapper) ec2(account, kind, id string) fact.Asset {
	return fact.Asset{Kind: fact.AssetResource, Key: m.arn("ec2", account, kind+"/", id), Name: id}
}

// ami names a machine image; its ARN holds no account.
func (m *mapper) ami(id string) fact.Asset {
	key := id
	if id != "" && m.at.region != "" {
		key = "arn:" + m.at.partition() + ":ec2:" + m.at.region + "::image/" + id
	}
	return fact.Asset{Kind: fact.AssetResource, Key: key, Name: id}
}

// guarded tells which security groups guard a thing.
func (m *mapper) guarded(thing fact.Asset, account string, groups []string) {
	for _, group := range groups {
		m.relate(m.ec2(account, "security-group", group), fact.Guards, thing, nil)
	}
}

func (m *mapper) exposed(thing fact.Asset, said properties) {
	m.relate(internet, fact.Exposes, thing, said)
}

// runsAs tells the identity that a thing acts as.
func (m *mapper) runsAs(thing fact.Asset, arn string, said properties) {
	m.relate(thing, fact.RunsAs, identity(arn), said)
}

var internet = fact.Asset{Kind: fact.AssetInternet, Key: "internet", Name: "internet"}

func identity(arn string) fact.Asset {
	return fact.Asset{Kind: fact.AssetIdentity, Key: arn, Name: short(arn)}
}

func named(arn string) fact.Asset {
	return fact.Asset{Kind: fact.AssetResource, Key: arn, Name: short(arn)}
}

func accountAsset(account string) fact.Asset {
	return fact.Asset{Kind: fact.AssetAccount, Key: "aws/" + account, Name: account}
}

// imageAsset names an image by its digest, by its reference when it has none.
func imageAsset(reference, digest string) fact.Asset {
	if at := strings.LastIndex(reference, "@sha256:"); at >= 0 {
		reference, digest = reference[:at], or(digest, reference[at+1:])
	}
	return fact.Asset{Kind: fact.AssetImage, Key: or(digest, reference), Name: or(reference, digest)}
}

// short gives the last part of an ARN, other text as it is.
func short(arn string) string {
	if at := strings.LastIndexAny(arn, "/:"); at >= 0 && at < len(arn)-1 && strings.HasPrefix(arn, "arn:") {
		return arn[at+1:]
	}
	return arn
}

func or(values ...string) string {
	for _, value := range values {
		if value != "" {
			return value
		}
	}
	return ""
}

func accountID(text string) bool {
	return len(text) == 12 && strings.Trim(text, "0123456789") == ""
}

// regionOfZone gives the region of an availability zone such as "eu-west-1a".
func regionOfZone(zone string) string {
	if len(zone) > 1 && zone[len(zone)-1] >= 'a' && zone[len(zone)-1] <= 'z' && zone[len(zone)-2] >= '0' && zone[len(zone)-2] <= '9' {
		return zone[:len(zone)-1]
	}
	return ""
}

// world says whether a range holds more or less every address.
func world(cidr string) bool {
	prefix, err := netip.ParsePrefix(cidr)
	return err == nil && prefix.Bits() <= 1
}

func flag(value *bool) string {
	if value == nil {
		return ""
	}
	return strconv.FormatBool(*value)
}

func number(value int64) string {
	if value == 0 {
		return ""
	}
	return strconv.FormatInt(value, 10)
}

// tags are those of any service: a list of Key and Value, or an object.
type tags map[string]string

func (t *tags) UnmarshalJSON(data []byte) error {
	*t = tags{}
	var list []struct{ Key, Value string }
	if len(data) > 0 && data[0] == '[' {
		if err := json.Unmarshal(data, &list); err != nil {
			return err
		}
		for _, tag := range list {
			(*t)[tag.Key] = tag.Value
		}
		return nil
	}
	return json.Unmarshal(data, (*map[string]string)(t))
}

// document is a policy, as an object or as text, plain or percent-encoded.
type document struct{ statements []statement }

func (d *document) UnmarshalJSON(data []byte) error {
	statements, err := parsePolicy(data)
	d.statements = statements
	return err
}

// elements gives the objects of a list one by one; one that is not as expected
// is a gap, and the rest goes on.
func elements[T any](each func(*mapper, T)) func(*mapper, json.RawMessage) {
	return func(m *mapper, raw json.RawMessage) {
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil {
			m.gap("expected a list: %v", plainError(err))
			return
		}
		for i, item := range list {
			if m.err != nil {
				return
			}
			var value T
			if err := json.Unmarshal(item, &value); err != nil {
				m.gap("element %d: %v", i, plainError(err)) // what was read of it is kept
			}
			each(m, value)
		}
	}
}

// plainError says what was wrong without quoting the answer.
func plainError(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("%s is a %s", or(wrong.Field, "it"), wrong.Value)
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("at offset %d: %s", syntax.Offset, syntax.Error())
	}
	return err
}

// one reads an object.
func one[T any](each func(*mapper, T)) func(*mapper, json.RawMessage) {
	list := elements(each)
	return func(m *mapper, raw json.RawMessage) {
		list(m, slices.Concat(json.RawMessage("["), raw, json.RawMessage("]")))
	}
}
