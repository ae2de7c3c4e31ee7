package clair

import (
	"testing"

	"github.com/backstitch/backstitch/report/reporttest"
)

func TestEachLayoutIsReadIntoFindings(t *testing.T) {
	t.Parallel()
	reporttest.Table(t, New(), cases)
}

func TestConformance(t *testing.T) {
	t.Parallel()
	reporttest.Conformance(t, New(), reporttest.Samples(cases)...)
}

func FuzzRead(f *testing.F) { reporttest.FuzzTable(f, New(), cases) }

var cases = []reporttest.Case{
	{
		Name: "clair-scanner", Score: 95, Complete: true,
		Report: `{"image":"r.test/a:1","unapproved":["CVE-1"],"vulnerabilities":[{"featurename":"systemd","featureversion":"237-3","vulnerability":"CVE-1","namespace":"ubuntu:18.04","description":"d","link":"https://x.test","severity":"Medium","fixedby":"238"},{"featurename":"tar","featureversion":"1","vulnerability":"CVE-2","namespace":"ubuntu:18.04","severity":"Negligible","fixedby":""}]}`,
		Want: []string{
			"vulnerability CVE-1 medium pkg:deb/ubuntu/systemd@237-3?distro=ubuntu-18.04@237-3 fixed 238",
			"vulnerability CVE-2 info pkg:deb/ubuntu/tar@1?distro=ubuntu-18.04@1",
		},
	},
	{Name: "nothing", Score: 95, Complete: true, Report: `{"image":"a:1","unapproved":[],"vulnerabilities":[]}`},
	{
		Name: "Klar", Score: 95, Complete: false,
		Report: `{"LayerCount":9,"Vulnerabilities":{"High":[{"Name":"RHSA-2019:0109","NamespaceName":"centos:7","Description":"d","Link":"https://x.test","Severity":"High","FixedBy":"4:5.16.3-294","FeatureName":"perl","FeatureVersion":"4:5.16.3-293"}]}}`,
		Want:   []string{"vulnerability RHSA-2019:0109 high pkg:rpm/redhat/perl@4:5.16.3-293?distro=redhat-7@4:5.16.3-293 fixed 4:5.16.3-294"},
	},
}

func TestFindingsAreOfTheImage(t *testing.T) {
	t.Parallel()
	facts := reporttest.Read(t, New(), cases[0].Report)
	if len(facts.Runs[0].Assets) != 1 || facts.Findings[0].Asset.Key != "r.test/a:1" {
		t.Errorf("looked at %+v, found in %+v", facts.Runs[0].Assets, facts.Findings[0].Asset)
	}
}
