// Package cloudformation judges templates of AWS CloudFormation by what is written in
// them. A value that a function makes is never taken for good or bad: the look says of
// the file that it was incomplete. It needs no network and runs nothing.
package cloudformation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/cloudformation"
	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/scan"
)

// ID names the scanner in findings and runs.
const ID = "scan/cloudformation"

// rule wants a value of resources of some types.
type rule struct {
	id, title string
	severity  fact.Severity
	aliases   string
	types     string
	field     string // below Properties
	wanted    string // JSON, or "?" and what is asked for
	lax       bool   // AWS's own default satisfies it
	good      func(n *kubernetes.Node) bool
}

func (r *rule) aliasList() []string {
	var all []string
	for _, alias := range strings.Fields(r.aliases) {
		all = append(all, alias)
		if short, ok := strings.CutPrefix(alias, "AVD-"); ok {
			all = append(all, short)
		}
	}
	slices.Sort(all)
	return all
}

type scanner struct{ rules []rule }

// New makes the scanner.
func New() scan.Scanner { return scanner{rules()} }

func (s scanner) Describe() scan.Description {
	sum := sha256.New()
	for _, r := range s.rules {
		fmt.Fprintf(sum, "%s|%s|%d|%s|%s|%s|%s\n", r.id, r.title, r.severity, r.aliases, r.types, r.field, r.wanted)
	}
	return scan.Description{
		ID: ID, Name: "cloudformation",
		Docs:  fmt.Sprintf("Judges resources of CloudFormation templates by %d rules. Values that functions make are told and not judged.", len(s.rules)+len(ports)),
		Rules: "sha256:" + hex.EncodeToString(sum.Sum(nil)),
	}
}

// Concerns implements scan.Selective.
func (scanner) Concerns(kind fact.Kind, name string) bool {
	return kind != fact.Vulnerability && cloudformation.Named(name)
}

// Scan implements scan.Scanner.
func (s scanner) Scan(ctx context.Context, tree code.Tree, found func(fact.Finding) error) ([]scan.Problem, error) {
	paths, err := tree.Paths(ctx)
	if err != nil {
		return nil, err
	}
	var problems []scan.Problem
	for _, name := range paths {
		if err := ctx.Err(); err != nil {
			return problems, err
		}
		if !cloudformation.Named(name) {
			continue
		}
		data, err := tree.Read(ctx, name)
		if err != nil {
			problems = append(problems, scan.Problem{Path: name, Text: err.Error()})
			continue
		}
		resources, bad := cloudformation.Resources(name, data)
		for _, p := range bad {
			problems = append(problems, scan.Problem{Path: name, Line: p.Place.Line, Text: p.Text})
		}
		unknown := false
		for i := range resources {
			open, err := s.judge(&resources[i], found)
			if err != nil {
				return problems, err
			}
			unknown = unknown || open
		}
		if unknown {
			problems = append(problems, scan.Problem{Path: name, Text: "rules over its resources were left without a judgement: functions make their values"})
		}
	}
	return problems, nil
}

// judge gives the findings of a resource, and whether something is not known.
func (s scanner) judge(r *cloudformation.Resource, found func(fact.Finding) error) (unknown bool, err error) {
	for i := range s.rules {
		rule := &s.rules[i]
		if !slices.Contains(strings.Fields(rule.types), r.Type) {
			continue
		}
		n, state := r.At(strings.Split(rule.field, ".")...)
		good := state == cloudformation.Absent && rule.lax || state == cloudformation.Known && rule.good(n)
		if state == cloudformation.Unknown || state == cloudformation.Known && !good && n.Shape == kubernetes.List && rule.field != "SecurityGroupIngress" {
			unknown = true
			continue
		}
		if good {
			continue
		}
		if err := found(finding(r, rule.id, rule.title, rule.severity, rule.aliasList(), rule.field, rule.wanted, n)); err != nil {
			return unknown, err
		}
	}
	open, err := ingress(r, found)
	return unknown || open, err
}

