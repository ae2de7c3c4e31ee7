package runtime

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// stopgapHours is how long a stopgap may stand before it is looked at again.
const stopgapHours = 72

// recipe makes the stopgap for one asset, false when it is for another kind of asset or
// something that it needs is not known; why then says what, for those who wonder.
type recipe struct {
	rules []string // whole ids, or beginnings that end in "*"
	make  func(flaw *fix.Flaw, key string) (p fix.Path, why string, ok bool)
}

var recipes = []recipe{
	{[]string{"terraform/aws-sg-open-*", "ckv_aws_24", "ckv_aws_25", "ckv_aws_260", "ckv_aws_277", "avd-aws-0107", "aws-0107", "ec2.13", "ec2.14", "ec2.18", "ec2.19", "ec2_securitygroup_allow_ingress_*"}, closePort},
	{[]string{"terraform/aws-s3-acl-public-*", "terraform/aws-s3-acl-authenticated", "terraform/aws-s3-block-public-*", "terraform/aws-s3-ignore-public-acls", "terraform/aws-s3-restrict-public-buckets", "terraform/aws-s3-public-access-block", "terraform/aws-s3-policy-anybody",
		"ckv_aws_20", "ckv_aws_57", "ckv_aws_53", "ckv_aws_54", "ckv_aws_55", "ckv_aws_56", "ckv2_aws_6", "ckv_aws_70", "s3.2", "s3.3", "s3.8", "s3_bucket_public_access", "s3_bucket_level_public_access_block"}, closeBucket},
	{[]string{"terraform/aws-rds-public", "ckv_aws_17", "avd-aws-0180", "aws-0180", "rds.2", "rds_instance_no_public_access"}, closeDatabase},
	{[]string{"terraform/aws-eks-public-*", "ckv_aws_38", "ckv_aws_39", "avd-aws-0040", "avd-aws-0041", "aws-0040", "aws-0041", "eks.1", "eks_cluster_not_publicly_accessible"}, closeCluster},
	{[]string{"iam.3", "iam.8", "iam.22", "iam_rotate_access_key_90_days", "iam_user_accesskey_unused"}, disableKey},
	{[]string{"terraform/google-firewall-open-*", "ckv_gcp_2", "ckv_gcp_3", "ckv_gcp_88", "ckv_gcp_106", "avd-gcp-0027", "gcp-0027", "compute_firewall_ssh_access_from_the_internet_allowed", "compute_firewall_rdp_access_from_the_internet_allowed"}, disableFirewall},
	{[]string{"terraform/google-bucket-public", "terraform/google-bucket-public-prevention", "ckv_gcp_28", "ckv_gcp_114", "avd-gcp-0001", "gcp-0001", "cloudstorage_bucket_public_access"}, closeGoogleBucket},
	{[]string{"terraform/azure-nsg-open-*", "ckv_azure_9", "ckv_azure_10", "ckv_azure_160", "avd-azu-0047", "avd-azu-0048", "avd-azu-0050", "network_ssh_internet_access_restricted", "network_rdp_internet_access_restricted"}, denyAzureRule},
	{[]string{"terraform/azure-storage-public-blobs", "terraform/azure-storage-container-public", "ckv_azure_34", "ckv_azure_190", "storage_blob_public_access_level_is_disabled"}, closeAzureBlobs},
}

func (r *recipe) fits(flaw *fix.Flaw) bool {
	return slices.ContainsFunc(flaw.Rules, func(rule string) bool {
		rule = strings.ToLower(rule)
		return slices.ContainsFunc(r.rules, func(own string) bool {
			stem, open := strings.CutSuffix(own, "*")
			return own == rule || open && strings.HasPrefix(rule, stem)
		})
	})
}

// stopgaps lists what can be done on what runs.
func stopgaps(site *fix.Site, flaw *fix.Flaw) []fix.Path {
	var paths []fix.Path
	for _, asset := range flaw.Assets {
		if asset.Kind == fact.AssetKubernetes || asset.Kind == fact.AssetWorkload {
			if p, ok := scaleDown(flaw, asset.Key); ok {
				paths = append(paths, p)
			}
			continue
		}
		for i := range recipes {
			if !recipes[i].fits(flaw) {
				continue
			}
			p, why, ok := recipes[i].make(flaw, asset.Key)
			switch {
			case ok:
				paths = append(paths, stopgap(p, flaw))
			case why != "":
				site.Block("no stopgap: " + why)
			}
		}
	}
	return paths
}

