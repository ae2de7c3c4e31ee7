package terraform

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fact"
)

func TestRulesHaveTheirOwnIDsAndShareNoAlias(t *testing.T) {
	form := regexp.MustCompile(`^(CKV2?_[A-Z0-9]+_\d+|(AVD-)?(AWS|AZU|GCP)-\d{4}|[A-Z][A-Za-z0-9]+\.\d+|(aws|azure|google)-[a-z0-9-]+|[a-z0-9]+(_[a-z0-9]+)+)$`)
	owner := map[string]string{}
	rules := Rules()
	if len(rules) < 60 {
		t.Errorf("%d rules, expected at least 60", len(rules))
	}
	for _, r := range rules {
		for _, id := range append([]string{r.ID}, r.Aliases...) {
			if other, taken := owner[id]; taken {
				t.Errorf("%s belongs to %s and %s", id, other, r.ID)
			}
			owner[id] = r.ID
		}
		for _, alias := range r.Aliases {
			if !form.MatchString(alias) {
				t.Errorf("%s: alias %q has no known form", r.ID, alias)
			}
		}
		if r.Title == "" || len(r.Kinds) == 0 || r.Severity == fact.SeverityUnknown {
			t.Errorf("%s lacks a title, kinds or a severity", r.ID)
		}
	}
}

