package syft

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
	"github.com/backstitch/backstitch/report/reporttest"
)

const newer = `{"artifacts":[
 {"id":"1","name":"libx","version":"1.0-r1","type":"apk","foundBy":"apk-db-cataloger","locations":[{"path":"/lib/apk/db/installed","layerID":"sha256:aa"},{"path":"/other"}],
  "licenses":[{"value":"GPL2","spdxExpression":"GPL-2.0-only","type":"declared"},{"value":"own"}],"purl":"pkg:apk/alpine/libx@1.0-r1?arch=x86_64&distro=alpine-3.12.1"},
 {"id":"2","name":"left","version":"2","type":"npm","locations":[],"licenses":[],"purl":"pkg:npm/left@2"},
 {"id":"3","name":"liby","version":"3","type":"apk"}],
 "artifactRelationships":[{"parent":"1","child":"3","type":"dependency-of"},{"parent":"3","child":"2","type":"contains"}],
 "source":{"id":"x","name":"alpine","version":"3.12","type":"image","metadata":{"userInput":"alpine:3.12","manifestDigest":"sha256:bb","repoDigests":["alpine@sha256:cc"]}},
 "distro":{"name":"Alpine Linux","id":"alpine","versionID":"3.12.12"},"descriptor":{"name":"syft","version":"1.2.3"},"schema":{"version":"16.0.0","url":"https://x.test/syft/schema.json"}}`

const older = `{"artifacts":[{"id":"1","name":"liby","version":"3","type":"apk","foundBy":"c","locations":[{"path":"/p"}],"licenses":["MIT",""],"purl":""}],
 "source":{"type":"directory","target":"./src"},"distro":{"name":"alpine","version":"3.9.1"},"descriptor":{"name":"syft","version":"0.2"}}`

func TestConformance(t *testing.T) {
	t.Parallel()
	reporttest.Conformance(t, New(), newer, older)
}

func FuzzRead(f *testing.F) { reporttest.Fuzz(f, New(), newer, older) }

func TestArtifactsAreTheInventory(t *testing.T) {
	t.Parallel()
	image := fact.Asset{Kind: fact.AssetImage, Key: "sha256:cc", Name: "alpine:3.12"}
	folder := fact.Asset{Kind: fact.AssetRepository, Key: "./src", Name: "./src"}
	for _, test := range []struct {
		text       string
		components []fact.Component
		run        fact.Run
	}{
		{newer, []fact.Component{
			{
				Package: fact.Package{Ecosystem: "Alpine:v3.12", Name: "libx", Version: "1.0-r1", PURL: "pkg:apk/alpine/libx@1.0-r1?arch=x86_64&distro=alpine-3.12.1"},
				Type:    "apk", Ref: "1", Licenses: []string{"GPL-2.0-only", "own"}, Path: "/lib/apk/db/installed",
			},
			{Package: fact.Package{Ecosystem: "npm", Name: "left", Version: "2", PURL: "pkg:npm/left@2"}, Type: "npm", Ref: "2"},
			{Package: fact.Package{Ecosystem: "Alpine:v3.12", Name: "liby", Version: "3"}, Type: "apk", Ref: "3", Requires: []string{"1"}},
		}, fact.Run{Tool: "syft", ToolVersion: "1.2.3", Format: "syft", Target: "alpine:3.12", Complete: true, Assets: []fact.Asset{image}}},
		{older, []fact.Component{
			{Package: fact.Package{Ecosystem: "Alpine:v3.9", Name: "liby", Version: "3"}, Type: "apk", Ref: "1", Licenses: []string{"MIT"}, Path: "/p"},
		}, fact.Run{Tool: "syft", ToolVersion: "0.2", Format: "syft", Target: "./src", Complete: true, Assets: []fact.Asset{folder}}},
	} {
		facts := reporttest.Read(t, New(), test.text)
		if diff := cmp.Diff(test.components, facts.Components, cmpopts.IgnoreFields(fact.Component{}, "Position")); diff != "" {
			t.Errorf("components (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]fact.Run{test.run}, facts.Runs); diff != "" {
			t.Errorf("runs (-want +got):\n%s", diff)
		}
	}
}

func TestADocumentWithoutArtifactsIsRefused(t *testing.T) {
	t.Parallel()
	err := report.Read(t.Context(), []report.Reader{New()}, "f", strings.NewReader(`{"descriptor":{"name":"syft"}}`), &reporttest.Facts{})
	if err == nil || !strings.Contains(err.Error(), "artifacts") {
		t.Errorf("%v, want a fault that names artifacts", err)
	}
}
