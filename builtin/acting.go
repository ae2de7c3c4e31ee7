package builtin

import (
	"context"
	"fmt"
	"time"

	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/gitremote"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/fix/actions"
	"github.com/backstitch/backstitch/fix/bundler"
	"github.com/backstitch/backstitch/fix/cargo"
	fixcloudformation "github.com/backstitch/backstitch/fix/cloudformation"
	"github.com/backstitch/backstitch/fix/composer"
	"github.com/backstitch/backstitch/fix/gomod"
	"github.com/backstitch/backstitch/fix/gradle"
	fixkubernetes "github.com/backstitch/backstitch/fix/kubernetes"
	"github.com/backstitch/backstitch/fix/maven"
	"github.com/backstitch/backstitch/fix/npm"
	"github.com/backstitch/backstitch/fix/python"
	"github.com/backstitch/backstitch/fix/runtime"
	"github.com/backstitch/backstitch/fix/source"
	fixterraform "github.com/backstitch/backstitch/fix/terraform"
	fixworkflow "github.com/backstitch/backstitch/fix/workflow"
	"github.com/backstitch/backstitch/scan"
	"github.com/backstitch/backstitch/scan/cloudformation"
	"github.com/backstitch/backstitch/scan/dependencies"
	scankubernetes "github.com/backstitch/backstitch/scan/kubernetes"
	"github.com/backstitch/backstitch/scan/lifecycle"
	"github.com/backstitch/backstitch/scan/terraform"
	scanworkflow "github.com/backstitch/backstitch/scan/workflow"
)

// Fixers lists the fixers, each asked after those before it; renderer renders charts.
func Fixers(renderer kubernetes.Renderer) []fix.Fixer {
	return []fix.Fixer{gomod.New(), npm.New(), python.New(), maven.New(), gradle.New(), cargo.New(), bundler.New(), composer.New(), actions.New(&actions.Git{}), fixkubernetes.New(renderer), fixterraform.New(), fixcloudformation.New(), runtime.New(), dockerfiles(), fixworkflow.New(tags{&actions.Git{}}), source.New()}
}

// tags knows the tags of actions by git ls-remote.
type tags struct{ git *actions.Git }

// Tags implements fixworkflow.Resolver.
func (t tags) Tags(ctx context.Context, repository string) (map[string]string, error) {
	refs, err := t.git.Refs(ctx, repository)
	return refs.Tags, err
}

// Detectors lists the scanners that judge configuration.
func Detectors(advisories scan.Advisories, images fix.Images, renderer kubernetes.Renderer) []scan.Scanner {
	return append([]scan.Scanner{terraform.New(), cloudformation.New(), scankubernetes.New(renderer), scanworkflow.New()}, ofDockerfiles(advisories, images)...)
}

// Dependencies makes the dependency scanner over what is known of flaws; reported is
// what others resolved for modules.
func Dependencies(advisories scan.Advisories, reported ...lockfile.Reported) scan.Scanner {
	return dependencies.New(advisories, reported...)
}

// Lifecycle makes the scanner for what its maker no longer supports.
func Lifecycle(lives scan.Lives, now func() time.Time) scan.Scanner { return lifecycle.New(lives, now) }

// Remote makes the connector that changes go out through; the token, which may
// be empty, goes to https remotes only.
func Remote(token string) connector.Forge { return gitremote.New(token) }

// Registry prepares what the registry of an ecosystem is asked with, through the
// ecosystem's own tool; close releases it. It fails for an ecosystem whose
// registry is not asked.
func Registry(ctx context.Context, ecosystem string) (registry fix.Registry, close func() error, err error) {
	switch ecosystem {
	case "Go":
		r, err := gomod.NewRegistry(ctx)
		if err != nil {
			return nil, nil, err
		}
		return r, r.Close, nil
	case "npm":
		r, err := npm.NewRegistry(ctx)
		if err != nil {
			return nil, nil, err
		}
		return r, r.Close, nil
	case "Maven":
		r, err := maven.NewRegistry(ctx)
		if err != nil {
			return nil, nil, err
		}
		return r, r.Close, nil
	case "GitHub Actions":
		return actions.Registry{Resolver: &actions.Git{}}, func() error { return nil }, nil
	case "crates.io":
		r, err := cargo.NewRegistry(ctx)
		if err != nil {
			return nil, nil, err
		}
		return r, r.Close, nil
	case "RubyGems":
		r, err := bundler.NewRegistry(ctx)
		if err != nil {
			return nil, nil, err
		}
		return r, r.Close, nil
	case "Packagist":
		r, err := composer.NewRegistry(ctx)
		if err != nil {
			return nil, nil, err
		}
		return r, r.Close, nil
	}
	return nil, nil, fmt.Errorf("the registry of %s is not asked", ecosystem)
}