// one resource under each rule: bad, good and not known.
var cases = []struct{ rule, bad, good, unknown string }{
	{"aws-s3-acl-public-read", `resource "aws_s3_bucket_acl" "a" { acl = "public-read" }`, `resource "aws_s3_bucket_acl" "a" { acl = "private" }`, `resource "aws_s3_bucket_acl" "a" { acl = var.x }`},
	{"aws-s3-block-public-acls", `resource "aws_s3_bucket_public_access_block" "a" { block_public_acls = false }`, `resource "aws_s3_bucket_public_access_block" "a" { block_public_acls = true }`, `resource "aws_s3_bucket_public_access_block" "a" { block_public_acls = var.x }`},
	{"aws-s3-public-access-block", `resource "aws_s3_bucket" "a" {}`, "resource \"aws_s3_bucket\" \"a\" {}\nresource \"aws_s3_bucket_public_access_block\" \"b\" { bucket = aws_s3_bucket.a.id }", "resource \"aws_s3_bucket\" \"a\" {}\nresource \"aws_s3_bucket_public_access_block\" \"b\" { bucket = var.x }"},
	{"aws-s3-encryption", `resource "aws_s3_bucket" "a" {}`, "resource \"aws_s3_bucket\" \"a\" { bucket = \"n\" }\nresource \"aws_s3_bucket_server_side_encryption_configuration\" \"b\" { bucket = \"n\" }", "resource \"aws_s3_bucket\" \"a\" {}\nresource \"aws_s3_bucket_server_side_encryption_configuration\" \"b\" { bucket = var.x }"},
	{"aws-s3-versioning", "resource \"aws_s3_bucket\" \"a\" {\n versioning {\n enabled = false\n }\n}", "resource \"aws_s3_bucket\" \"a\" {\n versioning {\n enabled = true\n }\n}", "resource \"aws_s3_bucket\" \"a\" {\n versioning {\n enabled = var.x\n }\n}"},
	{"aws-s3-policy-anybody", `resource "aws_s3_bucket_policy" "a" { policy = jsonencode({ Statement = [{ Effect = "Allow", Principal = "*", Action = "s3:*", Resource = aws_s3_bucket.b.arn }] }) }`, `resource "aws_s3_bucket_policy" "a" { policy = jsonencode({ Statement = [{ Effect = "Allow", Principal = { AWS = "arn:aws:iam::1:root" }, Action = "s3:*", Resource = "x" }] }) }`, `resource "aws_s3_bucket_policy" "a" { policy = var.x }`},
	{"aws-ec2-imdsv2", `resource "aws_instance" "a" {}`, "resource \"aws_instance\" \"a\" {\n metadata_options {\n http_tokens = \"required\"\n }\n}", "resource \"aws_instance\" \"a\" {\n metadata_options {\n http_tokens = var.x\n }\n}"},
	{"aws-sg-open-ssh", "resource \"aws_security_group\" \"a\" {\n ingress {\n protocol = \"tcp\"\n from_port = 20\n to_port = 30\n cidr_blocks = [\"10.0.0.0/8\", \"0.0.0.0/0\"]\n }\n}", "resource \"aws_security_group\" \"a\" {\n ingress {\n protocol = \"tcp\"\n from_port = 443\n to_port = 443\n cidr_blocks = [\"0.0.0.0/0\"]\n }\n}", "resource \"aws_security_group\" \"a\" {\n dynamic \"ingress\" {\n for_each = var.x\n content {\n protocol = \"tcp\"\n }\n }\n}"},
	{"aws-sg-open-rdp", `resource "aws_vpc_security_group_ingress_rule" "a" {
 ip_protocol = "-1"
 cidr_ipv6 = "::/0"
}`, `resource "aws_vpc_security_group_ingress_rule" "a" {
 ip_protocol = "tcp"
 from_port = 3388
 to_port = 3388
 cidr_ipv6 = "::/0"
}`, `resource "aws_vpc_security_group_ingress_rule" "a" {
 ip_protocol = "tcp"
 from_port = 3389
 to_port = 3389
 cidr_ipv6 = var.x
}`},
	{"aws-rds-public", `resource "aws_db_instance" "a" { publicly_accessible = true }`, `resource "aws_db_instance" "a" {}`, `resource "aws_db_instance" "a" { publicly_accessible = var.x }`},
	{"aws-rds-encrypted", `resource "aws_db_instance" "a" {}`, `resource "aws_db_instance" "a" { storage_encrypted = "true" }`, `resource "aws_db_instance" "a" { storage_encrypted = var.x }`},
	{"aws-eks-logging", `resource "aws_eks_cluster" "a" { enabled_cluster_log_types = ["api"] }`, `resource "aws_eks_cluster" "a" { enabled_cluster_log_types = ["api", "audit", "authenticator", "controllerManager", "scheduler"] }`, `resource "aws_eks_cluster" "a" { enabled_cluster_log_types = var.x }`},
	{"aws-kms-rotation", `resource "aws_kms_key" "a" {}`, `resource "aws_kms_key" "a" { key_usage = "SIGN_VERIFY" }`, `resource "aws_kms_key" "a" { enable_key_rotation = var.x }`},
	{"aws-iam-full-admin", `data "aws_iam_policy_document" "a" {
 statement {
  actions = ["*"]
  resources = ["*"]
 }
}`, `data "aws_iam_policy_document" "a" {
 statement {
  effect = "Deny"
  actions = ["*"]
  resources = ["*"]
 }
}`, `data "aws_iam_policy_document" "a" {
 statement {
  actions = var.x
  resources = ["*"]
 }
}`},
	{"aws-lb-listener-encrypted", `resource "aws_lb_listener" "a" { protocol = "HTTP" }`, `resource "aws_lb_listener" "a" {
 protocol = "HTTP"
 default_action {
  type = "redirect"
  redirect {
   protocol = "HTTPS"
   status_code = "HTTP_301"
  }
 }
}`, `resource "aws_lb_listener" "a" { protocol = var.x }`},
	{"aws-vpc-flow-logs", `resource "aws_vpc" "a" {}`, "resource \"aws_vpc\" \"a\" {}\nresource \"aws_flow_log\" \"b\" { vpc_id = aws_vpc.a.id }", "resource \"aws_vpc\" \"a\" {}\nresource \"aws_flow_log\" \"b\" { vpc_id = var.x }"},
	{"azure-nsg-open-ssh", `resource "azurerm_network_security_rule" "a" {
 access = "Allow"
 direction = "Inbound"
 protocol = "*"
 source_address_prefix = "Internet"
 destination_port_ranges = ["20-25"]
}`, `resource "azurerm_network_security_rule" "a" {
 access = "Deny"
 direction = "Inbound"
 protocol = "*"
 source_address_prefix = "*"
 destination_port_range = "*"
}`, `resource "azurerm_network_security_rule" "a" {
 access = "Allow"
 direction = "Inbound"
 protocol = "*"
 source_address_prefix = var.x
 destination_port_range = "22"
}`},
	{"azure-storage-tls", `resource "azurerm_storage_account" "a" { min_tls_version = "TLS1_0" }`, `resource "azurerm_storage_account" "a" {}`, `resource "azurerm_storage_account" "a" { min_tls_version = var.x }`},
	{"azure-keyvault-purge", `resource "azurerm_key_vault" "a" {}`, `resource "azurerm_key_vault" "a" { purge_protection_enabled = true }`, `resource "azurerm_key_vault" "a" { purge_protection_enabled = var.x }`},
	{"google-firewall-open-ssh", `resource "google_compute_firewall" "a" {
 source_ranges = ["0.0.0.0/0"]
 allow {
  protocol = "tcp"
  ports = ["22"]
 }
}`, `resource "google_compute_firewall" "a" {
 source_ranges = ["10.0.0.0/8"]
 allow {
  protocol = "all"
 }
}`, `resource "google_compute_firewall" "a" {
 source_ranges = ["0.0.0.0/0"]
 allow {
  protocol = "tcp"
  ports = var.x
 }
}`},
	{"google-sql-ssl", `resource "google_sql_database_instance" "a" {}`, `resource "google_sql_database_instance" "a" {
 settings {
  ip_configuration {
   require_ssl = true
  }
 }
}`, `resource "google_sql_database_instance" "a" {
 settings {
  ip_configuration {
   require_ssl = var.x
  }
 }
}`},
	{"kubernetes-privileged", `resource "kubernetes_deployment" "a" {
 spec {
  template {
   spec {
    container {
     security_context {
      privileged = true
     }
    }
   }
  }
 }
}`, `resource "kubernetes_pod" "a" {
 spec {
  container {
   name = "x"
  }
 }
}`, `resource "kubernetes_pod" "a" {
 spec {
  container {
   security_context {
    privileged = var.x
   }
  }
 }
}`},
}

