package aws

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/connector/aws/awstest"
	"github.com/backstitch/backstitch/connector/connectortest"
	"github.com/backstitch/backstitch/fact"
)

const (
	secretKey = "hunter2-secret-access-key"
	west      = "arn:aws:ec2:eu-west-1:111122223333:"
)

// cloud is an account with things in eu-west-1 and nothing in us-east-1.
func cloud(t *testing.T) (*awstest.Cloud, map[string]string) {
	t.Helper()
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
	c, address := awstest.New(t)
	c.Pages["ec2:DescribeRegions"] = []string{`<DescribeRegionsResponse><regionInfo><item><regionName>us-east-1</regionName></item><item><regionName>eu-west-1</regionName></item></regionInfo></DescribeRegionsResponse>`}
	c.Pages["eu-west-1/ec2:DescribeInstances"] = []string{
		`<DescribeInstancesResponse><reservationSet><item><ownerId>111122223333</ownerId><instancesSet><item><instanceId>i-1</instanceId><imageId>ami-1</imageId><instanceState><code>16</code><name>running</name></instanceState>
		 <placement><availabilityZone>eu-west-1a</availabilityZone></placement><iamInstanceProfile><arn>arn:aws:iam::111122223333:instance-profile/web</arn></iamInstanceProfile><groupSet><item><groupId>sg-1</groupId></item></groupSet>
		 <launchTime>2026-01-01T00:00:00.000Z</launchTime><tagSet><item><key>Name</key><value>web</value></item></tagSet></item></instancesSet></item></reservationSet><nextToken>page-2</nextToken></DescribeInstancesResponse>`,
		`<DescribeInstancesResponse><reservationSet><item><ownerId>111122223333</ownerId><instancesSet><item><instanceId>i-2</instanceId><instanceState><name>running</name></instanceState></item></instancesSet></item></reservationSet></DescribeInstancesResponse>`,
	}
	c.Pages["eu-west-1/ec2:DescribeSecurityGroups"] = []string{`<DescribeSecurityGroupsResponse><securityGroupInfo><item><ownerId>111122223333</ownerId><groupId>sg-1</groupId><groupName>web</groupName><ipPermissions><item><ipProtocol>tcp</ipProtocol><fromPort>443</fromPort><toPort>443</toPort><ipRanges><item><cidrIp>0.0.0.0/0</cidrIp></item></ipRanges></item></ipPermissions></item></securityGroupInfo></DescribeSecurityGroupsResponse>`}
	c.Pages["eu-west-1/ecs:ListClusters"] = []string{`{"clusterArns": ["arn:aws:ecs:eu-west-1:111122223333:cluster/prod"]}`}
	c.Pages["eu-west-1/ecs:DescribeClusters"] = []string{`{"clusters": [{"clusterArn": "arn:aws:ecs:eu-west-1:111122223333:cluster/prod", "clusterName": "prod", "status": "ACTIVE"}], "failures": []}`}
	c.Pages["eu-west-1/ecs:ListServices"] = []string{`{"serviceArns": ["arn:aws:ecs:eu-west-1:111122223333:service/prod/shop"]}`}
	c.Pages["eu-west-1/ecs:DescribeServices"] = []string{`{"services": [{"serviceArn": "arn:aws:ecs:eu-west-1:111122223333:service/prod/shop", "serviceName": "shop", "clusterArn": "arn:aws:ecs:eu-west-1:111122223333:cluster/prod", "taskDefinition": "arn:aws:ecs:eu-west-1:111122223333:task-definition/shop:3", "createdAt": 1700000000.5}], "failures": []}`}
	c.Pages["eu-west-1/ecs:ListTasks"] = []string{`{"taskArns": ["arn:aws:ecs:eu-west-1:111122223333:task/prod/1"]}`}
	c.Pages["eu-west-1/ecs:DescribeTasks"] = []string{`{"tasks": [{"taskArn": "arn:aws:ecs:eu-west-1:111122223333:task/prod/1", "clusterArn": "arn:aws:ecs:eu-west-1:111122223333:cluster/prod", "taskDefinitionArn": "arn:aws:ecs:eu-west-1:111122223333:task-definition/shop:3", "containers": [{"name": "app", "image": "registry.test/shop:1.2", "imageDigest": "sha256:cc"}]}], "failures": []}`}
	c.Pages["eu-west-1/ecs:DescribeTaskDefinition"] = []string{`{"taskDefinition": {"taskDefinitionArn": "arn:aws:ecs:eu-west-1:111122223333:task-definition/shop:3", "family": "shop", "taskRoleArn": "arn:aws:iam::111122223333:role/shop", "containerDefinitions": [{"name": "app", "image": "registry.test/shop:1.2", "environment": [{"name": "PASSWORD", "value": "hunter2-in-a-variable"}]}]}, "tags": []}`}
	c.Pages["eu-west-1/eks:ListClusters"] = []string{`{"clusters": ["k8s"]}`}
	c.Pages["eu-west-1/eks:DescribeCluster"] = []string{`{"cluster": {"name": "k8s", "arn": "arn:aws:eks:eu-west-1:111122223333:cluster/k8s", "version": "1.31", "roleArn": "arn:aws:iam::111122223333:role/eks", "createdAt": 1700000000.5, "resourcesVpcConfig": {"endpointPublicAccess": true, "publicAccessCidrs": ["0.0.0.0/0"]}}}`}
	c.Pages["eu-west-1/eks:ListNodegroups"] = []string{`{"nodegroups": ["blue"]}`}
	c.Pages["eu-west-1/eks:DescribeNodegroup"] = []string{`{"nodegroup": {"nodegroupName": "blue", "nodegroupArn": "arn:aws:eks:eu-west-1:111122223333:nodegroup/k8s/blue/1", "clusterName": "k8s", "nodeRole": "arn:aws:iam::111122223333:role/node"}}`}
	c.Pages["eu-west-1/lambda:ListFunctions"] = []string{
		`{"Functions": [{"FunctionName": "pay", "FunctionArn": "arn:aws:lambda:eu-west-1:111122223333:function:pay"}], "NextMarker": "page-2"}`,
		`{"Functions": []}`,
	}
	c.Pages["eu-west-1/lambda:GetFunction"] = []string{`{"Configuration": {"FunctionName": "pay", "FunctionArn": "arn:aws:lambda:eu-west-1:111122223333:function:pay", "Role": "arn:aws:iam::111122223333:role/pay", "PackageType": "Image"}, "Code": {"Location": "https://x/?X-Amz-Signature=hunter2", "ImageUri": "registry.test/pay:7", "ResolvedImageUri": "registry.test/pay@sha256:dd"}, "Tags": {"team": "shop"}}`}
	c.Pages["eu-west-1/lambda:ListFunctionUrlConfigs"] = []string{`{"FunctionUrlConfigs": [{"FunctionUrl": "https://pay.test/", "FunctionArn": "arn:aws:lambda:eu-west-1:111122223333:function:pay", "AuthType": "NONE", "CreationTime": "x", "LastModifiedTime": "x"}]}`}
	c.Pages["eu-west-1/ecr:DescribeRepositories"] = []string{`{"repositories": [{"repositoryArn": "arn:aws:ecr:eu-west-1:111122223333:repository/shop", "registryId": "111122223333", "repositoryName": "shop", "repositoryUri": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/shop", "createdAt": 1700000000}]}`}
	c.Pages["eu-west-1/ecr:DescribeImages"] = []string{`{"imageDetails": [{"registryId": "111122223333", "repositoryName": "shop", "imageDigest": "sha256:ee", "imageTags": ["1.2"]}]}`}
	c.Pages["eu-west-1/elasticloadbalancing:DescribeLoadBalancers"] = []string{`<DescribeLoadBalancersResponse><DescribeLoadBalancersResult><LoadBalancers><member><LoadBalancerArn>arn:aws:elasticloadbalancing:eu-west-1:111122223333:loadbalancer/app/shop/1</LoadBalancerArn><LoadBalancerName>shop</LoadBalancerName><Scheme>internet-facing</Scheme><Type>application</Type></member></LoadBalancers></DescribeLoadBalancersResult></DescribeLoadBalancersResponse>`}
	c.Pages["eu-west-1/elasticloadbalancing:DescribeTargetGroups"] = []string{`<DescribeTargetGroupsResponse><DescribeTargetGroupsResult><TargetGroups><member><TargetGroupArn>arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/shop/3</TargetGroupArn><TargetGroupName>shop</TargetGroupName><LoadBalancerArns><member>arn:aws:elasticloadbalancing:eu-west-1:111122223333:loadbalancer/app/shop/1</member></LoadBalancerArns></member></TargetGroups></DescribeTargetGroupsResult></DescribeTargetGroupsResponse>`}
	c.Pages["eu-west-1/elasticloadbalancing:DescribeTargetHealth"] = []string{`<DescribeTargetHealthResponse><DescribeTargetHealthResult><TargetHealthDescriptions><member><Target><Id>i-1</Id><Port>8080</Port></Target><TargetHealth><State>healthy</State></TargetHealth></member></TargetHealthDescriptions></DescribeTargetHealthResult></DescribeTargetHealthResponse>`}
	c.Pages["eu-west-1/rds:DescribeDBInstances"] = []string{`<DescribeDBInstancesResponse><DescribeDBInstancesResult><DBInstances><DBInstance><DBInstanceArn>arn:aws:rds:eu-west-1:111122223333:db:shop</DBInstanceArn><DBInstanceIdentifier>shop</DBInstanceIdentifier><PubliclyAccessible>true</PubliclyAccessible><VpcSecurityGroups><VpcSecurityGroupMembership><VpcSecurityGroupId>sg-1</VpcSecurityGroupId></VpcSecurityGroupMembership></VpcSecurityGroups></DBInstance></DBInstances></DescribeDBInstancesResult></DescribeDBInstancesResponse>`}
	c.Pages["s3:ListBuckets"] = []string{`<ListAllMyBucketsResult><Buckets><Bucket><Name>shop-data</Name><BucketRegion>eu-west-1</BucketRegion></Bucket></Buckets></ListAllMyBucketsResult>`}
	c.Pages["s3:GetBucketPolicyStatus"] = []string{`<PolicyStatus><IsPublic>true</IsPublic></PolicyStatus>`}
	c.Pages["s3:GetBucketTagging"] = []string{`<Tagging><TagSet><Tag><Key>team</Key><Value>shop</Value></Tag></TagSet></Tagging>`}
	c.Pages["iam:GetAccountAuthorizationDetails"] = []string{`<GetAccountAuthorizationDetailsResponse><GetAccountAuthorizationDetailsResult><IsTruncated>false</IsTruncated><RoleDetailList><member><Arn>arn:aws:iam::111122223333:role/shop</Arn><RoleName>shop</RoleName><RoleId>AROA1</RoleId><AssumeRolePolicyDocument>%7B%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Principal%22%3A%7B%22AWS%22%3A%22arn%3Aaws%3Aiam%3A%3A999988887777%3Aroot%22%7D%2C%22Action%22%3A%22sts%3AAssumeRole%22%7D%5D%7D</AssumeRolePolicyDocument></member></RoleDetailList></GetAccountAuthorizationDetailsResult></GetAccountAuthorizationDetailsResponse>`}
	c.Pages["organizations:ListAccounts"] = []string{`{"Accounts": [{"Id": "111122223333", "Arn": "arn:aws:organizations::111122223333:account/o-1/111122223333", "Name": "prod", "Status": "ACTIVE"}]}`}
	c.Pages["eu-west-1/tagging:GetResources"] = []string{`{"ResourceTagMappingList": [{"ResourceARN": "arn:aws:sqs:eu-west-1:111122223333:jobs", "Tags": [{"Key": "team", "Value": "shop"}]}]}`}
	c.Pages["eu-west-1/securityhub:GetFindings"] = []string{
		`{"Findings": [{"SchemaVersion": "2018-10-08", "Id": "f1", "ProductArn": "p", "AwsAccountId": "111122223333", "Severity": {"Label": "HIGH"}}], "NextToken": "page-2"}`,
		`{"Findings": [{"SchemaVersion": "2018-10-08", "Id": "f2", "ProductArn": "p", "AwsAccountId": "111122223333"}]}`,
	}
	c.Pages["eu-west-1/inspector2:ListFindings"] = []string{`{"findings": [{"findingArn": "arn:aws:inspector2:eu-west-1:111122223333:finding/1", "awsAccountId": "111122223333", "severity": "HIGH", "firstObservedAt": 1700000000.5, "inspectorScore": 6.5}]}`}
	return c, map[string]string{"endpoint": address, "access-key": "AKIAEXAMPLE", "secret-key": secretKey}
}

