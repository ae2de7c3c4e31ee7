package auditlog

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	"github.com/backstitch/backstitch/fact"
)

// made are calls that make something without "Create" and the type as their name,
// or whose answer names it otherwise: the type and the members that hold its id.
var made = map[string]struct {
	kind string
	ids  []string
}{
	"RunInstances":                    {"Instance", []string{"instanceId"}},
	"AllocateAddress":                 {"Address", []string{"allocationId"}},
	"RegisterImage":                   {"Image", []string{"imageId"}},
	"CopyImage":                       {"Image", []string{"imageId"}},
	"CreateImage":                     {"Image", []string{"imageId"}},
	"CopySnapshot":                    {"Snapshot", []string{"snapshotId"}},
	"RequestCertificate":              {"Certificate", []string{"certificateArn"}},
	"ImportCertificate":               {"Certificate", []string{"certificateArn"}},
	"ImportKeyPair":                   {"KeyPair", []string{"keyPairId", "keyName"}},
	"CreateKeyPair":                   {"KeyPair", []string{"keyPairId", "keyName"}},
	"RegisterTaskDefinition":          {"TaskDefinition", []string{"taskDefinitionArn"}},
	"PutParameter":                    {"Parameter", []string{"name"}},
	"CreateSecurityGroup":             {"SecurityGroup", []string{"groupId"}},
	"CreateFlowLogs":                  {"FlowLog", []string{"flowLogIdSet", "flowLogIds"}},
	"RestoreDBInstanceFromDBSnapshot": {"DBInstance", []string{"dBInstanceArn", "dBInstanceIdentifier"}},
	"RunJobFlow":                      {"JobFlow", []string{"jobFlowId"}},
	"CreateFunction20150331":          {"Function", []string{"functionArn", "functionName"}},
	"CreateFunction20150331v2":        {"Function", []string{"functionArn", "functionName"}},
}

// parts are things that calls named Create make of something that exists: no
// asset of their own.
var parts = []string{
	"Tags", "Route", "LoginProfile", "PolicyVersion", "Grant", "Session", "Version", "Alias", "Invalidation", "Token",
	"FoundationModelAgreement", "NetworkInterfacePermission", "ExportTask", "Association", "Assignment", "AccountAssignment",
	"VpcEndpointConnectionNotification", "DefaultVpc", "DataRepositoryTask", "RoutingProfile", "LogStream", "ChangeSet", "DelegationRequest",
}

// named are types that answers do not repeat and requests name in full.
var named = map[string][]string{
	"Bucket": {"bucketName"}, "LogGroup": {"logGroupName"}, "AutoScalingGroup": {"autoScalingGroupName"},
	"LaunchConfiguration": {"launchConfigurationName"}, "DBSubnetGroup": {"dBSubnetGroupName"}, "Parameter": {"name"}, "User": {"userName"}, "Group": {"groupName"},
}

// aws reads a CloudTrail record.
func (r *reader) aws(event map[string]any) []Creation {
	name := text(event, "eventName")
	actor := r.awsActor(object(event, "userIdentity"), text(event, "sourceIPAddress"))
	if text(event, "errorCode") != "" || text(event, "errorMessage") != "" {
		return nil
	}
	if strings.HasPrefix(name, "AssumeRole") {
		r.follow(event, actor)
		return nil
	}
	if event["readOnly"] == true || text(event, "eventType") == "AwsServiceEvent" {
		return nil
	}
	request, answer := object(event, "requestParameters"), object(event, "responseElements")
	kind, ids := created(name, request, answer)
	if len(ids) == 0 {
		return nil
	}
	when := instant(text(event, "eventTime"))
	region, account := text(event, "awsRegion"), cmp.Or(text(event, "recipientAccountId"), text(object(event, "userIdentity"), "accountId"))
	service, _, _ := strings.Cut(text(event, "eventSource"), ".")
	list := make([]Creation, 0, len(ids))
	for _, names := range ids {
		key := names[0]
		if arn := arnOf(service, kind, region, account, names); arn != "" && !slices.Contains(names, arn) {
			key, names = arn, append([]string{arn}, names...)
		}
		list = append(list, Creation{
			Asset: fact.Asset{Kind: fact.AssetResource, Key: key, Name: shortName(names[len(names)-1])}, IDs: names, Type: kind,
			Actor: actor, Event: name, EventID: text(event, "eventID"), Time: when, Log: "aws",
		})
	}
	return list
}

