package aws

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
)

// sorted joins names, after a prefix; empty says what none of them means.
func sorted(names []string, empty, prefix string) string {
	if len(names) == 0 {
		return empty
	}
	slices.Sort(names)
	return prefix + strings.Join(names, ", ")
}

type attached struct{ PolicyName, PolicyArn string }

type inline struct {
	PolicyName     string
	PolicyDocument document
}

type boundary struct{ PermissionsBoundaryArn string }

type role struct {
	Arn, RoleName, RoleID, Path, Description string
	AssumeRolePolicyDocument                 document
	PermissionsBoundary                      boundary
	RolePolicyList                           []inline
	AttachedManagedPolicies                  []attached
	InstanceProfileList                      []instanceProfile
	Tags                                     tags
}

func (m *mapper) role(r role) {
	resource := m.resource("iam:role", r.Arn, r.RoleID, r.RoleName, r.Tags, properties{"path": r.Path, "description": r.Description, "boundary": r.PermissionsBoundary.PermissionsBoundaryArn})
	who := m.as(fact.AssetIdentity, resource, nil)
	services := m.trust(who, r.AssumeRolePolicyDocument.statements)
	m.acting(who, "role", r.RolePolicyList, r.AttachedManagedPolicies, properties{"trusted_services": strings.Join(services, ", ")})
	for _, profile := range r.InstanceProfileList {
		m.instanceProfile(profile)
	}
}

type user struct {
	Arn, UserName, UserID, Path string
	PermissionsBoundary         boundary
	UserPolicyList              []inline
	AttachedManagedPolicies     []attached
	GroupList                   []string
	Tags                        tags
}

func (m *mapper) user(u user) {
	resource := m.resource("iam:user", u.Arn, u.UserID, u.UserName, u.Tags, properties{"path": u.Path, "boundary": u.PermissionsBoundary.PermissionsBoundaryArn})
	who := m.as(fact.AssetIdentity, resource, nil)
	m.acting(who, "user", u.UserPolicyList, u.AttachedManagedPolicies, nil)
	if head, _, found := strings.Cut(u.Arn, ":user/"); found {
		for _, group := range u.GroupList {
			m.relate(who, fact.MemberOf, identity(head+":group/"+group), nil)
		}
	}
}

type group struct {
	Arn, GroupName, GroupID, Path string
	GroupPolicyList               []inline
	AttachedManagedPolicies       []attached
}

func (m *mapper) group(g group) {
	resource := m.resource("iam:group", g.Arn, g.GroupID, g.GroupName, nil, properties{"path": g.Path})
	m.acting(m.as(fact.AssetIdentity, resource, nil), "group", g.GroupPolicyList, g.AttachedManagedPolicies, nil)
}

// acting tells what an identity may do, and how much that is together.
func (m *mapper) acting(who fact.Asset, kind string, own []inline, managed []attached, said properties) {
	level := ""
	var names, unknown []string
	for _, policy := range own {
		names = append(names, policy.PolicyName)
		level = stronger(level, m.privileges(who, policy.PolicyName+" (inline)", policy.PolicyDocument.statements))
	}
	for _, policy := range managed {
		names = append(names, policy.PolicyArn)
		if statements, known := m.policies[policy.PolicyArn]; known {
			level = stronger(level, m.privileges(who, policy.PolicyArn, statements))
		} else {
			unknown = append(unknown, policy.PolicyArn)
			level = stronger(level, levelOfName(policy.PolicyArn))
		}
	}
	all := properties{"identity": kind, "policies": sorted(names, "", ""), "policies_not_read": sorted(unknown, "", ""), "privileges": level}
	for property, value := range said {
		all[property] = value
	}
	m.tell(who.Kind, who.Key, who.Name, all)
}

// levelOfName judges a policy of AWS's own by its name, when its text was not read.
func levelOfName(arn string) string {
	name := short(arn)
	switch {
	case !strings.Contains(arn, ":iam::aws:policy/"):
		return ""
	case name == "AdministratorAccess":
		return "admin"
	case name == "PowerUserAccess" || name == "IAMFullAccess":
		return "privileged"
	case strings.HasSuffix(name, "ReadOnlyAccess") || name == "SecurityAudit" || name == "ViewOnlyAccess":
		return "read"
	}
	return "write"
}

type instanceProfile struct {
	Arn, InstanceProfileName, InstanceProfileID string
	Roles                                       []struct{ Arn string }
}

func (m *mapper) instanceProfile(p instanceProfile) {
	resource := m.resource("iam:instance-profile", p.Arn, p.InstanceProfileID, p.InstanceProfileName, nil, nil)
	profile := m.as(fact.AssetIdentity, resource, properties{"identity": "instance profile"})
	for _, r := range p.Roles {
		m.runsAs(profile, r.Arn, nil)
	}
}

type managedPolicy struct {
	Arn, PolicyName, PolicyID string
	PolicyVersionList         []struct {
		Document         document
		IsDefaultVersion bool
	}
	Tags tags
}

func (p managedPolicy) statements() ([]statement, bool) {
	for _, version := range p.PolicyVersionList {
		if version.IsDefaultVersion {
			return version.Document.statements, true
		}
	}
	return nil, false
}

// learn keeps what a managed policy allows, for the identities it is attached to.
func (m *mapper) learn(p managedPolicy) {
	if statements, known := p.statements(); known && p.Arn != "" {
		m.policies[p.Arn] = statements
	}
}

