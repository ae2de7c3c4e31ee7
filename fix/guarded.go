package fix

import (
	"path"
	"slices"
	"strings"
)

// guarded are files that say who judges a repository and who owns it; "/" ends a folder.
var guarded = []string{".github/", ".gitlab-ci.yml", ".gitlab/", ".circleci/", "Jenkinsfile", "CODEOWNERS", ".trivyignore", ".snyk", ".semgrepignore", ".gitleaksignore", ".grype.yaml", ".checkov.yaml", ".checkov.yml", "osv-scanner.toml", ".kube-linter.yaml", ".hadolint.yaml", ".tfsec"}

// Guarded says whether a file says who judges a repository or who owns it, so that no
// change which a coding agent writes may touch it.
func Guarded(name string) bool {
	base := path.Base(name)
	return slices.ContainsFunc(guarded, func(limit string) bool {
		if strings.HasSuffix(limit, "/") {
			return strings.HasPrefix(name, limit) || strings.Contains(name, "/"+limit)
		}
		return base == limit || name == limit
	})
}