func TestEachRuleTellsBadFromGoodAndFromUnknown(t *testing.T) {
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			var r Rule
			for _, one := range Rules() {
				if one.ID == "terraform/"+c.rule {
					r = one
				}
			}
			judge := func(text string) (failed, unknown bool) {
				s := scanner{[]Rule{r}}
				tally, problems, err := s.look(context.Background(), code.Files{"main.tf": []byte("variable \"x\" {}\n" + text)}, func(f fact.Finding) error {
					if f.Attributes["object"] == "" || f.Attributes["field"] == "" || f.Line == 0 {
						t.Errorf("a finding lacks its object, field or line: %+v", f)
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if (tally.Unknown > 0) != (len(problems) > 0) {
					t.Errorf("%d unknown judgements, %d problems: an unknown one has to be told", tally.Unknown, len(problems))
				}
				return tally.Failed > 0, tally.Unknown > 0
			}
			if failed, _ := judge(c.bad); !failed {
				t.Errorf("not found in\n%s", c.bad)
			}
			if failed, unknown := judge(c.good); failed || unknown {
				t.Errorf("found %v, unknown %v in\n%s", failed, unknown, c.good)
			}
			if failed, unknown := judge(c.unknown); failed || !unknown {
				t.Errorf("found %v, unknown %v in\n%s", failed, unknown, c.unknown)
			}
		})
	}
}

