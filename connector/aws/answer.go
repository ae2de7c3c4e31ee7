package aws

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// shape is one answer of an API, known by the member that holds its things.
type shape struct {
	key     string // the member, in lower case
	method  string // the operation that answers so, for evidence
	element string // member that a thing must have, in lower case; "" any
	whole   bool   // the thing is the answer itself, since members beside it count
	handle  func(*mapper, json.RawMessage)
}

// shapes lists what is understood. Of several with one key the first whose
// element fits is taken.
var shapes = []shape{
	{"reservations", "ec2:DescribeInstances", "instances", false, elements((*mapper).reservation)},
	{"volumes", "ec2:DescribeVolumes", "volumeid", false, elements((*mapper).volume)},
	{"images", "ec2:DescribeImages", "imageid", false, elements((*mapper).machineImage)},
	{"vpcs", "ec2:DescribeVpcs", "vpcid", false, elements((*mapper).vpc)},
	{"subnets", "ec2:DescribeSubnets", "subnetid", false, elements((*mapper).subnet)},
	{"securitygroups", "ec2:DescribeSecurityGroups", "groupid", false, elements((*mapper).securityGroup)},
	{"clusters", "ecs:DescribeClusters", "capacityproviders", false, elements((*mapper).ecsCluster)},
	{"clusters", "ecs:DescribeClusters", "registeredcontainerinstancescount", false, elements((*mapper).ecsCluster)},
	{"services", "ecs:DescribeServices", "servicearn", false, elements((*mapper).ecsService)},
	{"tasks", "ecs:DescribeTasks", "taskdefinitionarn", false, elements((*mapper).ecsTask)},
	{"taskdefinition", "ecs:DescribeTaskDefinition", "containerdefinitions", true, one((*mapper).taskDefinition)},
	{"containerinstances", "ecs:DescribeContainerInstances", "containerinstancearn", false, elements((*mapper).containerInstance)},
	{"cluster", "eks:DescribeCluster", "resourcesvpcconfig", false, one((*mapper).eksCluster)},
	{"nodegroup", "eks:DescribeNodegroup", "nodegrouparn", false, one((*mapper).nodegroup)},
	{"functions", "lambda:ListFunctions", "functionarn", false, elements((*mapper).function)},
	{"configuration", "lambda:GetFunction", "functionarn", true, one((*mapper).described)},
	{"functionurlconfigs", "lambda:ListFunctionUrlConfigs", "functionurl", false, elements((*mapper).functionURL)},
	{"functionurl", "lambda:GetFunctionUrlConfig", "", true, one((*mapper).functionURL)},
	{"repositories", "ecr:DescribeRepositories", "repositoryuri", false, elements((*mapper).repository)},
	{"imagedetails", "ecr:DescribeImages", "imagedigest", false, elements((*mapper).imageDetail)},
	{"buckets", "s3:ListBuckets", "name", false, elements((*mapper).bucket)},
	{"tagset", "s3:GetBucketTagging", "", false, one((*mapper).bucketTags)},
	{"publicaccessblockconfiguration", "s3:GetPublicAccessBlock", "blockpublicacls", false, one((*mapper).publicAccessBlock)},
	{"policystatus", "s3:GetBucketPolicyStatus", "ispublic", false, one((*mapper).policyStatus)},
	{"serversideencryptionconfiguration", "s3:GetBucketEncryption", "rules", false, one((*mapper).bucketEncryption)},
	{"locationconstraint", "s3:GetBucketLocation", "", true, one((*mapper).bucketRegion)},
	{"grants", "s3:GetBucketAcl", "grantee", false, elements((*mapper).bucketGrants)},
	{"policies", "iam:GetAccountAuthorizationDetails", "policyname", false, elements((*mapper).managedPolicy)},
	{"roles", "iam:ListRoles", "rolename", false, elements((*mapper).role)},
	{"roledetaillist", "iam:GetAccountAuthorizationDetails", "arn", false, elements((*mapper).role)},
	{"users", "iam:ListUsers", "userid", false, elements((*mapper).user)},
	{"userdetaillist", "iam:GetAccountAuthorizationDetails", "arn", false, elements((*mapper).user)},
	{"groups", "iam:ListGroups", "groupname", false, elements((*mapper).group)},
	{"groupdetaillist", "iam:GetAccountAuthorizationDetails", "arn", false, elements((*mapper).group)},
	{"instanceprofiles", "iam:ListInstanceProfiles", "arn", false, elements((*mapper).instanceProfile)},
	{"loadbalancers", "elasticloadbalancing:DescribeLoadBalancers", "loadbalancerarn", false, elements((*mapper).loadBalancer)},
	{"listeners", "elasticloadbalancing:DescribeListeners", "listenerarn", false, elements((*mapper).listener)},
	{"rules", "elasticloadbalancing:DescribeRules", "rulearn", false, elements((*mapper).rule)},
	{"targetgroups", "elasticloadbalancing:DescribeTargetGroups", "targetgrouparn", false, elements((*mapper).targetGroup)},
	{"targethealthdescriptions", "elasticloadbalancing:DescribeTargetHealth", "target", false, elements((*mapper).targetHealth)},
	{"dbinstances", "rds:DescribeDBInstances", "dbinstanceidentifier", false, elements((*mapper).database)},
	{"dbclusters", "rds:DescribeDBClusters", "dbclusteridentifier", false, elements((*mapper).databaseCluster)},
	{"accounts", "organizations:ListAccounts", "id", false, elements((*mapper).organizationAccount)},
	{"organization", "organizations:DescribeOrganization", "id", true, one((*mapper).organization)},
	{"account", "sts:GetCallerIdentity", "", true, one((*mapper).caller)},
	{"resourcetagmappinglist", "tag:GetResources", "resourcearn", false, elements((*mapper).tagged)},
	{"configurationitems", "config:GetResourceConfigHistory", "resourcetype", false, history},
	{"baseconfigurationitems", "config:BatchGetResourceConfig", "resourcetype", false, elements((*mapper).configItem)},
	{"resourceidentifiers", "config:ListDiscoveredResources", "resourcetype", false, elements((*mapper).configItem)},
	{"results", "config:SelectResourceConfig", "", false, elements((*mapper).configText)},
	{"findings", "securityhub:GetFindings", "productarn", true, (*mapper).findings},
	{"findings", "inspector2:ListFindings", "findingarn", true, (*mapper).findings},
}

