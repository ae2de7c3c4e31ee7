package builtin

import (
	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/gitremote"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/fix/gomod"
	"github.com/backstitch/backstitch/fix/npm"
	"github.com/backstitch/backstitch/fix/python"
	"github.com/backstitch/backstitch/scan"
	"github.com/backstitch/backstitch/scan/dependencies"
)

// Fixers lists the fixers.
func Fixers() []fix.Fixer { return []fix.Fixer{gomod.New(), npm.New(), python.New()} }

// Dependencies makes the dependency scanner over what is known of flaws.
func Dependencies(advisories scan.Advisories) scan.Scanner { return dependencies.New(advisories) }

// Remote makes the connector that changes go out through; the token, which may
// be empty, goes to https remotes only.
func Remote(token string) connector.Forge { return gitremote.New(token) }