// TestEveryRuleStaysQuietAboutNothing judges an empty resource of each kind with only
// unknown values around: no rule may end in a panic.
func TestEveryRuleJudgesAnEmptyResource(t *testing.T) {
	for _, r := range Rules() {
		for _, kind := range r.Kinds {
			word := "resource"
			if data, ok := strings.CutPrefix(kind, "data."); ok {
				word, kind = "data", data
			}
			for _, body := range []string{"", "ingress = null\negress = null\nsettings = null", "x = var.y"} {
				tree := code.Files{"m.tf": []byte(word + ` "` + kind + `" "a" {` + "\n" + body + "\n}\n"), "j.tf.json": []byte(`{"` + word + `":{"` + kind + `":{"b":{"metadata_options":{"http_tokens":"optional"},"ingress":{"protocol":"-1","cidr_blocks":["0.0.0.0/0"]}}}}}`)}
				if _, _, err := Look(context.Background(), tree, func(fact.Finding) error { return nil }); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func TestAModuleIsJudgedForEachOfItsCalls(t *testing.T) {
	tree := code.Files{
		"main.tf":           []byte("module \"a\" {\n  source = \"./db\"\n  public = true\n}\nmodule \"b\" {\n  source   = \"./db\"\n  for_each = toset([\"x\", \"y\"])\n}\n"),
		"db/main.tf":        []byte("variable \"public\" { default = false }\nresource \"aws_db_instance\" \"d\" {\n  publicly_accessible = var.public\n}\n"),
		"alone/main.tf":     []byte("variable \"public\" { default = true }\nresource \"aws_db_instance\" \"d\" {\n  publicly_accessible = var.public\n}\n"),
		"broken/main.tf":    []byte("resource \"aws_db_instance\" \"d\" {\n  publicly_accessible = \n"),
		"remote/main.tf":    []byte("module \"r\" {\n  source = \"terraform-aws-modules/rds/aws\"\n}\n"),
		"crlf/main.tf":      []byte("\xef\xbb\xbfresource \"aws_db_instance\" \"d\" {\r\n  publicly_accessible = true\r\n}\r\n"),
		"deep/main.tf":      []byte("x = " + strings.Repeat("(", 80000)),
		"heredoc/main.tf":   []byte("resource \"aws_iam_policy\" \"p\" {\n  policy = <<EOF\n" + strings.Repeat("x", 1<<19) + "\nEOF\n}\n"),
		"invalid/main.tf":   {0xff, 0xfe, 0x00},
		"json/main.tf.json": []byte(`{"resource":{"aws_db_instance":{"d":{"publicly_accessible":true}}}}`),
	}
	var objects []string
	_, problems, err := Look(context.Background(), tree, func(f fact.Finding) error {
		if f.Rule == "terraform/aws-rds-public" {
			objects = append(objects, f.Attributes["object"])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(objects)
	want := []string{".:module.a.aws_db_instance.d", "alone:aws_db_instance.d", "crlf:aws_db_instance.d", "json:aws_db_instance.d"}
	if !slices.Equal(objects, want) {
		t.Errorf("found in %v, expected %v", objects, want)
	}
	told := map[string]bool{}
	for _, p := range problems {
		told[filepath.Dir(p.Path)] = true
	}
	for _, dir := range []string{"broken", "remote", "deep"} {
		if !told[dir] {
			t.Errorf("nothing is told of %s, which could not be judged", dir)
		}
	}
}

func TestTheSameTreeGivesTheSameFindings(t *testing.T) {
	trees := filepath.Join(dataFolder(t), "terraform", "trees")
	folders, err := os.ReadDir(trees)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, folder := range folders {
		if !folder.IsDir() {
			continue
		}
		tree := readTree(t, filepath.Join(trees, folder.Name()))
		first := look(t, tree)
		second := look(t, tree)
		if !slices.EqualFunc(first, second, func(a, b fact.Finding) bool {
			return a.Rule == b.Rule && a.Line == b.Line && a.Attributes["object"] == b.Attributes["object"] && a.Attributes["wanted"] == b.Attributes["wanted"]
		}) {
			t.Errorf("%s: two looks differ", folder.Name())
		}
		found += len(first)
		t.Logf("%s: %d findings", folder.Name(), len(first))
	}
	if found == 0 {
		t.Error("nothing is found in real trees")
	}
}
