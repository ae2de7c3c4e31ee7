package kubernetes_test

import (
	"fmt"
	"testing"

	"github.com/backstitch/backstitch/code/kubernetes"
)

func TestKeysOfObjectsAreTakenApart(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"east/prod/Deployment.apps/web":                                 "prod Deployment web true",
		"arn:aws:eks:eu-west-1:1:cluster/east/prod/Deployment.apps/web": "prod Deployment web true",
		"prod/Pod/web": "prod Pod web true",
		"east/-/ClusterRole.rbac.authorization.k8s.io/admin": " ClusterRole admin true",
		"Pod/web":                 " Pod web true",
		"arn:aws:iam::1:role/web": "   false",
		"projects/p/zones/z":      "   false",
		"web":                     "   false",
		"prod/.apps/web":          "   false",
		"":                        "   false",
	} {
		namespace, kind, name, ok := kubernetes.ObjectKey(key)
		if got := fmt.Sprint(namespace, " ", kind, " ", name, " ", ok); got != want {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}
}

func TestNamesTellOfControllers(t *testing.T) {
	t.Parallel()
	for object, want := range map[[2]string]string{
		{"ReplicaSet", "web-7d9f8"}:           "[{Deployment web }]",
		{"ReplicaSet", "web"}:                 "[]",
		{"Job", "backup-28514880"}:            "[{CronJob backup spec.jobTemplate}]",
		{"Pod", "web-7d9f8c4d5-x7k2p"}:        "[{Deployment web spec.template} {DaemonSet web-7d9f8c4d5 spec.template} {Job web-7d9f8c4d5 spec.template} {ReplicaSet web-7d9f8c4d5 spec.template}]",
		{"Pod", "db-0"}:                       "[{StatefulSet db spec.template}]",
		{"Deployment", "web-7d9f8c4d5-x7k2p"}: "[]",
	} {
		if got := fmt.Sprint(kubernetes.Controllers(object[0], object[1])); got != want {
			t.Errorf("%v: %s, want %s", object, got, want)
		}
	}
}
