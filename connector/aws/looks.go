package aws

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/inspector2"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	tagging "github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/securityhub"
	hubtypes "github.com/aws/aws-sdk-go-v2/service/securityhub/types"
)

// looks lists what is looked at, each in a scope of its own.
func looks() []look {
	return []look{
		{"organizations", "organizations:accounts", func(ctx context.Context, m *mapper, c sdk.Config) error {
			return pages(ctx, m, organizations.NewListAccountsPaginator(organizations.NewFromConfig(c), &organizations.ListAccountsInput{}), nil)
		}},
		{"iam", "iam:identities", identities},
		{"s3", "s3:buckets", buckets},
		{"ec2", "ec2:instances", func(ctx context.Context, m *mapper, c sdk.Config) error {
			return pages(ctx, m, ec2.NewDescribeInstancesPaginator(ec2.NewFromConfig(c), &ec2.DescribeInstancesInput{}), nil)
		}},
		{"ec2", "ec2:volumes", func(ctx context.Context, m *mapper, c sdk.Config) error {
			return pages(ctx, m, ec2.NewDescribeVolumesPaginator(ec2.NewFromConfig(c), &ec2.DescribeVolumesInput{}), nil)
		}},
		{"ec2", "ec2:images", func(ctx context.Context, m *mapper, c sdk.Config) error {
			return pages(ctx, m, ec2.NewDescribeImagesPaginator(ec2.NewFromConfig(c), &ec2.DescribeImagesInput{Owners: []string{"self"}}), nil)
		}},
		{"ec2", "ec2:vpcs", func(ctx context.Context, m *mapper, c sdk.Config) error {
			return pages(ctx, m, ec2.NewDescribeVpcsPaginator(ec2.NewFromConfig(c), &ec2.DescribeVpcsInput{}), nil)
		}},
		{"ec2", "ec2:subnets", func(ctx context.Context, m *mapper, c sdk.Config) error {
			return pages(ctx, m, ec2.NewDescribeSubnetsPaginator(ec2.NewFromConfig(c), &ec2.DescribeSubnetsInput{}), nil)
		}},
		{"ec2", "ec2:security-groups", func(ctx context.Context, m *mapper, c sdk.Config) error {
			return pages(ctx, m, ec2.NewDescribeSecurityGroupsPaginator(ec2.NewFromConfig(c), &ec2.DescribeSecurityGroupsInput{}), nil)
		}},
		{"ecs", "ecs:services", containers},
		{"eks", "eks:clusters", clusters},
		{"lambda", "lambda:functions", functions},
		{"ecr", "ecr:images", images},
		{"elb", "elb:balancers", balancers},
		{"rds", "rds:databases", func(ctx context.Context, m *mapper, c sdk.Config) error {
			client := rds.NewFromConfig(c)
			if err := pages(ctx, m, rds.NewDescribeDBInstancesPaginator(client, &rds.DescribeDBInstancesInput{}), nil); err != nil {
				return err
			}
			return pages(ctx, m, rds.NewDescribeDBClustersPaginator(client, &rds.DescribeDBClustersInput{}), nil)
		}},
		{"tag", "tag:resources", func(ctx context.Context, m *mapper, c sdk.Config) error {
			return pages(ctx, m, tagging.NewGetResourcesPaginator(tagging.NewFromConfig(c), &tagging.GetResourcesInput{}), nil)
		}},
		{"securityhub", "securityhub:findings", func(ctx context.Context, m *mapper, c sdk.Config) error {
			active := &hubtypes.AwsSecurityFindingFilters{RecordState: []hubtypes.StringFilter{{Comparison: hubtypes.StringFilterComparisonEquals, Value: sdk.String("ACTIVE")}}}
			return walk(ctx, securityhub.NewGetFindingsPaginator(securityhub.NewFromConfig(c), &securityhub.GetFindingsInput{Filters: active}), func(page *securityhub.GetFindingsOutput) error {
				return m.export(page, false)
			})
		}},
		{"inspector2", "inspector2:findings", func(ctx context.Context, m *mapper, c sdk.Config) error {
			return walk(ctx, inspector2.NewListFindingsPaginator(inspector2.NewFromConfig(c), &inspector2.ListFindingsInput{}), func(page *inspector2.ListFindingsOutput) error {
				return m.export(page, true)
			})
		}},
	}
}

