// Package egress is the way out for the ecosystems' tools: a proxy on this machine that
// reaches only hosts that the operator lists, and adds the credentials that the tools
// themselves never see.
//
// A tool is told the proxy's address and nothing else. Encrypted connections go through
// as they are, to listed hosts only. For a host with a credential the tool speaks plain
// HTTP to the proxy, which speaks HTTPS to the host and adds the credential there. The
// proxy follows no redirect, reaches no link-local address, and keeps no answer.
package egress

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"
)

// Bounds of the proxy.
const (
	maxPolicy   = 1 << 20
	dialTimeout = 30 * time.Second
	idleTimeout = 5 * time.Minute
	maxRefused  = 100
)

// Host is one host that may be reached.
type Host struct {
	// Host is a name, or "*." and a domain for all names below it.
	Host string `yaml:"host"`
	Port int    `yaml:"port"` // default 443
	// Credential is by reference, env:NAME or file:PATH; "" for none. It is sent as
	// Scheme says: bearer (default), or basic with "user:password".
	Credential string `yaml:"credential"`
	Scheme     string `yaml:"scheme"`
	// Plain says that the host itself speaks HTTP without encryption.
	Plain bool `yaml:"plain"`

	secret string
}

// Policy lists what may be reached.
type Policy struct {
	Hosts []Host `yaml:"hosts"`
}

// ReadPolicy reads a policy in YAML; secret follows a reference to one. What is not known
// or not whole is an error that names the file and the entry.
func ReadPolicy(name string, in io.Reader, secret func(reference string) (string, error)) (*Policy, error) {
	decoder := yaml.NewDecoder(io.LimitReader(in, maxPolicy))
	decoder.KnownFields(true)
	p := &Policy{}
	if err := decoder.Decode(p); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for i := range p.Hosts {
		h := &p.Hosts[i]
		h.Host = strings.ToLower(h.Host)
		bare := strings.TrimPrefix(h.Host, "*.")
		switch {
		case bare == "" || strings.ContainsAny(bare, "*/:@ \t") || !strings.Contains(bare, ".") && net.ParseIP(bare) == nil && bare != "localhost":
			return nil, fmt.Errorf("%s: hosts[%d]: host %q: expected a name such as registry.example.org, or *.example.org", name, i, h.Host)
		case h.Port < 0 || h.Port > 65535:
			return nil, fmt.Errorf("%s: hosts[%d]: port %d: expected 1 to 65535", name, i, h.Port)
		case h.Scheme != "" && h.Scheme != "bearer" && h.Scheme != "basic":
			return nil, fmt.Errorf("%s: hosts[%d]: scheme %q: expected bearer or basic", name, i, h.Scheme)
		case h.Credential != "" && strings.HasPrefix(h.Host, "*."):
			return nil, fmt.Errorf("%s: hosts[%d]: a credential goes to one host, and %s is many", name, i, h.Host)
		case h.Credential != "" && h.Plain:
			return nil, fmt.Errorf("%s: hosts[%d]: a credential is not sent without encryption", name, i)
		}
		if h.Port == 0 {
			h.Port = 443
			if h.Plain {
				h.Port = 80
			}
		}
		if h.Credential != "" {
			var err error
			if h.secret, err = secret(h.Credential); err != nil {
				return nil, fmt.Errorf("%s: hosts[%d]: credential: %w", name, i, err)
			}
		}
	}
	return p, nil
}

// find gives the entry of a host, nil when it is not listed.
func (p *Policy) find(host string, port int) *Host {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	at := slices.IndexFunc(p.Hosts, func(h Host) bool {
		domain, below := strings.CutPrefix(h.Host, "*")
		return h.Port == port && (h.Host == host || below && strings.HasSuffix(host, domain) && len(host) > len(domain))
	})
	if at < 0 {
		return nil
	}
	return &p.Hosts[at]
}

// Proxy is a running proxy.
type Proxy struct {
	policy   *Policy
	server   *http.Server
	listener net.Listener
	dialer   *net.Dialer
	client   *http.Transport
	tunnels  sync.WaitGroup
	mu       sync.Mutex
	open     map[net.Conn]bool
	refused  []string
}

var errLinkLocal = errors.New("the address is link-local")

// Start serves on a port of this machine until Close.
func Start(policy *Policy) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("egress proxy: %w", err)
	}
	p := &Proxy{policy: policy, listener: listener, open: map[net.Conn]bool{}}
	p.dialer = &net.Dialer{Timeout: dialTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err == nil && at.Addr().Unmap().IsLinkLocalUnicast() {
			err = errLinkLocal
		}
		return err
	}}
	p.client = &http.Transport{DialContext: p.dialer.DialContext, TLSHandshakeTimeout: dialTimeout, IdleConnTimeout: idleTimeout, DisableCompression: true}
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: dialTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: 64 << 10}
	go func() { _ = p.server.Serve(listener) }() // ends with Close
	return p, nil
}