func (m *mapper) managedPolicy(p managedPolicy) {
	m.learn(p)
	if strings.Contains(p.Arn, ":iam::aws:") {
		return // AWS's own, the same everywhere
	}
	level := ""
	if statements, known := p.statements(); known {
		for _, s := range statements {
			if s.Effect == "Allow" {
				level = stronger(level, levelOf(s, slices.Contains(s.Resource, "*") || len(s.NotResource) > 0))
			}
		}
	}
	m.resource("iam:policy", p.Arn, p.PolicyID, p.PolicyName, p.Tags, properties{"privileges": level})
}

type organizationAccount struct{ ID, Arn, Name, Status string }

func (m *mapper) organizationAccount(a organizationAccount) {
	if !accountID(a.ID) {
		return
	}
	asset := m.tell(fact.AssetAccount, "aws/"+a.ID, or(a.Name, a.ID), properties{"id": a.ID, "name": a.Name, "status": a.Status, "arn": a.Arn})
	if _, tail, found := strings.Cut(a.Arn, ":account/"); found {
		organization, _, _ := strings.Cut(tail, "/")
		m.relate(asset, fact.PartOf, fact.Asset{Kind: fact.AssetProject, Key: "aws/" + organization, Name: organization}, nil)
	}
}

type organization struct {
	Organization struct{ ID, Arn, MasterAccountID string }
}

func (m *mapper) organization(o organization) {
	asset := m.tell(fact.AssetProject, "aws/"+o.Organization.ID, o.Organization.ID, properties{"arn": o.Organization.Arn, "management_account": o.Organization.MasterAccountID})
	if accountID(o.Organization.MasterAccountID) {
		m.relate(accountAsset(o.Organization.MasterAccountID), fact.PartOf, asset, nil)
	}
}

type caller struct{ Account, Arn string }

func (m *mapper) caller(c caller) {
	if accountID(c.Account) {
		m.tell(fact.AssetAccount, "aws/"+c.Account, c.Account, properties{"id": c.Account})
	}
}

type tagged struct {
	ResourceARN string
	Tags        tags
}

func (m *mapper) tagged(t tagged) {
	if strings.HasPrefix(t.ResourceARN, "arn:") {
		m.resource(typeOf(t.ResourceARN), t.ResourceARN, short(t.ResourceARN), t.Tags["Name"], t.Tags, nil)
	}
}

// typeOf gives "service:kind" of an ARN; only the service where it has no kind.
func typeOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return ""
	}
	switch parts[2] {
	case "s3":
		return "s3:bucket"
	case "sns":
		return "sns:topic"
	case "sqs":
		return "sqs:queue"
	}
	if at := strings.IndexAny(parts[5], "/:"); at > 0 {
		return parts[2] + ":" + parts[5][:at]
	}
	return parts[2]
}

// configItem is a resource as AWS Config recorded it.
type configItem struct {
	Arn, ResourceType, ResourceID, ResourceName, AwsRegion, AccountID, AwsAccountID, ConfigurationItemStatus string
	Tags                                                                                                     tags
	Configuration                                                                                            json.RawMessage
}

// configured are the types whose recorded configuration is that of their own API.
var configured = map[string]func(*mapper, json.RawMessage){
	"AWS::EC2::Instance":                        one(func(m *mapper, i instance) { m.instance("", i) }),
	"AWS::EC2::Volume":                          one((*mapper).volume),
	"AWS::EC2::VPC":                             one((*mapper).vpc),
	"AWS::EC2::Subnet":                          one((*mapper).subnet),
	"AWS::EC2::SecurityGroup":                   one((*mapper).securityGroup),
	"AWS::Lambda::Function":                     one((*mapper).function),
	"AWS::RDS::DBInstance":                      one((*mapper).database),
	"AWS::IAM::Role":                            one((*mapper).role),
	"AWS::IAM::User":                            one((*mapper).user),
	"AWS::ElasticLoadBalancingV2::LoadBalancer": one((*mapper).loadBalancer),
}

func (m *mapper) configItem(c configItem) {
	if strings.HasPrefix(c.ConfigurationItemStatus, "ResourceDeleted") || c.ResourceID == "" && c.Arn == "" {
		return
	}
	before := m.at
	defer func() { m.at = before }()
	m.at.account, m.at.region = or(c.AccountID, c.AwsAccountID, before.account), or(strings.TrimPrefix(c.AwsRegion, "global"), before.region)
	raw := bytes.TrimSpace(c.Configuration)
	if len(raw) > 0 && raw[0] == '"' {
		var text string
		if json.Unmarshal(raw, &text) == nil {
			raw = bytes.TrimSpace([]byte(text))
		}
	}
	nodes := m.nodes
	if handle := configured[c.ResourceType]; handle != nil && len(raw) > 0 && raw[0] == '{' && json.Valid(raw) {
		handle(m, raw)
	}
	if m.nodes > nodes {
		return // its own mapping knew it
	}
	kind := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(c.ResourceType, "AWS::"), "::", ":"))
	m.resource(kind, c.Arn, c.ResourceID, or(c.ResourceName, c.Tags["Name"]), c.Tags, properties{"config_type": c.ResourceType})
}

// configText is a row of an advanced query: a JSON text.
func (m *mapper) configText(text string) {
	var item configItem
	if err := json.Unmarshal([]byte(text), &item); err != nil {
		m.gap("a result of the query: %v", plainError(err))
	}
	m.configItem(item)
}
