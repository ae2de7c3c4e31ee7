package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/fact"
)

// TestMain serves renders of charts, as the program does: the command starts itself.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == kubernetes.RenderCommand {
		if err := kubernetes.ServeRenders(os.Stdin, os.Stdout); err != nil {
			os.Exit(2)
		}
		return
	}
	os.Exit(m.Run())
}

func TestTheLineThatDecidesAKubernetesField(t *testing.T) {
	t.Parallel()
	repo := repository(t, map[string]string{
		"chart/Chart.yaml":           "apiVersion: v2\nname: shop\nversion: 1.0.0\n",
		"chart/values.yaml":          "image: shop/web:1\n",
		"chart/templates/web.yaml":   "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  template:\n    spec:\n      containers:\n      - name: web\n        image: {{ .Values.image }}\n",
		"plain/db.yaml":              "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db.main}\nspec:\n  replicas: 2\n",
		"other/db.yaml":              "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db.main}\nspec:\n  replicas: 3\n",
		"broken/chart/Chart.yaml":    "apiVersion: v2\nname: broken\nversion: 1.0.0\n",
		"broken/chart/templates/a.y": "",
	})
	dump := filepath.Join(t.TempDir(), "live.json")
	live := `{"kind": "List", "apiVersion": "v1", "items": [
 {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db.main", "namespace": "shop"}, "spec": {"replicas": 2}},
 {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop", "labels": {"helm.sh/chart": "shop-1.0.0", "app.kubernetes.io/managed-by": "Helm"}}, "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "shop/web:hotfix"}]}}}}]}`
	if err := os.WriteFile(dump, []byte(live), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args    []string
		code    int
		verdict string
		status  fact.CauseStatus
		at      string
	}{
		"value of a chart": {[]string{"Deployment/web.spec.template.spec.containers[name=web].image"}, exitClean, "unverified", fact.CauseFound, "chart/values.yaml:1"},
		"drift":            {[]string{"deployment/web.spec.template.spec.containers[name=web].image", "--live", dump, "-n", "shop"}, exitClean, "drift", fact.CauseFound, "chart/values.yaml:1"},
		"a tie":            {[]string{"StatefulSet/db.main.spec.replicas"}, exitClean, "unverified", fact.CauseAmbiguous, "other/db.yaml:5 plain/db.yaml:5"},
		"settled by value": {[]string{"StatefulSet/db.main.spec.replicas", "--live", dump}, exitClean, "proven", fact.CauseFound, "plain/db.yaml:5"},
		"of a commit":      {[]string{"StatefulSet/db.main.spec.replicas", "--live", dump, "--at", "HEAD"}, exitClean, "proven", fact.CauseFound, "plain/db.yaml:5"},
		"not there":        {[]string{"Service/none"}, exitIncomplete, "unverified", fact.CauseUnknown, ""},
	} {
		code, stdout, stderr := command(t, t.TempDir(), append([]string{"cause", "kubernetes", "--repo", repo, "-o", "json"}, c.args...)...)
		var answer struct {
			Verdict string
			Cause   fact.Cause
		}
		if err := json.Unmarshal([]byte(stdout), &answer); err != nil {
			t.Fatalf("%s: exit code %d, %v: %s%s", name, code, err, stdout, stderr)
		}
		var at []string
		for _, l := range answer.Cause.Locations {
			at = append(at, l.Path+":"+string(rune('0'+l.Line)))
		}
		if got := strings.Join(at, " "); code != c.code || answer.Verdict != c.verdict || answer.Cause.Status != c.status || got != c.at {
			t.Errorf("%s: exit code %d, %s %s at %s; want %d, %s %s at %s", name, code, answer.Verdict, answer.Cause.Status, got, c.code, c.verdict, c.status, c.at)
		}
	}
	code, stdout, _ := command(t, t.TempDir(), "cause", "kubernetes", "Deployment/web.spec.template.spec.containers[0].image", "--repo", repo)
	if code != exitClean || !strings.Contains(stdout, "WHERE found\n  chart/values.yaml:1\n") || !strings.Contains(stdout, "VALUE shop/web:1") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
}

func TestALiveObjectIsReadFromStandardInput(t *testing.T) {
	t.Parallel()
	repo := repository(t, map[string]string{"web.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 2\n"})
	pod := `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-7d8f-x", "namespace": "shop", "labels": {"pod-template-hash": "7d8f"}, "ownerReferences": [{"kind": "ReplicaSet", "name": "web-7d8f", "controller": true}]}}`
	var out, fault strings.Builder
	code := Main([]string{"cause", "kubernetes", "Pod/web-7d8f-x", "--repo", repo, "--live", "-", "--state", t.TempDir()}, strings.NewReader(pod), &out, &fault)
	if code != exitClean || !strings.Contains(out.String(), "  web.yaml:1\n") || !strings.Contains(out.String(), "derived  kubernetes_object shop/Pod/web-7d8f-x") {
		t.Errorf("exit code %d\n%s%s", code, out.String(), fault.String())
	}
}

func TestWrongUseOfCauseKubernetesIsNamed(t *testing.T) {
	t.Parallel()
	repo := repository(t, map[string]string{"a.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"})
	broken := filepath.Join(t.TempDir(), "live.yaml")
	if err := os.WriteFile(broken, []byte("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\nb: [\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"expected KIND/NAME":                     {"nonsense"},
		"byte 5: expected a key":                 {"Pod/a.spec.[x"},
		"no such file":                           {"Pod/a", "--live", broken + "-gone"},
		"live.yaml:5: not YAML":                  {"Pod/a", "--live", broken},
		"Pod/b: the line that decides is not kn": {"Pod/b"},
	} {
		code, _, stderr := command(t, t.TempDir(), append([]string{"cause", "kubernetes", "--repo", repo}, args...)...)
		if !strings.Contains(stderr, want) {
			t.Errorf("%v: exit code %d, %s; want %s", args, code, stderr, want)
		}
		if wantCode := map[bool]int{true: exitClean, false: exitFailure}[strings.HasPrefix(want, "live.yaml")]; code != wantCode && !(strings.HasPrefix(want, "Pod/b") && code == exitIncomplete) {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
}

func TestADumpBesideTheManifestsIsNone(t *testing.T) {
	t.Parallel()
	repo := repository(t, map[string]string{"db.yaml": "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\nspec:\n  replicas: 2\n"})
	live := filepath.Join(repo, "live.yaml")
	if err := os.WriteFile(live, []byte("apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\nspec: {replicas: 3}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := command(t, t.TempDir(), "cause", "kubernetes", "--repo", repo, "StatefulSet/db.spec.replicas", "--live", live)
	if code != exitClean || !strings.Contains(stdout, "db.yaml:5") || strings.Contains(stdout, "live.yaml") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
}