func finding(r *cloudformation.Resource, id, title string, severity fact.Severity, aliases []string, field, wanted string, n *kubernetes.Node) fact.Finding {
	line, end := r.Line, r.Line
	if n != nil && n.Place.Line > 0 {
		line, end = n.Place.Line, max(n.Place.Line, n.Place.EndLine)
	}
	return fact.Finding{
		Kind: fact.Misconfiguration, Rule: "cloudformation/" + id, Aliases: aliases, Title: title, Severity: severity, SeverityText: severity.String(),
		Asset: fact.Asset{Kind: fact.AssetRepository}, Path: r.Path, Line: line, EndLine: end, Anchor: r.Address(),
		Attributes: map[string]string{"object": r.Path + ":" + r.Address(), "field": "Properties." + field, "wanted": wanted},
	}
}

// ports are the rules about what a security group lets in.
var ports = []struct {
	id, title, aliases string
	severity           fact.Severity
	port               int64 // 0 for every port
}{
	{"aws-sg-open-ssh", "SSH is open to the internet", "CKV_AWS_24", fact.SeverityHigh, 22},
	{"aws-sg-open-rdp", "RDP is open to the internet", "CKV_AWS_25", fact.SeverityHigh, 3389},
	{"aws-sg-open-http", "HTTP without encryption is open to the internet", "CKV_AWS_260", fact.SeverityLow, 80},
	{"aws-sg-open-any", "A port is open to the internet", "AVD-AWS-0107 AWS-0107", fact.SeverityMedium, 0},
}

// ingress judges the rules of a security group.
func ingress(r *cloudformation.Resource, found func(fact.Finding) error) (unknown bool, err error) {
	type one struct {
		field string
		node  *kubernetes.Node
	}
	var all []one
	switch r.Type {
	case "AWS::EC2::SecurityGroupIngress":
		all = []one{{"", r.Node.Get("Properties")}}
	case "AWS::EC2::SecurityGroup":
		n, state := r.At("SecurityGroupIngress")
		if state == cloudformation.Unknown || state == cloudformation.Known && n.Shape != kubernetes.List {
			return true, nil
		}
		if state == cloudformation.Known {
			for i, item := range n.Items {
				all = append(all, one{fmt.Sprintf("SecurityGroupIngress[%d].", i), item})
			}
		}
	}
	for _, o := range all {
		if o.node == nil || o.node.Shape != kubernetes.Map {
			unknown = true
			continue
		}
		for _, name := range []string{"CidrIp", "CidrIpv6"} {
			source := r.Resolve(o.node.Get(name))
			if source == nil {
				continue
			}
			if source.Shape != kubernetes.Scalar || strings.HasPrefix(source.Tag, "!") && !strings.HasPrefix(source.Tag, "!!") {
				unknown = true
				continue
			}
			prefix, err := netip.ParsePrefix(source.Text)
			if err != nil || prefix.Bits() > 1 {
				continue
			}
			from, fromErr := port(r, o.node.Get("FromPort"))
			to, toErr := port(r, o.node.Get("ToPort"))
			protocol := o.node.String("IpProtocol")
			if protocol != "-1" && (fromErr != nil || toErr != nil) {
				unknown = unknown || o.node.Get("FromPort") != nil
				continue
			}
			for _, p := range ports {
				if protocol != "-1" && p.port != 0 && (p.port < from || to < p.port) {
					continue
				}
				if err := found(finding(r, p.id, p.title, p.severity, strings.Fields(p.aliases), o.field+name, "?the addresses that may connect", source)); err != nil {
					return unknown, err
				}
			}
		}
	}
	return unknown, nil
}

func port(r *cloudformation.Resource, n *kubernetes.Node) (int64, error) {
	return strconv.ParseInt(r.Resolve(n).String(), 10, 64)
}

func is(want string) func(*kubernetes.Node) bool {
	return func(n *kubernetes.Node) bool {
		return n.Shape == kubernetes.Scalar && strings.EqualFold(n.Text, want)
	}
}

func isNot(bad ...string) func(*kubernetes.Node) bool {
	return func(n *kubernetes.Node) bool { return n.Shape == kubernetes.Scalar && !slices.Contains(bad, n.Text) }
}

