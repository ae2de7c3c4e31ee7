package auditlog_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/auditlog"
	"github.com/backstitch/backstitch/connector/connectortest"
	"github.com/backstitch/backstitch/fact"
)

func read(t *testing.T, log string) []auditlog.Creation {
	t.Helper()
	var list []auditlog.Creation
	if _, err := auditlog.Read(t.Context(), "log", strings.NewReader(log), func(c auditlog.Creation) error { list = append(list, c); return nil }); err != nil {
		t.Fatal(err)
	}
	return list
}

const (
	ada   = `"userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/ada", "userName": "ada", "accountId": "111122223333"}`
	role  = `"userIdentity": {"type": "AssumedRole", "principalId": "AROA1:ada@acme.test", "arn": "arn:aws:sts::111122223333:assumed-role/dev/ada@acme.test", "accessKeyId": "ASIA1", "sessionContext": {"sessionIssuer": {"type": "Role", "arn": "arn:aws:iam::111122223333:role/dev"}}}`
	queue = `"eventName": "CreateVpc", "eventSource": "ec2.amazonaws.com", "awsRegion": "eu-west-1", "recipientAccountId": "111122223333", "eventID": "e1", "eventTime": "2026-03-04T05:06:07Z", "responseElements": {"vpc": {"vpcId": "vpc-1"}}`
)