func impatient() source { return source{backoff: time.Millisecond} }

func TestTheAPIsHoldWhatEverySourceMust(t *testing.T) {
	_, given := cloud(t)
	connectortest.Conformance(t, impatient(), given)
}

func TestALiveAccountIsSeenPageByPageInEveryRegion(t *testing.T) {
	c, given := cloud(t)
	r := &connectortest.Recorder{}
	if err := connectortest.Run(t, impatient(), given, r); err != nil {
		t.Fatal(err)
	}
	if len(r.Gaps) > 0 {
		t.Errorf("gaps: %v", r.Gaps)
	}
	for _, scope := range []string{"111122223333/eu-west-1/ec2:instances", "111122223333/us-east-1/ec2:instances", "111122223333/global/iam:identities", "111122223333/eu-west-1/ecr:images"} {
		if !slices.Contains(r.Complete, scope) {
			t.Errorf("%s is not covered", scope)
		}
	}
	const elb = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:"
	want := []string{
		elb + "loadbalancer/app/shop/1 -> " + elb + "targetgroup/shop/3",
		elb + "targetgroup/shop/3 -> " + west + "instance/i-1",
		"internet -> " + elb + "loadbalancer/app/shop/1",
		"internet -> " + west + "security-group/sg-1",
		"internet -> arn:aws:eks:eu-west-1:111122223333:cluster/k8s",
		"internet -> arn:aws:lambda:eu-west-1:111122223333:function:pay",
		"internet -> arn:aws:s3:::shop-data",
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, r.Edges(fact.Exposes)); diff != "" {
		t.Errorf("exposes (-want +got):\n%s", diff)
	}
	images := r.Edges(fact.InstanceOf)
	for _, edge := range []string{
		"111122223333.dkr.ecr.eu-west-1.amazonaws.com/shop:1.2 -> sha256:ee",
		"arn:aws:ecs:eu-west-1:111122223333:task-definition/shop:3 -> sha256:cc",
		"arn:aws:lambda:eu-west-1:111122223333:function:pay -> sha256:dd",
	} {
		if !slices.Contains(images, edge) {
			t.Errorf("missing %s in %v", edge, images)
		}
	}
	for _, key := range []string{west + "instance/i-1", west + "instance/i-2", "arn:aws:rds:eu-west-1:111122223333:db:shop", "arn:aws:sqs:eu-west-1:111122223333:jobs"} {
		if _, seen := r.Asset(fact.AssetResource, key); !seen {
			t.Errorf("%s was not seen", key)
		}
	}
	var reports strings.Builder
	for _, report := range r.Reports {
		reports.WriteString(report.Value.Data)
	}
	for _, text := range []string{`"Id":"f1"`, `"Id":"f2"`, `"findingArn"`, `"firstObservedAt":"2023-11-14T22:13:20.5Z"`} {
		if !strings.Contains(reports.String(), text) {
			t.Errorf("the reports lack %s: %s", text, reports.String())
		}
	}
	if text := strings.Join(r.Lines(), "\n"); strings.Contains(text, "hunter2") || strings.Contains(text, "AKIAEXAMPLE") {
		t.Error("a secret is in what the source says")
	}
	if n := c.Calls("eu-west-1/ec2:DescribeInstances"); n != 2 {
		t.Errorf("instances were asked for %d times, want both pages once", n)
	}
}

