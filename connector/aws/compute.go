package aws

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
)

type reservation struct {
	OwnerID   string `json:"OwnerId"`
	Instances []instance
}

type instance struct {
	InstanceID         string `json:"InstanceId"`
	ImageID            string `json:"ImageId"`
	InstanceType       string
	State              struct{ Name string }
	SubnetID           string `json:"SubnetId"`
	VpcID              string `json:"VpcId"`
	PublicIPAddress    string `json:"PublicIpAddress"`
	PublicDNSName      string `json:"PublicDnsName"`
	PrivateIPAddress   string `json:"PrivateIpAddress"`
	PlatformDetails    string
	Placement          struct{ AvailabilityZone string }
	IamInstanceProfile *struct{ Arn string }
	MetadataOptions    struct{ HTTPTokens string }
	SecurityGroups     []struct {
		GroupID string `json:"GroupId"`
	}
	BlockDeviceMappings []struct {
		Ebs struct {
			VolumeID string `json:"VolumeId"`
		}
	}
	Tags tags
}

// located runs f with the region that a zone lies in, when none is known.
func (m *mapper) located(zone string, f func()) {
	before := m.at.region
	m.at.region = or(before, regionOfZone(zone))
	f()
	m.at.region = before
}

func (m *mapper) reservation(r reservation) {
	for _, i := range r.Instances {
		if i.State.Name == "terminated" {
			continue
		}
		m.located(i.Placement.AvailabilityZone, func() { m.instance(r.OwnerID, i) })
	}
}

func (m *mapper) instance(owner string, i instance) {
	key := m.arn("ec2", owner, "instance/", i.InstanceID)
	asset := m.resource("ec2:instance", key, i.InstanceID, i.Tags["Name"], i.Tags, properties{
		"account": owner, "state": i.State.Name, "instance_type": i.InstanceType, "image_id": i.ImageID, "public_ip": i.PublicIPAddress, "public_dns": i.PublicDNSName,
		"private_ip": i.PrivateIPAddress, "platform": i.PlatformDetails, "imdsv2": i.MetadataOptions.HTTPTokens, "vpc": i.VpcID, "subnet": i.SubnetID,
	})
	m.relate(asset, fact.InstanceOf, m.ami(i.ImageID), nil)
	m.relate(asset, fact.RunsIn, m.ec2(owner, "subnet", i.SubnetID), nil)
	m.relate(asset, fact.RunsIn, m.ec2(owner, "vpc", i.VpcID), nil)
	for _, group := range i.SecurityGroups {
		m.guarded(asset, owner, []string{group.GroupID})
	}
	for _, device := range i.BlockDeviceMappings {
		m.relate(m.ec2(owner, "volume", device.Ebs.VolumeID), fact.PartOf, asset, nil)
	}
	if i.IamInstanceProfile != nil {
		m.runsAs(asset, i.IamInstanceProfile.Arn, properties{"through": "instance profile"})
	}
}

type volume struct {
	VolumeID, AvailabilityZone, State, SnapshotID string
	KmsKeyID                                      string `json:"KmsKeyId"`
	Encrypted                                     *bool
	Attachments                                   []struct {
		InstanceID string `json:"InstanceId"`
	}
	Tags tags
}

func (m *mapper) volume(v volume) {
	m.located(v.AvailabilityZone, func() {
		asset := m.resource("ec2:volume", m.arn("ec2", "", "volume/", v.VolumeID), v.VolumeID, v.Tags["Name"], v.Tags, properties{"state": v.State, "encrypted": flag(v.Encrypted), "kms_key": v.KmsKeyID})
		for _, attachment := range v.Attachments {
			m.relate(asset, fact.PartOf, m.ec2("", "instance", attachment.InstanceID), nil)
		}
	})
}

type machineImage struct {
	ImageID, Name, OwnerID, State, PlatformDetails, CreationDate, DeprecationTime string
	Public                                                                        *bool
	Tags                                                                          tags
}

func (m *mapper) machineImage(i machineImage) {
	asset := m.resource("ec2:image", m.ami(i.ImageID).Key, i.ImageID, or(i.Name, i.Tags["Name"]), i.Tags,
		properties{"account": i.OwnerID, "state": i.State, "platform": i.PlatformDetails, "public": flag(i.Public), "created": i.CreationDate, "deprecated": i.DeprecationTime})
	if i.Public != nil && *i.Public {
		m.exposed(asset, properties{"through": "launch permission for everyone"})
	}
}

