package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/fact"
)

func TestTheLineThatDecidesATerraformAttribute(t *testing.T) {
	t.Parallel()
	repo := repository(t, map[string]string{
		"prod/main.tf":     "module \"m\" {\n  source = \"../m\"\n  acl    = \"public-read\"\n}\n",
		"m/main.tf":        "variable \"acl\" {}\nresource \"aws_s3_bucket\" \"b\" {\n  acl = var.acl\n}\n",
		"prod/state.json":  `{"version": 4, "resources": [{"module": "module.m", "mode": "managed", "type": "aws_s3_bucket", "name": "b", "instances": [{"attributes": {"acl": "private"}}]}]}`,
		"other/ignored.tf": "resource \"aws_s3_bucket\" \"x\" {}\n",
	})
	code, stdout, stderr := command(t, filepath.Join(repo, "prod", "state.json"), "cause", "terraform", "module.m.aws_s3_bucket.b.acl", "--repo", repo, "-o", "json")
	if code != exitClean {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var answer struct {
		Verdict string
		Cause   fact.Cause
	}
	if err := json.Unmarshal([]byte(stdout), &answer); err != nil {
		t.Fatal(err)
	}
	if l := answer.Cause.Locations; answer.Verdict != "drift" || len(l) != 1 || l[0].Path != "prod/main.tf" || l[0].Line != 3 {
		t.Errorf("verdict %s at %+v, want drift at prod/main.tf:3", answer.Verdict, l)
	}
	code, stdout, _ = command(t, t.TempDir(), "cause", "terraform", "module.m.aws_s3_bucket.b.acl", "--repo", repo, "--at", "HEAD")
	if code != exitClean || !strings.Contains(stdout, "decided by prod/main.tf:3:12") || !strings.Contains(stdout, "called at prod/main.tf:1") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
	if code, _, stderr := command(t, t.TempDir(), "cause", "terraform", "aws_s3_bucket.none", "--repo", repo); code != exitIncomplete || !strings.Contains(stderr, "is not known") {
		t.Errorf("an address that nothing declares: exit code %d, %s", code, stderr)
	}
	if code, _, stderr := command(t, t.TempDir(), "cause", "terraform", "nonsense", "--repo", repo); code != exitFailure || !strings.Contains(stderr, "expected one like") {
		t.Errorf("an address that is none: exit code %d, %s", code, stderr)
	}
	broken := filepath.Join(t.TempDir(), "state.json")
	if err := os.WriteFile(broken, []byte(`{"version": 9}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := command(t, broken, "cause", "terraform", "aws_s3_bucket.x", "--repo", repo); code != exitFailure || !strings.Contains(stderr, "state.json: version") {
		t.Errorf("a state of the future: exit code %d, %s", code, stderr)
	}
}
