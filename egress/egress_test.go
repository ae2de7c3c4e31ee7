package egress

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func policy(t *testing.T, text string) *Policy {
	t.Helper()
	p, err := ReadPolicy("egress.yaml", strings.NewReader(text), func(reference string) (string, error) {
		if reference == "env:ABSENT" {
			return "", errors.New("the environment variable ABSENT is not set")
		}
		return "the-secret", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// far is a host on this machine, encrypted, that tells what it was asked.
func far(t *testing.T) (server *httptest.Server, port string, asked *[]string) {
	t.Helper()
	asked = &[]string{}
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.Method+" "+r.URL.RequestURI()+" "+r.Header.Get("Authorization")+r.Header.Get("Proxy-Authorization"))
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "https://elsewhere.test/", http.StatusFound)
			return
		}
		fmt.Fprint(w, "answer")
	}))
	t.Cleanup(server.Close)
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return server, at.Port(), asked
}

func start(t *testing.T, p *Policy, trusted *httptest.Server) (*Proxy, *http.Client) {
	t.Helper()
	proxy, err := Start(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	roots := x509.NewCertPool()
	roots.AddCert(trusted.Certificate())
	proxy.client.TLSClientConfig = &tls.Config{RootCAs: roots}
	at, err := url.Parse(proxy.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyURL(at), TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return proxy, client
}

func get(client *http.Client, address string) (int, string, error) {
	answer, err := client.Get(address)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body), err
}

func TestOnlyListedHostsAreReached(t *testing.T) {
	server, port, asked := far(t)
	proxy, client := start(t, policy(t, "hosts:\n  - {host: 127.0.0.1, port: "+port+"}\n"), server)
	if status, body, err := get(client, server.URL+"/x"); err != nil || status != 200 || body != "answer" {
		t.Errorf("listed: %d %q %v", status, body, err)
	}
	for _, address := range []string{"https://elsewhere.test/", "https://127.0.0.1:1/", "http://elsewhere.test/"} {
		if status, _, err := get(client, address); err == nil && status != http.StatusForbidden {
			t.Errorf("%s: %d", address, status)
		}
	}
	if got := strings.Join(proxy.Refused(), " "); !strings.Contains(got, "elsewhere.test:443") || !strings.Contains(got, "127.0.0.1:1") || len(*asked) != 1 {
		t.Errorf("refused %s, asked %v", got, *asked)
	}
}

func TestTheCredentialIsAddedForItsHostAndSeenByNoTool(t *testing.T) {
	server, port, asked := far(t)
	_, client := start(t, policy(t, "hosts:\n  - {host: 127.0.0.1, port: "+port+", credential: 'env:TOKEN'}\n"), server)
	plain := "http://127.0.0.1:" + port
	if status, body, err := get(client, plain+"/p?q=1"); err != nil || status != 200 || body != "answer" {
		t.Errorf("%d %q %v", status, body, err)
	}
	if status, _, err := get(client, plain+"/away"); err != nil || status != http.StatusFound {
		t.Errorf("a redirect was followed: %d %v", status, err)
	}
	want := []string{"GET /p?q=1 Bearer the-secret", "GET /away Bearer the-secret"}
	if strings.Join(*asked, "\n") != strings.Join(want, "\n") {
		t.Errorf("asked %v", *asked)
	}
}

func TestPoliciesThatCannotWorkAreRefusedByName(t *testing.T) {
	for text, want := range map[string]string{
		"hosts:\n  - {host: 'https://x.test'}":                                  "hosts[0]: host",
		"hosts:\n  - {host: '*'}":                                               "hosts[0]: host",
		"hosts:\n  - {host: x.test, port: 70000}":                               "hosts[0]: port",
		"hosts:\n  - {host: x.test, scheme: digest}":                            "hosts[0]: scheme",
		"hosts:\n  - {host: x.test}\n  - {host: '*.x.test', credential: env:T}": "hosts[1]: a credential goes to one host",
		"hosts:\n  - {host: x.test, credential: env:T, plain: true}":            "without encryption",
		"hosts:\n  - {host: x.test, credential: env:ABSENT}":                    "ABSENT is not set",
		"hosts:\n  - {hots: x.test}":                                            "egress.yaml",
		"[":                                                                     "egress.yaml",
	} {
		_, err := ReadPolicy("egress.yaml", strings.NewReader(text), func(reference string) (string, error) {
			if reference == "env:ABSENT" {
				return "", errors.New("ABSENT is not set")
			}
			return "s", nil
		})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, expected %q", text, err, want)
		}
	}
	if p := policy(t, ""); p.find("x.test", 443) != nil {
		t.Error("an empty policy lists something")
	}
	p := policy(t, "hosts:\n  - {host: '*.x.test'}\n")
	for host, want := range map[string]bool{"a.x.test": true, "A.X.test.": true, "x.test": false, "evilx.test": false, ".x.test": false} {
		if (p.find(host, 443) != nil) != want {
			t.Errorf("%s: listed %t", host, !want)
		}
	}
}

func TestCredentialsOfMachinesAreNotReached(t *testing.T) {
	server, _, _ := far(t)
	_, client := start(t, policy(t, "hosts:\n  - {host: 169.254.169.254, plain: true}\n"), server)
	if status, _, err := get(client, "http://169.254.169.254/latest/meta-data/"); err != nil || status != http.StatusBadGateway {
		t.Errorf("%d %v", status, err)
	}
}