// created tells what a successful call made: its type, and for each thing its
// names, the fullest first.
func created(name string, request, answer map[string]any) (kind string, things [][]string) {
	special, known := made[name]
	kind = special.kind
	if !known {
		kind = strings.TrimPrefix(name, "Create")
		if kind == name || kind == "" || !unicode.IsUpper(rune(kind[0])) ||
			slices.ContainsFunc(parts, func(part string) bool { return strings.HasSuffix(kind, part) }) {
			return "", nil
		}
	}
	if name == "PutParameter" && text(answer, "version") != "" && text(answer, "version") != "1" {
		return "", nil // a later version of one that existed
	}
	answer = unwrapped(answer, name)
	// Sets of things: instancesSet.items[].
	for key, value := range answer {
		set, ok := value.(map[string]any)
		if !ok || !strings.HasSuffix(key, "Set") {
			continue
		}
		items, _ := set["items"].([]any)
		for _, item := range items {
			if thing, ok := item.(map[string]any); ok {
				if names := namesOf(kind, special.ids, thing); len(names) > 0 {
					things = append(things, names)
				}
			}
		}
	}
	if len(things) > 0 {
		return kind, things
	}
	for _, member := range special.ids {
		for _, id := range flat(answer[member]) {
			things = append(things, []string{id})
		}
	}
	if len(things) > 0 && strings.HasSuffix(special.ids[0], "Ids") || len(things) > 1 {
		return kind, things
	}
	if thing := member(answer, kind); thing != nil {
		// Newer services keep the ARN in a part of its own.
		names := namesOf(kind, special.ids, object(thing, "metadata"))
		for _, name := range namesOf(kind, special.ids, thing) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		if len(names) > 0 {
			return kind, [][]string{names}
		}
	}
	if names := namesOf(kind, special.ids, answer); len(names) > 0 {
		return kind, [][]string{names}
	}
	for _, member := range named[kind] {
		if id := text(request, member); id != "" {
			return kind, [][]string{{id}}
		}
	}
	return kind, nil
}

// unwrapped gives the answer below a wrapper named after the call, as EC2's newer
// calls have it.
func unwrapped(answer map[string]any, name string) map[string]any {
	if inner := object(answer, name+"Response"); inner != nil {
		return inner
	}
	return answer
}

// member finds the member that holds a thing of a type, whatever its capitals.
func member(answer map[string]any, kind string) map[string]any {
	for key, value := range answer {
		if thing, ok := value.(map[string]any); ok && strings.EqualFold(key, kind) {
			return thing
		}
	}
	return nil
}

// namesOf lists the names of a thing: ARN, id, name.
func namesOf(kind string, first []string, thing map[string]any) []string {
	var names []string
	add := func(id string) {
		if id != "" && !slices.Contains(names, id) {
			names = append(names, id)
		}
	}
	lookup := func(wanted string) {
		for key, value := range thing {
			if s, ok := value.(string); ok && strings.EqualFold(key, wanted) {
				add(s)
			}
		}
	}
	lookup("arn")
	lookup(kind + "arn")
	for _, wanted := range first {
		lookup(wanted)
	}
	for _, wanted := range []string{kind + "id", kind + "identifier", "id", kind + "name"} {
		lookup(wanted)
	}
	return names
}

// flat gives the texts of a member that is a text, a list, or a set of items.
func flat(value any) []string {
	switch v := value.(type) {
	case string:
		return []string{v}
	case []any:
		var list []string
		for _, element := range v {
			list = append(list, flat(element)...)
		}
		return list
	case map[string]any:
		if items, ok := v["items"]; ok {
			return flat(items)
		}
		return flat(v["item"])
	}
	return nil
}

// ec2Types are the words of ARNs for what EC2 calls otherwise.
var ec2Types = map[string]string{
	"Instance": "instance", "Vpc": "vpc", "Subnet": "subnet", "SecurityGroup": "security-group", "RouteTable": "route-table", "Volume": "volume",
	"InternetGateway": "internet-gateway", "NatGateway": "natgateway", "NetworkInterface": "network-interface", "Address": "elastic-ip",
	"FlowLog": "vpc-flow-log", "LaunchTemplate": "launch-template", "TransitGateway": "transit-gateway", "VpcEndpoint": "vpc-endpoint", "NetworkAcl": "network-acl",
}

// arnOf builds the ARN of things that answers call by id only.
func arnOf(service, kind, region, account string, names []string) string {
	if strings.HasPrefix(names[0], "arn:") {
		return names[0]
	}
	partition := "aws"
	switch {
	case strings.HasPrefix(region, "cn-"):
		partition = "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		partition = "aws-us-gov"
	}
	switch {
	case service == "s3" && kind == "Bucket":
		return "arn:" + partition + ":s3:::" + names[0]
	case region == "" || account == "":
		return ""
	case service == "ec2" && ec2Types[kind] != "":
		return "arn:" + partition + ":ec2:" + region + ":" + account + ":" + ec2Types[kind] + "/" + names[0]
	case service == "ec2" && (kind == "Snapshot" || kind == "Image"):
		return "arn:" + partition + ":ec2:" + region + "::" + strings.ToLower(kind) + "/" + names[0]
	case service == "logs" && kind == "LogGroup":
		return "arn:" + partition + ":logs:" + region + ":" + account + ":log-group:" + names[0]
	case service == "ssm" && kind == "Parameter":
		return "arn:" + partition + ":ssm:" + region + ":" + account + ":parameter/" + strings.TrimPrefix(names[0], "/")
	}
	return ""
}

