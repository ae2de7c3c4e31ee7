package kubernetes

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/fact"
)

func dataFolder(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("BACKSTITCH_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") != "" || os.Getenv("BACKSTITCH_DATA_REQUIRED") == "1" {
			t.Fatal(err)
		}
		t.Skip("no data folder: ", err)
	}
	return dir
}

// tally counts how often our verdict is that of a peer.
type tally struct {
	agree, all int
	differ     []string
}

func (c *tally) add(name string, want, got bool) {
	c.all++
	if want == got {
		c.agree++
		return
	}
	c.differ = append(c.differ, name+map[bool]string{true: ": the peer fails it", false: ": the peer passes it"}[want])
}

func (c *tally) judge(t *testing.T, peer string, least float64) {
	t.Helper()
	t.Logf("%s: %d of %d verdicts are the same", peer, c.agree, c.all)
	for _, d := range c.differ[:min(len(c.differ), 60)] {
		t.Log(d)
	}
	if c.all == 0 || float64(c.agree) < least*float64(c.all) {
		t.Errorf("%s: %d of %d, expected a share of %.2f", peer, c.agree, c.all, least)
	}
}

func gives(t *testing.T, tree code.Tree, ids ...string) []fact.Finding {
	t.Helper()
	return slices.DeleteFunc(look1(t, tree), func(f fact.Finding) bool {
		return !slices.ContainsFunc(append(f.Aliases, f.Rule), func(id string) bool { return slices.Contains(ids, id) })
	})
}

// The folders of a peer's own cases, by its rule.
var checkovCases = map[string]string{
	"example_AllowedCapabilities": "CKV_K8S_25", "example_AllowedCapabilitiesSysAdmin": "CKV_K8S_39", "example_ApiServerAdmissionControlEventRateLimit": "CKV_K8S_78",
	"example_ApiServerAnonymousAuth": "CKV_K8S_68", "example_ApiServerAuditLogMaxAge": "CKV_K8S_92", "example_ApiServerAuthorizationModeNotAlwaysAllow": "CKV_K8S_74",
	"example_ApiServerAuthorizationModeRBAC": "CKV_K8S_77", "example_ApiServerBasicAuthFile": "CKV_K8S_69", "example_ApiServerEtcdCertAndKey": "CKV_K8S_99",
	"example_ApiServerInsecureBindAddress": "CKV_K8S_86", "example_ApiServerInsecurePort": "CKV_K8S_88", "example_ApiServerKubeletClientCertAndKey": "CKV_K8S_72",
	"example_ApiServerKubeletHttps": "CKV_K8S_71", "example_ApiServerProfiling": "CKV_K8S_90", "example_ApiServerSecurePort": "CKV_K8S_89", "example_ApiServerServiceAccountKeyFile": "CKV_K8S_97",
	"example_ApiServerServiceAccountLookup": "CKV_K8S_96", "example_ApiServerStrongCryptographicCiphers": "CKV_K8S_105", "example_ApiServerTlsCertAndKey": "CKV_K8S_100",
	"example_ApiServerTokenAuthFile": "CKV_K8S_70", "example_ApiServerkubeletCertificateAuthority": "CKV_K8S_73", "example_ControllerManagerBindAddress": "CKV_K8S_113",
	"example_DefaultServiceAccountBinding": "CKV_K8S_42", "example_DockerSocketVolume": "CKV_K8S_27", "example_EtcdAutoTls": "CKV_K8S_118", "example_EtcdCertAndKey": "CKV_K8S_116",
	"example_EtcdClientCertAuth": "CKV_K8S_117", "example_HostPort": "CKV_K8S_26", "example_ImageDigest": "CKV_K8S_43", "example_ImagePullPolicy": "CKV_K8S_15",
	"example_KubeControllerManagerBlockProfiles": "CKV_K8S_107", "example_KubeControllerManagerRootCAFile": "CKV_K8S_111", "example_KubeControllerManagerServiceAccountPrivateKeyFile": "CKV_K8S_110",
	"example_KubeletAuthorizationModeNotAlwaysAllow": "CKV_K8S_139", "example_KubeletClientCa": "CKV_K8S_140", "example_KubeletCryptographicCiphers": "CKV_K8S_151", "example_KubeletHostnameOverride": "CKV_K8S_146",
	"example_KubeletMakeIptablesUtilChains": "CKV_K8S_145", "example_KubeletProtectKernelDefaults": "CKV_K8S_144", "example_KubeletReadOnlyPort": "CKV_K8S_141", "example_KubletRotateCertificates": "CKV_K8S_149",
	"example_PeerClientCertAuthTrue": "CKV_K8S_121", "example_PrivilegedContainers": "CKV_K8S_16", "example_RbacApproveCertificateSigningRequests": "CKV_K8S_156",
	"example_RbacBindRoleBindings": "CKV_K8S_157", "example_RbacControlWebhooks": "CKV_K8S_155", "example_RbacEscalateRoles": "CKV_K8S_158", "example_ReadOnlyFilesystem": "CKV_K8S_22",
	"example_SchedulerProfiling": "CKV_K8S_114", "example_Seccomp": "CKV_K8S_31", "example_Secrets": "CKV_K8S_35", "example_ServiceAccountTokens": "CKV_K8S_38", "example_Tiller": "CKV_K8S_34",
}

