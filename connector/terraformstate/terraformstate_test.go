package terraformstate

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/connectortest"
	"github.com/backstitch/backstitch/fact"
)

const states3 = `
-- prod/terraform.tfstate --
{"version": 4, "terraform_version": "1.9.0", "outputs": {"password": {"value": "hunter2-in-the-open", "type": "string"}}, "resources": [
 {"mode": "managed", "type": "aws_s3_bucket", "name": "data", "provider": "provider[\"registry.example/hashicorp/aws\"]",
  "instances": [{"attributes": {"id": "shop-data", "bucket": "shop-data", "arn": "arn:aws:s3:::shop-data", "secret": "hunter2-in-the-open"}}]},
 {"module": "module.net.module.vpc[0]", "mode": "managed", "type": "google_compute_network", "name": "this",
  "instances": [{"index_key": "a", "attributes": {"id": "projects/p/global/networks/n", "self_link": "https://www.googleapis.com/compute/v1/projects/p/global/networks/n", "name": "n"}}]},
 {"mode": "data", "type": "aws_caller_identity", "name": "me", "instances": [{"attributes": {"id": "111122223333"}}]}]}
-- show.json --
{"format_version": "1.0", "terraform_version": "1.9.0", "values": {"root_module": {"resources": [
 {"address": "azurerm_storage_account.logs", "mode": "managed", "type": "azurerm_storage_account", "name": "logs", "values": {"id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/logs", "name": "logs"}}]}}}
-- future.tfstate --
{"version": 5, "resources": []}
-- broken.tfstate --
{"version": 4, "resources": [
-- main.tf.json --
{}
-- terraform.tfstate.backup --
{"version": 4, "resources": []}
`

func unpack(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, file := range txtar.Parse([]byte(states3)).Files {
		name := filepath.Join(dir, filepath.FromSlash(file.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, file.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestAFolderOfStatesLeadsFromCloudResourcesToAddresses(t *testing.T) {
	t.Parallel()
	r := &connectortest.Recorder{}
	if err := connectortest.Run(t, New(), map[string]string{"path": unpack(t), "repository": "github.com/acme/infra"}, r); err != nil {
		t.Fatal(err)
	}
	const link = "https://www.googleapis.com/compute/v1/projects/p/global/networks/n"
	const azure = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/logs"
	want := []string{
		azure + " -> github.com/acme/infra//:azurerm_storage_account.logs",
		"arn:aws:s3:::shop-data -> github.com/acme/infra//prod:aws_s3_bucket.data",
		link + ` -> github.com/acme/infra//prod:module.net.module.vpc[0].google_compute_network.this["a"]`,
	}
	if diff := cmp.Diff(want, r.Edges(fact.DeclaredBy)); diff != "" {
		t.Errorf("declared by (-want +got):\n%s", diff)
	}
	modules := []string{
		"github.com/acme/infra//prod:module.net.module.vpc[0] -> github.com/acme/infra//prod:module.net",
		`github.com/acme/infra//prod:module.net.module.vpc[0].google_compute_network.this["a"] -> github.com/acme/infra//prod:module.net.module.vpc[0]`,
	}
	if diff := cmp.Diff(modules, r.Edges(fact.InModule)); diff != "" {
		t.Errorf("in module (-want +got):\n%s", diff)
	}
	node, _ := r.Asset(fact.AssetResource, "arn:aws:s3:::shop-data")
	if diff := cmp.Diff(map[string]string{"tf_address": "aws_s3_bucket.data", "tf_type": "aws_s3_bucket", "id": "shop-data", "arn": "arn:aws:s3:::shop-data", "name": "shop-data"}, node.Properties); diff != "" {
		t.Errorf("what the bucket is joined by (-want +got):\n%s", diff)
	}
	if text := strings.Join(r.Lines(), "\n"); strings.Contains(text, "hunter2") {
		t.Error("a value of the state is in what the source says")
	}
	if diff := cmp.Diff([]string{"prod/terraform.tfstate", "show.json"}, r.Complete); diff != "" {
		t.Errorf("covered (-want +got):\n%s", diff)
	}
	gaps := map[string]string{}
	for _, gap := range r.Gaps {
		gaps[gap.Scope] = gap.Value
	}
	if len(gaps) != 2 || !strings.Contains(gaps["future.tfstate"], "version of the state is not read: it is 5, expected 4") || !strings.Contains(gaps["broken.tfstate"], "expected the JSON of a state") {
		t.Errorf("gaps: %v", gaps)
	}
}

func TestStatesOfWorkspacesAreOfTheirConfigurationsFolder(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"terraform.tfstate":                              ".",
		"prod/terraform.tfstate":                         "prod",
		"net/terraform.tfstate.d/prod/terraform.tfstate": "net",
		"terraform.tfstate.d/prod/terraform.tfstate":     "",
		"env:/prod/net/terraform.tfstate":                "net",
		"env:/prod/terraform.tfstate":                    "",
		"net/env:/prod.tfstate":                          "net/env:",
	} {
		if got := rootOf(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestStatesHoldWhatEverySourceMust(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "ci" || password != "hunter3-of-the-store" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Write(txtar.Parse([]byte(states3)).Files[0].Data)
	}))
	defer server.Close()
	connectortest.Conformance(t, New(), map[string]string{"path": unpack(t)},
		map[string]string{"url": server.URL + "/state/prod", "username": "ci", "password": "hunter3-of-the-store"})
}

// buckets answers as the listing and reading calls of S3 and of Google Cloud
// Storage do, in pages of one, and fails on every other call.
func buckets(t *testing.T) *httptest.Server {
	states := map[string][]byte{"infra/a.tfstate": txtar.Parse([]byte(states3)).Files[0].Data, "infra/b.tfstate": []byte(`{"version": 5}`)}
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		switch {
		case r.URL.Path == "/states" && query.Get("list-type") == "2" && query.Get("prefix") == "infra/":
			if query.Get("continuation-token") == "" {
				w.Write([]byte(`<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>n</NextContinuationToken><Contents><Key>infra/a.tfstate</Key></Contents></ListBucketResult>`))
			} else {
				w.Write([]byte(`<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>infra/b.tfstate</Key></Contents><Contents><Key>infra/notes.txt</Key></Contents></ListBucketResult>`))
			}
		case r.URL.Path == "/storage/v1/b/states/o" && query.Get("prefix") == "infra/" && r.Header.Get("Authorization") == "Bearer hunter4-token":
			if query.Get("pageToken") == "" {
				w.Write([]byte(`{"items": [{"name": "infra/a.tfstate"}], "nextPageToken": "n"}`))
			} else {
				w.Write([]byte(`{"items": [{"name": "infra/b.tfstate"}, {"name": "infra/notes.txt"}]}`))
			}
		case strings.HasPrefix(r.URL.Path, "/states/") && states[strings.TrimPrefix(r.URL.Path, "/states/")] != nil:
			w.Write(states[strings.TrimPrefix(r.URL.Path, "/states/")])
		case strings.HasPrefix(r.URL.Path, "/storage/v1/b/states/o/") && query.Get("alt") == "media":
			w.Write(states[strings.TrimPrefix(r.URL.Path, "/storage/v1/b/states/o/")])
		default:
			t.Errorf("unexpected call %s %s", r.Method, r.URL.Path)
			w.WriteHeader(http.StatusNotImplemented)
		}
	}))
}

