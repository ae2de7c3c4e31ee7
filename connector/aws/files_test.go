package aws

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/backstitch/backstitch/connector/connectortest"
	"github.com/backstitch/backstitch/fact"
)

// estate is an exported account: files named after what was asked.
const estate = `
-- caller.json --
{"UserId": "AIDA", "Account": "111122223333", "Arn": "arn:aws:iam::111122223333:user/ci"}
-- eu-west-1/instances.json --
{"Reservations": [{"OwnerId": "111122223333", "Instances": [
 {"InstanceId": "i-1", "ImageId": "ami-1", "State": {"Name": "running"}, "SubnetId": "subnet-1", "VpcId": "vpc-1", "PublicIpAddress": "192.0.2.1",
  "Placement": {"AvailabilityZone": "eu-west-1a"}, "IamInstanceProfile": {"Arn": "arn:aws:iam::111122223333:instance-profile/web"},
  "SecurityGroups": [{"GroupId": "sg-1"}], "Tags": [{"Key": "Name", "Value": "web"}, {"Key": "team", "Value": "shop"}]},
 {"InstanceId": "i-2", "State": {"Name": "terminated"}}]}]}
-- eu-west-1/groups.json --
{"SecurityGroups": [{"GroupId": "sg-1", "GroupName": "web", "OwnerId": "111122223333", "VpcId": "vpc-1", "IpPermissions": [
  {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
  {"IpProtocol": "tcp", "FromPort": 8000, "ToPort": 8010, "IpRanges": [{"CidrIp": "10.0.0.0/8"}], "UserIdGroupPairs": [{"GroupId": "sg-2", "UserId": "111122223333"}]}]}]}
-- eu-west-1/task.json --
{"taskDefinition": {"taskDefinitionArn": "arn:aws:ecs:eu-west-1:111122223333:task-definition/shop:3", "family": "shop", "taskRoleArn": "arn:aws:iam::111122223333:role/shop",
  "containerDefinitions": [{"name": "app", "image": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/shop:1.2", "environment": [{"name": "DB_PASSWORD", "value": "hunter2-in-the-open"}]}]},
 "tags": [{"key": "team", "value": "shop"}]}
-- eu-west-1/function.json --
{"Configuration": {"FunctionName": "pay", "FunctionArn": "arn:aws:lambda:eu-west-1:111122223333:function:pay", "Role": "arn:aws:iam::111122223333:role/pay", "PackageType": "Image",
  "Environment": {"Variables": {"TOKEN": "hunter2-in-the-open"}}},
 "Code": {"Location": "https://signed.example/?X-Amz-Signature=hunter2-in-the-open", "ImageUri": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/pay:7", "ResolvedImageUri": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/pay@sha256:aa"}}
-- eu-west-1/images.json --
{"imageDetails": [{"registryId": "111122223333", "repositoryName": "shop", "imageDigest": "sha256:bb", "imageTags": ["1.2", "latest"]}]}
-- iam.json --
{"RoleDetailList": [{"Arn": "arn:aws:iam::111122223333:role/shop", "RoleName": "shop", "RoleId": "AROA1",
  "AssumeRolePolicyDocument": "%7B%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Principal%22%3A%7B%22AWS%22%3A%22999988887777%22%2C%22Service%22%3A%22ecs-tasks.amazonaws.com%22%7D%2C%22Action%22%3A%22sts%3AAssumeRole%22%7D%5D%7D",
  "RolePolicyList": [{"PolicyName": "read", "PolicyDocument": {"Statement": {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": "arn:aws:s3:::shop-data/*"}}}],
  "AttachedManagedPolicies": [{"PolicyName": "own", "PolicyArn": "arn:aws:iam::111122223333:policy/own"}],
  "InstanceProfileList": [{"Arn": "arn:aws:iam::111122223333:instance-profile/web", "Roles": [{"Arn": "arn:aws:iam::111122223333:role/shop"}]}]}],
 "Policies": [{"PolicyName": "own", "Arn": "arn:aws:iam::111122223333:policy/own", "PolicyVersionList": [{"IsDefaultVersion": true, "Document": {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}}]}], "IsTruncated": false}
-- bucket=shop-data,policy-status.json --
{"PolicyStatus": {"IsPublic": true}}
-- bucket=shop-data,block.json --
{"PublicAccessBlockConfiguration": {"BlockPublicAcls": true, "IgnorePublicAcls": true, "BlockPublicPolicy": false, "RestrictPublicBuckets": false}}
-- lb.json --
{"LoadBalancers": [{"LoadBalancerArn": "arn:aws:elasticloadbalancing:eu-west-1:111122223333:loadbalancer/app/shop/1", "LoadBalancerName": "shop", "Scheme": "internet-facing", "Type": "application", "SecurityGroups": ["sg-1"]}]}
-- listeners.json --
{"Listeners": [{"ListenerArn": "arn:aws:elasticloadbalancing:eu-west-1:111122223333:listener/app/shop/1/2", "LoadBalancerArn": "arn:aws:elasticloadbalancing:eu-west-1:111122223333:loadbalancer/app/shop/1", "Port": 443, "Protocol": "HTTPS",
  "DefaultActions": [{"Type": "forward", "TargetGroupArn": "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/shop/3"}]}]}
-- services.json --
{"services": [{"serviceArn": "arn:aws:ecs:eu-west-1:111122223333:service/prod/shop", "serviceName": "shop", "clusterArn": "arn:aws:ecs:eu-west-1:111122223333:cluster/prod", "taskDefinition": "arn:aws:ecs:eu-west-1:111122223333:task-definition/shop:3",
  "loadBalancers": [{"targetGroupArn": "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/shop/3", "containerName": "app"}]}], "failures": []}
-- findings.json --
{"Findings": [{"SchemaVersion": "2018-10-08", "Id": "f1", "ProductArn": "arn:aws:securityhub:eu-west-1::product/aws/securityhub"}]}
-- other.json --
{"Queues": [{"QueueArn": "arn:aws:sqs:eu-west-1:111122223333:jobs", "Tags": {"team": "shop"}}]}
`

