package report

import "testing"

func TestHostsGoByTheirNameAlone(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"https://Shop.test:8443/a?b=c": "shop.test", "shop.test:22": "shop.test", "10.0.0.1": "10.0.0.1", "http://u:p@shop.test/": "shop.test",
		"[2001:db8::1]:443": "2001:db8::1", "2001:db8::1": "2001:db8::1", "shop.test.": "shop.test", "": "",
	} {
		if got := HostAsset(address); got.Key != want || (want == "") != (got.Kind == "unknown") {
			t.Errorf("%q is %+v, want %q", address, got, want)
		}
	}
}

func TestAPlainURLHoldsNoSecret(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"https://u:p@a.test/x?token=1#y": "https://a.test/x", "a.test:22": "a.test:22", "http://a.test": "http://a.test", "": "",
	} {
		if got := PlainURL(address); got != want {
			t.Errorf("%q is %q, want %q", address, got, want)
		}
	}
}
