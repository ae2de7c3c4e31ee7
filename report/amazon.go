package report

import (
	"strings"

	"github.com/backstitch/backstitch/fact"
)

// AmazonPackage is a package as Amazon Inspector and Security Hub write one, in the
// members of its two spellings.
type AmazonPackage struct {
	Manager, Name, Version, Epoch, Release, Fixed, Path, Layer string
}

// Read reads a member of the package.
func (p *AmazonPackage) Read(s *Scanner, key string) {
	switch strings.ToLower(key) {
	case "packagemanager":
		p.Manager = s.Text()
	case "name":
		p.Name = s.Text()
	case "version":
		p.Version = s.Text()
	case "epoch":
		p.Epoch = s.Text()
	case "release":
		p.Release = s.Text()
	case "fixedinversion":
		p.Fixed = s.Text()
	case "filepath":
		p.Path = s.Text()
	case "sourcelayerhash", "sourcelayerarn":
		p.Layer = s.Text()
	}
}

// Fill makes the finding one of this package on a platform, which for packages of
// the operating system names its distribution ("DEBIAN_10").
func (p *AmazonPackage) Fill(f *fact.Finding, platform string) {
	ecosystem, known := amazonManagers[strings.ToUpper(p.Manager)]
	if !known {
		ecosystem = amazonDistribution(platform)
	}
	version := p.Version
	if p.Release != "" {
		version += "-" + p.Release
	}
	if p.Epoch != "" && p.Epoch != "0" {
		version = p.Epoch + ":" + version
	}
	f.Package = Named(ecosystem, p.Name, version)
	f.Path = p.Path
	f.FixedVersions = nil
	if fixed := strings.TrimPrefix(p.Fixed, "0:"); fixed != "" && !strings.EqualFold(fixed, "NotAvailable") {
		f.FixedVersions = []string{fixed}
	}
	WithAttributes(f, map[string]string{"package_manager": p.Manager, "layer": p.Layer})
}

// YesNo gives "true" and "false" for "YES" and "NO", other words as they are.
func YesNo(word string) string {
	switch strings.ToUpper(word) {
	case "YES":
		return "true"
	case "NO":
		return "false"
	}
	return word
}

var amazonManagers = map[string]string{
	"NPM": "npm", "NODEPKG": "npm", "YARN": "npm", "PIP": "PyPI", "PYTHONPKG": "PyPI", "POETRY": "PyPI", "PIPENV": "PyPI", "GOBINARY": "Go", "GOMOD": "Go",
	"JAR": "Maven", "POM": "Maven", "CARGO": "crates.io", "GEMSPEC": "RubyGems", "BUNDLER": "RubyGems", "COMPOSER": "Packagist", "NUGET": "NuGet", "DOTNET_CORE": "NuGet",
}

// amazonDistribution reads a platform such as "UBUNTU_20_04" or "AMAZON_LINUX_2".
func amazonDistribution(platform string) string {
	parts := strings.Split(strings.ToLower(platform), "_")
	n := 0
	for n < len(parts) && strings.Trim(parts[n], "0123456789") != "" {
		n++
	}
	family := strings.Join(parts[:n], "")
	return Distribution(strings.TrimSuffix(family, "linux"), strings.Join(parts[n:], "."))
}

// AmazonResource is a resource as both write one.
type AmazonResource struct {
	Kind, ID, Region, Partition, Platform, Digest string
	Tags                                          map[string]string
	imageTags                                     []string
}

// Read reads a member of the resource.
func (r *AmazonResource) Read(s *Scanner, key string) {
	switch strings.ToLower(key) {
	case "type":
		r.Kind = s.Text()
	case "id":
		r.ID = s.Text()
	case "region":
		r.Region = s.Text()
	case "partition":
		r.Partition = s.Text()
	case "tags":
		s.Object(func(tag string) {
			if r.Tags == nil {
				r.Tags = map[string]string{}
			}
			r.Tags[tag] = s.Text()
		})
	case "details":
		s.Object(func(string) {
			if s.Kind() != KindObject {
				return
			}
			s.Object(func(key string) {
				switch strings.ToLower(key) {
				case "platform":
					r.Platform = s.Text()
				case "imagehash", "imagedigest":
					r.Digest = s.Text()
				case "imagetags":
					r.imageTags = s.Texts()
				}
			})
		})
	}
}

// Asset is the asset of the resource in an account: images by their digest, all else
// by its ARN, which is completed where only the id of a machine is given.
func (r *AmazonResource) Asset(account string) fact.Asset {
	kind := strings.ToLower(strings.ReplaceAll(r.Kind, "_", ""))
	switch {
	case strings.Contains(kind, "containerimage"):
		asset := ImageAsset(r.ID, r.Digest)
		asset.Name = r.reference()
		return asset
	case kind == "awsec2instance" && strings.HasPrefix(r.ID, "i-") && account != "" && r.Region != "":
		partition := r.Partition
		if partition == "" {
			partition = "aws"
		}
		return CloudAsset("arn:"+partition+":ec2:"+r.Region+":"+account+":instance/"+r.ID, r.Tags["Name"])
	case kind == "awslambdafunction":
		return CloudAsset(strings.TrimSuffix(r.ID, ":$LATEST"), r.Tags["Name"])
	}
	return CloudAsset(r.ID, r.Tags["Name"])
}

// reference is how an image of Elastic Container Registry is pulled, from its ARN
// "arn:aws:ecr:REGION:ACCOUNT:repository/NAME/sha256:...".
func (r *AmazonResource) reference() string {
	parts := strings.SplitN(r.ID, ":", 6)
	if len(parts) < 6 || parts[2] != "ecr" {
		return r.ID
	}
	name, digest, _ := strings.Cut(strings.TrimPrefix(parts[5], "repository/"), "/sha256:")
	host := parts[4] + ".dkr.ecr." + parts[3] + ".amazonaws.com"
	if parts[1] == "aws-cn" {
		host += ".cn"
	}
	switch {
	case len(r.imageTags) > 0:
		return host + "/" + name + ":" + r.imageTags[0]
	case digest != "":
		return host + "/" + name + "@sha256:" + digest
	}
	return host + "/" + name
}

// Attributes are the type, region and tags of the resource, for a finding in it.
func (r *AmazonResource) Attributes() map[string]string {
	all := map[string]string{"resource_type": r.Kind, "resource_id": r.ID, "region": r.Region}
	for name, value := range r.Tags {
		all["tag:"+name] = value
	}
	return all
}
