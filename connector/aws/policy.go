package aws

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
)

// statement is one statement of an IAM policy.
type statement struct {
	Effect       string
	Principal    principals
	NotPrincipal json.RawMessage
	Action       words
	NotAction    words
	Resource     words
	NotResource  words
	Condition    map[string]map[string]words
}

// words are a text or a list of texts.
type words []string

func (w *words) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '[' {
		return json.Unmarshal(data, (*[]string)(w))
	}
	var text any
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	switch text := text.(type) {
	case string:
		*w = words{text}
	case bool, float64:
		*w = words{strings.TrimSpace(string(data))}
	}
	return nil
}

// principals are who a statement speaks of: AWS, Service, Federated, and "*".
type principals map[string]words

func (p *principals) UnmarshalJSON(data []byte) error {
	*p = principals{}
	if len(data) > 0 && data[0] == '"' {
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
		(*p)["AWS"] = words{text}
		return nil
	}
	return json.Unmarshal(data, (*map[string]words)(p))
}

var errPolicy = errors.New("expected an IAM policy document")

// parsePolicy reads a policy document: an object, or a text that holds one,
// plain or percent-encoded.
func parsePolicy(data []byte) ([]statement, error) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 || string(data) == "null" {
		return nil, nil
	}
	if data[0] == '"' {
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return nil, err
		}
		if strings.HasPrefix(text, "%7B") || strings.HasPrefix(text, "%7b") {
			decoded, err := url.QueryUnescape(text)
			if err != nil {
				return nil, errPolicy
			}
			text = decoded
		}
		data = bytes.TrimSpace([]byte(text))
		if len(data) == 0 {
			return nil, nil
		}
	}
	if data[0] != '{' {
		return nil, errPolicy
	}
	var policy struct{ Statement json.RawMessage }
	if err := json.Unmarshal(data, &policy); err != nil {
		return nil, errPolicy
	}
	list := bytes.TrimSpace(policy.Statement)
	if len(list) == 0 {
		return nil, nil
	}
	if list[0] == '{' {
		list = slices.Concat([]byte("["), list, []byte("]"))
	}
	var statements []statement
	if err := json.Unmarshal(list, &statements); err != nil {
		return nil, errPolicy
	}
	return statements, nil
}

// trust tells who may assume a role.
func (m *mapper) trust(role fact.Asset, statements []statement) (services []string) {
	for _, s := range statements {
		if s.Effect != "Allow" {
			continue
		}
		said := properties{"actions": strings.Join(s.Action, ", ")}
		if len(s.Condition) > 0 {
			said["conditions"] = strings.Join(conditions(s.Condition), "; ")
		}
		for _, key := range []string{"AWS", "Federated", "CanonicalUser"} {
			for _, name := range s.Principal[key] {
				who := identity(name)
				if accountID(name) {
					who = identity("arn:" + m.at.partition() + ":iam::" + name + ":root")
				}
				if name == "*" {
					who = fact.Asset{Kind: fact.AssetIdentity, Key: "*", Name: "anyone"}
				}
				m.relate(who, fact.CanAssume, role, said)
			}
		}
		services = append(services, s.Principal["Service"]...)
	}
	slices.Sort(services)
	return slices.Compact(services)
}

// conditions writes conditions as "StringEquals key = a, b", sorted.
func conditions(all map[string]map[string]words) []string {
	var list []string
	for operator, keys := range all {
		for key, values := range keys {
			list = append(list, operator+" "+key+" = "+strings.Join(values, ", "))
		}
	}
	slices.Sort(list)
	return list
}

// privileges tells what an identity may do through the statements of its
// policies: an edge per resource that is named, to the account when any is
// meant. It returns a word for how much that is.
func (m *mapper) privileges(who fact.Asset, through string, statements []statement) (level string) {
	for _, s := range statements {
		if s.Effect != "Allow" {
			continue
		}
		actions := slices.Clone(s.Action)
		for _, not := range s.NotAction {
			actions = append(actions, "not "+not)
		}
		slices.Sort(actions)
		wide := slices.Contains(s.Resource, "*") || len(s.NotResource) > 0
		level = stronger(level, levelOf(s, wide))
		if len(actions) > maxActions {
			actions = append(actions[:maxActions:maxActions], "...")
		}
		said := properties{"actions": strings.Join(actions, ", "), "policy": through}
		if len(s.Condition) > 0 {
			said["conditions"] = strings.Join(conditions(s.Condition), "; ")
		}
		for _, resource := range s.Resource {
			to := named(resource)
			if resource == "*" {
				continue
			}
			m.relate(who, fact.MayAct, to, said)
		}
		if wide {
			account := m.at.account
			if parts := strings.SplitN(who.Key, ":", 6); len(parts) == 6 {
				account = or(parts[4], account)
			}
			if accountID(account) {
				m.relate(who, fact.MayAct, accountAsset(account), said)
			}
		}
	}
	return level
}

// Levels of privilege, weakest first.
var levels = []string{"", "read", "write", "privileged", "admin"}

func stronger(a, b string) string {
	return levels[max(slices.Index(levels, a), slices.Index(levels, b))]
}

// escalating are actions by which an identity can give itself more.
var escalating = []string{
	"iam:*", "iam:passrole", "iam:put*", "iam:putrolepolicy", "iam:putuserpolicy", "iam:attach*", "iam:attachrolepolicy", "iam:attachuserpolicy",
	"iam:create*", "iam:createaccesskey", "iam:createpolicyversion", "iam:createloginprofile", "iam:updateassumerolepolicy", "iam:setdefaultpolicyversion",
	"iam:addusertogroup", "sts:*", "organizations:*", "kms:*", "secretsmanager:*", "lambda:updatefunctioncode",
}

// levelOf judges one statement that allows: admin is everything on everything.
func levelOf(s statement, wide bool) string {
	level := ""
	if len(s.NotAction) > 0 {
		level = "privileged"
		if wide && len(s.Condition) == 0 {
			level = "admin"
		}
	}
	for _, action := range s.Action {
		lower := strings.ToLower(action)
		_, verb, _ := strings.Cut(lower, ":")
		switch {
		case lower == "*" || lower == "*:*":
			if wide && len(s.Condition) == 0 {
				level = stronger(level, "admin")
			} else {
				level = stronger(level, "privileged")
			}
		case slices.Contains(escalating, lower) && wide:
			level = stronger(level, "privileged")
		case strings.HasPrefix(verb, "get"), strings.HasPrefix(verb, "list"), strings.HasPrefix(verb, "describe"), strings.HasPrefix(verb, "batchget"), strings.HasPrefix(verb, "head"):
			level = stronger(level, "read")
		default:
			level = stronger(level, "write")
		}
	}
	return level
}
