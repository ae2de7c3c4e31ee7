package trivy_test

import (
	"strings"
	"testing"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
	"github.com/backstitch/backstitch/report/trivy"
)

// runs keeps what a reader says of runs.
type runs struct{ all []fact.Run }

func (r *runs) Run(run fact.Run) error         { r.all = append(r.all, run); return nil }
func (r *runs) Finding(fact.Finding) error     { return nil }
func (r *runs) Component(fact.Component) error { return nil }
func (r *runs) Statement(fact.Statement) error { return nil }

func TestTheConfigurationOfAnImageIsKeptAsItStands(t *testing.T) {
	t.Parallel()
	const config = `{"architecture": "amd64", "history": [{"created_by": "RUN make"}], "rootfs": {"diff_ids": ["sha256:1"]}}`
	for kind, want := range map[string]string{"container_image": config, "filesystem": ""} {
		var got runs
		text := `{"SchemaVersion": 2, "ArtifactName": "acme/shop:1", "ArtifactType": "` + kind + `", "Metadata": {"ImageConfig": ` + config + `}, "Results": []}`
		if err := report.Read(t.Context(), []report.Reader{trivy.New()}, "report.json", strings.NewReader(text), &got); err != nil {
			t.Fatal(err)
		}
		if len(got.all) != 1 {
			t.Fatalf("%s: %d runs", kind, len(got.all))
		}
		told := got.all[0].Image
		switch {
		case want == "" && told != nil:
			t.Errorf("%s: an image is told: %s", kind, told.JSON)
		case want != "" && (told == nil || string(told.JSON) != want || told.Asset.Name != "acme/shop:1"):
			t.Errorf("%s: %+v, want %s", kind, told, want)
		}
	}
}