type vpc struct {
	VpcID, OwnerID, CidrBlock string
	IsDefault                 *bool
	Tags                      tags
}

func (m *mapper) vpc(v vpc) {
	m.resource("ec2:vpc", m.arn("ec2", v.OwnerID, "vpc/", v.VpcID), v.VpcID, v.Tags["Name"], v.Tags, properties{"cidr": v.CidrBlock, "default": flag(v.IsDefault)})
}

type subnet struct {
	SubnetID, SubnetArn, VpcID, OwnerID, CidrBlock, AvailabilityZone string
	MapPublicIPOnLaunch                                              *bool `json:"MapPublicIpOnLaunch"`
	Tags                                                             tags
}

func (m *mapper) subnet(s subnet) {
	m.located(s.AvailabilityZone, func() {
		asset := m.resource("ec2:subnet", or(s.SubnetArn, m.arn("ec2", s.OwnerID, "subnet/", s.SubnetID)), s.SubnetID, s.Tags["Name"], s.Tags,
			properties{"cidr": s.CidrBlock, "public_ip_on_launch": flag(s.MapPublicIPOnLaunch), "vpc": s.VpcID})
		m.relate(asset, fact.PartOf, m.ec2(s.OwnerID, "vpc", s.VpcID), nil)
	})
}

type securityGroup struct {
	GroupID, GroupName, Description, VpcID, OwnerID, SecurityGroupArn string
	IPPermissions                                                     []permission `json:"IpPermissions"`
	IPPermissionsEgress                                               []permission `json:"IpPermissionsEgress"`
	Tags                                                              tags
}

type permission struct {
	IPProtocol       string `json:"IpProtocol"`
	FromPort         *int64
	ToPort           *int64
	IPRanges         []addresses `json:"IpRanges"`
	Ipv6Ranges       []struct{ CidrIpv6 string }
	UserIDGroupPairs []struct{ GroupID, UserID string } `json:"UserIdGroupPairs"`
	PrefixListIDs    []struct {
		PrefixListID string `json:"PrefixListId"`
	} `json:"PrefixListIds"`
}

// addresses are a range, as an object or, as AWS Config writes it, as text.
type addresses struct {
	CidrIP string `json:"CidrIp"`
}

func (a *addresses) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &a.CidrIP)
	}
	type plain addresses
	return json.Unmarshal(data, (*plain)(a))
}

// ports writes a permission's protocol and ports: "tcp/22", "tcp/0-65535", "all".
func (p permission) ports() string {
	if p.IPProtocol == "-1" || p.IPProtocol == "" {
		return "all"
	}
	switch {
	case p.FromPort == nil || *p.FromPort < 0:
		return p.IPProtocol
	case p.ToPort == nil || *p.ToPort == *p.FromPort:
		return fmt.Sprintf("%s/%d", p.IPProtocol, *p.FromPort)
	}
	return fmt.Sprintf("%s/%d-%d", p.IPProtocol, *p.FromPort, *p.ToPort)
}

func (p permission) sources() []string {
	var list []string
	for _, r := range p.IPRanges {
		list = append(list, r.CidrIP)
	}
	for _, r := range p.Ipv6Ranges {
		list = append(list, r.CidrIpv6)
	}
	for _, r := range p.PrefixListIDs {
		list = append(list, r.PrefixListID)
	}
	for _, r := range p.UserIDGroupPairs {
		list = append(list, r.GroupID)
	}
	return list
}

func (m *mapper) securityGroup(g securityGroup) {
	var rules, egress, open []string
	for _, p := range g.IPPermissions {
		rules = append(rules, p.ports()+" from "+strings.Join(p.sources(), ", "))
		if slices.ContainsFunc(p.sources(), world) {
			open = append(open, p.ports())
		}
	}
	for _, p := range g.IPPermissionsEgress {
		egress = append(egress, p.ports()+" to "+strings.Join(p.sources(), ", "))
	}
	asset := m.resource("ec2:security-group", or(g.SecurityGroupArn, m.arn("ec2", g.OwnerID, "security-group/", g.GroupID)), g.GroupID, or(g.GroupName, g.Tags["Name"]), g.Tags,
		properties{"description": g.Description, "vpc": g.VpcID, "ingress": strings.Join(rules, "; "), "egress": strings.Join(egress, "; "), "open_to_world": strings.Join(open, ", ")})
	m.relate(asset, fact.PartOf, m.ec2(g.OwnerID, "vpc", g.VpcID), nil)
	if len(open) > 0 {
		m.exposed(asset, properties{"ports": strings.Join(open, ", ")})
	}
	for _, p := range g.IPPermissions {
		for _, pair := range p.UserIDGroupPairs {
			if pair.GroupID != g.GroupID {
				m.relate(m.ec2(or(pair.UserID, g.OwnerID), "security-group", pair.GroupID), fact.Exposes, asset, properties{"ports": p.ports()})
			}
		}
	}
}

