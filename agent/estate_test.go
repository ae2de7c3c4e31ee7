package agent_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/agent"
	"github.com/backstitch/backstitch/app"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/intake"
	"github.com/backstitch/backstitch/issue"
)

const supportOfPython = `{"title":"Python","product":"python","identifiers":[{"purl":"pkg:docker/library/python"}],"releases":[{"releaseCycle":"3.12","releaseDate":"2023-10-02","eol":false,"latest":"3.12.3"},{"releaseCycle":"3.7","releaseDate":"2018-06-27","eol":"2023-06-27","latest":"3.7.17"}]}`

// supported gives a desk that knows of the support of Python and of no flaw.
func supported(t *testing.T) *app.App {
	t.Helper()
	later := 0
	_, desk := build(t, &later)
	if _, err := desk.ImportAdvisories(t.Context(), []string{written(t, "lives.jsonl", supportOfPython)}); err != nil {
		t.Fatal(err)
	}
	return desk
}

func ofKind(result agent.Triage, kind fact.Kind) (found []issue.Issue) {
	for _, one := range result.Issues {
		if one.Kind == kind {
			found = append(found, one)
		}
	}
	return found
}

func TestWhatIsOutOfSupportIsAnIssueWithWhereAndWhoUntilItIsGone(t *testing.T) {
	t.Parallel()
	desk := supported(t)
	repo := held(t, map[string]string{"build/Dockerfile": "ARG VERSION=3.7.1\nFROM python:${VERSION}\n"})
	first := triage(t, desk, agent.Request{Repo: repo})
	found := ofKind(first, fact.EndOfLife)
	if len(found) != 1 || len(first.Issues) != 1 || !first.Complete {
		t.Fatalf("issues = %+v, complete %t: %s", first.Issues, first.Complete, first.Why)
	}
	one := found[0]
	where := fmt.Sprint(one.Title, " ", one.Severity, " ", one.State, " ", one.Cause.Status, " ", one.Cause.Locations[0].Path, ":", one.Cause.Locations[0].Line)
	if want := "Python 3.7 is out of support since 2023-06-27 high open found build/Dockerfile:1"; where != want {
		t.Errorf("issue\n got %s\nwant %s", where, want)
	}
	if len(one.Owners) == 0 || one.Owners[0].Name != "Ada" {
		t.Errorf("owners = %+v", one.Owners)
	}

	// Nothing that did not change is written again, within a cycle neither.
	stored := func() string {
		findings, err := intake.Load(t.Context(), desk.DB, nil)
		if err != nil {
			t.Fatal(err)
		}
		lines := []string{}
		for _, f := range findings {
			lines = append(lines, fmt.Sprint(f.ID, f.Rule, f.State, f.FirstSeen))
		}
		return strings.Join(lines, "\n")
	}
	before := stored()
	if err := os.WriteFile(filepath.Join(repo, "build/Dockerfile"), []byte("# moved\nARG VERSION=3.7.9\nFROM python:${VERSION}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, repo, "commit", "-q", "-am", "second")
	second := triage(t, desk, agent.Request{Repo: repo})
	if again := ofKind(second, fact.EndOfLife); len(again) != 1 || again[0].ID != one.ID || again[0].Cause.Locations[0].Line != 2 || stored() != before {
		t.Errorf("second issues = %+v\nfindings before\n%s\nafter\n%s", again, before, stored())
	}

	// What is gone becomes unconfirmed.
	if err := os.WriteFile(filepath.Join(repo, "build/Dockerfile"), []byte("FROM python:3.12\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, repo, "commit", "-q", "-am", "third")
	third := triage(t, desk, agent.Request{Repo: repo})
	if gone := ofKind(third, fact.EndOfLife); len(gone) > 0 && gone[0].State != issue.Unconfirmed {
		t.Errorf("third issues = %+v", gone)
	}
	if after := stored(); !strings.Contains(after, string(issue.FindingUnconfirmed)) {
		t.Errorf("findings = %s", after)
	}
}

func TestARepositoryWithNothingToLookAtIsNotClean(t *testing.T) {
	t.Parallel()
	repo := held(t, map[string]string{"README": "nothing\n"})
	if _, err := supported(t).Triage(t.Context(), agent.Request{Repo: repo}); !errors.Is(err, agent.ErrNothing) {
		t.Errorf("err = %v", err)
	}
}

const (
	webState = `{"version": 4, "terraform_version": "1.9.0", "serial": 1, "lineage": "x", "outputs": {}, "resources": [{"mode": "managed", "type": "aws_security_group", "name": "web",
"provider": "provider[\"registry.terraform.io/hashicorp/aws\"]", "instances": [{"schema_version": 1, "attributes": {"arn": "arn:aws:ec2:eu-west-1:111122223333:security-group/sg-1", "id": "sg-1", "name": "web"}}]}]}`
	webGroups = `{"SecurityGroups": [{"GroupId": "sg-1", "GroupName": "web", "OwnerId": "111122223333", "VpcId": "vpc-1",
"SecurityGroupArn": "arn:aws:ec2:eu-west-1:111122223333:security-group/sg-1", "IpPermissions": [PERMISSIONS{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]}]}`
	sshOpen = `{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}, `
	webMain = `variable "admins" {
  default = ["0.0.0.0/0"]
}

resource "aws_security_group" "web" {
  name = "web"

  ingress {
    from_port   = 443
    to_port     = 443
    protocol    = "tcp"
    cidr_blocks = ["0.0.0.0/0"]
  }

  ingress {
    from_port   = 20
    to_port     = 22
    protocol    = "tcp"
    cidr_blocks = var.admins
  }
}
`
)

func TestARuleOfAGroupMayBeAResourceOfItsOwn(t *testing.T) {
	t.Parallel()
	const group = "resource \"aws_security_group\" \"web\" {\n  name = \"web\"\n}\n\n"
	rule := func(kind, name, rest string) string {
		return fmt.Sprintf("resource %q %q {\n  security_group_id = aws_security_group.%s.id\n%s}\n", kind, name, "web", rest)
	}
	const ssh = "  from_port = 22\n  to_port = 22\n"
	for name, one := range map[string]struct{ text, want string }{
		"rule":              {group + rule("aws_security_group_rule", "ssh", "  type = \"ingress\"\n"+ssh+"  cidr_blocks = [\"10.0.0.0/8\", \"0.0.0.0/0\"]\n"), "main.tf:10"},
		"ingress rule":      {group + rule("aws_vpc_security_group_ingress_rule", "ssh", ssh+"  cidr_ipv4 = \"0.0.0.0/0\"\n"), "main.tf:9"},
		"of every protocol": {group + rule("aws_vpc_security_group_ingress_rule", "all", "  ip_protocol = \"-1\"\n  cidr_ipv4 = \"0.0.0.0/0\"\n"), "main.tf:1"},
		"egress":            {group + rule("aws_security_group_rule", "ssh", "  type = \"egress\"\n"+ssh+"  cidr_blocks = [\"0.0.0.0/0\"]\n"), "main.tf:1"},
		"of a few":          {group + rule("aws_security_group_rule", "ssh", "  type = \"ingress\"\n"+ssh+"  cidr_blocks = [\"10.0.0.0/8\"]\n"), "main.tf:1"},
		"of another group":  {group + strings.Replace(rule("aws_security_group_rule", "ssh", "  type = \"ingress\"\n"+ssh+"  cidr_blocks = [\"0.0.0.0/0\"]\n"), "group.web.id", "group.web2.id", 1), "main.tf:1"},
	} {
		later := 0
		_, desk := build(t, &later)
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, "groups.json"), []byte(strings.Replace(webGroups, "PERMISSIONS", sshOpen, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, source := range []app.Source{
			{Name: "state", Type: "terraformstate", Settings: map[string]string{"path": written(t, "web.tfstate", webState), "repository": "example.com/acme/shop"}},
			{Name: "cloud", Type: "aws", Settings: map[string]string{"path": folder}},
		} {
			if synced, err := desk.SyncSource(t.Context(), source); err != nil {
				t.Fatalf("%+v, %v", synced, err)
			}
		}
		found := ofKind(triage(t, desk, agent.Request{Repo: held(t, map[string]string{"main.tf": one.text})}), fact.Exposure)
		if len(found) != 1 || len(found[0].Cause.Locations) != 1 {
			t.Errorf("%s: issues %+v", name, found)
			continue
		}
		if at := found[0].Cause.Locations[0]; fmt.Sprint(at.Path, ":", at.Line) != one.want {
			t.Errorf("%s: line %s:%d, want %s\n%+v", name, at.Path, at.Line, one.want, found[0].Cause.Chain)
		}
	}
}

func TestWhatStandsBesideABucketLeadsToWhatOpensIt(t *testing.T) {
	t.Parallel()
	const bucket = "resource \"aws_s3_bucket\" \"logs\" {\n  bucket = \"acme-logs-7f3a\"\n}\n\n"
	for name, one := range map[string]struct{ text, want string }{
		"its own":         {"resource \"aws_s3_bucket\" \"logs\" {\n  bucket = \"acme-logs-7f3a\"\n  acl = \"public-read\"\n}\n", "main.tf:3"},
		"beside, by id":   {bucket + "resource \"aws_s3_bucket_acl\" \"logs\" {\n  bucket = aws_s3_bucket.logs.id\n  acl = \"public-read\"\n}\n", "main.tf:7"},
		"beside, by name": {bucket + "resource \"aws_s3_bucket_acl\" \"logs\" {\n  bucket = aws_s3_bucket.logs.bucket\n  acl = \"public-read\"\n}\n", "main.tf:7"},
		"not known":       {bucket + "resource \"aws_s3_bucket_acl\" \"logs\" {\n  bucket = aws_s3_bucket.logs.id\n  acl = data.external.x.result\n}\n", "main.tf:5"},
		"of another":      {bucket + "resource \"aws_s3_bucket_acl\" \"other\" {\n  bucket = aws_s3_bucket.logs2.id\n  acl = \"public-read\"\n}\n", "main.tf:1"},
	} {
		later := 0
		_, desk := build(t, &later)
		folder := t.TempDir()
		answer := `{"Owner": {"ID": "1"}, "Grants": [{"Grantee": {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AllUsers"}, "Permission": "READ"}]}`
		if err := os.WriteFile(filepath.Join(folder, "bucket=acme-logs-7f3a,acl.json"), []byte(answer), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, source := range []app.Source{
			{Name: "state", Type: "terraformstate", Settings: map[string]string{"path": written(t, "logs.tfstate", bucketState), "repository": "example.com/acme/shop"}},
			{Name: "cloud", Type: "aws", Settings: map[string]string{"path": folder}},
		} {
			if synced, err := desk.SyncSource(t.Context(), source); err != nil {
				t.Fatalf("%+v, %v", synced, err)
			}
		}
		found := ofKind(triage(t, desk, agent.Request{Repo: held(t, map[string]string{"main.tf": one.text})}), fact.Exposure)
		if len(found) != 1 || len(found[0].Cause.Locations) != 1 {
			t.Errorf("%s: issues %+v", name, found)
			continue
		}
		if at := found[0].Cause.Locations[0]; fmt.Sprint(at.Path, ":", at.Line) != one.want {
			t.Errorf("%s: line %s:%d, want %s\n%+v", name, at.Path, at.Line, one.want, found[0].Cause.Chain)
		}
	}
}

func TestAnExposureOfACloudResourceLeadsToTheTerraformLineThatOpensIt(t *testing.T) {
	t.Parallel()
	later := 0
	_, desk := build(t, &later)
	repo := held(t, map[string]string{"main.tf": webMain})
	groups := t.TempDir()
	export := func(permissions string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(groups, "groups.json"), []byte(strings.Replace(webGroups, "PERMISSIONS", permissions, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sync := func(source app.Source) (exposures int) {
		t.Helper()
		synced, err := desk.SyncSource(t.Context(), source)
		if err != nil {
			t.Fatalf("%+v, %v", synced, err)
		}
		return synced.Exposures
	}
	state := app.Source{Name: "state", Type: "terraformstate", Settings: map[string]string{"path": written(t, "web.tfstate", webState), "repository": "example.com/acme/shop"}}
	cloud := app.Source{Name: "cloud", Type: "aws", Settings: map[string]string{"path": groups}}
	if n := sync(state); n != 0 {
		t.Errorf("%d exposures in a state", n)
	}
	if _, err := desk.Triage(t.Context(), agent.Request{Repo: held(t, map[string]string{"README": "another\n"})}); err != nil {
		t.Errorf("a repository whose estate is known was not looked at: %v", err)
	}
	export(sshOpen)
	if n := sync(cloud); n != 1 {
		t.Fatalf("%d exposures, want that of port 22", n)
	}
	first := ofKind(triage(t, desk, agent.Request{Repo: repo}), fact.Exposure)
	if len(first) != 1 {
		t.Fatalf("issues = %+v", first)
	}
	one := first[0]
	got := fmt.Sprint(one.Title, "|", one.State, "|", one.Cause.Status, "|", one.Cause.Locations[0].Path, ":", one.Cause.Locations[0].Line, "|", one.Owners[0].Name, "|", one.Assets[0].Kind)
	if want := "web lets the internet reach SSH (tcp/22)|open|found|main.tf:2|Ada|cloud_resource"; got != want {
		t.Errorf("issue\n got %s\nwant %s", got, want)
	}
	export("")
	sync(cloud)
	if again := ofKind(triage(t, desk, agent.Request{Repo: repo}), fact.Exposure); len(again) > 0 && again[0].State != issue.Unconfirmed {
		t.Errorf("once the port is closed: %+v", again)
	}
}
