package builtin

import (
	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/auditlog"
	"github.com/backstitch/backstitch/connector/aws"
	"github.com/backstitch/backstitch/connector/azuredevops"
	"github.com/backstitch/backstitch/connector/backstage"
	"github.com/backstitch/backstitch/connector/bitbucket"
	"github.com/backstitch/backstitch/connector/gitea"
	"github.com/backstitch/backstitch/connector/github"
	"github.com/backstitch/backstitch/connector/gitlab"
	"github.com/backstitch/backstitch/connector/gitlocal"
	"github.com/backstitch/backstitch/connector/kubernetes"
	"github.com/backstitch/backstitch/connector/opsgenie"
	"github.com/backstitch/backstitch/connector/pagerduty"
	"github.com/backstitch/backstitch/connector/people"
	"github.com/backstitch/backstitch/connector/project"
	"github.com/backstitch/backstitch/connector/registry"
	"github.com/backstitch/backstitch/connector/scim"
	"github.com/backstitch/backstitch/connector/servicenow"
	"github.com/backstitch/backstitch/connector/terraformstate"
)

// Sources lists the connectors that bring facts from outside systems.
func Sources() []connector.Source {
	return []connector.Source{auditlog.New(), aws.New(), azuredevops.New(nil), backstage.New(nil), bitbucket.New(nil), gitea.New(nil), github.New(nil, nil), gitlab.New(nil, nil), gitlocal.New(), kubernetes.New(), opsgenie.New(nil, nil), pagerduty.New(nil), people.New(), project.New(), registry.New(nil), scim.New(nil), servicenow.New(nil), terraformstate.New()}
}
