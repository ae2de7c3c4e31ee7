// Package builtin lists what is compiled in: every reader, scanner, fixer and
// connector. Only this package names concrete plugins, so that what runs, and
// in which order, is visible in one place.
package builtin

import (
	"github.com/backstitch/backstitch/report"
	"github.com/backstitch/backstitch/report/anchore"
	"github.com/backstitch/backstitch/report/asff"
	"github.com/backstitch/backstitch/report/bandit"
	"github.com/backstitch/backstitch/report/brakeman"
	"github.com/backstitch/backstitch/report/cargoaudit"
	"github.com/backstitch/backstitch/report/cfnnag"
	"github.com/backstitch/backstitch/report/checkov"
	"github.com/backstitch/backstitch/report/cloudsploit"
	"github.com/backstitch/backstitch/report/composeraudit"
	"github.com/backstitch/backstitch/report/conftest"
	"github.com/backstitch/backstitch/report/cyclonedx"
	"github.com/backstitch/backstitch/report/defender"
	"github.com/backstitch/backstitch/report/dependabot"
	"github.com/backstitch/backstitch/report/dependencycheck"
	"github.com/backstitch/backstitch/report/dependencytrack"
	"github.com/backstitch/backstitch/report/detectsecrets"
	"github.com/backstitch/backstitch/report/dockle"
	"github.com/backstitch/backstitch/report/ggshield"
	"github.com/backstitch/backstitch/report/gitlab"
	"github.com/backstitch/backstitch/report/gitleaks"
	"github.com/backstitch/backstitch/report/gosec"
	"github.com/backstitch/backstitch/report/govulncheck"
	"github.com/backstitch/backstitch/report/grype"
	"github.com/backstitch/backstitch/report/hadolint"
	"github.com/backstitch/backstitch/report/harbor"
	"github.com/backstitch/backstitch/report/inspector"
	"github.com/backstitch/backstitch/report/kics"
	"github.com/backstitch/backstitch/report/kubebench"
	"github.com/backstitch/backstitch/report/kubelinter"
	"github.com/backstitch/backstitch/report/kubescape"
	"github.com/backstitch/backstitch/report/noseyparker"
	"github.com/backstitch/backstitch/report/npmaudit"
	"github.com/backstitch/backstitch/report/openvex"
	"github.com/backstitch/backstitch/report/osvscanner"
	"github.com/backstitch/backstitch/report/pipaudit"
	"github.com/backstitch/backstitch/report/popeye"
	"github.com/backstitch/backstitch/report/prowler"
	"github.com/backstitch/backstitch/report/sarif"
	"github.com/backstitch/backstitch/report/scoutsuite"
	"github.com/backstitch/backstitch/report/semgrep"
	"github.com/backstitch/backstitch/report/snyk"
	"github.com/backstitch/backstitch/report/spdx"
	"github.com/backstitch/backstitch/report/syft"
	"github.com/backstitch/backstitch/report/terrascan"
	"github.com/backstitch/backstitch/report/tfsec"
	"github.com/backstitch/backstitch/report/trivy"
	"github.com/backstitch/backstitch/report/trivyoperator"
	"github.com/backstitch/backstitch/report/trufflehog"
	"github.com/backstitch/backstitch/report/twistlock"
	"github.com/backstitch/backstitch/report/wiz"
)

// Readers lists the readers of scanners' reports. Of readers that are equally
// sure of a report, the first reads it.
func Readers() []report.Reader {
	return []report.Reader{
		trivy.New(),
		grype.New(),
		osvscanner.New(),
		sarif.New(),
		cyclonedx.New(),
		pipaudit.New(),
		govulncheck.New(),
		checkov.New(),
		dependabot.New(),
		npmaudit.New(),
		snyk.New(),
		gitleaks.New(),
		semgrep.New(),
		asff.New(),
		inspector.New(),
		spdx.New(),
		syft.New(),
		openvex.New(),
		gitlab.New(),
		prowler.New(),
		trivyoperator.New(),
		kubescape.New(),
		tfsec.New(),
		kics.New(),
		terrascan.New(),
		hadolint.New(),
		dockle.New(),
		kubelinter.New(),
		gosec.New(),
		bandit.New(),
		detectsecrets.New(),
		trufflehog.New(),
		kubebench.New(),
		wiz.New(),
		cloudsploit.New(),
		scoutsuite.New(),
		defender.New(),
		composeraudit.New(),
		dependencycheck.New(),
		conftest.New(),
		popeye.New(),
		cfnnag.New(),
		cargoaudit.New(),
		dependencytrack.New(),
		brakeman.New(),
		noseyparker.New(),
		ggshield.New(),
		anchore.New(),
		twistlock.New(),
		harbor.New(),
	}
}