func shortName(id string) string {
	if at := strings.LastIndexAny(id, "/:"); at >= 0 && at < len(id)-1 && strings.HasPrefix(id, "arn:") {
		return id[at+1:]
	}
	return id
}

// awsActor reads a userIdentity.
func (r *reader) awsActor(identity map[string]any, from string) Actor {
	principal := text(identity, "arn")
	actor := Actor{Kind: ActorUser, Principal: principal, Name: text(identity, "userName"), Service: text(identity, "invokedBy")}
	issuer := object(identity, "sessionContext", "sessionIssuer")
	switch text(identity, "type") {
	case "Root":
		actor.Kind, actor.Name = ActorRoot, principal
		if actor.Name == "" {
			actor.Name = text(identity, "accountId")
		}
	case "IAMUser":
		if actor.Name == "" {
			actor.Name = shortName(principal)
		}
	case "AssumedRole":
		actor.Kind = ActorSession
		actor.Via = text(issuer, "arn")
		if _, session, ok := strings.Cut(text(identity, "principalId"), ":"); ok {
			actor.Name = session
		}
		if parts := strings.Split(principal, "/"); len(parts) > 1 && strings.Contains(principal, ":assumed-role/") {
			actor.Name = parts[len(parts)-1]
		}
		if strings.HasPrefix(actor.Name, "i-") || strings.Contains(actor.Via, ":role/aws-service-role/") || strings.HasSuffix(from, ".amazonaws.com") && actor.Service != "" {
			actor.Kind = ActorService // the session of a machine or a service
		}
	case "FederatedUser":
		actor.Kind = ActorSession
		actor.Via = text(issuer, "arn")
		if _, user, ok := strings.Cut(principal, ":federated-user/"); ok {
			actor.Name = user
		}
	case "WebIdentityUser", "SAMLUser", "IdentityCenterUser":
		actor.Kind = ActorSession
		actor.Via = text(identity, "identityProvider")
		actor.Name = cmp.Or(actor.Name, text(object(identity, "onBehalfOf"), "userId"))
		actor.Pipeline = pipelineOf(text(identity, "identityProvider"), actor.Name)
	case "AWSService":
		actor.Kind, actor.Name = ActorService, text(identity, "invokedBy")
		actor.Principal = actor.Name
	case "AWSAccount":
		actor.Kind, actor.Name = ActorService, text(identity, "accountId")
		actor.Principal = cmp.Or(principal, text(identity, "principalId"), actor.Name)
	}
	if behind, ok := r.sessions[text(identity, "accessKeyId")]; ok && actor.Kind == ActorSession {
		actor.Pipeline = behind.pipeline
	}
	if source := text(object(identity, "sessionContext"), "sourceIdentity"); source != "" && actor.Kind == ActorSession {
		actor.Name = source // set by the identity provider and kept through every role
	}
	return actor
}

// follow remembers who stands behind the credentials of a session.
func (r *reader) follow(event map[string]any, actor Actor) {
	key := text(object(event, "responseElements", "credentials"), "accessKeyId")
	if key == "" {
		return
	}
	behind := session{actor: actor, pipeline: actor.Pipeline}
	if behind.pipeline != nil {
		request := object(event, "requestParameters")
		tagged := object(request, "principalTags", "transitiveTags")
		if tagged == nil {
			tagged = object(request, "principalTags")
		}
		for _, name := range []string{"commit", "sha", "Commit", "SHA"} {
			if behind.pipeline.Commit == "" {
				behind.pipeline.Commit = text(tagged, name)
			}
		}
	}
	if len(r.sessions) < 1<<20 {
		r.sessions[key] = behind
	}
}

// pipelineOf reads the subject of an OpenID Connect token as GitHub, GitLab and
// Bitbucket write it.
func pipelineOf(provider, subject string) *Pipeline {
	if provider == "" && subject == "" {
		return nil
	}
	host := provider
	if at := strings.LastIndex(host, "oidc-provider/"); at >= 0 {
		host = host[at+len("oidc-provider/"):]
	}
	pipeline := &Pipeline{System: host, Subject: subject}
	switch {
	case strings.HasPrefix(subject, "repo:"): // repo:acme/shop:ref:refs/heads/main, repo:acme/shop:environment:prod
		parts := strings.SplitN(strings.TrimPrefix(subject, "repo:"), ":", 3)
		pipeline.Repository = parts[0]
		if len(parts) == 3 {
			pipeline.Ref = parts[2]
		} else if len(parts) == 2 {
			pipeline.Ref = parts[1] // pull_request
		}
	case strings.HasPrefix(subject, "project_path:"): // project_path:acme/shop:ref_type:branch:ref:main
		rest := strings.TrimPrefix(subject, "project_path:")
		pipeline.Repository, rest, _ = strings.Cut(rest, ":ref_type:")
		if _, ref, ok := strings.Cut(rest, ":ref:"); ok {
			pipeline.Ref = ref
		}
	default:
		return nil
	}
	return pipeline
}