func TestWhatFailsIsAGapAndTheRestGoesOn(t *testing.T) {
	const instances = "111122223333/eu-west-1/ec2:instances"
	for _, test := range []struct {
		name, call string
		failure    awstest.Failure
		gap        string // "" when the look is complete all the same
	}{
		{"throttled twice", "eu-west-1/ec2:DescribeInstances", awstest.Failure{Status: 429, Code: "RequestLimitExceeded", Times: 2}, ""},
		{"an internal error twice", "eu-west-1/ec2:DescribeInstances", awstest.Failure{Status: 500, Code: "InternalError", Times: 2}, ""},
		{"throttled for good", "eu-west-1/ec2:DescribeInstances", awstest.Failure{Status: 429, Code: "Throttling", Message: "Rate exceeded"}, "Rate exceeded"},
		{"an internal error for good", "eu-west-1/ec2:DescribeInstances", awstest.Failure{Status: 500, Code: "InternalError"}, "InternalError"},
		{"denied", "eu-west-1/ec2:DescribeInstances", awstest.Failure{Status: 403, Code: "UnauthorizedOperation", Message: "You are not authorized. Encoded authorization failure message: secret"}, "ec2:DescribeInstances: UnauthorizedOperation: You are not authorized."},
		{"half a page", "eu-west-1/ec2:DescribeInstances", awstest.Failure{}, "cut off"},
	} {
		c, given := cloud(t)
		c.Failures[test.call] = &test.failure
		r := &connectortest.Recorder{}
		if err := connectortest.Run(t, impatient(), given, r); err != nil {
			t.Errorf("%s: the run ended with %v", test.name, err)
			continue
		}
		if covered := slices.Contains(r.Complete, instances); covered != (test.gap == "") {
			t.Errorf("%s: the scope is covered: %t; gaps %v", test.name, covered, r.Gaps)
		}
		if test.gap != "" && (len(r.Gaps) != 1 || r.Gaps[0].Scope != instances || !strings.Contains(r.Gaps[0].Value, test.gap) || strings.Contains(r.Gaps[0].Value, "secret")) {
			t.Errorf("%s: gaps %v, want one in %s that says %q", test.name, r.Gaps, instances, test.gap)
		}
		if !slices.Contains(r.Complete, "111122223333/eu-west-1/ecr:images") || !slices.Contains(r.Complete, "111122223333/us-east-1/ec2:instances") {
			t.Errorf("%s: other services and regions were not covered", test.name)
		}
		if n := c.Calls(test.call); n > attempts+1 {
			t.Errorf("%s: asked %d times", test.name, n)
		}
	}
}