type ecsCluster struct {
	ClusterArn, ClusterName, Status string
	Configuration                   struct {
		ExecuteCommandConfiguration struct{ Logging string }
	}
	Tags tags
}

func (m *mapper) ecsCluster(c ecsCluster) {
	resource := m.resource("ecs:cluster", c.ClusterArn, c.ClusterName, c.ClusterName, c.Tags, properties{"status": c.Status, "exec_logging": c.Configuration.ExecuteCommandConfiguration.Logging})
	m.as(fact.AssetCluster, resource, properties{"platform": "ecs"})
}

type ecsNetwork struct {
	AwsvpcConfiguration struct {
		Subnets, SecurityGroups []string
		AssignPublicIP          string `json:"AssignPublicIp"`
	}
}

type ecsService struct {
	ServiceArn, ServiceName, ClusterArn, Status, LaunchType, TaskDefinition, PlatformVersion string
	RoleArn                                                                                  string
	EnableExecuteCommand                                                                     *bool
	NetworkConfiguration                                                                     ecsNetwork
	LoadBalancers                                                                            []struct{ TargetGroupArn, ContainerName string }
	DesiredCount, RunningCount                                                               int64
	Tags                                                                                     tags
}

func (m *mapper) ecsService(s ecsService) {
	network := s.NetworkConfiguration.AwsvpcConfiguration
	resource := m.resource("ecs:service", s.ServiceArn, s.ServiceName, s.ServiceName, s.Tags, properties{
		"status": s.Status, "launch_type": s.LaunchType, "task_definition": s.TaskDefinition, "public_ip": network.AssignPublicIP,
		"desired": number(s.DesiredCount), "running": number(s.RunningCount), "execute_command": flag(s.EnableExecuteCommand),
	})
	service := m.as(fact.AssetWorkload, resource, properties{"platform": "ecs"})
	m.relate(service, fact.RunsIn, fact.Asset{Kind: fact.AssetCluster, Key: s.ClusterArn, Name: short(s.ClusterArn)}, nil)
	m.relate(service, fact.Controls, fact.Asset{Kind: fact.AssetWorkload, Key: s.TaskDefinition, Name: short(s.TaskDefinition)}, nil)
	account := accountOf(s.ServiceArn)
	m.located(regionOf(s.ServiceArn)+"a", func() {
		m.guarded(service, account, network.SecurityGroups)
		for _, id := range network.Subnets {
			m.relate(service, fact.RunsIn, m.ec2(account, "subnet", id), nil)
		}
	})
	for _, balancer := range s.LoadBalancers {
		m.relate(named(balancer.TargetGroupArn), fact.Exposes, service, properties{"container": balancer.ContainerName})
	}
}

type taskDefinition struct {
	TaskDefinitionArn, Family, Status, NetworkMode, TaskRoleArn, ExecutionRoleArn, PidMode string
	ContainerDefinitions                                                                   []struct {
		Name, Image, User                  string
		Privileged, ReadonlyRootFilesystem *bool
		Environment                        []struct{ Name string }
		Secrets                            []struct{ Name, ValueFrom string }
		PortMappings                       []struct{ ContainerPort, HostPort int64 }
	}
	Volumes []struct {
		Name string
		Host *struct{ SourcePath string }
	}
}

// describedTask is a task definition with the tags that stand beside it.
type describedTask struct {
	TaskDefinition taskDefinition
	Tags           tags
}

