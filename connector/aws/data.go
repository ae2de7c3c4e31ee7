package aws

import (
	"strings"

	"github.com/backstitch/backstitch/fact"
)

type bucket struct {
	Name, BucketRegion, BucketArn string
}

func (m *mapper) bucketAsset(name string) fact.Asset {
	if name == "" {
		return fact.Asset{}
	}
	return fact.Asset{Kind: fact.AssetResource, Key: "arn:" + m.at.partition() + ":s3:::" + name, Name: name}
}

func (m *mapper) bucket(b bucket) {
	m.resource("s3:bucket", m.bucketAsset(b.Name).Key, b.Name, b.Name, nil, properties{"region": b.BucketRegion})
}

// bucketSays adds what one of the answers about a bucket says of it.
func (m *mapper) bucketSays(said properties, tags tags) (fact.Asset, bool) {
	if m.at.bucket == "" {
		m.gap("the answer does not say which bucket it is about; expected bucket=NAME in the file's name")
		return fact.Asset{}, false
	}
	all := properties{}
	for property, value := range said {
		all[property] = value
	}
	for key, value := range tags {
		all["tag:"+key] = value
	}
	asset := m.bucketAsset(m.at.bucket)
	return m.tell(asset.Kind, asset.Key, asset.Name, all), true
}

func (m *mapper) bucketTags(list tags) { m.bucketSays(nil, list) }

type publicAccessBlock struct {
	BlockPublicAcls, IgnorePublicAcls, BlockPublicPolicy, RestrictPublicBuckets bool
}

func (m *mapper) publicAccessBlock(b publicAccessBlock) {
	var missing []string
	for name, on := range map[string]bool{"BlockPublicAcls": b.BlockPublicAcls, "IgnorePublicAcls": b.IgnorePublicAcls, "BlockPublicPolicy": b.BlockPublicPolicy, "RestrictPublicBuckets": b.RestrictPublicBuckets} {
		if !on {
			missing = append(missing, name)
		}
	}
	m.bucketSays(properties{"public_access_block": sorted(missing, "all", "without ")}, nil)
}

type policyStatus struct{ IsPublic bool }

func (m *mapper) policyStatus(s policyStatus) {
	asset, known := m.bucketSays(properties{"public_policy": flag(&s.IsPublic)}, nil)
	if known && s.IsPublic {
		m.exposed(asset, properties{"through": "bucket policy"})
	}
}

type bucketEncryption struct {
	Rules []struct {
		ApplyServerSideEncryptionByDefault struct {
			SSEAlgorithm   string
			KMSMasterKeyID string
		}
	}
}

func (m *mapper) bucketEncryption(e bucketEncryption) {
	said := properties{"encryption": "none"}
	for _, rule := range e.Rules {
		said["encryption"] = rule.ApplyServerSideEncryptionByDefault.SSEAlgorithm
		said["kms_key"] = rule.ApplyServerSideEncryptionByDefault.KMSMasterKeyID
	}
	m.bucketSays(said, nil)
}

type bucketLocation struct{ LocationConstraint string }

func (m *mapper) bucketRegion(l bucketLocation) {
	where := or(l.LocationConstraint, "us-east-1") // what no constraint means
	if where == "EU" {
		where = "eu-west-1"
	}
	m.bucketSays(properties{"region": where}, nil)
}

type grant struct {
	Grantee    struct{ URI string }
	Permission string
}

func (m *mapper) bucketGrants(g grant) {
	if !strings.HasSuffix(g.Grantee.URI, "/AllUsers") && !strings.HasSuffix(g.Grantee.URI, "/AuthenticatedUsers") {
		return
	}
	if asset, known := m.bucketSays(properties{"public_acl": strings.ToLower(g.Permission)}, nil); known {
		m.exposed(asset, properties{"through": "ACL, unless the public access block ignores it", "permission": g.Permission})
	}
}

type loadBalancer struct {
	LoadBalancerArn, LoadBalancerName, DNSName, Scheme, Type, VpcID string
	State                                                           struct{ Code string }
	SecurityGroups                                                  []string
}

func (m *mapper) loadBalancer(b loadBalancer) {
	asset := m.resource("elasticloadbalancing:loadbalancer", b.LoadBalancerArn, b.LoadBalancerName, b.LoadBalancerName, nil,
		properties{"dns": b.DNSName, "scheme": b.Scheme, "kind": b.Type, "state": b.State.Code, "vpc": b.VpcID})
	account := accountOf(b.LoadBalancerArn)
	m.located(regionOf(b.LoadBalancerArn)+"a", func() {
		m.guarded(asset, account, b.SecurityGroups)
		m.relate(asset, fact.RunsIn, m.ec2(account, "vpc", b.VpcID), nil)
	})
	if b.Scheme == "internet-facing" {
		m.exposed(asset, properties{"through": "internet-facing " + b.Type + " load balancer"})
	}
}

type listener struct {
	ListenerArn, LoadBalancerArn, Protocol, SslPolicy string
	Port                                              int64
	DefaultActions                                    []action
}

type action struct {
	Type, TargetGroupArn string
	ForwardConfig        struct {
		TargetGroups []struct{ TargetGroupArn string }
	}
}

func (a action) targets() []string {
	list := []string{a.TargetGroupArn}
	for _, group := range a.ForwardConfig.TargetGroups {
		if group.TargetGroupArn != a.TargetGroupArn {
			list = append(list, group.TargetGroupArn)
		}
	}
	return list
}

