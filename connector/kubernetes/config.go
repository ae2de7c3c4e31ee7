package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/fact"
)

// Bounds of a kubeconfig and of what it names.
const (
	maxConfig   = 4 << 20
	maxNamed    = 1 << 20 // a certificate, key or token
	maxContexts = 1000
)

// target is one context to look at, with how its API server is asked.
type target struct {
	context string
	cluster fact.Asset
	server  string
	client  *http.Client
	base    *url.URL
	notes   []string // what is odd about it
	err     error    // why it cannot be asked
}

// targets reads the contexts of a kubeconfig, which is untrusted: it may name
// commands to run and files to read.
func targets(ctx context.Context, values connector.Values) ([]target, error) {
	name := values["kubeconfig"]
	data, err := readBounded(name, maxConfig)
	if err != nil {
		return nil, fmt.Errorf("setting kubeconfig: %w", err)
	}
	config, err := clientcmd.Load(data)
	if err != nil {
		return nil, fmt.Errorf("setting kubeconfig: %s: expected a kubeconfig: %w", name, brief(err))
	}
	for _, word := range values.List("allow") {
		if word != "commands" && word != "files" {
			return nil, fmt.Errorf("setting allow names %q: expected some of commands, files", word)
		}
	}
	wanted := values.List("contexts")
	if len(wanted) == 0 {
		if config.CurrentContext == "" {
			return nil, fmt.Errorf("setting contexts is missing: %s has no current context", name)
		}
		wanted = []string{config.CurrentContext}
	}
	if slices.Contains(wanted, "*") {
		wanted = nil
		for context := range config.Contexts {
			wanted = append(wanted, context)
		}
		slices.Sort(wanted)
	}
	if len(wanted) > maxContexts {
		return nil, fmt.Errorf("%s: more than %d contexts", name, maxContexts)
	}
	if values["cluster"] != "" && len(wanted) != 1 {
		return nil, errors.New("setting cluster names one cluster, and several contexts are looked at")
	}
	folder, err := os.OpenRoot(filepath.Dir(name))
	if err != nil {
		return nil, fmt.Errorf("setting kubeconfig: %w", err)
	}
	defer folder.Close()
	reader := references{folder: folder, anywhere: slices.Contains(values.List("allow"), "files")}
	var all []target
	for _, context := range wanted {
		if config.Contexts[context] == nil {
			return nil, fmt.Errorf("setting contexts names %q, which %s does not hold", context, name)
		}
		t := target{context: context}
		cluster := config.Contexts[context].Cluster
		key := cluster
		if values["cluster"] != "" {
			key = values["cluster"]
		}
		if slices.Contains([]string{"kubernetes", "default", "cluster", "cluster.local", "local"}, key) {
			t.notes = append(t.notes, fmt.Sprintf("the kubeconfig calls the cluster %q, as others are called too; the setting cluster names it", key))
		}
		t.cluster = fact.Asset{Kind: fact.AssetCluster, Key: key, Name: shortName(key)}
		t.err = t.connect(config, reader, slices.Contains(values.List("allow"), "commands"))
		all = append(all, t)
	}
	return all, ctx.Err()
}

