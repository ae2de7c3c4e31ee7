package lockfile

import (
	"strings"
	"testing"
)

const goModFile = `module example.com/shop

go 1.22.0

toolchain go1.22.5

require (
	example.com/a v1.2.3
	example.com/old v1.0.0
	example.com/local v0.0.0
)

require (
	example.com/deep v0.9.0 // indirect
)

replace example.com/old => example.com/fork v1.1.0

replace example.com/local => ./local
`

func TestGoModuleGivesDirectIndirectReplacedAndStdlib(t *testing.T) {
	t.Parallel()
	modules := read(t, files("svc/go.mod", goModFile, "svc/go.sum", "example.com/a v1.2.3 h1:x=\nexample.com/a v1.2.3/go.mod h1:x=\nexample.com/fork v1.1.0 h1:y=\n"))
	if len(modules) != 1 {
		t.Fatalf("modules = %+v", modules)
	}
	m := modules[0]
	if m.Dir != "svc" || m.Name != "example.com/shop" || len(m.Locks) != 1 {
		t.Errorf("module = %+v", m)
	}
	var got []string
	for _, p := range m.Packages {
		flag := ""
		if p.Direct {
			flag = " direct"
		}
		got = append(got, p.Name+" "+p.Version+flag+" "+p.Source)
	}
	want := "stdlib 1.22.5 direct |example.com/a v1.2.3 direct |example.com/fork v1.1.0 direct |example.com/local v0.0.0 direct path|example.com/deep v0.9.0 "
	if strings.Join(got, "|") != want {
		t.Errorf("packages\n got %s\nwant %s", strings.Join(got, "|"), want)
	}
	if p := m.Packages[4]; p.Line != 14 {
		t.Errorf("indirect line = %d, want 14", p.Line)
	}
	if d := m.Declared[2]; d.Alias != "example.com/old" || d.Line != 9 || d.ValueLine != 17 {
		t.Errorf("declaration of the replaced module = %+v", d)
	}
	if len(m.Problems) != 1 || m.Problems[0].Line != 14 || !strings.Contains(m.Problems[0].Text, "no checksum") {
		t.Errorf("problems = %v", m.Problems)
	}
}

func TestBrokenGoModuleIsAProblemWithItsLine(t *testing.T) {
	t.Parallel()
	modules := read(t, files("go.mod", "module a\n\nrequire (\n", "b/go.mod", "module b\n\nrequire x.y/z v1.0.0\n"))
	if len(modules) != 2 || len(modules[0].Problems) == 0 || modules[0].Problems[0].Line == 0 || len(modules[1].Packages) != 1 {
		t.Errorf("modules = %+v", modules)
	}
}

func TestWorkspaceModulesKnowEachOther(t *testing.T) {
	t.Parallel()
	modules := read(t, files("go.work", "go 1.22\n\nuse (\n\t./a\n\t./b\n)\n", "a/go.mod", "module x.y/a\n\nrequire x.y/b v0.1.0\n", "b/go.mod", "module x.y/b\n"))
	if len(modules) != 2 || modules[0].Packages[0].Source != "workspace" {
		t.Errorf("modules = %+v", modules)
	}
}
