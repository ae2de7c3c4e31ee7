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
	for _, text := range []*string{
		&f.Rule, &f.Title, &f.Description, &f.SeverityText, &f.Vector, &f.Mitigation, &f.Path, &f.Anchor, &f.Commit,
		&f.Asset.Kind, &f.Asset.Key, &f.Asset.Name, &f.Package.Ecosystem, &f.Package.Name, &f.Package.Version, &f.Package.PURL,
		&f.Analysis.State, &f.Analysis.Justification, &f.Analysis.Detail, &f.Analysis.Source, &f.Position.Item,
	} {
		*text = strings.ReplaceAll(*text, secret, removed)
	}
	for _, list := range [][]string{f.Aliases, f.References, f.FixedVersions, f.Introduced} {
		for i := range list {
			list[i] = strings.ReplaceAll(list[i], secret, removed)
		}
	}
	if f.Attributes != nil {
		kept := make(map[string]string, len(f.Attributes))
		for name, value := range f.Attributes {
			kept[strings.ReplaceAll(name, secret, removed)] = strings.ReplaceAll(value, secret, removed)
		}
		f.Attributes = kept
	}
}