func TestVerdictsAreThoseOfCheckovOnItsOwnCases(t *testing.T) {
	root := filepath.Join(dataFolder(t), "iac-policy", "checkov-kubernetes")
	var c tally
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		id, known := checkovCases[filepath.Base(filepath.Dir(name))]
		upper := strings.ToUpper(entry.Name())
		fails, passes := strings.Contains(upper, "FAIL"), strings.Contains(upper, "PASS")
		if !known || fails == passes {
			return nil
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		c.add(filepath.Base(filepath.Dir(name))+"/"+entry.Name(), fails, len(gives(t, code.Files{"x.yaml": data}, id)) > 0)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c.judge(t, "checkov", .9)
}

func TestVerdictsAreThoseOfKyvernoOnItsOwnCases(t *testing.T) {
	root := filepath.Join(dataFolder(t), "iac-policy", "kyverno")
	var ours []string
	for _, r := range allRules() {
		ours = append(ours, r.ids()...)
	}
	var c tally
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() != "kyverno-test.yaml" {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		docs, _ := kubernetes.Documents(name, data)
		if len(docs) == 0 {
			return nil
		}
		tree := code.Files{}
		for _, r := range docs[0].List("resources") {
			if text, err := os.ReadFile(filepath.Join(filepath.Dir(name), r.Text)); err == nil {
				tree[filepath.Base(r.Text)] = text
			}
		}
		here := map[string]bool{}
		for file, text := range tree {
			objects, _ := kubernetes.Objects(file, text)
			for _, o := range objects {
				here[o.Kind+"/"+o.Name] = true
			}
		}
		for _, result := range docs[0].List("results") {
			policy, verdict := result.String("policy"), result.String("result")
			if !slices.Contains(ours, policy) || verdict != "pass" && verdict != "fail" {
				continue
			}
			found := gives(t, tree, policy)
			for _, r := range result.List("resources") {
				object := r.Text[strings.LastIndex(r.Text, "/")+1:]
				if !here[result.String("kind")+"/"+object] {
					continue // the data lacks it
				}
				got := slices.ContainsFunc(found, func(f fact.Finding) bool {
					return strings.Contains(f.Attributes["object"]+"#", "/"+object+"#") && strings.Contains(f.Attributes["object"], result.String("kind"))
				})
				c.add(policy+" "+result.String("kind")+"/"+object, verdict == "fail", got)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c.judge(t, "kyverno", .85)
}

func TestVerdictsAreThoseOfKubescapeOnItsOwnCases(t *testing.T) {
	root := filepath.Join(dataFolder(t), "iac-policy", "kubescape-rules")
	var ours []string
	for _, r := range allRules() {
		ours = append(ours, r.ids()...)
	}
	for i := range flags {
		ours = append(ours, flags[i].rule.ids()...)
	}
	var c tally
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() != "expected.json" {
			return err
		}
		relative, _ := filepath.Rel(root, name)
		rule := strings.Split(filepath.ToSlash(relative), "/")[0]
		if !slices.Contains(ours, rule) {
			return nil
		}
		expected, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		tree := code.Files{}
		inputs, _ := filepath.Glob(filepath.Join(filepath.Dir(name), "input", "*"))
		for _, input := range inputs {
			if data, err := os.ReadFile(input); err == nil {
				tree[filepath.Base(input)] = data
			}
		}
		c.add(filepath.ToSlash(filepath.Dir(relative)), strings.Contains(string(expected), "alertMessage"), len(gives(t, tree, rule)) > 0)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c.judge(t, "kubescape", .85)
}
