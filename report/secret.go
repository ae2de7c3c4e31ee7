package report

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/backstitch/backstitch/fact"
)

// SecretAnchor stands in for a secret that a scanner found: a hash that tells whether
// two findings are of the same secret. Of a secret that the scanner blackened, or did
// not give, it hashes where the secret stands instead, of which all parts must stay
// when lines shift; "" when there are none.
func SecretAnchor(secret string, context ...string) string {
	if secret != "" && !Redacted(secret) {
		return "sha256:" + digest(secret)
	}
	if text := strings.Join(context, "\x00"); strings.Trim(text, "\x00") != "" {
		return "context:" + digest(text)
	}
	return ""
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Redacted says whether a scanner blackened a secret: wrote a word instead, stars or
// crosses, or only its beginning followed by dots.
func Redacted(secret string) bool {
	secret = strings.TrimSpace(secret)
	return strings.EqualFold(secret, "redacted") || strings.EqualFold(secret, "[redacted]") || strings.HasSuffix(secret, "...") || strings.Trim(secret, "*xX") == ""
}

const removed = "[removed]"

// ClearSecret takes a secret out of every text of a finding. A secret of one or two
// characters is in every text by chance.
func ClearSecret(f *fact.Finding, secret string) {
	secret = strings.TrimSuffix(strings.TrimSpace(secret), "...")
	if len(secret) < 3 || Redacted(secret) {
		return
	}
	for _, text := range []*string{&f.Rule, &f.Title, &f.Description, &f.Mitigation, &f.Path, &f.Commit, &f.Analysis.Detail} {
		*text = strings.ReplaceAll(*text, secret, removed)
	}
	for _, list := range [][]string{f.References, f.Aliases} {
		for i := range list {
			list[i] = strings.ReplaceAll(list[i], secret, removed)
		}
	}
	for name, value := range f.Attributes {
		f.Attributes[name] = strings.ReplaceAll(value, secret, removed)
	}
	f.Asset.Key = strings.ReplaceAll(f.Asset.Key, secret, removed)
	f.Asset.Name = strings.ReplaceAll(f.Asset.Name, secret, removed)
}