// taskDefinition maps a task definition. Of environment variables only the names
// are kept: their values are often secrets.
func (m *mapper) taskDefinition(d describedTask) {
	t := d.TaskDefinition
	var privileged, environment, paths []string
	for _, c := range t.ContainerDefinitions {
		if c.Privileged != nil && *c.Privileged {
			privileged = append(privileged, c.Name)
		}
		for _, variable := range c.Environment {
			environment = append(environment, variable.Name)
		}
	}
	for _, v := range t.Volumes {
		if v.Host != nil && v.Host.SourcePath != "" {
			paths = append(paths, v.Host.SourcePath)
		}
	}
	resource := m.resource("ecs:task-definition", t.TaskDefinitionArn, t.Family, t.Family, d.Tags, properties{
		"status": t.Status, "network_mode": t.NetworkMode, "pid_mode": t.PidMode, "privileged": strings.Join(privileged, ", "),
		"environment_names": strings.Join(environment, ", "), "host_paths": strings.Join(paths, ", "),
	})
	workload := m.as(fact.AssetWorkload, resource, properties{"platform": "ecs"})
	m.runsAs(workload, t.TaskRoleArn, properties{"through": "task role"})
	m.runsAs(workload, t.ExecutionRoleArn, properties{"through": "execution role"})
	for _, c := range t.ContainerDefinitions {
		if c.Image != "" {
			image := imageAsset(c.Image, "")
			m.tell(image.Kind, image.Key, image.Name, properties{"reference": c.Image})
			m.relate(workload, fact.InstanceOf, image, properties{"container": c.Name, "user": c.User, "privileged": flag(c.Privileged), "read_only_root": flag(c.ReadonlyRootFilesystem)})
		}
		for _, secret := range c.Secrets {
			if strings.HasPrefix(secret.ValueFrom, "arn:") {
				m.relate(workload, fact.DependsOn, named(secret.ValueFrom), properties{"as": secret.Name})
			}
		}
	}
}

type ecsTask struct {
	TaskArn, ClusterArn, TaskDefinitionArn, Group, LastStatus string
	Containers                                                []struct{ Name, Image, ImageDigest string }
}

// ecsTask tells which image really runs: the digest behind a tag.
func (m *mapper) ecsTask(t ecsTask) {
	workload := fact.Asset{Kind: fact.AssetWorkload, Key: t.TaskDefinitionArn, Name: short(t.TaskDefinitionArn)}
	m.relate(workload, fact.RunsIn, fact.Asset{Kind: fact.AssetCluster, Key: t.ClusterArn, Name: short(t.ClusterArn)}, nil)
	for _, c := range t.Containers {
		if c.ImageDigest == "" {
			continue
		}
		image := imageAsset(c.Image, c.ImageDigest)
		m.tell(image.Kind, image.Key, image.Name, properties{"reference": c.Image, "digest": c.ImageDigest})
		m.relate(workload, fact.InstanceOf, image, properties{"container": c.Name})
	}
}

type containerInstance struct {
	ContainerInstanceArn, Ec2InstanceID, Status string
	Tags                                        tags
}

func (m *mapper) containerInstance(c containerInstance) {
	asset := m.resource("ecs:container-instance", c.ContainerInstanceArn, short(c.ContainerInstanceArn), "", c.Tags, properties{"status": c.Status, "instance": c.Ec2InstanceID})
	m.located(regionOf(c.ContainerInstanceArn)+"a", func() {
		m.relate(asset, fact.RunsIn, m.ec2(accountOf(c.ContainerInstanceArn), "instance", c.Ec2InstanceID), nil)
	})
}

type eksCluster struct {
	Arn, Name, Version, Status, RoleArn, Endpoint, PlatformVersion string
	ResourcesVpcConfig                                             struct {
		SubnetIDs                                   []string `json:"SubnetIds"`
		SecurityGroupIDs                            []string `json:"SecurityGroupIds"`
		ClusterSecurityGroupID                      string   `json:"ClusterSecurityGroupId"`
		VpcID                                       string   `json:"VpcId"`
		EndpointPublicAccess, EndpointPrivateAccess *bool
		PublicAccessCidrs                           []string
	}
	EncryptionConfig []struct{ Resources []string }
	Identity         struct{ Oidc struct{ Issuer string } }
	Logging          struct {
		ClusterLogging []struct {
			Types   []string
			Enabled bool
		}
	}
	Tags tags
}

