package maven

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path"
	"path/filepath"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fix"
)

// maxPOMs is how many poms are laid before mvn.
const maxPOMs = 500

// emptySettings keeps mvn from the operator's settings.
const emptySettings = "<settings/>\n"

// quickJVM is for a program that ends soon.
const quickJVM = "MAVEN_OPTS=-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto"

// judged fails when mvn refuses the poms of a working copy and accepts them with
// the files as they were before. Where mvn is not installed, or needs what is not
// in the repository, it says nothing.
func judged(ctx context.Context, dir, module string, before map[string][]byte) error {
	if _, err := exec.LookPath("mvn"); err != nil {
		return nil
	}
	if ok, err := accepted(ctx, dir, module, nil); ok || err != nil {
		return err
	}
	if ok, err := accepted(ctx, dir, module, before); !ok || err != nil {
		return err
	}
	return errors.New("mvn refuses the project after the edit, and accepted it before")
}

// accepted says whether mvn takes the poms of a working copy for a project, with
// some files in another form. mvn sees nothing but poms without what a build
// runs, has no network, and begins with an empty local repository.
func accepted(ctx context.Context, dir, module string, instead map[string][]byte) (bool, error) {
	tree, err := code.OpenDir(dir)
	if err != nil {
		return false, err
	}
	defer tree.Close()
	names, err := tree.Paths(ctx)
	if err != nil {
		return false, err
	}
	tool, err := fix.NewTool("MAVEN_SKIP_RC=true", quickJVM)
	if err != nil {
		return false, err
	}
	defer tool.Close()
	work := filepath.Join(tool.Home(), "work")
	if err := os.MkdirAll(filepath.Join(work, ".mvn"), 0o700); err != nil { // mvn looks no further up for settings
		return false, err
	}
	copied := 0
	for _, name := range names {
		if path.Base(name) != "pom.xml" || !lockfile.Wants(name) {
			continue
		}
		if copied++; copied > maxPOMs {
			return false, nil
		}
		data, err := tree.Read(ctx, name)
		if err != nil {
			return false, err
		}
		if other, ok := instead[name]; ok {
			data = other
		}
		bare, err := withoutBuild(data)
		if err != nil {
			continue // mvn will miss it
		}
		to := filepath.Join(work, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return false, err
		}
		if err := os.WriteFile(to, bare, 0o600); err != nil {
			return false, err
		}
	}
	settings := filepath.Join(tool.Home(), "settings.xml")
	if err := os.WriteFile(settings, []byte(emptySettings), 0o600); err != nil {
		return false, err
	}
	_, err = tool.Run(ctx, work, "mvn", "--offline", "--batch-mode", "--quiet", "--non-recursive",
		"--settings", settings, "--global-settings", settings, "-Duser.home="+tool.Home(), "-Dmaven.repo.local="+filepath.Join(tool.Home(), "repository"),
		"--file", filepath.Join(work, filepath.FromSlash(module), "pom.xml"), "validate")
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return false, err
	}
	return err == nil, nil
}

// withoutBuild takes out of a pom what names programs to run, other projects to
// build and places to load from.
func withoutBuild(data []byte) ([]byte, error) {
	root, err := parseXML(data)
	if err != nil {
		return nil, err
	}
	var cuts []fix.Edit
	for _, part := range append([]*element{root}, root.at("profiles").all("profile")...) {
		for _, e := range part.children {
			switch e.name {
			case "build", "reporting", "modules", "repositories", "pluginRepositories", "distributionManagement":
				cuts = append(cuts, fix.Edit{Start: e.start, End: e.stop, Old: string(data[e.start:e.stop])})
			}
		}
	}
	return fix.Splice(data, cuts...)
}
