package azuredevops

import (
	"testing"

	"github.com/backstitch/backstitch/connector"
)

func FuzzARemoteThatIsServedHasOnePlace(f *testing.F) {
	for _, remote := range []string{"https://dev.azure.com/acme/Web%20Shop/_git/shop", "git@ssh.dev.azure.com:v3/acme/web/shop", "https://acme.visualstudio.com/DefaultCollection/web/_git/shop", "https://dev.azure.com/acme/_git/a%2Fb", "acme@vs-ssh.visualstudio.com:v3/acme/%2e%2e/shop"} {
		f.Add(remote)
	}
	open, err := New(nil).Forge(connector.Values{"address": "https://dev.azure.com", "work-item-type": "Issue"})
	if err != nil {
		f.Fatal(err)
	}
	a := open.(forge).api
	f.Fuzz(func(t *testing.T, remote string) {
		at, ok := a.repository(remote)
		if !ok {
			return
		}
		for _, name := range []string{at.organization, at.project, at.name} {
			if !isName(name) {
				t.Errorf("%q is served as %q", remote, at)
			}
		}
		if again, ok := a.repository(a.page(at, "")); !ok || again != at {
			t.Errorf("%q is %q, whose page %q is %q", remote, at, a.page(at, ""), again)
		}
	})
}
