package lockfile

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const gemfile = `source "https://gems.example"
ruby "3.2.0"
gemspec

gem "rails", "~> 7.0", ">= 7.0.4" # the frame
gem 'nokogiri',
    '1.15.0',
    require: false
gem "fork", git: "https://git.example/fork.git"

group :development, :test do
  if ENV["X"]
    gem "check"
  end
  gem "both", group: [:default]
end
gem "stale", "2.0"
gem "gone"
gem "single", "~> 1.0", group: :test
`

const gemfileLock = `GIT
  remote: https://git.example/fork.git
  revision: abc
  specs:
    fork (0.1.0)
      rack (>= 2)

PATH
  remote: .
  specs:
    shop (1.0.0)

GEM
  remote: https://gems.example/
  specs:
    both (1.0)
    check (3.0.0)
      rack
    nokogiri (1.15.0)
    nokogiri (1.15.0-x86_64-linux)
      racc (~> 1.4)
    rack (2.2.4)
    rails (7.0.4)
      rack (~> 2.0, >= 2.2.4)
      bundler (>= 1.15.0)
      lost
    single (1.1)
    stale (1.0)

PLATFORMS
  ruby
  x86_64-linux

DEPENDENCIES
  both
  check
  fork!
  nokogiri (= 1.15.0)
  rails (>= 7.0.4, ~> 7.0)
  shop!
  single (~> 1.0)
  stale (= 1.0)

BUNDLED WITH
   2.4.1
`

func TestBundlerReadsGroupsEdgesAndPlatforms(t *testing.T) {
	t.Parallel()
	m := only(t, read(t, files("Gemfile", gemfile, "Gemfile.lock", gemfileLock,
		"shop.gemspec", "Gem::Specification.new do |s|\n  s.name = 'shop'\n  s.version = '1.0.0'\n  s.add_dependency 'rack', '>= 2'\n  s.add_development_dependency(\"check\")\nend\n")), "", "bundler")
	want := []string{
		"fork@0.1.0 Gemfile.lock:5-6 direct git [ Gemfile:9] >rack@2.2.4",
		"shop@1.0.0 Gemfile.lock:11-11 direct workspace",
		"both@1.0 Gemfile.lock:16-16 direct [ Gemfile:15]",
		"check@3.0.0 Gemfile.lock:17-18 direct dev [ Gemfile:13] [ shop.gemspec:5] >rack@2.2.4",
		"nokogiri@1.15.0 Gemfile.lock:19-19 direct [1.15.0 Gemfile:6 value Gemfile:7]",
		"nokogiri@1.15.0 Gemfile.lock:20-21 direct [1.15.0 Gemfile:6 value Gemfile:7]",
		"rack@2.2.4 Gemfile.lock:22-22 direct [>= 2 shop.gemspec:4]",
		"rails@7.0.4 Gemfile.lock:23-26 direct [~> 7.0, >= 7.0.4 Gemfile:5] >rack@2.2.4",
		"single@1.1 Gemfile.lock:27-27 direct dev [~> 1.0 Gemfile:19]",
		"stale@1.0 Gemfile.lock:28-28 direct [2.0 Gemfile:17]",
		"problem Gemfile.lock:21: nokogiri requires racc, which is not locked",
		"problem Gemfile.lock:26: rails requires lost, which is not locked",
		"problem Gemfile:17: declares stale 2.0; Gemfile.lock line 42 was made for = 1.0",
		"problem Gemfile:18: declares gone, which Gemfile.lock does not lock",
	}
	if diff := cmp.Diff(want, listing(m)); diff != "" {
		t.Error(diff)
	}
	if m.Name != "shop" || m.Version != "1.0.0" {
		t.Errorf("%s %s", m.Name, m.Version)
	}
}

func TestBundlerWithoutALockKnowsOnlyExactVersions(t *testing.T) {
	t.Parallel()
	m := only(t, read(t, files("a/Gemfile", "gem 'x', '1.2'\ngem \"y\", \"~> 1\"\n")), "a", "bundler")
	want := []string{"x@1.2 a/Gemfile:1-1 direct [1.2 a/Gemfile:1]", "y@ a/Gemfile:2-2 direct [~> 1 a/Gemfile:2]"}
	if diff := cmp.Diff(want, listing(m)); diff != "" {
		t.Error(diff)
	}
	if m := only(t, read(t, files("Gemfile.lock", "hello")), "", "bundler"); len(m.Problems) != 1 {
		t.Errorf("%v", m.Problems)
	}
}

func FuzzBundler(f *testing.F) {
	f.Add(gemfile, gemfileLock)
	f.Add("gem 'a',\n", "GEM\n  specs:\n    a (1)\n      a\n")
	f.Fuzz(func(t *testing.T, manifest, lock string) {
		read(t, files("Gemfile", manifest, "Gemfile.lock", lock, "x.gemspec", manifest))
	})
}