func stopgap(p fix.Path, flaw *fix.Flaw) fix.Path {
	p.Kind, p.Temporary, p.Expires, p.Effort = fix.Stopgap, true, stopgapHours, fix.EffortSmall
	if p.Risk == "" {
		p.Risk = "major" // what uses it stops working
	}
	if p.Reach == "" {
		p.Reach = "this one only"
	}
	p.Steps = append(p.Steps, fix.Step{Text: fmt.Sprintf("open the durable change: within %d hours the next run of what declares it may take the stopgap back, or the stopgap hides that nothing was mended", stopgapHours)})
	return finish(p, flaw)
}

// closePort takes a rule out of a security group. Its ports and ranges have to be known,
// since they name the rule.
func closePort(flaw *fix.Flaw, key string) (fix.Path, string, bool) {
	name, ok := parseARN(key)
	id, isGroup := strings.CutPrefix(name.resource, "security-group/")
	if !ok || name.service != "ec2" || !isGroup {
		return fix.Path{}, "", false
	}
	if !groupID.MatchString(id) || name.region == "" {
		return fix.Path{}, "the name of the security group has no known form", false
	}
	var permissions []string
	for _, f := range flaw.Seen {
		proto, from, to := f.Attributes["protocol"], f.Attributes["from_port"], f.Attributes["to_port"]
		var ranges []string
		if err := json.Unmarshal([]byte(f.Attributes["value"]), &ranges); err != nil {
			var single string
			if json.Unmarshal([]byte(f.Attributes["value"]), &single) != nil {
				continue
			}
			ranges = []string{single}
		}
		if !protocol.MatchString(proto) || proto != "-1" && (!port.MatchString(from) || !port.MatchString(to)) {
			continue
		}
		for _, r := range ranges {
			if !cidr.MatchString(r) || !strings.HasSuffix(r, "/0") {
				continue
			}
			kind, word := "IpRanges", "CidrIp"
			if strings.Contains(r, ":") {
				kind, word = "Ipv6Ranges", "CidrIpv6"
			}
			ports := ""
			if proto != "-1" {
				ports = "FromPort=" + from + ",ToPort=" + to + ","
			}
			permission := fmt.Sprintf("IpProtocol=%s,%s%s=[{%s=%s}]", proto, ports, kind, word, r)
			if !slices.Contains(permissions, permission) {
				permissions = append(permissions, permission)
			}
		}
	}
	if len(permissions) == 0 {
		return fix.Path{}, "which protocol, ports and ranges the open rule of the security group has is not known, and they name the rule", false
	}
	p := fix.Path{Summary: "take the open rule out of " + id, Steps: []fix.Step{{
		Text: "see that the rule stands as it is declared, and keep the answer", Command: command("aws", "ec2", "describe-security-groups", "--region", name.region, "--group-ids", id),
	}}}
	for _, permission := range permissions {
		p.Steps = append(p.Steps, fix.Step{Text: "take it out", Command: command("aws", "ec2", "revoke-security-group-ingress", "--region", name.region, "--group-id", id, "--ip-permissions", permission)})
		p.Undo = append(p.Undo, fix.Step{Text: "put it back", Command: command("aws", "ec2", "authorize-security-group-ingress", "--region", name.region, "--group-id", id, "--ip-permissions", permission)})
	}
	return p, "", true
}

// closeBucket turns a bucket's public access off.
func closeBucket(_ *fix.Flaw, key string) (fix.Path, string, bool) {
	a, ok := parseARN(key)
	if !ok || a.service != "s3" {
		return fix.Path{}, "", false
	}
	if !bucket.MatchString(a.resource) {
		return fix.Path{}, "the name of the bucket has no known form", false
	}
	const on = "BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true"
	return fix.Path{Summary: "turn public access to the bucket off", Steps: []fix.Step{
		{Text: "keep what is set now: it is what the way back puts in place", Command: command("aws", "s3api", "get-public-access-block", "--bucket", a.resource)},
		{Text: "turn it off", Command: command("aws", "s3api", "put-public-access-block", "--bucket", a.resource, "--public-access-block-configuration", on)},
	}, Undo: []fix.Step{
		{Text: "where nothing was set before", Command: command("aws", "s3api", "delete-public-access-block", "--bucket", a.resource)},
		{Text: "else put the kept values in place with put-public-access-block"},
	}}, "", true
}