func unpack(t *testing.T, archive string) string {
	t.Helper()
	dir := t.TempDir()
	for _, file := range txtar.Parse([]byte(archive)).Files {
		name := filepath.Join(dir, filepath.FromSlash(file.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, file.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestExportedAnswersHoldWhatEverySourceMust(t *testing.T) {
	t.Parallel()
	connectortest.Conformance(t, New(), map[string]string{"path": unpack(t, estate)})
}

func TestAnExportedAccountLeadsFromTheInternetToImagesAndRoles(t *testing.T) {
	t.Parallel()
	r := &connectortest.Recorder{}
	if err := connectortest.Run(t, New(), map[string]string{"path": unpack(t, estate)}, r); err != nil {
		t.Fatal(err)
	}
	if len(r.Gaps) > 0 {
		t.Errorf("gaps: %v", r.Gaps)
	}
	const (
		arn  = "arn:aws:ec2:eu-west-1:111122223333:"
		elb  = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:"
		ecr  = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/"
		role = "arn:aws:iam::111122223333:role/"
		task = "arn:aws:ecs:eu-west-1:111122223333:task-definition/shop:3"
		shop = "arn:aws:ecs:eu-west-1:111122223333:service/prod/shop"
		pay  = "arn:aws:lambda:eu-west-1:111122223333:function:pay"
	)
	for kind, want := range map[fact.RelationKind][]string{
		fact.Exposes: {
			arn + "security-group/sg-2 -> " + arn + "security-group/sg-1",
			elb + "loadbalancer/app/shop/1 -> " + elb + "targetgroup/shop/3",
			elb + "targetgroup/shop/3 -> " + shop,
			"internet -> " + arn + "security-group/sg-1",
			"internet -> " + elb + "loadbalancer/app/shop/1",
			"internet -> arn:aws:s3:::shop-data",
		},
		fact.InstanceOf: {
			ecr + "shop:1.2 -> sha256:bb",
			ecr + "shop:latest -> sha256:bb",
			arn + "instance/i-1 -> arn:aws:ec2:eu-west-1::image/ami-1",
			task + " -> " + ecr + "shop:1.2",
			pay + " -> sha256:aa",
		},
		fact.RunsAs: {
			arn + "instance/i-1 -> arn:aws:iam::111122223333:instance-profile/web",
			task + " -> " + role + "shop",
			"arn:aws:iam::111122223333:instance-profile/web -> " + role + "shop",
			pay + " -> " + role + "pay",
		},
		fact.CanAssume: {"arn:aws:iam::999988887777:root -> " + role + "shop"},
		fact.MayAct:    {role + "shop -> arn:aws:s3:::shop-data/*", role + "shop -> aws/111122223333"},
		fact.Controls:  {shop + " -> " + task},
		fact.Guards: {
			arn + "security-group/sg-1 -> " + arn + "instance/i-1",
			arn + "security-group/sg-1 -> " + elb + "loadbalancer/app/shop/1",
		},
	} {
		got := r.Edges(kind)
		if diff := cmp.Diff(sortedCopy(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", kind, diff)
		}
	}
	for _, test := range []struct{ kind, key, property, want string }{
		{fact.AssetResource, arn + "instance/i-1", "tag:team", "shop"},
		{fact.AssetResource, arn + "instance/i-1", "arn", arn + "instance/i-1"},
		{fact.AssetResource, arn + "instance/i-1", "id", "i-1"},
		{fact.AssetResource, arn + "instance/i-1", "name", "web"},
		{fact.AssetResource, arn + "security-group/sg-1", "open_to_world", "tcp/22"},
		{fact.AssetResource, "arn:aws:s3:::shop-data", "public_access_block", "without BlockPublicPolicy, RestrictPublicBuckets"},
		{fact.AssetIdentity, role + "shop", "privileges", "admin"},
		{fact.AssetIdentity, role + "shop", "trusted_services", "ecs-tasks.amazonaws.com"},
		{fact.AssetResource, "arn:aws:sqs:eu-west-1:111122223333:jobs", "tag:team", "shop"},
		{fact.AssetResource, task, "environment_names", "DB_PASSWORD"},
	} {
		if node, ok := r.Asset(test.kind, test.key); !ok || node.Properties[test.property] != test.want {
			t.Errorf("%s %s: property %s is %q, want %q", test.kind, test.key, test.property, node.Properties[test.property], test.want)
		}
	}
	if _, there := r.Asset(fact.AssetResource, arn+"instance/i-2"); there {
		t.Error("a terminated instance is told of")
	}
	if len(r.Reports) != 1 || !strings.Contains(r.Reports[0].Value.Data, `"Id": "f1"`) {
		t.Errorf("reports: %v", r.Reports)
	}
	if text := strings.Join(r.Lines(), "\n"); strings.Contains(text, "hunter2") {
		t.Error("a secret of the answers is in what the source says")
	}
}

func sortedCopy(list []string) []string {
	r := &connectortest.Recorder{}
	for _, edge := range list {
		from, to, _ := strings.Cut(edge, " -> ")
		r.Relations = append(r.Relations, connectortest.Fact[fact.Relation]{Value: fact.Relation{From: fact.Asset{Key: from}, To: fact.Asset{Key: to}}})
	}
	return r.Edges("")
}

func TestAnswersThatAreNotWholeAreGaps(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, file, answer, want string }{
		{"a page of several", "a.json", `{"Volumes": [{"VolumeId": "vol-1"}], "NextToken": "x"}`, "one page of several"},
		{"a cut file", "a.json", `{"Volumes": [{"Volu`, "unexpected end"},
		{"a list", "a.json", `[]`, "expected the answer"},
		{"an error", "a.json", `{"Error": {"Code": "AccessDenied", "Message": "no"}}`, "the answer is the error AccessDenied"},
		{"an unknown answer", "a.json", `{"Widgets": [{"Size": 1}]}`, "it has widgets"},
		{"tags of nothing", "a.json", `{"tags": [{"Key": "a", "Value": "b"}]}`, "not whose it is"},
		{"a bucket without its name", "a.json", `{"PolicyStatus": {"IsPublic": true}}`, "expected bucket=NAME"},
		{"a number for a name", "a.json", `{"Volumes": [{"VolumeId": 7}, {"VolumeId": "vol-2"}]}`, "element 0: VolumeID is a number"},
		{"what could not be described", "a.json", `{"services": [], "failures": [{"arn": "x", "reason": "DENIED"}]}`, "x: DENIED"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, test.file), []byte(test.answer), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "z.json"), []byte(`{"Vpcs": [{"VpcId": "vpc-1"}]}`), 0o600); err != nil {
			t.Fatal(err)
		}
		r := &connectortest.Recorder{}
		if err := connectortest.Run(t, New(), map[string]string{"path": dir}, r); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if len(r.Gaps) != 1 || !strings.Contains(r.Gaps[0].Value, test.want) {
			t.Errorf("%s: gaps %v, want one that says %q", test.name, r.Gaps, test.want)
		}
		if !cmp.Equal(r.Complete, []string{"z.json"}) {
			t.Errorf("%s: covered %v, want only the other file", test.name, r.Complete)
		}
	}
}

func TestRealAnswersAreMappedOrNamed(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(data(t), "cloud-api")
	for _, cloud := range []string{"aws", "azure", "gcp"} {
		r := &connectortest.Recorder{}
		if err := connectortest.Run(t, New(), map[string]string{"path": filepath.Join(dir, cloud)}, r); err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(dir, cloud, "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		told := map[string]bool{}
		for _, scope := range r.Complete {
			told[scope] = true
		}
		for _, gap := range r.Gaps {
			told[gap.Scope] = true
		}
		for _, file := range files {
			if !told[filepath.Base(file)] {
				t.Errorf("%s was neither mapped nor named", file)
			}
		}
		if cloud == "aws" && (len(r.Complete) < len(files)/2 || len(r.Nodes) < 300) {
			t.Errorf("of %d answers of AWS %d were mapped, to %d nodes", len(files), len(r.Complete), len(r.Nodes))
		}
		if cloud != "aws" && len(r.Nodes) > 0 {
			t.Errorf("%s: answers of another cloud became %d nodes", cloud, len(r.Nodes))
		}
	}
}

// data is the folder of real data.
func data(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("BACKSTITCH_DATA")
	if dir == "" {
		root, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
				break
			}
			if root == filepath.Dir(root) {
				t.Fatal("no go.mod above the test")
			}
			root = filepath.Dir(root)
		}
		dir = filepath.Join(filepath.Dir(root), "shared", "data")
	}
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("BACKSTITCH_DATA_REQUIRED") == "1" {
			t.Fatalf("no data folder: %v", err)
		}
		t.Skipf("no data folder: %v", err)
	}
	return dir
}

func FuzzAnAnswerNeverPanicsAndItsNodesAreNamed(f *testing.F) {
	for _, file := range txtar.Parse([]byte(estate)).Files {
		f.Add(file.Data)
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		r := &connectortest.Recorder{}
		data, err := unwrap(answer)
		if err != nil {
			return
		}
		m := &mapper{sink: r, scope: "f", at: place{source: "f", account: "111122223333", region: "eu-west-1"}, policies: map[string][]statement{}}
		err = m.read(data)
		if err == nil && len(r.Nodes)+len(r.Relations)+len(r.Reports) > 0 {
			if _, e := object(data); e != nil {
				t.Errorf("facts were read from what is no object: %v", e)
			}
		}
		for _, n := range r.Nodes {
			if n.Value.Key == "" || n.Value.Kind == "" {
				t.Errorf("a node without a name: %+v", n)
			}
			for property, value := range n.Value.Properties {
				if len(value) > maxProperty {
					t.Errorf("property %s has %d bytes", property, len(value))
				}
			}
		}
	})
}
