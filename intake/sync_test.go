package intake_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/intake"
	"github.com/backstitch/backstitch/report"
	trivyreader "github.com/backstitch/backstitch/report/trivy"
)

// cloud is a source that a test tells what to say.
type cloud func(ctx context.Context, sink connector.Sink) error

func (cloud) Describe() connector.Description { return connector.Description{ID: "connector/cloud"} }
func (cloud) Settings() []connector.Setting   { return nil }
func (c cloud) Sync(ctx context.Context, _ connector.Values, sink connector.Sink) error {
	return c(ctx, sink)
}

var bucket = fact.Asset{Kind: fact.AssetResource, Key: "arn:aws:s3:::logs", Name: "logs"}

func open(rule string) *fact.Finding {
	return &fact.Finding{Kind: fact.Misconfiguration, Rule: rule, Title: "open bucket", Severity: fact.SeverityHigh, Asset: bucket}
}

func TestFindingsOfASourceFollowTheLawsOfEveryImport(t *testing.T) {
	t.Parallel()
	db := database(t)
	g := graph.Open(db)
	detector := fact.Run{Tool: "security hub", Format: "cloud"}
	sync := func(source cloud) intake.Synced {
		t.Helper()
		got, err := intake.Sync(t.Context(), db, g, "aws:prod", source, nil, intake.SyncOptions{Now: start.AddDate(0, 0, 1), Readers: []report.Reader{trivyreader.New()}})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	give := func(rules []string, then func(sink connector.Sink) error) cloud {
		return func(_ context.Context, sink connector.Sink) error {
			if err := sink.Node("eu", fact.Node{Asset: bucket}); err != nil {
				return err
			}
			for _, rule := range rules {
				if err := sink.Finding("eu", detector, open(rule)); err != nil {
					return err
				}
			}
			return then(sink)
		}
	}
	covered := func(sink connector.Sink) error { return sink.Covered("eu") }
	failed := func(sink connector.Sink) error {
		sink.Gap("eu", errors.New("throttled"))
		return sink.Covered("eu")
	}
	states := func() string {
		t.Helper()
		list, err := intake.Load(t.Context(), db, []fact.Asset{bucket})
		if err != nil {
			t.Fatal(err)
		}
		var text []string
		for _, f := range list {
			text = append(text, f.Rule+" "+f.State)
		}
		return strings.Join(text, ", ")
	}
	if got := sync(give([]string{"S3.1", "S3.2"}, covered)); got.Findings != 2 || got.New != 2 || !got.Complete {
		t.Errorf("first run %+v", got)
	}
	if got := sync(give([]string{"S3.1", "S3.2"}, covered)); got.New != 0 || got.Graph.Nodes.Written() != 0 {
		t.Errorf("the same again %+v", got)
	}
	if got := sync(give([]string{"S3.1"}, failed)); got.Complete || len(got.Graph.Gaps) != 1 {
		t.Errorf("a gap %+v", got)
	}
	if got := states(); strings.Contains(got, "unconfirmed") {
		t.Errorf("after a look that failed: %s", got)
	}
	sync(give([]string{"S3.1"}, covered))
	if got := states(); !strings.Contains(got, "S3.2 unconfirmed") || !strings.Contains(got, "S3.1 open") {
		t.Errorf("after a whole look: %s", got)
	}
	handed := func(text string) cloud {
		return give([]string{"S3.1"}, func(sink connector.Sink) error {
			if err := sink.Report("eu", "export", strings.NewReader(text)); err != nil {
				return err
			}
			return sink.Covered("eu")
		})
	}
	if got := sync(handed(`{"SchemaVersion": 2, "ArtifactName": "a", "Results": [{"Target": "t", "Vulnerabilities": [{"VulnerabilityID": "CVE-1", "PkgName": "p", "InstalledVersion": "1"}]}]}`)); got.Findings != 2 || !got.Complete {
		t.Errorf("a report that the source hands on: %+v", got)
	}
	if got := sync(handed(`{"what": "is this"}`)); got.Complete || len(got.Graph.Gaps) != 1 || !strings.Contains(got.Graph.Gaps[0], "format of the report is not known") {
		t.Errorf("a report that nobody knows: %+v", got)
	}
}

func TestASyncThatEndsEarlyIsTakenUp(t *testing.T) {
	t.Parallel()
	db := database(t)
	g := graph.Open(db)
	var read []string
	regions := func(stopAt string) cloud {
		return func(ctx context.Context, sink connector.Sink) error {
			for _, region := range []string{"eu", "us", "ap"} {
				if region == stopAt {
					return errors.New("the network is gone")
				}
				if sink.Done(region) {
					continue
				}
				read = append(read, region)
				if err := sink.Node(region, fact.Node{Asset: fact.Asset{Kind: fact.AssetHost, Key: region}}); err != nil {
					return err
				}
				if err := sink.Covered(region); err != nil {
					return err
				}
			}
			return nil
		}
	}
	if _, err := intake.Sync(t.Context(), db, g, "aws", regions("ap"), nil, intake.SyncOptions{Now: start.AddDate(0, 0, 1)}); err == nil || !strings.Contains(err.Error(), "source aws: the network is gone") {
		t.Errorf("got %v", err)
	}
	got, err := intake.Sync(t.Context(), db, g, "aws", regions(""), nil, intake.SyncOptions{Now: start.AddDate(0, 0, 2)})
	if err != nil || !got.Resumed || strings.Join(read, " ") != "eu us ap" {
		t.Errorf("%+v, %v, read %v; want each region once", got, err, read)
	}
	x, err := g.Index(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if assets, _ := x.Len(); assets != 3 {
		t.Errorf("%d assets, want 3", assets)
	}
}