func closeDatabase(_ *fix.Flaw, key string) (fix.Path, string, bool) {
	a, ok := parseARN(key)
	id, isDB := strings.CutPrefix(a.resource, "db:")
	if !ok || a.service != "rds" || !isDB {
		return fix.Path{}, "", false
	}
	if !instance.MatchString(id) || a.region == "" {
		return fix.Path{}, "the name of the database has no known form", false
	}
	words := func(last string) string {
		return command("aws", "rds", "modify-db-instance", "--region", a.region, "--db-instance-identifier", id, last, "--apply-immediately")
	}
	return fix.Path{
		Summary: "take the database off the internet",
		Steps:   []fix.Step{{Text: "connections from outside of its network end", Command: words("--no-publicly-accessible")}},
		Undo:    []fix.Step{{Text: "let it be reached again", Command: words("--publicly-accessible")}},
	}, "", true
}

func closeCluster(_ *fix.Flaw, key string) (fix.Path, string, bool) {
	a, ok := parseARN(key)
	name, isCluster := strings.CutPrefix(a.resource, "cluster/")
	if !ok || a.service != "eks" || !isCluster {
		return fix.Path{}, "", false
	}
	if !cluster.MatchString(name) || a.region == "" {
		return fix.Path{}, "the name of the cluster has no known form", false
	}
	words := func(config string) string {
		return command("aws", "eks", "update-cluster-config", "--region", a.region, "--name", name, "--resources-vpc-config", config)
	}
	return fix.Path{
		Summary: "take the cluster's API off the internet",
		Steps: []fix.Step{
			{Text: "keep what is set now, and make sure that you reach the cluster from inside its network", Command: command("aws", "eks", "describe-cluster", "--region", a.region, "--name", name, "--query", "cluster.resourcesVpcConfig")},
			{Text: "leave the private way only", Command: words("endpointPublicAccess=false,endpointPrivateAccess=true")},
		},
		Undo: []fix.Step{{Text: "open it again; the addresses that may connect stay as they were", Command: words("endpointPublicAccess=true")}},
	}, "", true
}

// disableKey turns an access key off, where a detector names it.
func disableKey(flaw *fix.Flaw, key string) (fix.Path, string, bool) {
	a, ok := parseARN(key)
	path, isUser := strings.CutPrefix(a.resource, "user/")
	if !ok || a.service != "iam" || !isUser {
		return fix.Path{}, "", false
	}
	user := path[strings.LastIndexByte(path, '/')+1:]
	var id string
	for _, f := range flaw.Told {
		for _, name := range []string{"access_key_id", "accessKeyId", "AccessKeyId"} {
			if accessKey.MatchString(f.Attributes[name]) {
				id = f.Attributes[name]
			}
		}
	}
	if !userName.MatchString(user) || id == "" {
		return fix.Path{}, "which access key it is about is not known", false
	}
	words := func(status string) string {
		return command("aws", "iam", "update-access-key", "--user-name", user, "--access-key-id", id, "--status", status)
	}
	return fix.Path{
		Summary: "turn the access key off",
		Steps: []fix.Step{
			{Text: "see when and for what it was used last", Command: command("aws", "iam", "get-access-key-last-used", "--access-key-id", id)},
			{Text: "what uses the key stops working", Command: words("Inactive")},
		},
		Undo: []fix.Step{{Text: "turn it on again", Command: words("Active")}},
	}, "", true
}

func disableFirewall(_ *fix.Flaw, key string) (fix.Path, string, bool) {
	rest, ok := strings.CutPrefix(key, "//compute.googleapis.com/projects/")
	owner, name, cut := strings.Cut(rest, "/global/firewalls/")
	if !ok || !cut {
		return fix.Path{}, "", false
	}
	if !project.MatchString(owner) || !label.MatchString(name) {
		return fix.Path{}, "the name of the firewall rule has no known form", false
	}
	words := func(last string) string {
		return command("gcloud", "compute", "firewall-rules", "update", name, "--project", owner, last)
	}
	return fix.Path{
		Summary: "turn the firewall rule off",
		Steps:   []fix.Step{{Text: "connections that the rule lets in end", Command: words("--disabled")}},
		Undo:    []fix.Step{{Text: "turn it on again", Command: words("--no-disabled")}},
	}, "", true
}

