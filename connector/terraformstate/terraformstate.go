// Package terraformstate brings what Terraform states say: which address of
// which configuration made which cloud resource.
//
// A state is a file of version 4, or what terraform show -json gives, from a
// file, a folder, an http or https address, an S3 bucket or a Google Cloud
// Storage bucket. Only addresses, types, providers and what the cloud calls a
// thing (id, ARN, name) are kept: attributes, which hold secrets, are not, and
// outputs are never read.
package terraformstate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/terraform"
	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/fact"
)

// ID names the source.
const ID = "connector/terraformstate"

// maxState bounds one state, in bytes.
const maxState = 512 << 20

type source struct {
	open func(ctx context.Context, values connector.Values) (store, error)
}

// New makes the source of Terraform states.
func New() connector.Source { return source{open: remote} }

func (source) Describe() connector.Description {
	return connector.Description{
		ID: ID, Name: "Terraform state",
		Docs: "Which Terraform address made which cloud resource, from state files (version 4), terraform show -json, and the S3, Google Cloud Storage and HTTP backends. " +
			"Attributes and outputs, which may hold secrets, are not kept. A state of another version, or a broken one, is a gap that names it.",
	}
}

func (source) Settings() []connector.Setting {
	return []connector.Setting{
		{Name: "path", Kind: connector.SettingPath, Help: "a state file, or a folder of state files (*.tfstate, *.json)"},
		{Name: "url", Kind: connector.SettingText, Help: "https://..., s3://BUCKET/PREFIX or gs://BUCKET/PREFIX, instead of path"},
		{Name: "repository", Kind: connector.SettingText, Help: `repository of the configuration, for example "github.com/acme/infra"`},
		{Name: "root", Kind: connector.SettingText, Help: "folder of the root module in the repository; without it, the folder the state lies in"},
		{Name: "username", Kind: connector.SettingText, Help: "user name for https"},
		{Name: "password", Kind: connector.SettingSecret, Help: "password for https"},
		{Name: "region", Kind: connector.SettingText, Help: "region of the S3 bucket"},
		{Name: "access-key", Kind: connector.SettingSecret, Help: "access key id for S3, when the SDK's own chain shall not be used"},
		{Name: "secret-key", Kind: connector.SettingSecret, Help: "secret access key for access-key"},
		{Name: "session-token", Kind: connector.SettingSecret, Help: "session token for access-key, when it is temporary"},
		{Name: "token", Kind: connector.SettingSecret, Help: "bearer token: an OAuth access token for Google Cloud Storage, or for https"},
		{Name: "endpoint", Kind: connector.SettingURL, Help: "address that the S3 or Google Cloud Storage service is asked at, for stores that speak their protocol"},
	}
}

// store is where states lie.
type store interface {
	// list names the states, sorted.
	list(ctx context.Context) ([]string, error)
	// read opens one; the reader is bounded by the caller.
	read(ctx context.Context, name string) (io.ReadCloser, error)
	// at tells people where a state lies, without credentials.
	at(name string) string
}

// Sync implements connector.Source. Each state is a scope.
func (s source) Sync(ctx context.Context, values connector.Values, sink connector.Sink) error {
	var states store
	switch {
	case values["path"] != "" && values["url"] != "":
		return errors.New("settings path and url: expected one of them")
	case values["path"] != "":
		states = folder{values["path"]}
	case values["url"] != "":
		var err error
		if states, err = s.open(ctx, values); err != nil {
			return err
		}
	default:
		return errors.New("setting path or url is missing: where the states lie")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	names, err := states.list(ctx)
	if err != nil {
		return err
	}
	for i, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		sink.Progress("reading states", i, len(names))
		if sink.Done(name) {
			continue
		}
		state, err := read(ctx, states, name)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if at := states.at(name); at != name { // the scope names the file already
				err = fmt.Errorf("%s: %w", at, err)
			}
			sink.Gap(name, err)
			continue
		}
		root := values["root"]
		if root == "" {
			root = rootOf(name)
		}
		t := &teller{sink: sink, scope: name, prefix: home(values["repository"], root), source: states.at(name), kind: state.Kind}
		for i := range state.Instances {
			t.instance(&state.Instances[i])
		}
		if t.err != nil {
			return t.err
		}
		if err := sink.Covered(name); err != nil {
			return err
		}
	}
	sink.Progress("reading states", len(names), len(names))
	return nil
}

