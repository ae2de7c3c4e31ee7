package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/fact"
)

// exported reads a file or a folder of exported objects. Each file is a scope: what
// an export leaves out was perhaps never asked for, so a kind is not.
func exported(ctx context.Context, values connector.Values, sink connector.Sink) error {
	name := values["cluster"]
	if name == "" {
		return errors.New("setting cluster is missing: an export does not say which cluster it is of")
	}
	names, err := exportedFiles(values["path"])
	if err != nil {
		return err
	}
	c := newCluster(sink, fact.Asset{Kind: fact.AssetCluster, Key: name, Name: shortName(name)}, name, "kubernetes:"+name)
	if all := slices.Concat(names, joinScopes(c, "")); !slices.ContainsFunc(all, func(scope string) bool { return !sink.Done(scope) }) {
		return nil
	}
	broken := 0
	found := map[string]bool{}
	for i, file := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		sink.Progress("reading exported objects", i, len(names))
		done := sink.Done(file)
		if !done {
			c.node(file, c.asset, properties{"platform": "kubernetes"})
		}
		problems, err := readExport(ctx, values["path"], file, func(o *kubernetes.Object) error {
			found[o.Kind] = true
			c.take(file, o, !done)
			return c.err
		})
		switch {
		case c.err != nil:
			return c.err
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			problems = append(problems, kubernetes.Problem{Place: kubernetes.Place{Path: file}, Text: err.Error()})
		}
		if len(problems) > 0 {
			broken++
		}
		if done {
			continue
		}
		for _, p := range problems {
			if p.Place.Line > 0 {
				p.Text = fmt.Sprintf("line %d: %s", p.Place.Line, p.Text)
			}
			sink.Gap(file, errors.New(p.Text)) // the scope names the file
		}
		if len(problems) == 0 {
			if err := sink.Covered(file); err != nil {
				return err
			}
		}
	}
	sink.Progress("reading exported objects", len(names), len(names))
	// A kind that every cluster has and the export lacks was not exported.
	return c.tellJoins("", func(kind string) string {
		short, _, _ := strings.Cut(kind, ".")
		switch {
		case broken > 0:
			return fmt.Sprintf("%d of %d files, which could not be read whole", broken, len(names))
		case !found[short] && (short == "Pod" || short == "Service" || short == "ServiceAccount" || short == "Node"):
			return short + " objects in the export"
		}
		return ""
	})
}

// joinScopes are the scopes of what is told together.
func joinScopes(c *cluster, namespace string) []string {
	var scopes []string
	for _, j := range joins() {
		area := namespace
		if area == "" {
			area = "cluster"
		}
		scopes = append(scopes, c.context+"/"+area+"/"+j.name)
	}
	return scopes
}

// shortName gives the last part of an ARN, other names as they are.
func shortName(name string) string {
	if strings.HasPrefix(name, "arn:") {
		return name[strings.LastIndexByte(name, '/')+1:]
	}
	return name
}

func readExport(ctx context.Context, root, name string, each func(*kubernetes.Object) error) ([]kubernetes.Problem, error) {
	file, err := openBelow(root, name)
	if err != nil {
		if fault, ok := errors.AsType[*fs.PathError](err); ok {
			return nil, fault.Err
		}
		return nil, err
	}
	defer file.Close()
	return kubernetes.Stream(ctx, name, file, each)
}

func openBelow(root, name string) (*os.File, error) {
	info, err := os.Stat(root)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return os.Open(root)
	}
	folder, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	return folder.Open(filepath.FromSlash(name))
}

// exportedFiles lists the JSON and YAML files of a folder, sorted, as paths below
// it; of a file its name.
func exportedFiles(root string) ([]string, error) {
	info, err := os.Stat(root)
	if err != nil {
		return nil, fmt.Errorf("setting path: %w", err)
	}
	if !info.IsDir() {
		return []string{filepath.Base(root)}, nil
	}
	var names []string
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch strings.ToLower(filepath.Ext(name)) {
		case ".json", ".yaml", ".yml":
			if entry.Type().IsRegular() {
				below, err := filepath.Rel(root, name)
				if err != nil {
					return err
				}
				names = append(names, filepath.ToSlash(below))
			}
		}
		return nil
	})
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("setting path: %s holds no .json, .yaml or .yml file", root)
	}
	slices.Sort(names)
	return names, err
}