// connect prepares the client of a context, without asking anything yet.
func (t *target) connect(config *api.Config, reader references, commands bool) error {
	of := config.Contexts[t.context]
	cluster, user := config.Clusters[of.Cluster], config.AuthInfos[of.AuthInfo]
	if cluster == nil {
		return fmt.Errorf("it names the cluster %q, which the kubeconfig does not hold", of.Cluster)
	}
	if user == nil && of.AuthInfo != "" {
		return fmt.Errorf("it names the user %q, which the kubeconfig does not hold", of.AuthInfo)
	}
	if user == nil {
		user = &api.AuthInfo{}
	}
	if user.AuthProvider != nil {
		return fmt.Errorf("its user signs in with the provider %q, which Kubernetes has given up; use a credential plugin or a token", user.AuthProvider.Name)
	}
	if user.Exec != nil && !commands {
		return fmt.Errorf("its user signs in with the command %q, which is not run unless setting allow holds commands", user.Exec.Command)
	}
	// A copy without references to files: what they hold is put in their place.
	cluster, user = cluster.DeepCopy(), user.DeepCopy()
	for _, file := range []struct {
		what   string
		name   *string
		data   *[]byte
		secret bool
	}{
		{"certificate-authority", &cluster.CertificateAuthority, &cluster.CertificateAuthorityData, false},
		{"client-certificate", &user.ClientCertificate, &user.ClientCertificateData, false},
		{"client-key", &user.ClientKey, &user.ClientKeyData, false},
		{"tokenFile", &user.TokenFile, nil, true},
	} {
		if *file.name == "" {
			continue
		}
		data, err := reader.read(*file.name, file.secret)
		if err != nil {
			return fmt.Errorf("%s %q: %w", file.what, *file.name, err)
		}
		*file.name = ""
		if file.data != nil {
			*file.data = data
		} else {
			user.Token = strings.TrimSpace(string(data))
		}
	}
	one := api.Config{
		Clusters: map[string]*api.Cluster{"c": cluster}, AuthInfos: map[string]*api.AuthInfo{"u": user},
		Contexts: map[string]*api.Context{"x": {Cluster: "c", AuthInfo: "u"}}, CurrentContext: "x",
	}
	ready, err := clientcmd.NewNonInteractiveClientConfig(one, "x", &clientcmd.ConfigOverrides{}, nil).ClientConfig()
	if err != nil {
		return brief(err)
	}
	ready.UserAgent = "backstitch"
	if t.client, err = rest.HTTPClientFor(ready); err != nil {
		return brief(err)
	}
	t.client.Transport = prompt{t.client.Transport}
	// A redirect would carry the credentials wherever the answer says.
	t.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	host := ready.Host
	if !strings.Contains(host, "://") {
		host = "https://" + host
	}
	if t.base, err = url.Parse(host); err != nil || t.base.Host == "" {
		return fmt.Errorf("its server %q is no address", bounded(cluster.Server))
	}
	t.server = t.base.Redacted()
	if t.base.Scheme == "http" {
		t.notes = append(t.notes, "the API server is asked without encryption, and so without credentials")
	} else if cluster.InsecureSkipTLSVerify {
		t.notes = append(t.notes, "the API server's certificate is not checked")
	}
	return nil
}

// prompt ends a request when its context does, even where what comes before it, a
// credential plugin, knows no end.
type prompt struct{ next http.RoundTripper }

func (p prompt) RoundTrip(request *http.Request) (*http.Response, error) {
	type result struct {
		response *http.Response
		err      error
	}
	answered := make(chan result, 1)
	go func() {
		response, err := p.next.RoundTrip(request)
		answered <- result{response, err}
	}()
	select {
	case r := <-answered:
		return r.response, r.err
	case <-request.Context().Done():
		go func() {
			if r := <-answered; r.err == nil {
				_ = r.response.Body.Close()
			}
		}()
		return nil, request.Context().Err()
	}
}

// references reads files that a kubeconfig names.
type references struct {
	folder   *os.Root // of the kubeconfig
	anywhere bool
}

// read gives a file beside or below the kubeconfig, any when that is allowed. A file
// that is sent to the server as it is must be allowed too.
func (r references) read(name string, sent bool) ([]byte, error) {
	if r.anywhere {
		if !filepath.IsAbs(name) {
			name = filepath.Join(r.folder.Name(), name)
		}
		return readBounded(name, maxNamed)
	}
	if sent {
		return nil, errors.New("a file that is sent to the server is not read unless setting allow holds files")
	}
	below := name
	if filepath.IsAbs(name) {
		root, err := filepath.Abs(r.folder.Name())
		if err != nil {
			return nil, err
		}
		if below, err = filepath.Rel(root, name); err != nil || !filepath.IsLocal(below) {
			return nil, errOutside
		}
	}
	file, err := r.folder.Open(below)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fs.ErrNotExist
		}
		return nil, errOutside
	}
	defer file.Close()
	return readAll(file, maxNamed)
}

var errOutside = errors.New("a file outside the kubeconfig's folder is not read unless setting allow holds files")

func readBounded(name string, most int64) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readAll(file, most)
}

func readAll(file *os.File, most int64) ([]byte, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("expected a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("larger than %d bytes", most)
	}
	return data, err
}

// brief bounds the text of an error that quotes what it read.
func brief(err error) error {
	if text := err.Error(); len(text) > 500 {
		return errors.New(bounded(text))
	}
	return err
}

func bounded(text string) string {
	if len(text) > 500 {
		text = strings.ToValidUTF8(text[:500], "") + " ..."
	}
	return text
}