func (m *mapper) listener(l listener) {
	for _, action := range l.DefaultActions {
		for _, target := range action.targets() {
			m.relate(named(l.LoadBalancerArn), fact.Exposes, named(target), properties{"ports": strings.ToLower(l.Protocol) + "/" + number(l.Port), "listener": l.ListenerArn, "tls_policy": l.SslPolicy})
		}
	}
}

type rule struct {
	RuleArn string
	Actions []action
}

func (m *mapper) rule(r rule) {
	// arn:...:listener-rule/app/name/balancer/listener/rule
	head, tail, found := strings.Cut(r.RuleArn, ":listener-rule/")
	parts := strings.Split(tail, "/")
	if !found || len(parts) < 3 {
		return
	}
	balancer := head + ":loadbalancer/" + strings.Join(parts[:3], "/")
	for _, action := range r.Actions {
		for _, target := range action.targets() {
			m.relate(named(balancer), fact.Exposes, named(target), properties{"rule": r.RuleArn})
		}
	}
}

type targetGroup struct {
	TargetGroupArn, TargetGroupName, Protocol, TargetType, VpcID string
	Port                                                         int64
	LoadBalancerArns                                             []string
}

func (m *mapper) targetGroup(g targetGroup) {
	asset := m.resource("elasticloadbalancing:targetgroup", g.TargetGroupArn, g.TargetGroupName, g.TargetGroupName, nil,
		properties{"protocol": g.Protocol, "port": number(g.Port), "target_type": g.TargetType, "vpc": g.VpcID})
	for _, balancer := range g.LoadBalancerArns {
		m.relate(named(balancer), fact.Exposes, asset, nil)
	}
}

type targetHealth struct {
	Target struct {
		ID   string `json:"Id"`
		Port int64
	}
	TargetHealth struct{ State string }
	group        string
}

func (m *mapper) targetHealth(t targetHealth) {
	if t.group == "" {
		m.gap("the answer does not say which target group it is about")
		return
	}
	var to fact.Asset
	switch id := t.Target.ID; {
	case strings.HasPrefix(id, "i-"):
		to = m.ec2("", "instance", id)
	case strings.Contains(id, ":lambda:"):
		to = fact.Asset{Kind: fact.AssetWorkload, Key: id, Name: short(id)}
	case strings.HasPrefix(id, "arn:"):
		to = named(id)
	default:
		return // an address: what has it is known by its own entry
	}
	m.relate(named(t.group), fact.Exposes, to, properties{"port": number(t.Target.Port), "health": t.TargetHealth.State})
}

type database struct {
	DBInstanceArn, DBInstanceIdentifier, DBInstanceStatus, Engine, EngineVersion, DBClusterIdentifier, AvailabilityZone string
	KmsKeyID                                                                                                            string `json:"KmsKeyId"`
	PubliclyAccessible, StorageEncrypted, DeletionProtection, MultiAZ                                                   *bool
	Endpoint                                                                                                            struct {
		Address string
		Port    int64
	}
	DBSubnetGroup struct {
		VpcID string `json:"VpcId"`
	}
	VpcSecurityGroups []struct {
		VpcSecurityGroupID string `json:"VpcSecurityGroupId"`
	}
	TagList tags
}

func (m *mapper) database(d database) {
	asset := m.resource("rds:db", d.DBInstanceArn, d.DBInstanceIdentifier, d.DBInstanceIdentifier, d.TagList, properties{
		"engine": d.Engine, "engine_version": d.EngineVersion, "status": d.DBInstanceStatus, "publicly_accessible": flag(d.PubliclyAccessible), "encrypted": flag(d.StorageEncrypted),
		"endpoint": d.Endpoint.Address, "port": number(d.Endpoint.Port), "vpc": d.DBSubnetGroup.VpcID, "kms_key": d.KmsKeyID, "deletion_protection": flag(d.DeletionProtection), "cluster": d.DBClusterIdentifier,
	})
	account := accountOf(d.DBInstanceArn)
	m.located(regionOf(d.DBInstanceArn)+"a", func() {
		for _, group := range d.VpcSecurityGroups {
			m.guarded(asset, account, []string{group.VpcSecurityGroupID})
		}
		m.relate(asset, fact.RunsIn, m.ec2(account, "vpc", d.DBSubnetGroup.VpcID), nil)
	})
}

type databaseCluster struct {
	DBClusterArn, DBClusterIdentifier, Engine, EngineVersion, Status, Endpoint string
	StorageEncrypted, PubliclyAccessible                                       *bool
	VpcSecurityGroups                                                          []struct {
		VpcSecurityGroupID string `json:"VpcSecurityGroupId"`
	}
	TagList tags
}

func (m *mapper) databaseCluster(d databaseCluster) {
	asset := m.resource("rds:cluster", d.DBClusterArn, d.DBClusterIdentifier, d.DBClusterIdentifier, d.TagList, properties{
		"engine": d.Engine, "engine_version": d.EngineVersion, "status": d.Status, "encrypted": flag(d.StorageEncrypted), "publicly_accessible": flag(d.PubliclyAccessible), "endpoint": d.Endpoint,
	})
	m.located(regionOf(d.DBClusterArn)+"a", func() {
		for _, group := range d.VpcSecurityGroups {
			m.guarded(asset, accountOf(d.DBClusterArn), []string{group.VpcSecurityGroupID})
		}
	})
}