// aside are members that say nothing of things.
var aside = []string{"responsemetadata", "resultmetadata", "nexttoken", "nextmarker", "marker", "istruncated", "paginationtoken", "failures", "unprocessedaccounts", "owner", "queryinfo", "tags"}

var (
	errShape   = errors.New("no answer of AWS that is understood")
	errNothing = errors.New("the answer names no thing, or not whose it is")
	errPage    = errors.New("the answer is one page of several: fetch all of them")
)

// object reads the members of an object under their names in lower case.
func object(data []byte) (map[string]json.RawMessage, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, err
	}
	lower := make(map[string]json.RawMessage, len(members))
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if _, twice := lower[strings.ToLower(name)]; !twice {
			lower[strings.ToLower(name)] = members[name]
		}
	}
	return lower, nil
}

// empty says whether a list or an object holds nothing.
func empty(raw json.RawMessage) bool {
	text := bytes.TrimSpace(raw)
	return string(text) == "null" || len(bytes.Trim(text, "[]{} \n\r\t")) == 0
}

// fits says whether a member holds what a shape describes.
func (s shape) fits(raw json.RawMessage) bool {
	if s.element == "" {
		return true
	}
	raw = bytes.TrimSpace(raw)
	if empty(raw) {
		return true
	}
	first := raw
	if raw[0] == '[' {
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) != nil || len(list) == 0 {
			return false
		}
		first = list[0]
	}
	members, err := object(first)
	_, has := members[s.element]
	return err == nil && has
}

// recognise finds the shapes of an answer.
func recognise(members map[string]json.RawMessage) []shape {
	var found []shape
	for _, s := range shapes {
		raw, has := members[s.key]
		if !has || !s.fits(raw) || slices.ContainsFunc(found, func(other shape) bool { return other.key == s.key }) {
			continue
		}
		if s.key == "account" && members["arn"] == nil {
			continue
		}
		found = append(found, s)
	}
	return found
}

