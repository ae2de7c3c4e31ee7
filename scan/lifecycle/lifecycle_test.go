package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/scan"
	"github.com/backstitch/backstitch/scan/lifecycle"
)

func at(day string) int64 {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		panic(err)
	}
	return t.UnixMicro()
}

type lives []fact.Product

func (l lives) Lives() ([]fact.Product, error) { return l, nil }
func (lives) Digest() string                   { return "sha256:0" }

func cycle(name, end, latest string) fact.Cycle {
	c := fact.Cycle{Name: name, Latest: latest}
	name, codename, _ := strings.Cut(name, " ")
	c.Name, c.Codename = name, codename
	switch end {
	case "":
	case "ended":
		c.Ended = true
	default:
		c.End = at(end)
	}
	return c
}

// known counts the day as 2024-06-01.
var known = lives{
	{Name: "alpine-linux", Title: "Alpine Linux", Cycles: []fact.Cycle{cycle("3.20", "2026-04-01", "3.20.1"), cycle("3.12", "2022-05-01", "3.12.12")}},
	{Name: "apache-maven", Title: "Apache Maven", Cycles: []fact.Cycle{cycle("3.9", "", "3.9.7"), cycle("3.6", "2021-03-30", "3.6.3")}},
	{Name: "centos", Title: "CentOS", Cycles: []fact.Cycle{cycle("8", "2021-12-31", ""), cycle("7", "2024-06-30", "")}},
	{Name: "debian", Title: "Debian", Cycles: []fact.Cycle{cycle("12 Bookworm", "2026-06-10", "12.5"), cycle("10 Buster", "2022-09-10", "10.13")}},
	{Name: "django", Title: "Django", PURLs: []string{"pkg:pypi/django"}, Cycles: []fact.Cycle{cycle("5.0", "2025-04-02", "5.0.6"), cycle("4.2", "2026-04-30", "4.2.13"), cycle("3.2", "2024-04-01", "3.2.25")}},
	{Name: "dotnet", Title: "Microsoft .NET", Cycles: []fact.Cycle{cycle("8", "2026-11-10", "8.0.6"), cycle("5", "2022-05-10", "5.0.17"), cycle("3.1", "2022-12-13", "3.1.32")}},
	{Name: "eclipse-temurin", Title: "Eclipse Temurin", Cycles: []fact.Cycle{cycle("21", "2029-12-31", "21.0.3+9"), cycle("19", "2023-03-31", "19.0.2+7")}},
	{Name: "go", Title: "Go", PURLs: []string{"pkg:docker/library/golang"}, Cycles: []fact.Cycle{cycle("1.22", "", "1.22.3"), cycle("1.20", "2024-02-06", "1.20.14"), cycle("1.2", "2014-12-11", "")}},
	{Name: "nodejs", Title: "Node.js", PURLs: []string{"pkg:docker/library/node"}, Cycles: []fact.Cycle{cycle("22", "2027-04-30", "22.2.0"), cycle("21", "2024-06-01", "21.7.3"), cycle("20", "2026-04-30", "20.14.0"), cycle("14", "2023-04-30", "14.21.3")}},
	{Name: "prometheus", Title: "Prometheus", PURLs: []string{"pkg:oci/prometheus?repository_url=quay.io/repository/prometheus"}, Cycles: []fact.Cycle{cycle("2.52", "", "2.52.0"), cycle("2.1", "ended", "2.1.0")}},
	{Name: "python", Title: "Python", PURLs: []string{"pkg:docker/library/python"}, Cycles: []fact.Cycle{cycle("3.12", "2028-10-31", "3.12.3"), cycle("3.8", "2024-10-07", "3.8.19"), cycle("3.7", "2023-06-27", "3.7.17"), cycle("2.7", "2020-01-01", "2.7.18")}},
	{Name: "rhel", Title: "Red Hat Enterprise Linux", Cycles: []fact.Cycle{cycle("9", "2032-05-31", "9.4"), cycle("6", "2020-11-30", "6.10")}},
	{Name: "ubuntu", Title: "Ubuntu", Cycles: []fact.Cycle{cycle("24.04 Noble Numbat", "2029-05-31", "24.04"), cycle("16.04 Xenial Xerus", "2021-04-02", "16.04.7")}},
}

