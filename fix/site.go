package fix

import (
	"context"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fact"
)

// SiteFixer plans for what stands at a line: a base image, a value of Terraform
// or Kubernetes, a secret.
type SiteFixer interface {
	Fixer
	// PlanSite lists candidate paths for the flaws of a site, best guess first,
	// without changing anything. A path's Closes are ids of the site's flaws. No
	// path and no error means that the fixer has nothing to say; Site.Block notes
	// why when that may surprise.
	PlanSite(ctx context.Context, site *Site) ([]Path, error)
}

// Site is a place that causes issues, with what is known about it.
type Site struct {
	Location   fact.Location // the cause's line
	Flaws      []Flaw        // the issues that it causes, worst first
	Repository string        // its identity
	Commit     string
	Tree       code.Tree
	// Images is what is known of images outside the repository, nil for nothing.
	Images Images
	Now    int64 // microseconds since 1970 UTC
	// Ask allows asking registries and forges which versions and commits exist.
	Ask bool
	// Planned are the paths that the fixers before this one listed for the site.
	Planned []Path

	// Blocked is set while planning: what stands between a flaw and a fix.
	Blocked []string
}

// Block notes why there may be no path, once.
func (s *Site) Block(why string) {
	for _, known := range s.Blocked {
		if known == why {
			return
		}
	}
	s.Blocked = append(s.Blocked, why)
}

// Flaw is one issue at a site.
type Flaw struct {
	Issue    string // issue id
	Kind     fact.Kind
	Rules    []string // ids of the rule or of the alias class, primary first
	Title    string
	Severity fact.Severity
	Package  fact.Package // of a vulnerability, with its version
	Fixed    []string     // versions that contain the fix, as detectors said
	Cause    fact.Cause
	Assets   []fact.Asset
	// Told is what detectors said, Seen what our own scanners see in the tree for
	// the same rules at the same object. A finding of Seen has the attributes
	// that WantedOf reads.
	Told, Seen []fact.Finding
	Findings   int // how many findings the issue groups
}

// Attributes by which a scanner of ours says what would satisfy its rule.
const (
	// AttributeField is the path of the value that is judged, as
	// code/kubernetes.ParsePath or code/terraform.FieldPath read it, for example
	// "spec.template.spec.containers[0].securityContext.privileged".
	AttributeField = "field"
	// AttributeWanted is the JSON of a value that satisfies the rule. It is absent
	// when the field has to go, and starts with "?" when only a person can choose
	// the value; what follows says what is asked for.
	AttributeWanted = "wanted"
	// AttributeRemove is "true" when the field or block has to go.
	AttributeRemove = "remove"
	// AttributeObject names the object: a Terraform address, namespace/Kind.group/name#container
	// of Kubernetes as assets of clusters end, followed by " (overlay)" where several
	// overlays have an object of that name, or a file with what is in it behind "#".
	AttributeObject = "object"
	// AttributeRoot is the folder of a Terraform root, when there is one.
	AttributeRoot = "root"
)

// Images is what is known of images outside a repository: from registries that may
// be asked, from indexes of bases and from the lists of products' cycles.
type Images interface {
	// Tags lists the known tags of an image's repository, for example
	// "docker.io/library/python". It is empty when nothing is known.
	Tags(ctx context.Context, repository string) ([]ImageTag, error)
	// Packages gives what an image holds, and false when that is not known.
	Packages(ctx context.Context, reference string) ([]fact.Package, bool, error)
}

// ImageTag is one tag of an image's repository.
type ImageTag struct {
	Name    string
	Digest  string // "sha256:...", "" unknown
	Created int64  // microseconds since 1970 UTC, 0 unknown
	Source  string // who says so, for evidence
}

// Examiner is a fixer that can check more of a change than a scanner sees, such as
// an evaluation of Terraform or the layers of an image. before and after are working
// copies without and with the change. It runs no code of the repository.
type Examiner interface {
	Examine(ctx context.Context, before, after string, path Path) ([]fact.Check, error)
}