func (m *mapper) eksCluster(c eksCluster) {
	network := c.ResourcesVpcConfig
	var logs []string
	for _, l := range c.Logging.ClusterLogging {
		if l.Enabled {
			logs = append(logs, l.Types...)
		}
	}
	var encrypted []string
	for _, e := range c.EncryptionConfig {
		encrypted = append(encrypted, e.Resources...)
	}
	resource := m.resource("eks:cluster", c.Arn, c.Name, c.Name, c.Tags, properties{
		"version": c.Version, "status": c.Status, "endpoint": c.Endpoint, "public_endpoint": flag(network.EndpointPublicAccess), "private_endpoint": flag(network.EndpointPrivateAccess),
		"public_access_cidrs": strings.Join(network.PublicAccessCidrs, ", "), "logging": strings.Join(logs, ", "), "encrypted": strings.Join(encrypted, ", "), "oidc_issuer": c.Identity.Oidc.Issuer,
	})
	cluster := m.as(fact.AssetCluster, resource, properties{"platform": "eks", "oidc_issuer": c.Identity.Oidc.Issuer, "endpoint": c.Endpoint})
	m.runsAs(cluster, c.RoleArn, properties{"through": "cluster role"})
	account := accountOf(c.Arn)
	m.located(regionOf(c.Arn)+"a", func() {
		m.relate(cluster, fact.RunsIn, m.ec2(account, "vpc", network.VpcID), nil)
		m.guarded(cluster, account, append(slices.Clone(network.SecurityGroupIDs), network.ClusterSecurityGroupID))
	})
	if network.EndpointPublicAccess != nil && *network.EndpointPublicAccess && (len(network.PublicAccessCidrs) == 0 || slices.ContainsFunc(network.PublicAccessCidrs, world)) {
		m.exposed(cluster, properties{"ports": "tcp/443", "through": "public endpoint"})
	}
}

type nodegroup struct {
	NodegroupArn, NodegroupName, ClusterName, Version, ReleaseVersion, AmiType, NodeRole, Status string
	RemoteAccess                                                                                 *struct {
		Ec2SSHKey            string `json:"Ec2SshKey"`
		SourceSecurityGroups []string
	}
	Tags tags
}

func (m *mapper) nodegroup(n nodegroup) {
	said := properties{"version": n.Version, "release": n.ReleaseVersion, "ami_type": n.AmiType, "status": n.Status}
	if n.RemoteAccess != nil && n.RemoteAccess.Ec2SSHKey != "" && len(n.RemoteAccess.SourceSecurityGroups) == 0 {
		said["ssh_open_to_world"] = "true"
	}
	asset := m.resource("eks:nodegroup", n.NodegroupArn, n.NodegroupName, n.NodegroupName, n.Tags, said)
	if parts := strings.SplitN(n.NodegroupArn, ":", 6); len(parts) == 6 && n.ClusterName != "" {
		cluster := strings.Join(parts[:5], ":") + ":cluster/" + n.ClusterName
		m.relate(asset, fact.PartOf, fact.Asset{Kind: fact.AssetCluster, Key: cluster, Name: n.ClusterName}, nil)
	}
	m.runsAs(asset, n.NodeRole, properties{"through": "node role"})
}

type function struct {
	FunctionArn, FunctionName, Runtime, Role, PackageType, CodeSha256, Handler, State string
	VpcConfig                                                                         struct {
		SubnetIDs        []string `json:"SubnetIds"`
		SecurityGroupIDs []string `json:"SecurityGroupIds"`
		VpcID            string   `json:"VpcId"`
	}
	Environment struct{ Variables map[string]any }
	Layers      []struct{ Arn string }
	Tags        tags
}

// described is a function with what stands beside its configuration. Where its
// code can be fetched from is never read: the address carries credentials.
type described struct {
	Configuration function
	Code          struct{ ImageURI, ResolvedImageURI, RepositoryType string }
	Tags          tags
}

func (m *mapper) function(f function) { m.described(described{Configuration: f, Tags: f.Tags}) }