// identities reads the managed policies before the identities that they are
// attached to.
func identities(ctx context.Context, m *mapper, c sdk.Config) error {
	client := iam.NewFromConfig(c)
	for _, filter := range [][]iamtypes.EntityType{
		{iamtypes.EntityTypeLocalManagedPolicy, iamtypes.EntityTypeAWSManagedPolicy},
		{iamtypes.EntityTypeRole, iamtypes.EntityTypeUser, iamtypes.EntityTypeGroup},
	} {
		if err := pages(ctx, m, iam.NewGetAccountAuthorizationDetailsPaginator(client, &iam.GetAccountAuthorizationDetailsInput{Filter: filter}), nil); err != nil {
			return err
		}
	}
	return nil
}

// nothing are the codes by which S3 says that a bucket has none of what was
// asked for.
var nothing = []string{"NoSuchTagSet", "NoSuchBucketPolicy", "NoSuchPublicAccessBlockConfiguration", "ServerSideEncryptionConfigurationNotFoundError"}

// buckets reads the buckets and, for each, who can reach it. What one bucket
// denies is named; the others go on.
func buckets(ctx context.Context, m *mapper, c sdk.Config) error {
	client := s3.NewFromConfig(c, func(o *s3.Options) { o.UsePathStyle = c.BaseEndpoint != nil })
	return pages(ctx, m, s3.NewListBucketsPaginator(client, &s3.ListBucketsInput{}), func(page *s3.ListBucketsOutput) error {
		for _, b := range page.Buckets {
			one := *m
			one.at.bucket = sdk.ToString(b.Name)
			if err := one.bucketDetails(ctx, client, sdk.ToString(b.BucketRegion)); err != nil {
				return err
			}
			m.err, m.gaps, m.nodes = one.err, one.gaps, one.nodes
		}
		return m.err
	})
}

func (m *mapper) bucketDetails(ctx context.Context, client *s3.Client, region string) error {
	name := sdk.String(m.at.bucket)
	if region == "" {
		answer, err := client.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: name})
		if err := m.detail("s3:GetBucketLocation", answer, err); err != nil {
			return err
		}
		if err == nil {
			region = or(string(answer.LocationConstraint), home)
		}
	}
	there := func(o *s3.Options) { o.Region = or(region, o.Region) }
	tags, err := client.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: name}, there)
	if err := m.detail("s3:GetBucketTagging", tags, err); err != nil {
		return err
	}
	block, err := client.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: name}, there)
	if code(err) == "NoSuchPublicAccessBlockConfiguration" {
		m.method = "s3:GetPublicAccessBlock"
		m.publicAccessBlock(publicAccessBlock{})
	}
	if err := m.detail("s3:GetPublicAccessBlock", block, err); err != nil {
		return err
	}
	status, err := client.GetBucketPolicyStatus(ctx, &s3.GetBucketPolicyStatusInput{Bucket: name}, there)
	if err := m.detail("s3:GetBucketPolicyStatus", status, err); err != nil {
		return err
	}
	encryption, err := client.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: name}, there)
	if err := m.detail("s3:GetBucketEncryption", encryption, err); err != nil {
		return err
	}
	grants, err := client.GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: name}, there)
	return m.detail("s3:GetBucketAcl", grants, err)
}

// detail maps one answer about a bucket; an error of AWS is a gap that names
// the bucket.
func (m *mapper) detail(method string, answer any, err error) error {
	m.method = method
	switch {
	case err == nil:
		return m.page(answer)
	case slices.Contains(nothing, code(err)):
		return m.err
	case code(err) == "":
		return err
	}
	m.gap("bucket %s: %w", m.at.bucket, brief(err))
	return nil
}