func TestBucketsAreListedInPagesAndReadOneByOne(t *testing.T) {
	t.Parallel()
	server := buckets(t)
	defer server.Close()
	for scheme, given := range map[string]map[string]string{
		"s3": {"url": "s3://states/infra/", "endpoint": server.URL, "access-key": "AKIAEXAMPLE", "secret-key": "hunter5-secret-key", "region": "eu-west-1"},
		"gs": {"url": "gs://states/infra/", "endpoint": server.URL, "token": "hunter4-token"},
	} {
		r := &connectortest.Recorder{}
		if err := connectortest.Run(t, New(), given, r); err != nil {
			t.Errorf("%s: %v", scheme, err)
			continue
		}
		if diff := cmp.Diff([]string{"infra/a.tfstate"}, r.Complete); diff != "" {
			t.Errorf("%s covered (-want +got):\n%s", scheme, diff)
		}
		if len(r.Gaps) != 1 || !strings.HasPrefix(r.Gaps[0].Value, scheme+"://states/infra/b.tfstate: version") {
			t.Errorf("%s: gaps %v", scheme, r.Gaps)
		}
		if text := strings.Join(r.Lines(), "\n"); strings.Contains(text, "hunter") {
			t.Errorf("%s: a secret is in what the source says", scheme)
		}
	}
}

func TestWrongSettingsAreRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		given map[string]string
		want  string
	}{
		{map[string]string{}, "path or url is missing"},
		{map[string]string{"path": "a", "url": "s3://b/c"}, "expected one of them"},
		{map[string]string{"url": "ftp://b/c"}, "expected https, s3 or gs"},
		{map[string]string{"url": "https://me:hunter2@b/c"}, "expected no credentials"},
		{map[string]string{"url": "s3://b/c", "access-key": "x"}, "belong together"},
		{map[string]string{"path": "no/such/folder"}, "setting path"},
	} {
		values, err := connector.Check(New().Settings(), test.given)
		if err != nil {
			t.Fatal(err)
		}
		err = New().Sync(t.Context(), values, &connectortest.Recorder{})
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v: error %v, want one that says %q", test.given, err, test.want)
		}
	}
}
