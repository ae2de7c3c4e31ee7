// Package kubernetes brings what runs in Kubernetes clusters: workloads with the
// images that their pods run, by digest, what exposes and guards them, whom they act
// as and what that may do, and which tool deployed them from where.
//
// It asks the API server of each context of a kubeconfig, kind by kind and page by
// page (live.go, config.go), or reads exported objects (files.go). One mapping
// serves both (cluster.go, joins.go); what objects mean is told by code/kubernetes,
// for a cluster as for a repository.
//
// A scope is "CONTEXT/NAMESPACE/Kind.group", with "cluster" for the namespace when
// all are listed at once, or an exported file. What follows from several kinds
// together stands in scopes of its own ("CONTEXT/cluster/exposures"), which are
// covered only when each of those kinds was read. For that, what joins need of each
// object is held until its cluster is told; a pod is a few words. Values of secrets, config maps and
// environment variables are dropped as they are read.
package kubernetes

import (
	"context"
	"errors"
	"time"

	"github.com/backstitch/backstitch/connector"
)

// ID names the source.
const ID = "connector/kubernetes"

type source struct {
	// wait pauses before an attempt is repeated.
	wait func(ctx context.Context, pause time.Duration) error
	// timeout of one request.
	timeout time.Duration
}

// New makes the source of Kubernetes clusters.
func New() connector.Source { return source{wait: pause, timeout: time.Minute} }

func (source) Describe() connector.Description {
	return connector.Description{
		ID: ID, Name: "Kubernetes",
		Docs: "Workloads, images by digest, services, ingresses, gateways, network policies, service accounts with their rights, and GitOps tracking, from the API server of a kubeconfig's contexts or from exported objects. " +
			"Needs the rights of the role view, and to list nodes and RBAC objects; what is denied is named and the rest goes on. A kubeconfig runs no command and reads no file elsewhere unless the setting allow says so.",
	}
}

func (source) Settings() []connector.Setting {
	return []connector.Setting{
		{Name: "kubeconfig", Kind: connector.SettingPath, Help: "kubeconfig whose clusters are asked"},
		{Name: "contexts", Kind: connector.SettingList, Help: `contexts of the kubeconfig to look at, "*" for all; without any, its current one`},
		{Name: "path", Kind: connector.SettingPath, Help: "file or folder of objects exported with kubectl get -o json or -o yaml, instead of asking"},
		{Name: "cluster", Kind: connector.SettingText, Help: "name of the exported cluster, or its ARN, by which it is joined with the cloud; for a kubeconfig with one context too"},
		{Name: "namespaces", Kind: connector.SettingList, Help: "namespaces to look at, each listed by itself; without any, all at once"},
		{Name: "allow", Kind: connector.SettingList, Help: `what a kubeconfig that you trust may do: "commands" runs its credential plugins, "files" reads its token files and files outside its folder`},
		{Name: "helm", Kind: connector.SettingChoice, Default: "no", Choices: []string{"no", "yes"}, Help: "read the secrets in which Helm keeps its releases, for the names and versions of charts; needs the right to list secrets"},
	}
}

// Sync implements connector.Source.
func (s source) Sync(ctx context.Context, values connector.Values, sink connector.Sink) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	switch {
	case values["path"] != "" && values["kubeconfig"] != "":
		return errors.New("settings path and kubeconfig: expected one of them")
	case values["path"] != "":
		return exported(ctx, values, sink)
	case values["kubeconfig"] != "":
		return s.live(ctx, values, sink)
	}
	return errors.New("setting kubeconfig or path is missing: which cluster")
}

// pause waits, or ends with ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
