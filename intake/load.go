package intake

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/issue"
	"github.com/backstitch/backstitch/store"
)

var (
	selectAssets      = queries.Named("assets")
	selectFindings    = queries.Named("findings")
	selectFlawDoc     = queries.Named("flaw_doc")
	selectPartDoc     = queries.Named("part_doc")
	selectAliases     = queries.Named("aliases")
	statementsOfAsset = queries.Named("statements_of_asset")
)

// Load reads the findings of assets (kind and key count, all assets when there
// is none) in a fixed order: by asset, detector and fingerprint. Statements that
// apply to a finding are in its Analysis.
func Load(ctx context.Context, db store.Engine, assets []fact.Asset) ([]issue.StoredFinding, error) {
	var findings []issue.StoredFinding
	err := db.Read(ctx, func(tx store.Tx) error {
		l := &loader{ctx: ctx, tx: tx, flaws: map[int64]flawDoc{}, packages: map[int64]fact.Package{}, places: map[int64]placeDoc{}, extras: map[int64]map[string]string{}}
		if err := l.classes(); err != nil {
			return err
		}
		type row struct {
			id    int64
			asset fact.Asset
		}
		var rows []row
		if err := tx.Query(ctx, selectAssets, func(r store.Row) error {
			rows = append(rows, row{r.Int(0), fact.Asset{Kind: r.Text(1), Key: r.Text(2), Name: r.Text(3)}})
			return nil
		}); err != nil {
			return err
		}
		for _, r := range rows {
			wanted := len(assets) == 0 || slices.ContainsFunc(assets, func(a fact.Asset) bool { return a.Kind == r.asset.Kind && a.Key == r.asset.Key })
			if !wanted {
				continue
			}
			found, err := l.asset(r.id, r.asset)
			if err != nil {
				return fmt.Errorf("asset %s: %w", r.asset.Key, err)
			}
			findings = append(findings, found...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load findings: %w", err)
	}
	return findings, nil
}

type loader struct {
	ctx      context.Context
	tx       store.Tx
	class    map[string]int64
	members  map[int64][]string
	flaws    map[int64]flawDoc
	packages map[int64]fact.Package
	places   map[int64]placeDoc
	extras   map[int64]map[string]string
}

func (l *loader) classes() error {
	l.class, l.members = map[string]int64{}, map[int64][]string{}
	return l.tx.Query(l.ctx, selectAliases, func(row store.Row) error {
		id, class := row.Text(0), row.Int(1)
		l.class[id] = class
		l.members[class] = append(l.members[class], id)
		return nil
	})
}

// of lists the ids of the class that rule belongs to.
func (l *loader) of(rule string) []string {
	if class, ok := l.class[rule]; ok {
		return l.members[class]
	}
	return []string{rule}
}

func (l *loader) asset(id int64, asset fact.Asset) ([]issue.StoredFinding, error) {
	statements, err := l.statements(id)
	if err != nil {
		return nil, err
	}
	type refs struct{ flaw, pkg, place, extra int64 }
	var findings []issue.StoredFinding
	var pointers []refs
	var buf []byte
	err = l.tx.Query(l.ctx, selectFindings, func(row store.Row) error {
		buf = row.Bytes(0, buf[:0])
		f := issue.StoredFinding{
			ID:   fmt.Sprintf("%s-%d", hex.EncodeToString(buf), row.Int(1)),
			Tool: row.Text(2), Format: row.Text(3), State: issue.FindingOpen,
			FirstSeen: row.Int(14), LastSeen: row.Int(15), Report: row.Text(17), Blob: row.Int(21),
		}
		f.Kind, f.Rule, f.Asset = fact.Kind(row.Text(22)), row.Text(23), asset
		f.EPSS = row.Float(24)
		f.Line, f.EndLine, f.Severity = int(row.Int(9)), int(row.Int(10)), fact.Severity(row.Int(11))
		f.Position = fact.Position{Offset: row.Int(19), Length: row.Int(20), Item: row.Text(18)}
		if row.Int(12) == stateUnconfirmed {
			f.State = issue.FindingUnconfirmed
		}
		if !row.Null(8) {
			if err := json.Unmarshal([]byte(row.Text(8)), &f.FixedVersions); err != nil {
				return err
			}
		}
		if !row.Null(13) {
			if err := json.Unmarshal([]byte(row.Text(13)), &f.Analysis); err != nil {
				return err
			}
		}
		f.Class = l.of(f.Rule)
		findings = append(findings, f)
		pointers = append(pointers, refs{row.Int(4), row.Int(5), row.Int(6), row.Int(7)})
		return nil
	}, store.Int(id))
	if err != nil {
		return nil, err
	}
	for i := range findings {
		f := &findings[i]
		p := pointers[i]
		flaw, err := document(l, l.flaws, selectFlawDoc, p.flaw)
		if err != nil {
			return nil, err
		}
		f.Aliases, f.Title, f.Description, f.SeverityText = flaw.Aliases, flaw.Title, flaw.Description, flaw.SeverityText
		f.Score, f.Vector, f.CWE, f.References, f.Mitigation = flaw.Score, flaw.Vector, flaw.CWE, flaw.References, flaw.Mitigation
		if f.Package, err = document(l, l.packages, selectPartDoc, p.pkg); err != nil {
			return nil, err
		}
		place, err := document(l, l.places, selectPartDoc, p.place)
		if err != nil {
			return nil, err
		}
		f.Path, f.Anchor, f.Commit, f.Introduced = place.Path, place.Anchor, place.Commit, place.Introduced
		if f.Attributes, err = document(l, l.extras, selectPartDoc, p.extra); err != nil {
			return nil, err
		}
		f.Analysis = issue.CombineAnalyses(append([]fact.Analysis{f.Analysis}, l.apply(statements, f)...)...)
	}
	return findings, nil
}

// document reads and keeps one document of the dictionary.
func document[T any](l *loader, known map[int64]T, query *store.Query, id int64) (T, error) {
	if doc, ok := known[id]; ok {
		return doc, nil
	}
	var doc T
	found := false
	err := l.tx.Query(l.ctx, query, func(row store.Row) error {
		found = true
		return json.Unmarshal([]byte(row.Text(0)), &doc)
	}, store.Int(id))
	if err == nil && !found {
		err = fmt.Errorf("document %d: %w", id, store.ErrNotFound)
	}
	known[id] = doc
	return doc, err
}

// statements reads those about an asset, by class and by id, the newest last.
func (l *loader) statements(asset int64) (map[string][]fact.Statement, error) {
	byName := map[string][]fact.Statement{}
	err := l.tx.Query(l.ctx, statementsOfAsset, func(row store.Row) error {
		var s fact.Statement
		if err := json.Unmarshal([]byte(row.Text(0)), &s); err != nil {
			return err
		}
		for _, name := range l.names(append([]string{s.Advisory}, s.Aliases...)) {
			byName[name] = append(byName[name], s)
		}
		return nil
	}, store.Int(asset))
	return byName, err
}

// names gives a key for each class that ids belong to.
func (l *loader) names(ids []string) []string {
	var names []string
	for _, id := range ids {
		if id == "" {
			continue
		}
		if class, ok := l.class[id]; ok {
			names = append(names, fmt.Sprint(class))
		} else {
			names = append(names, "id "+id)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// apply lists the analyses of statements that name a finding's class and product.
func (l *loader) apply(statements map[string][]fact.Statement, f *issue.StoredFinding) []fact.Analysis {
	if len(statements) == 0 {
		return nil
	}
	var list []fact.Analysis
	for _, name := range l.names([]string{f.Rule}) {
		for _, s := range statements[name] {
			if len(s.Products) == 0 || slices.ContainsFunc(s.Products, func(product string) bool { return names(product, f) }) {
				a := s.Analysis
				a.Source = cmp.Or(a.Source, "vex")
				list = append(list, a)
			}
		}
	}
	return list
}

// names says whether a product of a statement is the finding's package or
// asset. A product without version names every version.
func names(product string, f *issue.StoredFinding) bool {
	if product == "" {
		return false
	}
	if product == f.Asset.Key || product == f.Package.PURL || product == f.Attributes["bom-ref"] {
		return true
	}
	p, ok := fact.ParsePURL(product)
	if !ok || p.Ecosystem == "" {
		return false
	}
	own, ok := fact.ParsePURL(f.Package.PURL)
	if !ok {
		own = f.Package
	}
	return p.Ecosystem == own.Ecosystem && strings.EqualFold(p.Name, own.Name) && (p.Version == "" || p.Version == own.Version)
}
