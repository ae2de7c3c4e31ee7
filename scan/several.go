package scan

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fact"
)

// Several makes one scanner of many, which look one after the other.
func Several(scanners ...Scanner) Scanner {
	if len(scanners) == 1 {
		return scanners[0]
	}
	return several(scanners)
}

type several []Scanner

// Describe names all of them; the digest of the rules is that of theirs in order.
func (s several) Describe() Description {
	var ids, names, docs []string
	sum := sha256.New()
	for _, one := range s {
		d := one.Describe()
		ids, names, docs = append(ids, d.ID), append(names, d.Name), append(docs, d.Docs)
		fmt.Fprintf(sum, "%s %s\n", d.ID, d.Rules)
	}
	return Description{
		ID: strings.Join(ids, "+"), Name: strings.Join(names, ", "), Docs: strings.Join(docs, "\n\n"),
		Rules: "sha256:" + hex.EncodeToString(sum.Sum(nil)),
	}
}

// Scan lets each scanner look; the error of one ends the look.
func (s several) Scan(ctx context.Context, tree code.Tree, found func(fact.Finding) error) (problems []Problem, err error) {
	for _, one := range s {
		more, err := one.Scan(ctx, tree, found)
		problems = append(problems, more...)
		if err != nil {
			return problems, fmt.Errorf("%s: %w", one.Describe().ID, err)
		}
	}
	return problems, nil
}
