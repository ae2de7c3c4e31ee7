package builtin

import (
	"os"

	"github.com/backstitch/backstitch/fix"
	fixdockerfile "github.com/backstitch/backstitch/fix/dockerfile"
	"github.com/backstitch/backstitch/image/advice"
	"github.com/backstitch/backstitch/scan"
	scandockerfile "github.com/backstitch/backstitch/scan/dockerfile"
	scanimages "github.com/backstitch/backstitch/scan/images"
)

// HardenedImages is the variable of the environment that names the registry and folder
// of hardened images, for example "registry.example/hardened".
const HardenedImages = "BACKSTITCH_HARDENED_IMAGES"

// dockerfiles makes the fixer of Dockerfiles.
func dockerfiles() fix.Fixer {
	return fixdockerfile.New(advice.Catalogue{Prefix: os.Getenv(HardenedImages)})
}

// ofDockerfiles lists the scanners that judge Dockerfiles: by rules, and by what their
// base images hold where any image is known from inside.
func ofDockerfiles(advisories scan.Advisories, images fix.Images) []scan.Scanner {
	list := []scan.Scanner{scandockerfile.New()}
	counted, ok := images.(interface{ Holdings() int })
	if images != nil && advisories != nil && (!ok || counted.Holdings() > 0) {
		list = append(list, scanimages.New(images, advisories))
	}
	return list
}