func stated(n *kubernetes.Node) bool {
	return n.Shape == kubernetes.Map && len(n.Fields) > 0 || n.Shape == kubernetes.Scalar && n.Text != ""
}

// truth is a rule that wants true.
func truth(id, title string, severity fact.Severity, aliases, types, field string) rule {
	return rule{id: id, title: title, severity: severity, aliases: aliases, types: types, field: field, wanted: "true", good: is("true")}
}

func rules() []rule {
	const low, medium, high, critical = fact.SeverityLow, fact.SeverityMedium, fact.SeverityHigh, fact.SeverityCritical
	domains := "AWS::Elasticsearch::Domain AWS::OpenSearchService::Domain"
	return []rule{
		{"aws-s3-acl-public-read", "The bucket's ACL lets anybody read", high, "CKV_AWS_20 AVD-AWS-0092", "AWS::S3::Bucket", "AccessControl", `"Private"`, true, isNot("PublicRead", "PublicReadWrite")},
		{"aws-s3-acl-public-write", "The bucket's ACL lets anybody write", critical, "CKV_AWS_57", "AWS::S3::Bucket", "AccessControl", `"Private"`, true, isNot("PublicReadWrite")},
		truth("aws-s3-block-public-acls", "Public ACLs of the bucket are not blocked", high, "CKV_AWS_53 AVD-AWS-0086", "AWS::S3::Bucket", "PublicAccessBlockConfiguration.BlockPublicAcls"),
		truth("aws-s3-block-public-policy", "Public policies of the bucket are not blocked", high, "CKV_AWS_54 AVD-AWS-0087", "AWS::S3::Bucket", "PublicAccessBlockConfiguration.BlockPublicPolicy"),
		truth("aws-s3-ignore-public-acls", "Public ACLs of the bucket are not ignored", high, "CKV_AWS_55 AVD-AWS-0091", "AWS::S3::Bucket", "PublicAccessBlockConfiguration.IgnorePublicAcls"),
		truth("aws-s3-restrict-public-buckets", "Access through public policies of the bucket is not restricted", high, "CKV_AWS_56 AVD-AWS-0093", "AWS::S3::Bucket", "PublicAccessBlockConfiguration.RestrictPublicBuckets"),
		{"aws-s3-encryption", "The bucket states no encryption at rest", medium, "CKV_AWS_19 AVD-AWS-0088", "AWS::S3::Bucket", "BucketEncryption", `{"ServerSideEncryptionConfiguration":[{"ServerSideEncryptionByDefault":{"SSEAlgorithm":"AES256"}}]}`, false, stated},
		{"aws-s3-versioning", "The bucket keeps no versions", medium, "CKV_AWS_21 AVD-AWS-0090", "AWS::S3::Bucket", "VersioningConfiguration.Status", `"Enabled"`, false, is("Enabled")},
		{"aws-s3-logging", "Access to the bucket is not logged", low, "CKV_AWS_18 AVD-AWS-0089", "AWS::S3::Bucket", "LoggingConfiguration", "?the bucket that takes the logs", false, stated},
		truth("aws-ebs-encrypted", "The volume is not encrypted", high, "CKV_AWS_3 AVD-AWS-0026", "AWS::EC2::Volume", "Encrypted"),
		truth("aws-rds-encrypted", "The database is not encrypted", high, "CKV_AWS_16 AVD-AWS-0080", "AWS::RDS::DBInstance", "StorageEncrypted"),
		truth("aws-rds-cluster-encrypted", "The database cluster is not encrypted", high, "CKV_AWS_96 AVD-AWS-0079", "AWS::RDS::DBCluster", "StorageEncrypted"),
		{"aws-rds-public", "The database can be reached from the internet", critical, "CKV_AWS_17 AVD-AWS-0180", "AWS::RDS::DBInstance", "PubliclyAccessible", "false", true, is("false")},
		{"aws-sns-encrypted", "The topic is not encrypted", medium, "CKV_AWS_26 AVD-AWS-0095", "AWS::SNS::Topic", "KmsMasterKeyId", `"alias/aws/sns"`, false, stated},
		truth("aws-efs-encrypted", "The file system is not encrypted", high, "CKV_AWS_42 AVD-AWS-0037", "AWS::EFS::FileSystem", "Encrypted"),
		truth("aws-dynamodb-recovery", "The table cannot be restored to a point in time", medium, "CKV_AWS_28 AVD-AWS-0024", "AWS::DynamoDB::Table", "PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled"),
		truth("aws-redshift-encrypted", "The warehouse is not encrypted", high, "CKV_AWS_64", "AWS::Redshift::Cluster", "Encrypted"),
		{"aws-redshift-public", "The warehouse can be reached from the internet", critical, "CKV_AWS_87", "AWS::Redshift::Cluster", "PubliclyAccessible", "false", true, is("false")},
		truth("aws-elasticache-encrypted", "The cache is not encrypted at rest", high, "CKV_AWS_29 AVD-AWS-0045", "AWS::ElastiCache::ReplicationGroup", "AtRestEncryptionEnabled"),
		truth("aws-elasticache-transit", "Connections to the cache are not encrypted", high, "CKV_AWS_30 AVD-AWS-0051", "AWS::ElastiCache::ReplicationGroup", "TransitEncryptionEnabled"),
		truth("aws-neptune-encrypted", "The graph database is not encrypted", high, "CKV_AWS_44 AVD-AWS-0076", "AWS::Neptune::DBCluster", "StorageEncrypted"),
		truth("aws-docdb-encrypted", "The document database is not encrypted", high, "CKV_AWS_74 AVD-AWS-0021", "AWS::DocDB::DBCluster", "StorageEncrypted"),
		{"aws-kinesis-encrypted", "The stream is not encrypted", medium, "CKV_AWS_43 AVD-AWS-0064", "AWS::Kinesis::Stream", "StreamEncryption", `{"EncryptionType":"KMS","KeyId":"alias/aws/kinesis"}`, false, stated},
		truth("aws-search-encrypted", "The search domain is not encrypted at rest", high, "CKV_AWS_5 AVD-AWS-0048", domains, "EncryptionAtRestOptions.Enabled"),
		truth("aws-search-nodes-encrypted", "Nodes of the search domain talk without encryption", high, "CKV_AWS_6 AVD-AWS-0043", domains, "NodeToNodeEncryptionOptions.Enabled"),
		truth("aws-search-https", "The search domain takes HTTP without encryption", high, "CKV_AWS_83 AVD-AWS-0046", domains, "DomainEndpointOptions.EnforceHTTPS"),
		truth("aws-cloudtrail-regions", "The trail leaves regions out", medium, "CKV_AWS_67 AVD-AWS-0014", "AWS::CloudTrail::Trail", "IsMultiRegionTrail"),
		truth("aws-cloudtrail-validation", "Changes to the trail's logs would not be noticed", medium, "CKV_AWS_36 AVD-AWS-0016", "AWS::CloudTrail::Trail", "EnableLogFileValidation"),
		{"aws-cloudtrail-key", "The trail is not encrypted by a key of yours", medium, "CKV_AWS_35 AVD-AWS-0015", "AWS::CloudTrail::Trail", "KMSKeyId", "?the ARN of the KMS key to encrypt with", false, stated},
		truth("aws-kms-rotation", "The key is not rotated", medium, "CKV_AWS_7 AVD-AWS-0065", "AWS::KMS::Key", "EnableKeyRotation"),
		{"aws-ecr-immutable", "Tags of the repository's images can be moved", medium, "CKV_AWS_51 AVD-AWS-0031", "AWS::ECR::Repository", "ImageTagMutability", `"IMMUTABLE"`, false, is("IMMUTABLE")},
		truth("aws-ecr-scan", "Images are not scanned when they are pushed", medium, "CKV_AWS_163 AVD-AWS-0030", "AWS::ECR::Repository", "ImageScanningConfiguration.ScanOnPush"),
		{"aws-ec2-imdsv2", "The instance's metadata can be read without a session token", high, "CKV_AWS_79 AVD-AWS-0130", "AWS::EC2::LaunchTemplate", "LaunchTemplateData.MetadataOptions.HttpTokens", `"required"`, false, is("required")},
	}
}