// URL is what tools are told.
func (p *Proxy) URL() string { return "http://" + p.listener.Addr().String() }

// Refused lists the hosts that were asked for and are not listed, each once.
func (p *Proxy) Refused() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.refused)
}

// Close ends all connections.
func (p *Proxy) Close() error {
	err := p.server.Close()
	p.client.CloseIdleConnections()
	p.mu.Lock()
	for c := range p.open {
		_ = c.Close() // the other side sees it end
	}
	p.mu.Unlock()
	p.tunnels.Wait()
	return err
}

func (p *Proxy) refuse(w http.ResponseWriter, host string) {
	p.mu.Lock()
	if !slices.Contains(p.refused, host) && len(p.refused) < maxRefused {
		p.refused = append(p.refused, host)
	}
	p.mu.Unlock()
	http.Error(w, "not listed by the operator", http.StatusForbidden)
}

func split(hostport string, standard int) (string, int, error) {
	host, text, err := net.SplitHostPort(hostport)
	if err != nil {
		return strings.Trim(hostport, "[]"), standard, nil
	}
	port, err := net.LookupPort("tcp", text)
	return host, port, err
}

func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect {
		p.tunnel(w, r)
		return
	}
	if !r.URL.IsAbs() || r.URL.Scheme != "http" {
		http.Error(w, "expected a request to a proxy", http.StatusBadRequest)
		return
	}
	p.forward(w, r)
}

// tunnel passes an encrypted connection on.
func (p *Proxy) tunnel(w http.ResponseWriter, r *http.Request) {
	host, port, err := split(r.Host, 443)
	if err != nil || p.policy.find(host, port) == nil {
		p.refuse(w, r.Host)
		return
	}
	far, err := p.dialer.DialContext(r.Context(), "tcp", net.JoinHostPort(host, fmt.Sprint(port)))
	if err != nil {
		http.Error(w, "not reached", http.StatusBadGateway)
		return
	}
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		_ = far.Close()
		http.Error(w, "not possible", http.StatusInternalServerError)
		return
	}
	near, buffered, err := hijacker.Hijack()
	if err != nil {
		_ = far.Close()
		return
	}
	p.tunnels.Add(1)
	defer p.tunnels.Done()
	p.hold(true, near, far)
	defer p.hold(false, near, far)
	if _, err := io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	done := make(chan struct{}, 2)
	pass := func(to net.Conn, from io.Reader, of net.Conn) {
		_, _ = io.Copy(to, &patient{from, of}) // either end may end it
		_ = to.Close()
		done <- struct{}{}
	}
	go pass(far, buffered, near)
	go pass(near, far, far)
	<-done
	<-done
}

// patient reads as long as something comes within the idle time.
type patient struct {
	io.Reader
	conn net.Conn
}

func (r *patient) Read(b []byte) (int, error) {
	if err := r.conn.SetReadDeadline(time.Now().Add(idleTimeout)); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}

func (p *Proxy) hold(hold bool, list ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range list {
		if hold {
			p.open[c] = true
			continue
		}
		delete(p.open, c)
		_ = c.Close()
	}
}

// hopByHop are headers that are about one connection.
var hopByHop = []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// forward carries a plain request out, encrypted and with the credential where the host
// has one.
func (p *Proxy) forward(w http.ResponseWriter, r *http.Request) {
	host, port, err := split(r.URL.Host, 80)
	entry := p.policy.find(host, port)
	if entry == nil && err == nil && port == 80 {
		entry = p.policy.find(host, 443) // the tool speaks plainly to the proxy only
	}
	if err != nil || entry == nil {
		p.refuse(w, r.URL.Host)
		return
	}
	out := r.Clone(r.Context())
	out.RequestURI, out.Host = "", ""
	out.URL = &url.URL{Scheme: "https", Host: net.JoinHostPort(host, fmt.Sprint(entry.Port)), Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	if entry.Plain {
		out.URL.Scheme = "http"
	}
	if entry.Port == 443 && !entry.Plain || entry.Port == 80 && entry.Plain {
		out.URL.Host = host
	}
	for _, name := range hopByHop {
		out.Header.Del(name)
	}
	if entry.secret != "" {
		value := "Bearer " + entry.secret
		if entry.Scheme == "basic" {
			value = "Basic " + base64.StdEncoding.EncodeToString([]byte(entry.secret))
		}
		out.Header.Set("Authorization", value)
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	answer, err := p.client.RoundTrip(out.WithContext(ctx))
	if err != nil {
		http.Error(w, "not reached", http.StatusBadGateway)
		return
	}
	defer answer.Body.Close()
	for name, values := range answer.Header {
		if !slices.Contains(hopByHop, name) {
			w.Header()[name] = values
		}
	}
	w.WriteHeader(answer.StatusCode)
	_, _ = io.Copy(w, answer.Body) // the tool may have gone
}
