package runtime_test

import (
	"context"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/fix/runtime"
)

func plan(t *testing.T, flaw fix.Flaw) (map[string]fix.Path, *fix.Site) {
	t.Helper()
	site := &fix.Site{Location: fact.Location{Path: "main.tf", Line: 3}, Flaws: []fix.Flaw{flaw}}
	paths, err := runtime.New().PlanSite(context.Background(), site)
	if err != nil {
		t.Fatal(err)
	}
	byKind := map[string]fix.Path{}
	for _, p := range paths {
		if !p.Manual || p.Fixer != runtime.ID || len(p.Closes) != 1 || p.ID == "" {
			t.Errorf("a path that people carry out: %+v", p)
		}
		byKind[p.Kind] = p
	}
	return byKind, site
}

func asset(key string) []fact.Asset { return []fact.Asset{{Kind: fact.AssetResource, Key: key}} }

func TestAStopgapHasItsInverse(t *testing.T) {
	open := fact.Finding{Attributes: map[string]string{"protocol": "tcp", "from_port": "22", "to_port": "22", "value": `["0.0.0.0/0","10.0.0.0/8","::/0"]`}}
	for _, c := range []struct {
		name     string
		flaw     fix.Flaw
		do, undo []string
	}{
		{"security group", fix.Flaw{Rules: []string{"CKV_AWS_24"}, Assets: asset("arn:aws:ec2:eu-west-1:123456789012:security-group/sg-0123456789abcdef0"), Seen: []fact.Finding{open}},
			[]string{"aws ec2 revoke-security-group-ingress --region eu-west-1 --group-id sg-0123456789abcdef0 --ip-permissions 'IpProtocol=tcp,FromPort=22,ToPort=22,IpRanges=[{CidrIp=0.0.0.0/0}]'", "Ipv6Ranges=[{CidrIpv6=::/0}]"},
			[]string{"aws ec2 authorize-security-group-ingress --region eu-west-1"}},
		{"bucket", fix.Flaw{Rules: []string{"S3.8"}, Assets: asset("arn:aws:s3:::acme-logs")}, []string{"put-public-access-block --bucket acme-logs"}, []string{"delete-public-access-block --bucket acme-logs"}},
		{"database", fix.Flaw{Rules: []string{"RDS.2"}, Assets: asset("arn:aws:rds:us-east-1:123456789012:db:shop")}, []string{"--db-instance-identifier shop --no-publicly-accessible"}, []string{"--db-instance-identifier shop --publicly-accessible"}},
		{"cluster", fix.Flaw{Rules: []string{"terraform/aws-eks-public-endpoint"}, Assets: asset("arn:aws:eks:us-east-1:123456789012:cluster/prod")}, []string{"endpointPublicAccess=false"}, []string{"endpointPublicAccess=true"}},
		{"firewall", fix.Flaw{Rules: []string{"CKV_GCP_2"}, Assets: asset("//compute.googleapis.com/projects/acme-prod/global/firewalls/allow-ssh")}, []string{"update allow-ssh --project acme-prod --disabled"}, []string{"--no-disabled"}},
		{"Azure rule", fix.Flaw{Rules: []string{"CKV_AZURE_10"}, Assets: asset("/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/Microsoft.Network/networkSecurityGroups/n/securityRules/ssh")}, []string{"--access Deny"}, []string{"--access Allow"}},
		{"access key", fix.Flaw{Rules: []string{"IAM.3"}, Assets: asset("arn:aws:iam::123456789012:user/ci/bot"), Told: []fact.Finding{{Attributes: map[string]string{"access_key_id": "AKIAABCDEFGHIJKLMNOP"}}}}, []string{"--user-name bot --access-key-id AKIAABCDEFGHIJKLMNOP --status Inactive"}, []string{"--status Active"}},
		{"workload", fix.Flaw{Severity: fact.SeverityCritical, Assets: []fact.Asset{{Kind: fact.AssetKubernetes, Key: "arn:aws:eks:x:1:cluster/prod/shop/Deployment.apps/web"}}}, []string{"kubectl -n shop scale deployment/web --replicas=0"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.flaw.Issue, c.flaw.Kind = "i1", fact.Misconfiguration
			paths, site := plan(t, c.flaw)
			p, ok := paths[fix.Stopgap]
			if !ok || !p.Temporary || p.Expires == 0 || len(p.Undo) == 0 {
				t.Fatalf("no stopgap that ends: %+v, blocked %v", p, site.Blocked)
			}
			said := func(steps []fix.Step) (all string) {
				for _, s := range steps {
					all += s.Command + "\n"
				}
				return all
			}
			for _, want := range c.do {
				if !strings.Contains(said(p.Steps), want) {
					t.Errorf("steps lack %q:\n%s", want, said(p.Steps))
				}
			}
			for _, want := range c.undo {
				if !strings.Contains(said(p.Undo), want) {
					t.Errorf("the way back lacks %q:\n%s", want, said(p.Undo))
				}
			}
		})
	}
}