func closeGoogleBucket(_ *fix.Flaw, key string) (fix.Path, string, bool) {
	rest, ok := strings.CutPrefix(key, "//storage.googleapis.com/")
	if !ok {
		return fix.Path{}, "", false
	}
	name := rest[strings.LastIndexByte(rest, '/')+1:]
	if !bucket.MatchString(name) {
		return fix.Path{}, "the name of the bucket has no known form", false
	}
	return fix.Path{
		Summary: "keep the bucket from being public",
		Steps: []fix.Step{
			{Text: "keep what is set now", Command: command("gcloud", "storage", "buckets", "describe", "gs://"+name, "--format=value(public_access_prevention)")},
			{Text: "what is public stops being so", Command: command("gcloud", "storage", "buckets", "update", "gs://"+name, "--public-access-prevention")},
		},
		Undo: []fix.Step{{Text: "where it was inherited before", Command: command("gcloud", "storage", "buckets", "update", "gs://"+name, "--no-public-access-prevention")}},
	}, "", true
}

func denyAzureRule(_ *fix.Flaw, key string) (fix.Path, string, bool) {
	lower := strings.ToLower(key)
	if !strings.Contains(lower, "/networksecuritygroups/") || !strings.Contains(lower, "/securityrules/") {
		return fix.Path{}, "", false
	}
	if !azureID.MatchString(key) {
		return fix.Path{}, "the id of the rule has no known form", false
	}
	return fix.Path{
		Summary: "deny what the rule lets in",
		Steps:   []fix.Step{{Text: "connections that the rule lets in end", Command: command("az", "network", "nsg", "rule", "update", "--ids", key, "--access", "Deny")}},
		Undo:    []fix.Step{{Text: "let it in again", Command: command("az", "network", "nsg", "rule", "update", "--ids", key, "--access", "Allow")}},
	}, "", true
}

func closeAzureBlobs(_ *fix.Flaw, key string) (fix.Path, string, bool) {
	lower := strings.ToLower(key)
	if !strings.Contains(lower, "/storageaccounts/") || strings.Contains(lower, "/blobservices/") {
		return fix.Path{}, "", false
	}
	if !azureID.MatchString(key) {
		return fix.Path{}, "the id of the storage account has no known form", false
	}
	words := func(on string) string {
		return command("az", "storage", "account", "update", "--ids", key, "--allow-blob-public-access", on)
	}
	return fix.Path{
		Summary: "keep the account's blobs from being public",
		Steps:   []fix.Step{{Text: "what is public stops being so", Command: words("false")}},
		Undo:    []fix.Step{{Text: "allow it again", Command: words("true")}},
	}, "", true
}

// scaleDown stops a workload of Kubernetes. It is for what cannot wait.
func scaleDown(flaw *fix.Flaw, key string) (fix.Path, bool) {
	if flaw.Severity < fact.SeverityHigh {
		return fix.Path{}, false
	}
	words := strings.Split(key, "/")
	if len(words) < 4 {
		return fix.Path{}, false
	}
	name, kind, namespace := words[len(words)-1], words[len(words)-2], words[len(words)-3]
	kind, _, _ = strings.Cut(kind, ".")
	kind = strings.ToLower(kind)
	if !slices.Contains([]string{"deployment", "statefulset", "replicaset"}, kind) || !dnsName.MatchString(name) || !label.MatchString(namespace) {
		return fix.Path{}, false
	}
	object := kind + "/" + name
	return stopgap(fix.Path{
		Summary: "stop " + object + " until it is mended",
		Steps: []fix.Step{
			{Text: "make sure that this is the cluster that is meant, and keep the number of replicas", Command: command("kubectl", "-n", namespace, "get", object, "-o", "jsonpath={.spec.replicas}")},
			{Text: "what it serves is down from now on; an autoscaler or a GitOps controller may start it again", Command: command("kubectl", "-n", namespace, "scale", object, "--replicas=0")},
		},
		Undo: []fix.Step{{Text: "scale it to the number of replicas that was kept: kubectl scale with --replicas"}},
	}, flaw), true
}