// containers reads clusters, services, running tasks and what they are made from.
func containers(ctx context.Context, m *mapper, c sdk.Config) error {
	client := ecs.NewFromConfig(c)
	var names []string
	err := walk(ctx, ecs.NewListClustersPaginator(client, &ecs.ListClustersInput{}), func(page *ecs.ListClustersOutput) error {
		names = append(names, page.ClusterArns...)
		return nil
	})
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(names, 100) {
		answer, err := client.DescribeClusters(ctx, &ecs.DescribeClustersInput{Clusters: chunk, Include: []ecstypes.ClusterField{ecstypes.ClusterFieldTags, ecstypes.ClusterFieldConfigurations}})
		if err != nil {
			return err
		}
		if err := m.page(answer); err != nil {
			return err
		}
	}
	definitions := map[string]bool{}
	for _, cluster := range names {
		if err := services(ctx, m, client, cluster, definitions); err != nil {
			return err
		}
		if err := tasks(ctx, m, client, cluster, definitions); err != nil {
			return err
		}
	}
	for _, definition := range slices.Sorted(maps.Keys(definitions)) {
		answer, err := client.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: &definition, Include: []ecstypes.TaskDefinitionField{ecstypes.TaskDefinitionFieldTags}})
		if err != nil {
			return err
		}
		if err := m.page(answer); err != nil {
			return err
		}
	}
	return nil
}

func services(ctx context.Context, m *mapper, client *ecs.Client, cluster string, definitions map[string]bool) error {
	return walk(ctx, ecs.NewListServicesPaginator(client, &ecs.ListServicesInput{Cluster: &cluster}), func(page *ecs.ListServicesOutput) error {
		for chunk := range slices.Chunk(page.ServiceArns, 10) {
			answer, err := client.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: &cluster, Services: chunk, Include: []ecstypes.ServiceField{ecstypes.ServiceFieldTags}})
			if err != nil {
				return err
			}
			for _, service := range answer.Services {
				if definition := sdk.ToString(service.TaskDefinition); definition != "" {
					definitions[definition] = true
				}
			}
			if err := m.page(answer); err != nil {
				return err
			}
		}
		return nil
	})
}

func tasks(ctx context.Context, m *mapper, client *ecs.Client, cluster string, definitions map[string]bool) error {
	return walk(ctx, ecs.NewListTasksPaginator(client, &ecs.ListTasksInput{Cluster: &cluster}), func(page *ecs.ListTasksOutput) error {
		for chunk := range slices.Chunk(page.TaskArns, 100) {
			answer, err := client.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: &cluster, Tasks: chunk})
			if err != nil {
				return err
			}
			for _, task := range answer.Tasks {
				if definition := sdk.ToString(task.TaskDefinitionArn); definition != "" {
					definitions[definition] = true
				}
			}
			if err := m.page(answer); err != nil {
				return err
			}
		}
		return nil
	})
}