func run(t *testing.T, tree code.Files, day string) (found []fact.Finding, problems []scan.Problem) {
	t.Helper()
	now := time.UnixMicro(at(day))
	problems, err := lifecycle.New(known, func() time.Time { return now }).Scan(context.Background(), tree, func(f fact.Finding) error {
		found = append(found, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found, problems
}

// told lists "rule path:line" of what is found.
func told(found []fact.Finding) string {
	lines := []string{}
	for _, f := range found {
		lines = append(lines, fmt.Sprintf("%s %s:%d", strings.TrimPrefix(f.Rule, "eol/"), f.Path, f.Line))
	}
	return strings.Join(lines, ", ")
}

func TestABaseImageTellsItsProductAndItsDistribution(t *testing.T) {
	t.Parallel()
	for image, want := range map[string]string{
		"python:3.7":               "python/3.7",
		"python:3.7.3-slim-buster": "python/3.7 debian/10",
		"python:3.8-alpine3.12":    "alpine-linux/3.12",
		"python:3.12":              "",
		"python:3.70":              "", // no cycle
		"python:2":                 "python/2.7",
		"python:3.7x":              "", // no version
		"eclipse-temurin:19u1-jre": "eclipse-temurin/19",
		"python:3":                 "", // means 3.12
		"python:latest":            "",
		"python:alpine3.12":        "alpine-linux/3.12",
		"python":                   "",
		"python@sha256:" + strings.Repeat("0", 64):        "",
		"docker.io/library/python:3.7":                    "python/3.7",
		"public.ecr.aws/docker/library/python:3.7":        "python/3.7",
		"registry.internal/python:3.7":                    "", // somebody's own image
		"registry.internal/app:1.0-buster":                "debian/10",
		"registry.internal/app:buster":                    "",
		"debian:buster-slim":                              "debian/10",
		"debian:10.4":                                     "debian/10",
		"debian:12":                                       "",
		"ubuntu:xenial-20210804":                          "ubuntu/16.04",
		"ubuntu:24.04":                                    "",
		"centos:centos8":                                  "centos/8",
		"centos:7":                                        "",
		"golang:1.20.4-alpine3.20":                        "go/1.20",
		"golang:1.2":                                      "go/1.2",
		"golang:1.22rc1":                                  "",
		"node:14-alpine":                                  "nodejs/14",
		"node:21.1.0":                                     "nodejs/21",
		"node:lts":                                        "",
		"maven:3.6.3-jdk-11":                              "apache-maven/3.6",
		"bitnami/python:3.12-debian-10":                   "debian/10",
		"eclipse-temurin:19.0.1_10-jre":                   "eclipse-temurin/19",
		"mcr.microsoft.com/dotnet/sdk:5.0":                "dotnet/5",
		"mcr.microsoft.com/dotnet/core/aspnet:3.1":        "dotnet/3.1",
		"mcr.microsoft.com/dotnet/aspnet:8.0-buster-slim": "debian/10",
		"gcr.io/distroless/java-debian10:nonroot":         "debian/10",
		"gcr.io/distroless/nodejs14-debian12":             "nodejs/14",
		"gcr.io/distroless/nodejs-debian10":               "debian/10",
		"gcr.io/distroless/static:latest":                 "",
		"registry.access.redhat.com/ubi6:latest":          "rhel/6",
		"registry.access.redhat.com/ubi9/python-312":      "",
		"quay.io/prometheus/prometheus:v2.1.0":            "prometheus/2.1",
		"quay.io/prometheus/prometheus:v2.52.0":           "",
		"scratch":                                         "",
	} {
		found, problems := run(t, code.Files{"Dockerfile": []byte("FROM " + image + " AS x\n")}, "2024-06-01")
		rules := []string{}
		for _, f := range found {
			rules = append(rules, strings.TrimPrefix(f.Rule, "eol/"))
		}
		if got := strings.Join(rules, " "); got != want || len(problems) > 0 {
			t.Errorf("%s: %q, want %q; problems %v", image, got, want, problems)
		}
	}
}

func TestAFindingSaysSinceWhenHowBadAndWhatHelps(t *testing.T) {
	t.Parallel()
	tree := code.Files{"Dockerfile": []byte("FROM python:3.7-slim\n")}
	found, _ := run(t, tree, "2024-06-01")
	if len(found) != 1 {
		t.Fatalf("found %+v", found)
	}
	f := found[0]
	got := fmt.Sprint(f.Kind, "|", f.Title, "|", f.Severity, "|", f.FixedVersions, "|", f.Package.PURL, "|", f.Asset.Kind, "|", f.Mitigation)
	if want := "end_of_life|Python 3.7 is out of support since 2023-06-27|medium|[3.8.19]|pkg:docker/library/python@3.7-slim|repository|Go to Python 3.8 or newer, which is supported until 2024-10-07."; got != want {
		t.Errorf("finding\n got %s\nwant %s", got, want)
	}
	if later, _ := run(t, tree, "2024-06-28"); later[0].Severity != fact.SeverityHigh {
		t.Errorf("a year after, the severity is %s", later[0].Severity)
	}
	if later, _ := run(t, tree, "2025-01-01"); later[0].FixedVersions[0] != "3.12.3" {
		t.Errorf("once 3.8 is out of support too, %v helps", later[0].FixedVersions)
	}
	if before, _ := run(t, tree, "2023-06-26"); len(before) != 0 {
		t.Errorf("before its last day it is found: %+v", before)
	}
	if on, _ := run(t, tree, "2023-06-27"); len(on) != 1 {
		t.Errorf("on its last day %d are found", len(on))
	}
}

func TestTheLineIsTheOneThatDecides(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"# base\nFROM python:3.7\n":                                                                "python/3.7 Dockerfile:2",
		"ARG VERSION=3.7.2\nFROM python:${VERSION}-slim\n":                                         "python/3.7 Dockerfile:1",
		"ARG VERSION\nFROM python:${VERSION}\n":                                                    "",
		"ARG REGISTRY=docker.io/library\nARG OS=buster\nFROM ${REGISTRY}/python:3.7-slim-${OS}\n":  "python/3.7 Dockerfile:3, debian/10 Dockerfile:2",
		"ARG IMAGE=node:14-alpine\nFROM $IMAGE\n":                                                  "nodejs/14 Dockerfile:1",
		"FROM node:14 AS build\nRUN make\nFROM build\nFROM node:14\nCOPY --from=build /a /b\n":     "nodejs/14 Dockerfile:1, nodejs/14 Dockerfile:4",
		"ARG V=14\nFROM node:$V AS a\nFROM node:$V AS b\n":                                         "nodejs/14 Dockerfile:1",
		"FROM --platform=$BUILDPLATFORM golang:1.20@sha256:" + strings.Repeat("a", 64) + " AS b\n": "go/1.20 Dockerfile:1",
	} {
		found, problems := run(t, code.Files{"Dockerfile": []byte(text)}, "2024-06-01")
		if got := told(found); got != want || len(problems) > 0 {
			t.Errorf("%q\n got %s\nwant %s, problems %v", text, got, want, problems)
		}
	}
}

func TestManifestsComposeFilesAndTemplatesAreLookedAt(t *testing.T) {
	t.Parallel()
	found, problems := run(t, code.Files{
		"deploy/app.yaml":                    []byte("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: a\nspec:\n  template:\n    spec:\n      initContainers:\n        - name: wait\n          image: debian:buster\n      containers:\n        - name: app\n          image: python:3.7\n        - name: ok\n          image: python:3.12\n"),
		"deploy/kustomization.yaml":          []byte("images:\n  - name: example/app\n    newName: node\n    newTag: \"14\"\n"),
		"deploy/broken.yaml":                 []byte("apiVersion: v1\nkind: Pod\nspec: [image\n"),
		"deploy/values.yaml":                 []byte("image: python:3.7\n"), // no manifest
		"compose.yaml":                       []byte("services:\n  a:\n    image: ${REGISTRY:-docker.io}/library/python:${TAG:-3.7}\n  b:\n    image: python:${OTHER}\n"),
		"charts/x/Chart.yaml":                []byte("name: x\n"),
		"charts/x/templates/job.yaml":        []byte("apiVersion: v1\nkind: Pod\nmetadata: {name: {{ .Release.Name }}}\nspec:\n  containers:\n    - name: a\n      image: \"node:14\" # pinned\n    - name: b\n      image: python:{{ .Values.tag }}\n"),
		"other/rendered.yaml":                []byte("apiVersion: v1\nkind: Pod\nspec:\n  {% if x %}\n  containers: [\n  image: centos:8\n"),
		"vendor/a/Dockerfile":                []byte("FROM python:3.7\n"),
		"node_modules/b/docker-compose.yaml": []byte("services:\n  a:\n    image: python:3.7\n"),
		".github/workflows/ci.yaml":          []byte("jobs:\n  a:\n    container:\n      image: python:3.7\n"),
	}, "2024-06-01")
	want := "nodejs/14 charts/x/templates/job.yaml:7, python/3.7 compose.yaml:3, debian/10 deploy/app.yaml:10, python/3.7 deploy/app.yaml:13, nodejs/14 deploy/kustomization.yaml:4, centos/8 other/rendered.yaml:6"
	if got := told(found); got != want {
		t.Errorf("found\n got %s\nwant %s", got, want)
	}
	if len(problems) != 1 || problems[0].Path != "deploy/broken.yaml" {
		t.Errorf("problems = %+v", problems)
	}
}

func TestPinnedRuntimesAndLockedPackagesAreLookedAt(t *testing.T) {
	t.Parallel()
	found, problems := run(t, code.Files{
		".nvmrc":             []byte("v14.17.0\n"),
		"a/.nvmrc":           []byte("lts/*\n"),
		"b/.node-version":    []byte("22\n"),
		".python-version":    []byte("# main\n3.7.3\npypy3.9-7.3\n"),
		".tool-versions":     []byte("nodejs 14.1.0\npython 3.12.1 2.7.18 # both\ngolang 1.20\njava temurin-19.0.2+7\nunknown 1\nmaven ref:main\n"),
		"c/.sdkmanrc":        []byte("# env\njava=19.0.2-tem\nmaven=3.6.3\n"),
		"d/go.mod":           []byte("module example.com/d\n\ngo 1.20\n\ntoolchain go1.20.3\n"),
		"e/go.mod":           []byte("module example.com/e\n\ngo 1.20\n"),
		"f/requirements.txt": []byte("Django==3.2.1\nrequests==2.0\n"),
		"g/requirements.txt": []byte("django==4.2.1\n"),
	}, "2024-06-01")
	want := "nodejs/14 .nvmrc:1, python/3.7 .python-version:2, nodejs/14 .tool-versions:1, python/2.7 .tool-versions:2, go/1.20 .tool-versions:3, eclipse-temurin/19 .tool-versions:4, " +
		"eclipse-temurin/19 c/.sdkmanrc:2, apache-maven/3.6 c/.sdkmanrc:3, go/1.20 d/go.mod:5, django/3.2 f/requirements.txt:1"
	if got := told(found); got != want || len(problems) > 0 {
		t.Errorf("found\n got %s\nwant %s\nproblems %v", got, want, problems)
	}
	django := found[slices.IndexFunc(found, func(f fact.Finding) bool { return f.Path == "f/requirements.txt" })]
	if django.Package.PURL != "pkg:pypi/django@3.2.1" || django.FixedVersions[0] != "4.2.13" {
		t.Errorf("django = %+v", django)
	}
}

func TestTheSameTreeGivesTheSameFindingsAndTheSinkEndsTheScan(t *testing.T) {
	t.Parallel()
	tree := code.Files{"Dockerfile": []byte("FROM python:3.7-buster\n"), ".nvmrc": []byte("14\n"), "compose.yml": []byte("services: {a: {image: 'node:14'}}\n")}
	first, _ := run(t, tree, "2024-06-01")
	for range 5 {
		if again, _ := run(t, tree, "2024-06-01"); fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", first) {
			t.Fatalf("differs:\n%+v\n%+v", first, again)
		}
	}
	stop := errors.New("stop")
	_, err := lifecycle.New(known, time.Now).Scan(context.Background(), tree, func(fact.Finding) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("err = %v", err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := lifecycle.New(known, time.Now).Scan(ended, tree, func(fact.Finding) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}

func FuzzPinsAndTags(f *testing.F) {
	f.Add("python:3.7-slim-buster", "nodejs 14\njava=1-tem\n")
	f.Fuzz(func(t *testing.T, image, text string) {
		tree := code.Files{"Dockerfile": []byte("FROM " + image), ".tool-versions": []byte(text), ".sdkmanrc": []byte(text), "compose.yaml": []byte("services: {a: {image: '" + image + "'}}")}
		if _, err := lifecycle.New(known, func() time.Time { return time.UnixMicro(0) }).Scan(context.Background(), tree, func(fact.Finding) error { return nil }); err != nil {
			t.Fatal(err)
		}
	})
}
