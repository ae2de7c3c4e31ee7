package popeye

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/report/reporttest"
)

func TestEachLayoutIsReadIntoFindings(t *testing.T) {
	t.Parallel()
	reporttest.Table(t, New(), cases)
}

func TestConformance(t *testing.T) {
	t.Parallel()
	reporttest.Conformance(t, New(), reporttest.Samples(cases)...)
}

func FuzzRead(f *testing.F) { reporttest.FuzzTable(f, New(), cases) }

var cases = []reporttest.Case{
	{
		Name: "linters", Score: 95, Complete: true,
		Report: `{"popeye":{"score":75,"grade":"C","sections":[{"linter":"deployments","gvr":"apps/v1/deployments","issues":{"shop/web":[{"group":"nginx","level":2,"message":"[POP-106] No limits"},{"group":"__root__","level":0,"message":"[POP-1] fine"}],"shop/quiet":[]}},
{"issues":{"shop/db":[{"level":3,"message":"lost"}]},"gvr":"v1/pods"}]},"ClusterName":"prod"}`,
		Want: []string{"misconfiguration POP-106 medium", "misconfiguration lost high"},
	},
	{
		Name: "sanitizers", Score: 95, Complete: true,
		Report: `{"popeye":{"sanitizers":[{"sanitizer":"roles","gvr":"rbac.authorization.k8s.io/v1/roles","issues":{"ops/r":[{"group":"__root__","level":1,"message":"[POP-400] Used?"}]}},{"sanitizer":"pods","issues":null}]}}`,
		Want:   []string{"misconfiguration POP-400 info"},
	},
}

func TestAssetsJoinTheGraph(t *testing.T) {
	t.Parallel()
	facts := reporttest.Read(t, New(), cases[0].Report)
	var got []string
	for _, a := range facts.Runs[0].Assets {
		got = append(got, a.Key)
	}
	if diff := cmp.Diff([]string{"prod/shop/Deployment.apps/web", "prod/shop/Deployment.apps/quiet", "prod/shop/Pod/db"}, got); diff != "" {
		t.Errorf("assets that were looked at (-want +got):\n%s", diff)
	}
	if f := facts.Findings[0]; f.Anchor != "nginx" || f.Title != "No limits" {
		t.Errorf("finding %+v", f)
	}
}
