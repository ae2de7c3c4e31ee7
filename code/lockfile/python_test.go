package lockfile

import (
	"strings"
	"testing"
)

func problemsOf(m *Module) string {
	var lines []string
	for _, p := range m.Problems {
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "\n")
}

func TestRequirementsFollowIncludesConstraintsAndContinuations(t *testing.T) {
	t.Parallel()
	modules := read(t, files(
		"requirements.txt", "# web\nFlask==2.0.1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\njinja2[i18n]>=2,<4 ; python_version > '3'\n-c constraints.txt\ngit+https://host/x.git@v1#egg=Forked_Lib\nthing @ https://host/thing.whl\n$$$ what\n",
		"requirements-dev.txt", "-r requirements.txt\npytest==7.0\n",
		"constraints.txt", "jinja2==3.0.1\nunused==1\n",
	))
	if len(modules) != 1 {
		t.Fatalf("modules = %+v", modules)
	}
	m := &modules[0]
	want := `2 flask 2.0.1 direct []
1 jinja2 3.0.1 direct []
7 forked-lib  direct git []
8 thing  direct url []
2 pytest 7.0 direct dev []`
	if got := describe(m); got != want {
		t.Errorf("packages\n%s\nwant\n%s", got, want)
	}
	if p := m.Packages[0]; p.EndLine != 4 {
		t.Errorf("flask ends at line %d, want 4", p.EndLine)
	}
	if d := m.Declared[1]; d.Line != 5 || d.ValuePath != "constraints.txt" || d.ValueLine != 1 || d.Constraint != ">=2,<4" {
		t.Errorf("jinja2 is declared %+v", d)
	}
	if got := problemsOf(m); got != `requirements.txt:9: is no requirement: "$$$ what"` {
		t.Errorf("problems = %s", got)
	}
}

func TestCompiledRequirementsGiveEdgesAndTheirSourceTheDeclarations(t *testing.T) {
	t.Parallel()
	modules := read(t, files(
		"requirements.in", "flask>=2\nrequests<2\n",
		"requirements.txt", "flask==2.0.1\n    # via -r requirements.in\njinja2==3.0.1\n    # via flask\nmarkupsafe==2.0\n    # via\n    #   jinja2\n    #   flask\nrequests==2.5  # via -r requirements.in\n",
	))
	m := &modules[0]
	want := `1 flask 2.0.1 direct []
3 jinja2 3.0.1 [flask]
5 markupsafe 2.0 [flask]
9 requests 2.5 direct []`
	if got := describe(m); got != want {
		t.Errorf("packages\n%s\nwant\n%s", got, want)
	}
	if got := problemsOf(m); got != "requirements.in:2: declares requests <2; requirements.txt line 9 locks 2.5" {
		t.Errorf("problems = %s", got)
	}
}

func TestRequirementsCompiledFromAProjectBelongToIt(t *testing.T) {
	t.Parallel()
	modules := read(t, files(
		"pyproject.toml", "[project]\nname = \"shop\"\ndependencies = [\n  \"flask>=2\",\n]\n",
		"requirements.txt", "flask==2.0.1\n    # via shop (pyproject.toml)\njinja2==3.0.1\n    # via flask\n",
	))
	if len(modules) != 1 {
		t.Fatalf("modules = %+v", modules)
	}
	m := &modules[0]
	if got := describe(m); got != "1 flask 2.0.1 direct []\n3 jinja2 3.0.1 [flask]" || m.Name != "shop" {
		t.Errorf("%s packages\n%s", m.Name, got)
	}
	if len(m.Declared) != 1 || m.Declared[0].Path != "pyproject.toml" || m.Declared[0].Line != 4 || len(m.Packages[0].Declared) != 1 {
		t.Errorf("declared = %+v by %v", m.Declared, m.Packages[0].Declared)
	}
}

const poetryProject = `[tool.poetry]
name = "shop"

[tool.poetry.dependencies]
python = "^3.9"
Flask = "^2.0"
django = { version = "^4.0", optional = true }

[tool.poetry.group.dev.dependencies]
pytest = "^8"
missing = "*"
`

const poetryLock = `[[package]]
name = "flask"
version = "2.0.1"
optional = false

[package.dependencies]
Jinja2 = ">=3.0"

[[package]]
name = "jinja2"
version = "3.0.1"

[[package]]
name = "pytest"
version = "7.0"
category = "dev"

[metadata]
content-hash = "x"
`

func TestPoetryLockGivesEdgesAndContradictions(t *testing.T) {
	t.Parallel()
	modules := read(t, files("pyproject.toml", poetryProject, "poetry.lock", poetryLock))
	m := &modules[0]
	want := `1 flask 2.0.1 direct []
9 jinja2 3.0.1 [flask]
13 pytest 7.0 direct dev []`
	if got := describe(m); got != want || m.Tool != "poetry" || m.Name != "shop" {
		t.Errorf("%s %s packages\n%s\nwant\n%s", m.Tool, m.Name, got, want)
	}
	if p := m.Packages[0]; p.EndLine != 7 {
		t.Errorf("flask ends at line %d, want 7", p.EndLine)
	}
	if got := problemsOf(m); got != "pyproject.toml:10: declares pytest ^8; poetry.lock line 13 locks 7.0\npyproject.toml:11: declares missing *, which poetry.lock does not lock" {
		t.Errorf("problems = %s", got)
	}
}

