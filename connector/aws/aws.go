// Package aws brings what runs in Amazon Web Services: accounts, networks,
// machines, containers, functions, images, buckets, databases, load balancers
// and identities, what is exposed, who may act as whom, and the findings of
// Security Hub and Inspector.
//
// It asks the APIs, with paging and patience, or reads a folder of answers that
// were exported with "aws ... --output json". One mapping serves both: what an
// API answers is written as JSON and read as a file would be. Each answer is
// known by the member that holds its things (answer.go); compute.go, data.go and
// identity.go say what each means.
//
// Scopes are "ACCOUNT/REGION/service:things", or the file. A scope that was
// denied, throttled for too long or cut off is a gap: what is in it stays.
// Environment variables keep their names only; addresses that code can be
// fetched from, which carry credentials, are never read.
package aws

import (
	"context"
	"time"

	"github.com/backstitch/backstitch/connector"
)

// ID names the source.
const ID = "connector/aws"

type source struct {
	backoff time.Duration // longest wait between two attempts; 0 the usual
}

// New makes the source of Amazon Web Services.
func New() connector.Source { return source{} }

func (source) Describe() connector.Description {
	return connector.Description{
		ID: ID, Name: "Amazon Web Services",
		Docs: "Accounts, EC2, ECS, EKS, Lambda, ECR, S3, IAM, load balancers, RDS, tags, and findings of Security Hub and Inspector, from the APIs or from exported answers. " +
			"Needs read rights only (the managed policy SecurityAudit is enough, with ViewOnlyAccess); what is denied is named and the rest goes on. Credentials come from the SDK's own chain: environment, profile, web identity, instance or task role.",
	}
}

func (source) Settings() []connector.Setting {
	return []connector.Setting{
		{Name: "path", Kind: connector.SettingPath, Help: "folder of answers exported with aws ... --output json, instead of asking the APIs; account (12 digits), region and bucket=NAME may stand in a file's path"},
		{Name: "regions", Kind: connector.SettingList, Help: "regions to look at; without any, all that the account has enabled"},
		{Name: "services", Kind: connector.SettingList, Help: "services to look at, of ec2, ecs, eks, lambda, ecr, s3, iam, elb, rds, tag, organizations, securityhub, inspector2; without any, all"},
		{Name: "account", Kind: connector.SettingText, Help: "account whose exported answers do not say so, 12 digits"},
		{Name: "profile", Kind: connector.SettingText, Help: "profile of the shared configuration"},
		{Name: "roles", Kind: connector.SettingList, Help: "ARNs of roles to assume, one for each further account to look at"},
		{Name: "external-id", Kind: connector.SettingText, Help: "external id for the roles"},
		{Name: "access-key", Kind: connector.SettingSecret, Help: "access key id, when the SDK's own chain shall not be used"},
		{Name: "secret-key", Kind: connector.SettingSecret, Help: "secret access key for access-key"},
		{Name: "session-token", Kind: connector.SettingSecret, Help: "session token for access-key, when it is temporary"},
		{Name: "endpoint", Kind: connector.SettingURL, Help: "address that all services are asked at, for gateways and tests"},
	}
}

// Sync implements connector.Source.
func (s source) Sync(ctx context.Context, values connector.Values, sink connector.Sink) error {
	if values["path"] != "" {
		return exported(ctx, values, sink)
	}
	return s.live(ctx, values, sink)
}
