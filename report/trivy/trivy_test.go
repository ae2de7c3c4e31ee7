package trivy

import (
	"context"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/fact"
)

type sink struct{ findings []fact.Finding }

func (s *sink) Run(fact.Run) error             { return nil }
func (s *sink) Finding(f fact.Finding) error   { s.findings = append(s.findings, f); return nil }
func (s *sink) Component(fact.Component) error { return nil }
func (s *sink) Statement(fact.Statement) error { return nil }

func TestX(t *testing.T) {
	var k sink
	err := New().Read(context.Background(), strings.NewReader(`{"SchemaVersion":2,"ArtifactName":"x","Results":[{"Target":"go.mod","Class":"lang-pkgs","Type":"gomod","Vulnerabilities":[{"VulnerabilityID":"CVE-1-2","PkgName":"a","InstalledVersion":"v1"}]}]}`), &k)
	t.Log(err, k.findings)
}
