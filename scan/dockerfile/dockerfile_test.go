package dockerfile

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/code"
	docker "github.com/backstitch/backstitch/code/dockerfile"
	"github.com/backstitch/backstitch/fact"
)

func scanned(t *testing.T, files code.Files) (found []fact.Finding, problems []string) {
	t.Helper()
	list, err := New().Scan(context.Background(), files, func(f fact.Finding) error { found = append(found, f); return nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		problems = append(problems, p.Path+": "+p.Text)
	}
	return found, problems
}

func TestAFindingNamesRuleLineAndObject(t *testing.T) {
	t.Parallel()
	found, problems := scanned(t, code.Files{
		"web/Dockerfile":                  []byte("FROM alpine:3.20 AS Build\nRUN apk add x\nFROM alpine:3.20\nUSER 1\nHEALTHCHECK NONE\nEXPOSE 22\n"),
		"README.md":                       []byte("FROM x\nRUN sudo y\n"),
		"vendor/a/Dockerfile":             []byte("FROM x\n"),
		"node_modules/a/b/Dockerfile":     []byte("FROM x\n"),
		"charts/a/templates/x.dockerfile": []byte("FROM {{ .x }}\n{{ if y }}\n"),
	})
	var got []string
	for _, f := range found {
		got = append(got, f.Rule+" "+f.Path+" "+f.Attributes["object"]+" "+f.Attributes["field"]+" "+f.Severity.String())
		if f.Line == 0 || f.Title == "" || len(f.Aliases) == 0 || f.Kind != fact.Misconfiguration {
			t.Errorf("incomplete: %+v", f)
		}
	}
	want := []string{"dockerfile/apk-cache web/Dockerfile web/Dockerfile#build RUN low", "dockerfile/expose-ssh web/Dockerfile web/Dockerfile#1 EXPOSE medium"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(problems) != 1 || !strings.Contains(problems[0], "template") {
		t.Errorf("problems %q, expected that the template is not judged", problems)
	}
}

func TestAFindingStaysTheSameWhenLinesMove(t *testing.T) {
	t.Parallel()
	a, _ := scanned(t, code.Files{"Dockerfile": []byte("FROM a:1\nRUN apk add x\nUSER 1\nHEALTHCHECK NONE\n")})
	b, _ := scanned(t, code.Files{"Dockerfile": []byte("# new\n\nFROM a:2\nENV A=1\nRUN apk add x y\nUSER 1\nHEALTHCHECK NONE\n")})
	if len(a) != 1 || len(b) != 1 || a[0].Anchor != b[0].Anchor || a[0].Attributes["object"] != b[0].Attributes["object"] {
		t.Errorf("findings %+v and %+v are not the same one", a, b)
	}
}

func TestASecretIsFoundAndNotRepeated(t *testing.T) {
	t.Parallel()
	found, _ := scanned(t, code.Files{"Dockerfile": []byte("FROM a:1\nENV DB_PASSWORD=hunter2hunter2\nUSER 1\nHEALTHCHECK NONE\n")})
	if len(found) != 1 || found[0].Kind != fact.Secret || found[0].Severity != fact.SeverityCritical {
		t.Fatalf("found %+v", found)
	}
	if strings.Contains(found[0].Description+found[0].Anchor+found[0].Attributes["wanted"], "hunter2") {
		t.Error("the finding repeats the secret")
	}
}

func TestWhatCannotBeReadIsAProblem(t *testing.T) {
	t.Parallel()
	_, problems := scanned(t, code.Files{
		"a/Dockerfile": []byte("RUN x\n"), "b/Dockerfile": []byte("FROM a:1\nUSER 1\nHEALTHCHECK NONE\nNONSENSE x\n"),
		"c/Dockerfile": []byte("FROM a\n" + strings.Repeat("# x\n", docker.MaxFile)),
	})
	if len(problems) != 3 {
		t.Errorf("problems %q, expected one for each file", problems)
	}
}

func TestAnErrorOfTheReceiverEndsTheScan(t *testing.T) {
	t.Parallel()
	stop := errors.New("stop")
	if _, err := New().Scan(context.Background(), code.Files{"Dockerfile": []byte("FROM a\n")}, func(fact.Finding) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error %v", err)
	}
}
