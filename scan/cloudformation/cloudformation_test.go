package cloudformation

import (
	"context"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fact"
)

// judged gives the rules that are broken, and whether the look was incomplete.
func judged(t *testing.T, template string) (broken map[string]bool, incomplete bool) {
	t.Helper()
	broken = map[string]bool{}
	problems, err := New().Scan(context.Background(), code.Files{"t.yaml": []byte(template)}, func(f fact.Finding) error {
		if f.Line == 0 || f.Attributes["object"] == "" || f.Attributes["field"] == "" {
			t.Errorf("a finding lacks its line, object or field: %+v", f)
		}
		broken[strings.TrimPrefix(f.Rule, "cloudformation/")] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return broken, len(problems) > 0
}

func TestEachRuleTellsBadFromGoodAndFromUnknown(t *testing.T) {
	for _, r := range rules() {
		value := func(v string) string {
			names := strings.Split(r.field, ".")
			text := "Resources:\n  A:\n    Type: " + strings.Fields(r.types)[0] + "\n    Properties:\n"
			indent := "      "
			for i, name := range names {
				text += indent + name + ":"
				if i == len(names)-1 {
					return text + " " + v + "\n"
				}
				text += "\n"
				indent += "  "
			}
			return text
		}
		bad := "Resources:\n  A:\n    Type: " + strings.Fields(r.types)[0] + "\n"
		if r.lax {
			bad = value("PublicReadWrite")
			if r.wanted == "false" {
				bad = value("true")
			}
		}
		if broken, _ := judged(t, bad); !broken[r.id] {
			t.Errorf("%s is not found in\n%s", r.id, bad)
		}
		good := r.wanted
		if strings.HasPrefix(good, "?") {
			good = "{a: b}"
		}
		if broken, _ := judged(t, value(good)); broken[r.id] {
			t.Errorf("%s is found in\n%s", r.id, value(good))
		}
		for _, unknown := range []string{"!Ref X", `{"Fn::If": [a, b, c]}`} {
			if broken, incomplete := judged(t, value(unknown)); broken[r.id] || !incomplete {
				t.Errorf("%s: found %v, told %v in\n%s", r.id, broken[r.id], incomplete, value(unknown))
			}
		}
	}
}

func TestOpenPortsOfSecurityGroupsAreFound(t *testing.T) {
	group := func(cidr, ports string) string {
		return "Resources:\n  A:\n    Type: AWS::EC2::SecurityGroup\n    Properties:\n      SecurityGroupIngress:\n        - CidrIp: " + cidr + "\n          " + ports + "\n"
	}
	broken, _ := judged(t, group("0.0.0.0/0", "{x: y}"))
	if len(broken) > 0 {
		t.Error(broken)
	}
	if broken, _ = judged(t, group("0.0.0.0/0", "IpProtocol: tcp\n          FromPort: 20\n          ToPort: 30")); !broken["aws-sg-open-ssh"] || broken["aws-sg-open-rdp"] || !broken["aws-sg-open-any"] {
		t.Error(broken)
	}
	if broken, _ = judged(t, group("0.0.0.0/0", "IpProtocol: -1")); !broken["aws-sg-open-rdp"] {
		t.Error(broken)
	}
	if broken, _ = judged(t, group("10.0.0.0/8", "IpProtocol: -1")); len(broken) > 0 {
		t.Error(broken)
	}
	if broken, incomplete := judged(t, group("!Ref Cidr", "IpProtocol: -1")); len(broken) > 0 || !incomplete {
		t.Error(broken, incomplete)
	}
}
