package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/fact"
)

func newCauseKubernetes(s *streams) *cobra.Command {
	var repo, commit, namespace, live string
	cmd := &cobra.Command{
		Use:   "kubernetes KIND/NAME[.FIELDPATH] --repo DIR",
		Short: "The manifest, overlay or values line that decides a Kubernetes object or one of its fields",
		Long: "Prints the line that decides, the chain of evidence and which other objects share\n" +
			"that line. Charts are rendered by Helm's engine in a child process; a field's\n" +
			"value is found by changing one value at a time. With --live, a dump as of kubectl\n" +
			"get -o yaml, tracking annotations choose between places, and the value is held\n" +
			"against the live one: proven when equal, drift when not.",
		Example: "  backstitch cause kubernetes 'Deployment/web.spec.template.spec.containers[name=web].image' --repo .\n" +
			"  kubectl get pods,replicasets,deployments -n shop -o json | backstitch cause kubernetes Pod/web-7d8f-x --repo . --live -",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, rest, ok := strings.Cut(args[0], "/")
			if !ok || kind == "" || rest == "" {
				return fmt.Errorf("%q: expected KIND/NAME or KIND/NAME.FIELDPATH", args[0])
			}
			tree, identity, at, done, err := openTree(cmd.Context(), repo, commit)
			if err != nil {
				return err
			}
			defer done()
			if live != "" && live != "-" {
				tree = without{tree, below(repo, live)} // a dump is no manifest, even beside them
			}
			self, err := os.Executable()
			if err != nil {
				return err
			}
			estate, err := kubernetes.Load(cmd.Context(), tree, kubernetes.Options{Renderer: kubernetes.ChildRenderer(self), Names: []string{path.Base(identity)}, Repository: identity})
			if err != nil {
				return err
			}
			request := kubernetes.Request{Kind: kind, Namespace: namespace, Repository: identity, Commit: at}
			if live != "" {
				var in io.Reader = s.in
				if live != "-" {
					file, err := os.Open(live)
					if err != nil {
						return err
					}
					defer file.Close()
					in = file
				}
				objects, problems, err := kubernetes.ReadLive(cmd.Context(), live, in, kind)
				if err != nil {
					return fmt.Errorf("%s: %w", live, err)
				}
				for _, p := range problems {
					fmt.Fprintln(s.err, "backstitch:", plain(p.String()))
				}
				request.Live = objects
			}
			request.Name, request.Field = estate.SplitName(kind, rest, request.Live)
			answer, err := estate.Trace(cmd.Context(), request)
			if err != nil {
				return err
			}
			if s.output == "json" {
				err = s.json(answer)
			} else {
				err = answer.WriteText(s.out, plain)
			}
			if err == nil && answer.Cause.Status == fact.CauseUnknown {
				return incomplete("%s: the line that decides is not known", args[0])
			}
			return err
		},
	}
	cmd.Flags().StringVar(&repo, "repo", ".", "folder of the repository, or any folder")
	cmd.Flags().StringVar(&commit, "at", "", "commit to look at (default: the files as they are)")
	cmd.Flags().StringVarP(&namespace, "namespace", "n", "", "namespace of the object (default: any)")
	cmd.Flags().StringVar(&live, "live", "", "dump of live objects, as of kubectl get -o yaml or json; - reads it from standard input")
	return cmd
}

// without is a tree that lacks one file.
type without struct {
	code.Tree
	name string
}

func (t without) Paths(ctx context.Context) ([]string, error) {
	paths, err := t.Tree.Paths(ctx)
	return slices.DeleteFunc(slices.Clone(paths), func(name string) bool { return name == t.name }), err
}