// Names come from reports. One that could end a word or a command must never be in one.
func TestNamesOfAnotherFormAreNeverInACommand(t *testing.T) {
	for _, evil := range []string{"x; rm -rf /", "$(id)", "`id`", "a b", "a\nb", "--profile=evil", "a'b", "../x", "", strings.Repeat("a", 300), "\u202e"} {
		for _, flaw := range []fix.Flaw{
			{Rules: []string{"CKV_AWS_24"}, Assets: asset("arn:aws:ec2:eu-west-1:1:security-group/" + evil), Seen: []fact.Finding{{Attributes: map[string]string{"protocol": "-1", "value": `["0.0.0.0/0"]`}}}},
			{Rules: []string{"CKV_AWS_24"}, Assets: asset("arn:aws:ec2:eu-west-1:1:security-group/sg-0123456789abcdef0"), Seen: []fact.Finding{{Attributes: map[string]string{"protocol": evil, "from_port": evil, "to_port": evil, "value": `["` + evil + `/0"]`}}}},
			{Rules: []string{"CKV_AWS_24"}, Assets: asset("arn:aws:ec2:" + evil + ":1:security-group/sg-0123456789abcdef0")},
			{Rules: []string{"S3.8"}, Assets: asset("arn:aws:s3:::" + evil)},
			{Rules: []string{"RDS.2"}, Assets: asset("arn:aws:rds:us-east-1:1:db:" + evil)},
			{Rules: []string{"EKS.1"}, Assets: asset("arn:aws:eks:us-east-1:1:cluster/" + evil)},
			{Rules: []string{"IAM.3"}, Assets: asset("arn:aws:iam::1:user/" + evil), Told: []fact.Finding{{Attributes: map[string]string{"access_key_id": evil}}}},
			{Rules: []string{"CKV_GCP_2"}, Assets: asset("//compute.googleapis.com/projects/" + evil + "/global/firewalls/" + evil)},
			{Rules: []string{"CKV_GCP_28"}, Assets: asset("//storage.googleapis.com/" + evil)},
			{Rules: []string{"CKV_AZURE_10"}, Assets: asset("/subscriptions/" + evil + "/resourceGroups/x/providers/Microsoft.Network/networkSecurityGroups/n/securityRules/" + evil)},
			{Severity: fact.SeverityCritical, Assets: []fact.Asset{{Kind: fact.AssetKubernetes, Key: "c/" + evil + "/Deployment.apps/" + evil}}},
		} {
			if evil == "../x" && strings.Contains(flaw.Assets[0].Key, "storage.googleapis") {
				continue // its last part is a name
			}
			flaw.Issue, flaw.Kind = "i1", fact.Misconfiguration
			paths, _ := plan(t, flaw)
			if p, ok := paths[fix.Stopgap]; ok {
				t.Errorf("%q of %s is in a command: %+v", evil, flaw.Assets[0].Key, p.Steps)
			}
		}
	}
}

func TestASecretIsRotatedBeforeItIsRemoved(t *testing.T) {
	for rule, name := range map[string]string{
		"aws-access-token": "AWS", "github-pat": "GitHub", "gcp-api-key": "Google Cloud", "slack-bot-token": "Slack", "stripe-access-token": "Stripe",
		"npm-access-token": "npm", "pypi-upload-token": "PyPI", "private-key": "whoever trusts the key", "generic-api-key": "whoever gave it out",
	} {
		paths, _ := plan(t, fix.Flaw{Issue: "i1", Kind: fact.Secret, Rules: []string{rule}, Title: "a secret", Told: []fact.Finding{{Path: "config/app.env", Line: 7}}})
		p, ok := paths[fix.Rotate]
		if !ok || !strings.Contains(p.Summary, "at "+name+",") {
			t.Errorf("%s: %q", rule, p.Summary)
			continue
		}
		removed, history := -1, -1
		for i, s := range p.Steps {
			if s.Location != nil && s.Location.Path == "config/app.env" && s.Location.Line == 7 {
				removed = i
			}
			if strings.Contains(s.Text, "history") {
				history = i
			}
		}
		if removed < 2 || history < removed {
			t.Errorf("%s: removed at step %d, history at %d of %d", rule, removed, history, len(p.Steps))
		}
	}
}

func TestAnExceptionEndsAndHasACondition(t *testing.T) {
	last := 0
	for _, severity := range []fact.Severity{fact.SeverityCritical, fact.SeverityHigh, fact.SeverityMedium, fact.SeverityLow} {
		paths, _ := plan(t, fix.Flaw{Issue: "i1", Kind: fact.Misconfiguration, Severity: severity})
		p := paths[fix.Accept]
		if p.Expires <= last || !p.Temporary || !strings.Contains(p.Steps[1].Text, "only while") {
			t.Errorf("severity %s: %+v", severity, p)
		}
		last = p.Expires
	}
	if _, err := runtime.New().Apply(context.Background(), t.TempDir(), fix.Path{}); err == nil {
		t.Error("a path for people is applied")
	}
}
