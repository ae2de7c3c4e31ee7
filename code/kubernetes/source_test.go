package kubernetes

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/fact"
)

// builds writes what a repository's text says that it builds: image, folder, file,
// method and line.
func builds(t *testing.T, text string) []string {
	t.Helper()
	e, err := Load(t.Context(), filesOf(text), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, b := range e.Builds() {
		all = append(all, fmt.Sprintf("%s from %s by %s at %s:%d", b.Image, b.Dockerfile, b.Method, b.Place.Path, b.Place.Line))
	}
	slices.Sort(all)
	return all
}

func TestBuildsAreReadFromWhatBuilds(t *testing.T) {
	t.Parallel()
	const dockerfiles = "-- web/Dockerfile --\nFROM scratch\n-- web/Dockerfile.prod --\nFROM scratch\n-- api/Dockerfile --\nFROM scratch\n-- deploy/db/Containerfile --\nFROM scratch\n"
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"compose": {`
-- docker-compose.yml --
services:
  web:
    image: ${REGISTRY:-registry.example.com}/shop/web:1.0
    build: ./web
  api:
    build:
      context: api
  prod:
    image: shop/prod
    build: {context: web, dockerfile: Dockerfile.prod}
  outside:
    build: ../elsewhere
  remote:
    build: https://github.com/acme/x.git
  db:
    image: postgres:16
-- deploy/compose.yaml --
services:
  db: {image: shop/db, build: db}
`, []string{
			"api from api/Dockerfile by compose at docker-compose.yml:6", "registry.example.com/shop/web from web/Dockerfile by compose at docker-compose.yml:3",
			"shop/db from deploy/db/Containerfile by compose at deploy/compose.yaml:2", "shop/prod from web/Dockerfile.prod by compose at docker-compose.yml:9",
		}},
		"makefile": {`
-- Makefile --
REGISTRY ?= registry.example.com/shop
VERSION := $(shell git describe)
web:
	docker build -t $(REGISTRY)/web:$(VERSION) -f web/Dockerfile.prod web
api:
	cd api && docker buildx build --push \
	  --platform linux/amd64 \
	  --tag=${REGISTRY}/api .
# docker build -t no/comment web
list:
	docker images build
unknown:
	docker build -t $(WHATEVER) web
`, []string{"registry.example.com/shop/api from api/Dockerfile by script at Makefile:6", "registry.example.com/shop/web from web/Dockerfile.prod by script at Makefile:4"}},
		"script": {`
-- hack/build.sh --
#!/bin/sh
set -e
cd ../web
podman build -t "quay.io/shop/web:latest" .
cd ../api; buildah bud -t quay.io/shop/api .
`, []string{"quay.io/shop/api from api/Dockerfile by script at hack/build.sh:5", "quay.io/shop/web from web/Dockerfile by script at hack/build.sh:4"}},
		"bake": {`
-- docker-bake.hcl --
group "default" { targets = ["web", "api"] }
target "web" {
  context = "web"
  dockerfile = "Dockerfile.prod"
  tags = ["shop/web:latest", "registry.example.com/shop/web:1"]
}

target "api" {
  context = "./api"
  tags = [
    "shop/api",
  ]
}
`, []string{"registry.example.com/shop/web from web/Dockerfile.prod by bake at docker-bake.hcl:2", "shop/api from api/Dockerfile by bake at docker-bake.hcl:8", "shop/web from web/Dockerfile.prod by bake at docker-bake.hcl:2"}},
		"tilt": {`
-- Tiltfile --
docker_build('shop/web', 'web', dockerfile='web/Dockerfile.prod',
  live_update=[])
docker_build("shop/api", context="./api")
k8s_yaml('web.yaml')
`, []string{"shop/api from api/Dockerfile by tilt at Tiltfile:3", "shop/web from web/Dockerfile.prod by tilt at Tiltfile:1"}},
		"skaffold": {`
-- skaffold.yaml --
apiVersion: skaffold/v4
kind: Config
build: {artifacts: [{image: shop/web, context: web, docker: {dockerfile: Dockerfile.prod}}]}
profiles: [{name: x, build: {artifacts: [{image: shop/api, context: api}]}}]
`, []string{"shop/api from api/Dockerfile by skaffold at skaffold.yaml:4", "shop/web from web/Dockerfile.prod by skaffold at skaffold.yaml:3"}},
		"workflow": {`
-- .github/workflows/ci.yml --
env: {REGISTRY: ghcr.io}
jobs:
  images:
    strategy: {matrix: {service: [web, api]}}
    steps:
    - uses: docker/build-push-action@v6
      with: {context: "${{ matrix.service }}", tags: "${{ env.REGISTRY }}/shop/${{ matrix.service }}:latest"}
`, []string{"ghcr.io/shop/api from api/Dockerfile by workflow at .github/workflows/ci.yml:6", "ghcr.io/shop/web from web/Dockerfile by workflow at .github/workflows/ci.yml:6"}},
	} {
		if got := builds(t, dockerfiles+strings.TrimPrefix(c.text, "\n")); !slices.Equal(got, c.want) {
			t.Errorf("%s:\ngot  %s\nwant %s", name, strings.Join(got, "\n     "), strings.Join(c.want, "\n     "))
		}
	}
}

func TestAnImageIsJoinedAsSurelyAsItsNameFits(t *testing.T) {
	t.Parallel()
	e, err := Load(t.Context(), filesOf("-- Dockerfile --\nFROM scratch\n-- web/Dockerfile --\nFROM scratch\n-- api/Dockerfile --\nFROM scratch\n-- go.mod --\nmodule github.com/acme/shop\n"+
		"-- Makefile --\nall:\n\tdocker build -t registry.example.com/shop/web web\n\tdocker build -t shop/api api\n"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for image, want := range map[string]string{
		"registry.example.com/shop/web:2":   "web declared script",
		"docker.io/shop/api@sha256:00":      "api declared script",
		"other.example.com/shop/api:1":      "api derived script",
		"other.example.com/mirror/shop/api": "api guess script",
		"ghcr.io/acme/shop:1":               ". guess name",
		"ghcr.io/somebody/shop:1":           "",
		"docker.io/bitnami/api":             "",
		"redis":                             "",
	} {
		got := ""
		if s := e.Source(image); len(s.Builds) == 1 {
			got = fmt.Sprintf("%s %s %s", s.Folder(), s.Builds[0].Strength, s.Builds[0].Method)
		} else if s.Reason == "" {
			t.Errorf("%s: no answer and no reason", image)
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", image, got, want)
		}
	}
	labelled, err := Load(t.Context(), filesOf("-- images/one/Dockerfile --\nFROM a AS build\nFROM scratch\nLABEL maintainer=x \\\n  org.opencontainers.image.title=\"front-end\"\n-- images/two/Dockerfile --\nFROM scratch\nLABEL name=acme/front_end\n-- images/three/Dockerfile --\nFROM scratch\nLABEL name=\"back\"\n"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if s := labelled.Source("quay.io/acme/back:1"); s.Folder() != "images/three" || s.Builds[0].Strength != fact.Guess || s.Builds[0].Method != "label" {
		t.Errorf("by its label: %+v", s)
	}
	if s := labelled.Source("quay.io/acme/front-end:1"); len(s.Builds) != 2 || s.Folder() != "" {
		t.Errorf("two of one label are no tie: %+v", s)
	}
	if b := e.Builds()[0]; b.Strength != fact.Declared {
		t.Errorf("asking for an image changed what the repository says: %+v", b)
	}
}