func TestUVWorkspaceIsOneModule(t *testing.T) {
	t.Parallel()
	modules := read(t, files(
		"pyproject.toml", "[project]\nname = \"root\"\ndependencies = [\n  \"lib\",\n  \"flask>=2\",\n]\n[dependency-groups]\ndev = [\"pytest\"]\n",
		"libs/lib/pyproject.toml", "[project]\nname = \"lib\"\ndependencies = [\"jinja2\"]\n",
		"uv.lock", "version = 1\n\n[[package]]\nname = \"flask\"\nversion = \"2.0.1\"\nsource = { registry = \"https://index/simple\" }\ndependencies = [\n    { name = \"jinja2\" },\n    { name = \"click\", marker = \"x\" },\n]\n\n[[package]]\nname = \"click\"\nversion = \"8\"\n\n[[package]]\nname = \"jinja2\"\nversion = \"3\"\n\n[[package]]\nname = \"lib\"\nversion = \"0.1\"\nsource = { editable = \"libs/lib\" }\n\n[[package]]\nname = \"pytest\"\nversion = \"7\"\n\n[[package]]\nname = \"root\"\nversion = \"0\"\nsource = { virtual = \".\" }\n",
	))
	if len(modules) != 1 {
		t.Fatalf("modules = %+v", modules)
	}
	want := `3 flask 2.0.1 direct []
12 click 8 [flask]
16 jinja2 3 direct []
25 pytest 7 direct dev []`
	if got := describe(&modules[0]); got != want || problemsOf(&modules[0]) != "" {
		t.Errorf("packages\n%s\nwant\n%s\nproblems %v", got, want, modules[0].Problems)
	}
	if d := modules[0].Declared[0]; d.Line != 5 {
		t.Errorf("flask is declared on line %d, want 5", d.Line)
	}
}

func TestPipenvLockMergesItsSections(t *testing.T) {
	t.Parallel()
	modules := read(t, files(
		"Pipfile", "[packages]\nflask = \"==2.0.1\"\n\n[dev-packages]\npytest = \"*\"\n",
		"Pipfile.lock", "{\n  \"_meta\": {},\n  \"default\": {\n    \"flask\": {\n      \"version\": \"==2.0.1\"\n    }\n  },\n  \"develop\": {\n    \"flask\": {\"version\": \"==2.0.1\"},\n    \"pytest\": {\"version\": \"==7.0\"}\n  }\n}\n",
	))
	if got := describe(&modules[0]); got != "4 flask 2.0.1 direct []\n10 pytest 7.0 direct dev []" {
		t.Errorf("packages\n%s", got)
	}
}

func TestSetupFilesGiveLiteralRequirements(t *testing.T) {
	t.Parallel()
	modules := read(t, files(
		"a/setup.cfg", "[metadata]\nname = a\n[options]\ninstall_requires =\n    flask==1.0\n    six\n",
		"b/setup.py", "setup(\n  install_requires=[\n    'flask==1.0',  # web\n    \"six\"\n  ] + more)\n",
	))
	if len(modules) != 2 || describe(&modules[0]) != "5 flask 1.0 direct []\n6 six  direct []" || describe(&modules[1]) != "3 flask 1.0 direct []\n4 six  direct []" {
		t.Errorf("modules = %+v", modules)
	}
}

func TestBrokenTOMLIsAProblemWithItsLine(t *testing.T) {
	t.Parallel()
	modules := read(t, files("pyproject.toml", "[project]\nname = \"a\"\ndependencies = [\n  oops\n]\n", "b/poetry.lock", "[[package]]\nname = 1\n[[package]\n"))
	if len(modules) != 2 || modules[0].Problems[0].Line != 4 || modules[1].Problems[0].Line != 3 {
		t.Errorf("modules = %+v", modules)
	}
	for _, text := range []string{strings.Repeat("[", 100000), "a = " + strings.Repeat("[", 100000), "a" + strings.Repeat(".a", 100000) + " = 1"} {
		if got := read(t, files("poetry.lock", text)); len(got[0].Problems) == 0 {
			t.Error("deep nesting is no problem")
		}
	}
}

func TestPythonConstraints(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		constraint, version string
		fits, understood    bool
	}{
		{"", "1.0", true, true}, {"*", "1.0", true, true}, {"==1.0", "1.0.0", true, true}, {"==1.0", "1.1", false, true}, {"==1.*", "1.9", true, true},
		{"==1.*", "2.0", false, true}, {"!=1.*", "2.0", true, true}, {"~=1.4.2", "1.4.9", true, true}, {"~=1.4.2", "1.5", false, true}, {"~=1.4", "1.9", true, true},
		{">=1,<2", "1.5", true, true}, {">=1,<2", "2.0", false, true}, {"^1.2", "1.9", true, true}, {"^0.2.1", "0.3", false, true}, {"^0.0.3", "0.0.4", false, true},
		{"~1.2", "1.2.9", true, true}, {"~1.2", "1.3", false, true}, {"^9", "10", false, true}, {"1.2", "1.2", true, true}, {"==1.0", "1.0+cpu", true, true},
		{"@ https://x", "1", false, false}, {">=what", "1", false, false}, {"^1 || ^3", "3.1", true, true},
	} {
		if fits, understood := pythonSatisfies(c.constraint, c.version); fits != c.fits || understood != c.understood {
			t.Errorf("pythonSatisfies(%q, %q) = %v, %v", c.constraint, c.version, fits, understood)
		}
	}
}