func (m *mapper) described(d described) {
	f := d.Configuration
	var environment []string
	for name := range f.Environment.Variables {
		environment = append(environment, name)
	}
	slices.Sort(environment)
	resource := m.resource("lambda:function", f.FunctionArn, f.FunctionName, f.FunctionName, d.Tags, properties{
		"runtime": f.Runtime, "package": f.PackageType, "code_sha256": f.CodeSha256, "handler": f.Handler, "state": f.State, "environment_names": strings.Join(environment, ", "),
	})
	workload := m.as(fact.AssetWorkload, resource, properties{"platform": "lambda", "runtime": f.Runtime})
	m.runsAs(workload, f.Role, properties{"through": "function role"})
	account := accountOf(f.FunctionArn)
	m.located(regionOf(f.FunctionArn)+"a", func() {
		m.guarded(workload, account, f.VpcConfig.SecurityGroupIDs)
		m.relate(workload, fact.RunsIn, m.ec2(account, "vpc", f.VpcConfig.VpcID), nil)
	})
	for _, layer := range f.Layers {
		m.relate(workload, fact.DependsOn, named(layer.Arn), nil)
	}
	if reference := or(d.Code.ResolvedImageURI, d.Code.ImageURI); reference != "" {
		image := imageAsset(reference, "")
		m.tell(image.Kind, image.Key, image.Name, properties{"reference": or(d.Code.ImageURI, reference)})
		m.relate(workload, fact.InstanceOf, image, nil)
	}
}

type functionURL struct {
	FunctionURL, FunctionArn, AuthType string
}

func (m *mapper) functionURL(u functionURL) {
	arn := u.FunctionArn
	workload := fact.Asset{Kind: fact.AssetWorkload, Key: arn, Name: short(arn)}
	m.tell(workload.Kind, workload.Key, workload.Name, properties{"url": u.FunctionURL, "url_auth": u.AuthType})
	if u.AuthType == "NONE" {
		m.exposed(workload, properties{"ports": "tcp/443", "through": "function URL without authentication"})
	}
}

type repository struct {
	RepositoryArn, RepositoryName, RepositoryURI, ImageTagMutability string
	ImageScanningConfiguration                                       struct{ ScanOnPush *bool }
	EncryptionConfiguration                                          struct{ EncryptionType string }
	Tags                                                             tags
}

func (m *mapper) repository(r repository) {
	m.resource("ecr:repository", r.RepositoryArn, r.RepositoryName, r.RepositoryName, r.Tags, properties{
		"uri": r.RepositoryURI, "tag_mutability": r.ImageTagMutability, "scan_on_push": flag(r.ImageScanningConfiguration.ScanOnPush), "encryption": r.EncryptionConfiguration.EncryptionType,
	})
}

type imageDetail struct {
	RegistryID, RepositoryName, ImageDigest string
	ImageTags                               []string
	ImageScanFindingsSummary                struct{ FindingSeverityCounts map[string]int }
}

// imageDetail maps an image of a registry: its digest is what it is, its tags
// are references to it.
func (m *mapper) imageDetail(i imageDetail) {
	account := or(i.RegistryID, m.at.account)
	suffix := ".amazonaws.com"
	if m.at.partition() == "aws-cn" {
		suffix += ".cn"
	}
	base := i.RepositoryName
	if account != "" && m.at.region != "" {
		base = account + ".dkr.ecr." + m.at.region + suffix + "/" + i.RepositoryName
	}
	references := make([]string, len(i.ImageTags))
	for n, tag := range i.ImageTags {
		references[n] = base + ":" + tag
	}
	var counts []string
	for severity, count := range i.ImageScanFindingsSummary.FindingSeverityCounts {
		counts = append(counts, fmt.Sprintf("%s=%d", strings.ToLower(severity), count))
	}
	slices.Sort(counts)
	name := base
	if len(references) > 0 {
		name = references[0]
	}
	image := m.tell(fact.AssetImage, i.ImageDigest, name, properties{"digest": i.ImageDigest, "references": strings.Join(references, ", "), "repository": base, "scan": strings.Join(counts, ", ")})
	repository := fact.Asset{Kind: fact.AssetResource, Key: m.arn("ecr", i.RegistryID, "repository/", i.RepositoryName), Name: i.RepositoryName}
	m.relate(image, fact.PartOf, repository, nil)
	for _, reference := range references {
		m.relate(fact.Asset{Kind: fact.AssetImage, Key: reference, Name: reference}, fact.InstanceOf, image, properties{"as": "tag"})
	}
}

func accountOf(arn string) string {
	if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 {
		return parts[4]
	}
	return ""
}

func regionOf(arn string) string {
	if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 {
		return parts[3]
	}
	return ""
}
