package fact

// Kinds of assets of the security graph, beside those that findings name.
const (
	AssetAccount     = "account"            // cloud account, project or subscription; key "aws/123456789012"
	AssetCluster     = "cluster"            // Kubernetes or container cluster; key its ARN, or the name given to it
	AssetKubernetes  = "kubernetes_object"  // key "cluster/namespace/Kind.group/name", namespace "-" for cluster-wide ones
	AssetWorkload    = "workload"           // what runs containers or functions; key that of its Kubernetes object or cloud resource
	AssetLayer       = "layer"              // key its DiffID "sha256:..."
	AssetTerraform   = "terraform_resource" // key "repository//root:address"
	AssetModule      = "module_call"        // key "repository//root:module.a.module.b"
	AssetDockerfile  = "dockerfile"         // key "repository//path"
	AssetPipelineRun = "pipeline_run"       // key its URL, or the invocation id of an attestation
	AssetIdentity    = "identity"           // principal that acts: role, service account, user; key its ARN or object key
	AssetInternet    = "internet"           // the one outside; key "internet"
	AssetService     = "service"            // of a service catalog; key "source:ref"
	AssetProject     = "project"            // grouping of assets; key its path "business-unit/application/environment"
	AssetTeam        = "team"
	AssetPerson      = "person"
)

// RelationKind is the word of a relation between two assets, read from its
// first to its second: workload instance_of image.
type RelationKind string

// Kinds of relations.
const (
	InstanceOf   RelationKind = "instance_of"   // workload -> image
	HasLayer     RelationKind = "has_layer"     // image -> layer
	BuiltFrom    RelationKind = "built_from"    // image -> base image
	CreatedBy    RelationKind = "created_by"    // layer -> dockerfile, or asset -> identity that made it
	PackagedFrom RelationKind = "packaged_from" // image -> repository
	PackagedBy   RelationKind = "packaged_by"   // image -> pipeline_run
	InstalledIn  RelationKind = "installed_in"  // package -> layer
	DeclaredAt   RelationKind = "declared_at"   // package, kubernetes_object or terraform_resource -> file
	LockedAt     RelationKind = "locked_at"     // package -> file
	RequiredBy   RelationKind = "required_by"   // package -> package that brings it
	DeclaredBy   RelationKind = "declared_by"   // cloud_resource -> terraform_resource
	InModule     RelationKind = "in_module"     // terraform_resource or module_call -> module_call
	PartOf       RelationKind = "part_of"       // file -> repository, resource -> account, object -> cluster, asset -> service -> project
	Controls     RelationKind = "controls"      // Deployment -> ReplicaSet -> Pod
	RunsIn       RelationKind = "runs_in"       // workload -> cluster, network, host
	RunsAs       RelationKind = "runs_as"       // workload -> identity
	CanAssume    RelationKind = "can_assume"    // identity -> identity
	MayAct       RelationKind = "may_act"       // identity -> asset, Properties "actions"
	Exposes      RelationKind = "exposes"       // internet, load balancer, ingress, service -> what it leads to
	Guards       RelationKind = "guards"        // security group, network policy -> what it guards
	OwnedBy      RelationKind = "owned_by"      // asset -> team or person
	MemberOf     RelationKind = "member_of"     // person -> team
	DependsOn    RelationKind = "depends_on"    // service -> service or asset
)

// Node is an asset as one source saw it. Properties are what it says of it, by
// the source's own names; tags are "tag:" and the tag's key, labels "label:"
// and the label's.
type Node struct {
	Asset
	Properties map[string]string
}

// Relation is one edge of the security graph, with the evidence for it.
type Relation struct {
	From       Asset
	Kind       RelationKind
	To         Asset
	Evidence   Evidence
	Confidence float64   // 0..1; 0 takes that of the evidence's strength
	Location   *Location // where a repository says so, nil when none does
	Properties map[string]string
}

// Claim says who owns an asset, in one source's words. Claims are kept apart and
// never overwrite each other.
type Claim struct {
	Subject    Asset
	Owner      Party
	Role       string // owner, primary, reviewer, creator, last_author, on_call, security_champion
	Source     string // which source says so, for example "backstage:prod"
	Evidence   Evidence
	Confidence float64 // 0..1
	Since      int64   // microseconds since 1970 UTC, 0 unknown
	Until      int64   // 0 open
}

// Party is a team or a person. ID is what the source calls it: an e-mail, an
// account name, a reference of a catalog.
type Party struct {
	Kind string // team or person
	ID   string
	Name string
}
