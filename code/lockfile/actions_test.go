package lockfile

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const workflow = `name: ci
on: [push]
jobs:
  call:
    uses: acme/shared/.github/workflows/build.yml@v2
  test:
    runs-on: ubuntu-latest
    container: golang:1.26
    services:
      db: {image: "postgres:16"}
    steps:
      - uses: actions/checkout@v4
      - name: set up
        uses: "actions/setup-go@0c52d547c9bc32b1aa3301fd7a9cb496313a4491" # v5.0.0
      - uses: actions/checkout@v4   # again
      - uses: github/codeql-action/init@b611370bb5703a7efb587f9d136a52ea24c5c38c
      - {uses: acme/tool@main, with: {uses: no/no@v1}}
      - uses: ./local
      - uses: docker://alpine:3.20
      - run: |
          echo "uses: no/no@v1"
`

func TestWorkflowsSayWhichActionsTheyUse(t *testing.T) {
	t.Parallel()
	list := read(t, files(".github/workflows/ci.yml", workflow, "app/action.yml", "runs:\n  using: composite\n  steps:\n  - uses: acme/tool@v1.2.3 # not v9\n",
		"app/.github/workflows/ci.yml", workflow, "lib/action.yml", "runs: {using: node20, main: a.js}\n"))
	if len(list) != 2 {
		t.Fatalf("%d modules, expected the workflows and the action that uses another: %+v", len(list), list)
	}
	m := only(t, list, ".github/workflows", "actions")
	type row struct {
		Name, Version, Source string
		Line, Declared        int
	}
	var got []row
	for _, p := range m.Packages {
		got = append(got, row{p.Name, p.Version, p.Source, p.Line, len(p.Declared)})
	}
	want := []row{
		{"acme/shared", "v2", "", 5, 1}, {"actions/checkout", "v4", "", 12, 2}, {"actions/setup-go", "v5.0.0", "", 14, 1},
		{"github/codeql-action", "git:b611370bb5703a7efb587f9d136a52ea24c5c38c", "git", 16, 1}, {"acme/tool", "git:main", "git", 17, 1},
	}
	if !cmp.Equal(want, got) || len(m.Problems) > 0 {
		t.Errorf("packages differ, problems %v:\n%s", m.Problems, cmp.Diff(want, got))
	}
	if d := m.Declared[0]; d.Alias != "acme/shared/.github/workflows/build.yml" || d.Constraint != "v2" || d.Line != 5 {
		t.Errorf("declaration %+v", d)
	}
	if p := only(t, list, "app", "actions").Packages; len(p) != 1 || p[0].Version != "v1.2.3" {
		t.Errorf("packages of the action: %+v", p)
	}
}

func TestUsesOfActionsKnowTheirBytes(t *testing.T) {
	t.Parallel()
	text := "\xef\xbb\xbf" + strings.ReplaceAll(workflow, "\n", "\r\n")
	uses, err := ActionUses([]byte(text))
	if err != nil || len(uses) != 6 {
		t.Fatalf("%d uses, %v", len(uses), err)
	}
	for _, u := range uses {
		if text[u.Start:u.End] != u.Ref || u.HasComment && text[u.CommentStart:u.CommentEnd] != "#"+u.Comment {
			t.Errorf("%+v stands on %q %q", u, text[u.Start:u.End], text[u.CommentStart:u.CommentEnd])
		}
	}
	if u := uses[2]; !u.Pinned() || u.Version() != "v5.0.0" || u.Comment != " v5.0.0" {
		t.Errorf("pinned use %+v", u)
	}
}

func TestAWorkflowThatIsNoneIsAProblemWithItsLine(t *testing.T) {
	t.Parallel()
	m := only(t, read(t, files(".github/workflows/a.yml", "jobs:\n  x: [\n")), ".github/workflows", "actions")
	if len(m.Problems) != 1 || m.Problems[0].Path != ".github/workflows/a.yml" || m.Problems[0].Line == 0 {
		t.Errorf("problems %+v", m.Problems)
	}
}

func FuzzWorkflow(f *testing.F) {
	for _, seed := range []string{workflow, "jobs: {a: {uses: a/b@v1}}", "runs:\n  steps:\n  - &x\n    uses: a/b@v1 # v1\n  - *x\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		read(t, files(".github/workflows/a.yml", string(data)))
		uses, err := ActionUses(data)
		if err != nil {
			return
		}
		for _, u := range uses {
			if u.End > 0 && string(data[u.Start:u.End]) != u.Ref {
				t.Errorf("%+v stands on %q", u, data[u.Start:u.End])
			}
		}
	})
}