func read(ctx context.Context, states store, name string) (*terraform.State, error) {
	in, err := states.read(ctx, name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	// One byte more than is allowed tells a state that is too large from one
	// that is cut there.
	data, err := io.ReadAll(io.LimitReader(in, maxState+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxState {
		return nil, fmt.Errorf("larger than %d MiB", maxState>>20)
	}
	return terraform.ReadState(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
}

// rootOf is the folder that a state lies in. Terraform puts those of workspaces below
// terraform.tfstate.d/WORKSPACE beside the configuration, its S3 backend below
// env:/WORKSPACE before the key.
func rootOf(name string) string {
	parts := strings.Split(path.Dir(name), "/")
	if n := len(parts); n > 1 && parts[n-2] == "terraform.tfstate.d" {
		return strings.Join(parts[:n-2], "/")
	}
	if len(parts) > 1 && parts[0] == "env:" {
		return strings.Join(parts[2:], "/")
	}
	return strings.Join(parts, "/")
}

// home gives the prefix of the keys of a configuration's resources:
// "repository//root:".
func home(repository, root string) string {
	root = strings.Trim(path.Clean("/"+filepath.ToSlash(root)), "/")
	return repository + "//" + root + ":"
}

// teller turns one state into facts. The first error of the sink stays.
type teller struct {
	sink                        connector.Sink
	scope, prefix, source, kind string
	modules                     map[string]bool
	err                         error
}

func (t *teller) node(asset fact.Asset, properties map[string]string) fact.Asset {
	if t.err == nil {
		t.err = t.sink.Node(t.scope, fact.Node{Asset: asset, Properties: properties})
	}
	return asset
}

func (t *teller) relate(from fact.Asset, kind fact.RelationKind, to fact.Asset, detail string) {
	if t.err == nil {
		t.err = t.sink.Relation(t.scope, fact.Relation{From: from, Kind: kind, To: to, Evidence: fact.Evidence{
			Method: "terraform " + t.kind, Source: t.source, Strength: fact.Attested, Detail: detail,
		}})
	}
}

func (t *teller) instance(i *terraform.Instance) {
	address := i.Address.String()
	said := map[string]string{"address": address, "type": i.Address.Type}
	for name, value := range map[string]string{"provider": i.Provider, "id": i.ID, "arn": i.ARN, "name": i.Name} {
		if value != "" {
			said[name] = value
		}
	}
	if i.Address.Data {
		return // read by the configuration, made elsewhere
	}
	declared := t.node(fact.Asset{Kind: fact.AssetTerraform, Key: t.prefix + address, Name: address}, said)
	t.inModules(declared, i.Address)
	key := i.ARN
	if key == "" {
		key = i.ID
	}
	if key == "" {
		return // planned, not made yet
	}
	name := i.Name
	if name == "" {
		name = key
	}
	made := map[string]string{"tf_address": address, "tf_type": i.Address.Type}
	for _, property := range []string{"id", "arn", "name"} {
		if said[property] != "" {
			made[property] = said[property]
		}
	}
	resource := t.node(fact.Asset{Kind: fact.AssetResource, Key: key, Name: name}, made)
	t.relate(resource, fact.DeclaredBy, declared, address)
}

// inModules tells the chain of module calls that a resource lies in.
func (t *teller) inModules(asset fact.Asset, address terraform.Address) {
	if t.modules == nil {
		t.modules = map[string]bool{}
	}
	for depth := len(address.Modules); depth > 0; depth-- {
		full := terraform.Address{Modules: address.Modules[:depth], Type: "x", Name: "x"}.String()
		call := strings.TrimSuffix(full, ".x.x")
		module := fact.Asset{Kind: fact.AssetModule, Key: t.prefix + call, Name: call}
		t.relate(asset, fact.InModule, module, "")
		if t.modules[call] {
			return // its own chain is told
		}
		t.modules[call] = true
		asset = t.node(module, map[string]string{"address": call})
	}
}

// folder is a file or a folder of files.
type folder struct{ root string }

func (f folder) list(context.Context) ([]string, error) {
	info, err := os.Stat(f.root)
	if err != nil {
		return nil, fmt.Errorf("setting path: %w", err)
	}
	if !info.IsDir() {
		return []string{filepath.Base(f.root)}, nil
	}
	var names []string
	err = filepath.WalkDir(f.root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && entry.Name() == "providers" && filepath.Base(filepath.Dir(name)) == ".terraform" {
			return fs.SkipDir
		}
		if entry.Type().IsRegular() && stateLike(entry.Name()) {
			below, err := filepath.Rel(f.root, name)
			if err != nil {
				return err
			}
			names = append(names, filepath.ToSlash(below))
		}
		return nil
	})
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("setting path: %s holds no .tfstate or .json file", f.root)
	}
	slices.Sort(names)
	return names, err
}

func (f folder) read(_ context.Context, name string) (io.ReadCloser, error) {
	info, err := os.Stat(f.root)
	if err != nil {
		return nil, plain(err)
	}
	if !info.IsDir() {
		file, err := os.Open(f.root)
		return file, plain(err)
	}
	root, err := os.OpenRoot(f.root)
	if err != nil {
		return nil, plain(err)
	}
	defer root.Close()
	file, err := root.Open(filepath.FromSlash(name))
	return file, plain(err)
}

func (f folder) at(name string) string { return name }

// plain is an error of the file system without the path, which is told once.
func plain(err error) error {
	var fault *fs.PathError
	if errors.As(err, &fault) {
		return fault.Err
	}
	return err
}

// stateLike says whether a name is that of a state. Backups are former states.
func stateLike(name string) bool {
	switch path.Ext(name) {
	case ".tfstate", ".json":
		return !strings.HasSuffix(name, ".tf.json") && name != "modules.json"
	}
	return false
}