func TestWhoMadeWhat(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, log string
		assets    []string
		actor     auditlog.Actor
	}{
		{
			"a user makes a network", `{"Records": [{` + ada + `, ` + queue + `}]}`,
			[]string{"arn:aws:ec2:eu-west-1:111122223333:vpc/vpc-1"},
			auditlog.Actor{Kind: auditlog.ActorUser, Principal: "arn:aws:iam::111122223333:user/ada", Name: "ada"},
		},
		{
			"a role's session, as one event a line", `{` + role + `, ` + queue + `}` + "\n",
			[]string{"arn:aws:ec2:eu-west-1:111122223333:vpc/vpc-1"},
			auditlog.Actor{Kind: auditlog.ActorSession, Principal: "arn:aws:sts::111122223333:assumed-role/dev/ada@acme.test", Name: "ada@acme.test", Via: "arn:aws:iam::111122223333:role/dev"},
		},
		{
			"the root of an account, on EventBridge", `{"detail-type": "AWS API Call via CloudTrail", "detail": {"userIdentity": {"type": "Root", "arn": "arn:aws:iam::1:root"}, "eventName": "CreateBucket", "eventSource": "s3.amazonaws.com", "requestParameters": {"bucketName": "logs"}}}`,
			[]string{"arn:aws:s3:::logs"},
			auditlog.Actor{Kind: auditlog.ActorRoot, Principal: "arn:aws:iam::1:root", Name: "arn:aws:iam::1:root"},
		},
		{
			"a machine's session is no person", `{"userIdentity": {"type": "AssumedRole", "principalId": "AROA1:i-0abc", "arn": "arn:aws:sts::1:assumed-role/node/i-0abc"}, "eventName": "CreateVolume", "eventSource": "ec2.amazonaws.com", "responseElements": {"volumeId": "vol-1"}}`,
			[]string{"vol-1"},
			auditlog.Actor{Kind: auditlog.ActorService, Principal: "arn:aws:sts::1:assumed-role/node/i-0abc", Name: "i-0abc"},
		},
		{
			"several instances of one call, as a lookup writes it", `{"Events": [{"EventId": "x", "CloudTrailEvent": "{\"userIdentity\": {\"type\": \"IAMUser\", \"arn\": \"arn:aws:iam::1:user/bo\", \"userName\": \"bo\"}, \"eventName\": \"RunInstances\", \"eventSource\": \"ec2.amazonaws.com\", \"responseElements\": {\"instancesSet\": {\"items\": [{\"instanceId\": \"i-1\"}, {\"instanceId\": \"i-2\"}]}}}"}]}`,
			[]string{"i-1", "i-2"},
			auditlog.Actor{Kind: auditlog.ActorUser, Principal: "arn:aws:iam::1:user/bo", Name: "bo"},
		},
		{
			"a call of Google Cloud names what it makes", `[{"insertId": "g1", "timestamp": "2026-03-04T05:06:07Z", "protoPayload": {"serviceName": "compute.googleapis.com", "methodName": "v1.compute.routes.insert", "resourceName": "projects/p/global/routes/r", "authenticationInfo": {"principalEmail": "ada@acme.test"}}}]`,
			[]string{"//compute.googleapis.com/projects/p/global/routes/r"},
			auditlog.Actor{Kind: auditlog.ActorUser, Principal: "ada@acme.test", Name: "ada@acme.test"},
		},
		{
			"a call of Google Cloud names the parent", `{"protoPayload": {"serviceName": "logging.googleapis.com", "methodName": "google.logging.v2.MetricsServiceV2.CreateLogMetric", "resourceName": "projects/p", "request": {"metric": {"name": "m"}}, "authenticationInfo": {"principalEmail": "ci@p.iam.gserviceaccount.com", "serviceAccountDelegationInfo": [{"firstPartyPrincipal": {"principalEmail": "ada@acme.test"}}]}}}`,
			[]string{"//logging.googleapis.com/projects/p/logMetrics/m"},
			auditlog.Actor{Kind: auditlog.ActorSession, Principal: "ci@p.iam.gserviceaccount.com", Name: "ada@acme.test", Via: "ci@p.iam.gserviceaccount.com"},
		},
		{
			"a write of Azure that was answered with created", `{"records": [{"operationName": "MICROSOFT.SQL/SERVERS/WRITE", "resourceId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Sql/servers/db", "resultType": "Success", "resultSignature": "Succeeded.Created", "identity": {"claims": {"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn": "ada@acme.test"}}}]}`,
			[]string{"/subscriptions/s/resourceGroups/g/providers/Microsoft.Sql/servers/db"},
			auditlog.Actor{Kind: auditlog.ActorUser, Principal: "ada@acme.test", Name: "ada@acme.test"},
		},
		{
			"an object of a cluster", `{"kind": "Event", "apiVersion": "audit.k8s.io/v1", "stage": "ResponseComplete", "verb": "create", "responseStatus": {"code": 201}, "user": {"username": "ada"}, "objectRef": {"resource": "deployments", "apiGroup": "apps", "namespace": "shop", "name": "web"}}`,
			[]string{"shop/Deployment.apps/web"},
			auditlog.Actor{Kind: auditlog.ActorUser, Principal: "ada", Name: "ada"},
		},
	} {
		keys := []string{}
		for _, creation := range read(t, c.log) {
			keys = append(keys, creation.Asset.Key)
			if diff := cmp.Diff(c.actor, creation.Actor); diff != "" {
				t.Errorf("%s: %s", c.name, diff)
			}
		}
		if diff := cmp.Diff(c.assets, keys); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestWhatMakesNothingMakesNobodyACreator(t *testing.T) {
	t.Parallel()
	call := func(name, rest string) string {
		return `{` + ada + `, "eventName": "` + name + `", "eventSource": "ec2.amazonaws.com", ` + rest + `}`
	}
	for name, log := range map[string]string{
		"a failed call":             call("CreateVpc", `"errorCode": "Client.VpcLimitExceeded", "responseElements": {"vpc": {"vpcId": "vpc-1"}}`),
		"a tag":                     call("CreateTags", `"requestParameters": {"resourcesSet": {"items": [{"resourceId": "i-1"}]}}`),
		"a route in a table":        call("CreateRoute", `"requestParameters": {"routeTableId": "rtb-1"}, "responseElements": {"_return": true}`),
		"a version of a policy":     call("CreatePolicyVersion", `"requestParameters": {"policyArn": "arn:aws:iam::1:policy/p"}, "responseElements": {"policyVersion": {"versionId": "v2"}}`),
		"a later parameter":         call("PutParameter", `"requestParameters": {"name": "p"}, "responseElements": {"version": 2}`),
		"a change":                  call("ModifyInstanceAttribute", `"requestParameters": {"instanceId": "i-1"}`),
		"a service's own event":     `{"userIdentity": {"invokedBy": "x"}, "eventType": "AwsServiceEvent", "eventName": "CreateVolume", "eventSource": "ec2.amazonaws.com", "responseElements": {"volumeId": "vol-1"}}`,
		"a denied call of Google":   `{"protoPayload": {"serviceName": "compute.googleapis.com", "methodName": "v1.compute.routes.insert", "resourceName": "projects/p/global/routes/r", "status": {"code": 7}, "authenticationInfo": {"principalEmail": "a@b"}}}`,
		"a shell in a pod":          `{"protoPayload": {"serviceName": "k8s.io", "methodName": "io.k8s.core.v1.pods.exec.create", "resourceName": "core/v1/namespaces/d/pods/p/exec", "authenticationInfo": {"principalEmail": "a@b"}}}`,
		"a token":                   `{"protoPayload": {"serviceName": "sts.googleapis.com", "methodName": "google.identity.sts.v1.SecurityTokenService.CreateToken", "resourceName": "projects/p/tokens/t", "authenticationInfo": {"principalEmail": "a@b"}}}`,
		"an update of Azure":        `{"operationName": "Microsoft.Sql/servers/write", "resourceId": "/subscriptions/s/x/y", "resultType": "Success", "resultSignature": "Succeeded.OK", "caller": "ada@acme.test"}`,
		"a dry run":                 `{"kind": "Event", "apiVersion": "audit.k8s.io/v1", "stage": "ResponseComplete", "verb": "create", "responseStatus": {"code": 201}, "requestURI": "/x?dryRun=All", "user": {"username": "ada"}, "objectRef": {"resource": "pods", "name": "p"}}`,
		"a forbidden object":        `{"kind": "Event", "apiVersion": "audit.k8s.io/v1", "stage": "ResponseComplete", "verb": "create", "responseStatus": {"code": 403}, "user": {"username": "ada"}, "objectRef": {"resource": "pods", "name": "p"}}`,
		"a binding of an existing":  `{"kind": "Event", "apiVersion": "audit.k8s.io/v1", "stage": "ResponseComplete", "verb": "create", "responseStatus": {"code": 201}, "user": {"username": "ada"}, "objectRef": {"resource": "pods", "subresource": "binding", "name": "p"}}`,
		"an object of another kind": `{"hello": "world"}`,
	} {
		if got := read(t, log); len(got) != 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestASessionIsFollowedToThePipelineThatAssumedIt(t *testing.T) {
	t.Parallel()
	for subject, want := range map[string]auditlog.Pipeline{
		"repo:acme/shop:ref:refs/heads/main":                     {Repository: "acme/shop", Ref: "refs/heads/main"},
		"project_path:acme/shop/web:ref_type:branch:ref:release": {Repository: "acme/shop/web", Ref: "release"},
	} {
		list := read(t, `{"Records": [
			{"userIdentity": {"type": "WebIdentityUser", "identityProvider": "arn:aws:iam::1:oidc-provider/token.example", "userName": "`+subject+`"}, "eventName": "AssumeRoleWithWebIdentity", "eventSource": "sts.amazonaws.com",
			 "requestParameters": {"principalTags": {"commit": "c0ffee"}}, "responseElements": {"credentials": {"accessKeyId": "ASIA1"}}},
			{`+role+`, `+queue+`}]}`)
		want.System, want.Subject, want.Commit = "token.example", subject, "c0ffee"
		if len(list) != 1 {
			t.Fatalf("%s: %+v, want one creation", subject, list)
		}
		if diff := cmp.Diff(&want, list[0].Actor.Pipeline); diff != "" {
			t.Errorf("%s: %s", subject, diff)
		}
	}
}

func TestABadLogNamesFileEventAndWhatWasExpected(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ log, want string }{
		"cut off":  {`{"Records": [{` + ada + `, ` + queue + `}, {"a`, "log: event 2: unexpected EOF"},
		"no JSON":  {"not a log", "expected a JSON document"},
		"a number": {"17", "expected a JSON document"},
		"no list":  {`{"Records": {}}`, "Records: expected a list of events"},
		"no event": {`{"CloudTrailEvent": "{"}`, "CloudTrailEvent"},
	} {
		_, err := auditlog.Read(t.Context(), "log", strings.NewReader(c.log), func(auditlog.Creation) error { return nil })
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestAnEventWithoutAnEndIsRefused(t *testing.T) {
	t.Parallel()
	log := `{"Records": [{"eventName": "` + strings.Repeat("x", 17<<20)
	if _, err := auditlog.Read(t.Context(), "log", strings.NewReader(log), func(auditlog.Creation) error { return nil }); err == nil || !strings.Contains(err.Error(), "larger than 16 MiB") {
		t.Errorf("got %v", err)
	}
}

// sink keeps what a source tells.
type sink struct {
	connector.Sink
	claims    []fact.Claim
	relations []fact.Relation
	covered   []string
	gaps      map[string]error
	done      map[string]bool
}

func (s *sink) Done(scope string) bool             { return s.done[scope] }
func (s *sink) Claim(_ string, c fact.Claim) error { s.claims = append(s.claims, c); return nil }
func (s *sink) Relation(_ string, r fact.Relation) error {
	s.relations = append(s.relations, r)
	return nil
}
func (s *sink) Covered(scope string) error  { s.covered = append(s.covered, scope); return nil }
func (s *sink) Gap(scope string, err error) { s.gaps[scope] = err }
func (s *sink) Progress(string, int, int)   {}

func TestAFolderOfLogsIsReadAndABrokenOneIsAGap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	if _, err := zip.Write([]byte(`{"Records": [{` + ada + `, ` + queue + `}]}`)); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"a.json.gz": packed.Bytes(), "b.json": []byte("{"), "done.json": []byte("{"), "readme.md": []byte("no log")} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := &sink{gaps: map[string]error{}, done: map[string]bool{"done.json": true}}
	if err := auditlog.New().Sync(t.Context(), connector.Values{"path": dir}, s); err != nil {
		t.Fatal(err)
	}
	if len(s.claims) != 1 || s.claims[0].Owner.ID != "ada" || s.claims[0].Role != "creator" || s.claims[0].Since == 0 || s.claims[0].Evidence.Source != "a.json.gz, event 1" {
		t.Errorf("claims %+v", s.claims)
	}
	if len(s.relations) != 1 || s.relations[0].Kind != fact.CreatedBy || s.relations[0].To.Kind != fact.AssetIdentity {
		t.Errorf("relations %+v", s.relations)
	}
	if diff := cmp.Diff([]string{"a.json.gz"}, s.covered); diff != "" {
		t.Error(diff)
	}
	if len(s.gaps) != 1 || s.gaps["b.json"] == nil {
		t.Errorf("gaps %v", s.gaps)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := auditlog.New().Sync(ended, connector.Values{"path": dir}, s); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of its context: %v", err)
	}
	if err := auditlog.New().Sync(t.Context(), connector.Values{"path": filepath.Join(dir, "none")}, s); err == nil {
		t.Error("a folder that is not there is no error")
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"Records": [{` + ada + `, ` + queue + `}]}`))
	f.Add([]byte(`{"protoPayload": {"methodName": "v1.compute.routes.insert", "resourceName": "a/b"}}` + "\n[1, {}]"))
	f.Add([]byte(`{"operationName": {"value": "X/write"}, "resourceId": "/a"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		stats, err := auditlog.Read(t.Context(), "log", bytes.NewReader(data), func(c auditlog.Creation) error {
			if c.Asset.Key == "" || c.Asset.Kind == "" || c.Type == "" || c.Actor.Kind == "" || c.Item == "" {
				t.Errorf("%q: a creation without its parts: %+v", data, c)
			}
			return nil
		})
		if err != nil && !strings.HasPrefix(err.Error(), "log: event ") {
			t.Errorf("%q: error %v names no event", data, err)
		}
		if stats.Creations > 0 && stats.Events == 0 {
			t.Errorf("%q: %+v", data, stats)
		}
	})
}

func TestTheOrderOfLogsAndTheirDoublesChangeNothing(t *testing.T) {
	t.Parallel()
	event := func(id, at, who, rest string) string {
		return `{` + who + `, "eventSource": "s3.amazonaws.com", "eventID": "` + id + `", "eventTime": "` + at + `", ` + rest + `}`
	}
	bucket := func(name string) string {
		return `"eventName": "CreateBucket", "requestParameters": {"bucketName": "` + name + `"}`
	}
	assume := event("e0", "2026-05-01T08:00:00Z", `"userIdentity": {"type": "WebIdentityUser", "userName": "repo:acme/shop:ref:refs/heads/main", "identityProvider": "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"}`,
		`"eventName": "AssumeRoleWithWebIdentity", "responseElements": {"credentials": {"accessKeyId": "ASIA1"}}`)
	events := []string{
		assume, event("e1", "2026-05-01T09:00:00Z", role, bucket("built")),
		event("e2", "2026-05-01T09:00:00Z", ada, bucket("again")), event("e3", "2026-05-03T09:00:00Z", strings.ReplaceAll(ada, "ada", "eve"), bucket("again")),
	}
	told := func(files ...[]string) string {
		dir := t.TempDir()
		for i, list := range files {
			if err := os.WriteFile(filepath.Join(dir, string(rune('a'+i))+".json"), []byte(`{"Records": [`+strings.Join(list, ",")+`]}`), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r := &connectortest.Recorder{}
		if err := auditlog.New().Sync(t.Context(), connector.Values{"path": dir}, r); err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, c := range r.Claims {
			lines = append(lines, c.Value.Subject.Key+" by "+c.Value.Owner.ID+" until "+time.UnixMicro(c.Value.Until).UTC().Format(time.DateOnly))
		}
		for _, one := range r.Relations {
			lines = append(lines, one.Value.From.Key+" "+string(one.Value.Kind)+" "+one.Value.To.Key)
		}
		slices.Sort(lines)
		return strings.Join(slices.Compact(lines), "\n")
	}
	want := strings.Join([]string{
		"arn:aws:s3:::again by ada until 2026-05-03", "arn:aws:s3:::again by eve until 1970-01-01", "arn:aws:s3:::again created_by arn:aws:iam::111122223333:user/eve",
		"arn:aws:s3:::built created_by arn:aws:sts::111122223333:assumed-role/dev/ada@acme.test", "arn:aws:s3:::built created_by github.com/acme/shop",
	}, "\n")
	backwards := slices.Clone(events)
	slices.Reverse(backwards)
	for name, got := range map[string]string{
		"in order": told(events), "backwards": told(backwards), "twice": told(backwards, events), "each in a file": told(backwards[:1], backwards[1:2], backwards[2:3], backwards[3:]),
	} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