func TestAServiceThatIsNotInUseLeavesNoGapAndCoversNothing(t *testing.T) {
	c, given := cloud(t)
	c.Failures["us-east-1/securityhub:GetFindings"] = &awstest.Failure{Status: 401, Code: "InvalidAccessException", Message: "Account is not subscribed to AWS Security Hub"}
	r := &connectortest.Recorder{}
	if err := connectortest.Run(t, impatient(), given, r); err != nil {
		t.Fatal(err)
	}
	if len(r.Gaps) > 0 || slices.Contains(r.Complete, "111122223333/us-east-1/securityhub:findings") || len(r.Notes) != 1 {
		t.Errorf("gaps %v, notes %v", r.Gaps, r.Notes)
	}
}

func TestARoleThatCannotBeAssumedIsAGapOfItsOwn(t *testing.T) {
	c, given := cloud(t)
	given["roles"] = "arn:aws:iam::999988887777:role/audit"
	c.Failures["sts:AssumeRole"] = &awstest.Failure{Status: 403, Code: "AccessDenied", Message: "not authorized"}
	r := &connectortest.Recorder{}
	if err := connectortest.Run(t, impatient(), given, r); err != nil {
		t.Fatal(err)
	}
	if len(r.Gaps) != 1 || r.Gaps[0].Scope != "arn:aws:iam::999988887777:role/audit" || !strings.Contains(r.Gaps[0].Value, "AccessDenied") {
		t.Errorf("gaps %v", r.Gaps)
	}
}

func TestAnAccountThatCannotBeEnteredEndsTheRunWithoutTheKeys(t *testing.T) {
	c, given := cloud(t)
	c.Failures["sts:GetCallerIdentity"] = &awstest.Failure{Status: http.StatusForbidden, Code: "InvalidClientTokenId", Message: "The security token is invalid"}
	err := connectortest.Run(t, impatient(), given, &connectortest.Recorder{})
	if err == nil || !strings.Contains(err.Error(), "InvalidClientTokenId") || strings.Contains(err.Error(), secretKey) {
		t.Errorf("error %v", err)
	}
}

func TestAnEndedContextEndsTheWaitForAThrottledService(t *testing.T) {
	c, given := cloud(t)
	c.Failures["ec2:DescribeInstances"] = &awstest.Failure{Status: 429, Code: "Throttling"}
	values := map[string]string{}
	for name, value := range given {
		values[name] = value
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := &connectortest.Recorder{Fail: func(count int) error {
		if count > 3 {
			cancel()
		}
		return nil
	}}
	ended := make(chan error, 1)
	go func() { ended <- source{backoff: time.Hour}.Sync(ctx, values, r) }()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the run waits on")
	}
}