// read maps one answer, whether it came from a file or over the wire.
func (m *mapper) read(data []byte) error {
	members, err := object(data)
	if err != nil {
		return fmt.Errorf("expected a JSON object: %w", plainError(err))
	}
	found := recognise(members)
	for _, s := range found {
		m.method = s.method
		raw := members[s.key]
		if s.whole {
			raw = data
		}
		if !empty(raw) || s.whole {
			s.handle(m, raw)
		}
	}
	if failures := members["failures"]; failures != nil && len(found) > 0 && !empty(failures) {
		m.failures(failures)
	}
	if len(found) == 0 && !m.byARN(members) && m.err == nil {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(members)), func(name string) bool { return !slices.Contains(aside, name) }) {
			return errNothing
		}
		return fmt.Errorf("%w: it has %s", errShape, strings.Join(slices.Sorted(maps.Keys(members)), ", "))
	}
	return m.err
}

// failures tells what an answer says it could not describe.
func (m *mapper) failures(raw json.RawMessage) {
	elements(func(m *mapper, f struct{ Arn, Reason string }) {
		if f.Reason == "MISSING" {
			m.sink.Note(m.scope, m.method+": "+f.Arn+" is missing")
			return
		}
		m.gap("%s: %s", f.Arn, f.Reason)
	})(m, raw)
}

// more says whether an answer is one page of several.
func more(members map[string]json.RawMessage) bool {
	if string(members["istruncated"]) == "true" {
		return true
	}
	for _, name := range []string{"nexttoken", "nextmarker", "paginationtoken"} {
		var text string
		if json.Unmarshal(members[name], &text) == nil && text != "" {
			return true
		}
	}
	return false
}

// history maps the newest version of each thing that a history tells of.
func history(m *mapper, raw json.RawMessage) {
	seen := map[string]bool{}
	elements(func(m *mapper, c configItem) {
		if id := c.ResourceType + " " + or(c.Arn, c.ResourceID); !seen[id] {
			seen[id] = true
			m.configItem(c)
		}
	})(m, raw)
}

// findings hands findings on as they stand.
func (m *mapper) findings(raw json.RawMessage) {
	members, err := object(raw)
	if m.err == nil && (err != nil || !empty(members["findings"])) {
		m.err = m.sink.Report(m.scope, m.method, bytes.NewReader(raw))
		m.nodes++
	}
}

// byARN maps the things of an answer that no shape describes, when they name
// themselves by an ARN: that they exist, their name and their tags.
func (m *mapper) byARN(members map[string]json.RawMessage) bool {
	found := false
	m.method = "arn"
	for _, key := range slices.Sorted(maps.Keys(members)) {
		raw := bytes.TrimSpace(members[key])
		if slices.Contains(aside, key) || len(raw) == 0 {
			continue
		}
		list := []json.RawMessage{raw}
		if raw[0] == '[' && json.Unmarshal(raw, &list) != nil {
			continue
		}
		for _, item := range list {
			if thing, err := object(item); err == nil && m.thing(key, thing) {
				found = true
			}
		}
	}
	if found {
		m.sink.Note(m.scope, "of this answer only ARNs, names and tags are understood")
	}
	return found
}

// thing maps one thing by the ARN that is its own: "arn", or the one named for
// the member that holds it.
func (m *mapper) thing(holder string, members map[string]json.RawMessage) bool {
	text := func(name string) (value string) {
		_ = json.Unmarshal(members[name], &value)
		return value
	}
	singular := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(holder, "list"), "detail"), "s")
	arn := or(text("arn"), text(singular+"arn"), text("resourcearn"))
	if arn == "" {
		var own []string
		for name := range members {
			if value := text(name); strings.HasSuffix(name, "arn") && strings.HasSuffix(singular, strings.TrimSuffix(name, "arn")) && strings.HasPrefix(value, "arn:") {
				own = append(own, value)
			}
		}
		if len(own) != 1 {
			return false
		}
		arn = own[0]
	}
	if parts := strings.SplitN(arn, ":", 6); len(parts) < 6 || parts[0] != "arn" {
		return false
	}
	var labels tags
	for _, name := range []string{"tags", "taglist", "tagset"} {
		if members[name] != nil && json.Unmarshal(members[name], &labels) != nil {
			labels = nil
		}
	}
	m.resource(typeOf(arn), arn, short(arn), or(text("name"), text(singular+"name"), labels["Name"]), labels, nil)
	return true
}