// clusters reads the Kubernetes clusters and their node groups.
func clusters(ctx context.Context, m *mapper, c sdk.Config) error {
	client := eks.NewFromConfig(c)
	return walk(ctx, eks.NewListClustersPaginator(client, &eks.ListClustersInput{}), func(page *eks.ListClustersOutput) error {
		for _, name := range page.Clusters {
			answer, err := client.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: &name})
			if err != nil {
				return err
			}
			if err := m.page(answer); err != nil {
				return err
			}
			err = walk(ctx, eks.NewListNodegroupsPaginator(client, &eks.ListNodegroupsInput{ClusterName: &name}), func(page *eks.ListNodegroupsOutput) error {
				for _, group := range page.Nodegroups {
					answer, err := client.DescribeNodegroup(ctx, &eks.DescribeNodegroupInput{ClusterName: &name, NodegroupName: &group})
					if err != nil {
						return err
					}
					if err := m.page(answer); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// functions reads the functions: what each is made from, its tags, its address.
func functions(ctx context.Context, m *mapper, c sdk.Config) error {
	client := lambda.NewFromConfig(c)
	return walk(ctx, lambda.NewListFunctionsPaginator(client, &lambda.ListFunctionsInput{}), func(page *lambda.ListFunctionsOutput) error {
		for _, f := range page.Functions {
			answer, err := client.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: f.FunctionArn})
			switch {
			case code(err) == "ResourceNotFoundException":
				continue // it went while we looked
			case code(err) != "":
				m.method = "lambda:GetFunction"
				m.gap("function %s: %w", sdk.ToString(f.FunctionName), brief(err))
				data, err := json.Marshal(f)
				if err != nil {
					return err
				}
				one((*mapper).function)(m, data) // what the list said of it
				continue
			case err != nil:
				return err
			}
			if err := m.page(answer); err != nil {
				return err
			}
			if err := pages(ctx, m, lambda.NewListFunctionUrlConfigsPaginator(client, &lambda.ListFunctionUrlConfigsInput{FunctionName: f.FunctionArn}), nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// images reads the repositories of images and what is in them.
func images(ctx context.Context, m *mapper, c sdk.Config) error {
	client := ecr.NewFromConfig(c)
	return pages(ctx, m, ecr.NewDescribeRepositoriesPaginator(client, &ecr.DescribeRepositoriesInput{}), func(page *ecr.DescribeRepositoriesOutput) error {
		for _, repository := range page.Repositories {
			if err := pages(ctx, m, ecr.NewDescribeImagesPaginator(client, &ecr.DescribeImagesInput{RepositoryName: repository.RepositoryName, RegistryId: repository.RegistryId}), nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// balancers reads load balancers, what they listen on and what they lead to.
func balancers(ctx context.Context, m *mapper, c sdk.Config) error {
	client := elb.NewFromConfig(c)
	err := pages(ctx, m, elb.NewDescribeLoadBalancersPaginator(client, &elb.DescribeLoadBalancersInput{}), func(page *elb.DescribeLoadBalancersOutput) error {
		for _, balancer := range page.LoadBalancers {
			err := pages(ctx, m, elb.NewDescribeListenersPaginator(client, &elb.DescribeListenersInput{LoadBalancerArn: balancer.LoadBalancerArn}), func(page *elb.DescribeListenersOutput) error {
				for _, listener := range page.Listeners {
					if err := pages(ctx, m, elb.NewDescribeRulesPaginator(client, &elb.DescribeRulesInput{ListenerArn: listener.ListenerArn}), nil); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return pages(ctx, m, elb.NewDescribeTargetGroupsPaginator(client, &elb.DescribeTargetGroupsInput{}), func(page *elb.DescribeTargetGroupsOutput) error {
		for _, group := range page.TargetGroups {
			answer, err := client.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: group.TargetGroupArn})
			if err != nil {
				return err
			}
			m.method = "elasticloadbalancing:DescribeTargetHealth"
			for _, target := range answer.TargetHealthDescriptions {
				if target.Target == nil {
					continue
				}
				said := targetHealth{group: sdk.ToString(group.TargetGroupArn)}
				said.Target.ID, said.Target.Port = sdk.ToString(target.Target.Id), int64(sdk.ToInt32(target.Target.Port))
				if target.TargetHealth != nil {
					said.TargetHealth.State = string(target.TargetHealth.State)
				}
				m.targetHealth(said)
			}
			if m.err != nil {
				return m.err
			}
		}
		return nil
	})
}

// export hands a page of findings on in the words of the service's own JSON:
// without members that are not set, names beginning small where they do there.
func (m *mapper) export(page any, small bool) error {
	data, err := json.Marshal(page)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var tree map[string]any
	if err := decoder.Decode(&tree); err != nil {
		return fmt.Errorf("findings: %w", err)
	}
	delete(tree, "ResultMetadata")
	delete(tree, "NextToken")
	if data, err = json.Marshal(worded(tree, small)); err != nil {
		return err
	}
	return m.read(data)
}

// worded drops what is not set and, with small, begins names with a small letter.
func worded(tree any, small bool) any {
	switch tree := tree.(type) {
	case []any:
		for i := range tree {
			tree[i] = worded(tree[i], small)
		}
	case map[string]any:
		clean := make(map[string]any, len(tree))
		for name, value := range tree {
			if value == nil {
				continue
			}
			if small && name != "" {
				name = strings.ToLower(name[:1]) + name[1:]
			}
			clean[name] = worded(value, small && name != "tags")
		}
		return clean
	}
	return tree
}
