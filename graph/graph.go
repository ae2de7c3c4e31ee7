// Package graph is the security graph: assets, the relations between them and who
// claims to own them, each with the evidence for it.
//
// Facts come in runs of sources. A source reads in scopes; what an earlier run saw
// in a scope is gone only when a later run covered that scope and did not see it
// (law 2), so that a look that failed half way deletes nothing. Several scopes may
// say the same of an asset: it is gone when all of them say so. Every relation has
// evidence (law 3). Rows that did not change are not written again: "last seen" is
// that of the newest run that covered the scope. What changed or went keeps its
// past, so that the graph can be asked as it was at a time.
//
// What sources say is kept apart by scope and joined when it is read; what
// contradicts is listed and never averaged.
//
// An Index answers walks from memory: a compressed adjacency list in both
// directions, under 20 bytes an edge, made from SQL once and then kept up with each
// change by a merge, replaced as a whole, so that readers never lock.
package graph

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/store"
)

//go:embed queries.sql
var queryText string

var queries = store.ParseQueries("graph", queryText)

// Queries lists the queries of this package, for the conformance suite.
func Queries() *store.Queries { return queries }

var (
	selectSource     = queries.Named("source")
	insertSource     = queries.Named("insert_source")
	selectScope      = queries.Named("scope")
	insertScope      = queries.Named("insert_scope")
	scopeNames       = queries.Named("scope_names")
	latestStart      = queries.Named("latest_start")
	insertRun        = queries.Named("insert_run")
	endRuns          = queries.Named("end_runs")
	endOldRuns       = queries.Named("end_old_runs")
	runStarted       = queries.Named("run_started")
	runAsOf          = queries.Named("run_as_of")
	listCovered      = queries.Named("covered")
	coverScope       = queries.Named("cover")
	lastCovered      = queries.Named("last_covered")
	selectGeneration = queries.Named("generation")
	selectAsset      = queries.Named("asset")
	insertAsset      = queries.Named("insert_asset")
	renameAsset      = queries.Named("rename_asset")
	assetByID        = queries.Named("asset_by_id")
	assetsNamed      = queries.Named("assets_named")
	assetsLike       = queries.Named("assets_like")
	assetsLikeOfKind = queries.Named("assets_like_of_kind")
	assetsAfter      = queries.Named("assets_after")
	everyAsset       = queries.Named("every_asset")
	lastGone         = queries.Named("gone")
	assetTold        = queries.Named("told")
	firstAffected    = queries.Named("affected")
	listKinds        = queries.Named("kinds")
	insertKind       = queries.Named("insert_kind")
	selectEvidence   = queries.Named("evidence")
	insertEvidence   = queries.Named("insert_evidence")
	evidenceDoc      = queries.Named("evidence_doc")
	nodeLives        = queries.Named("node_lives")
	nodesOfAsset     = queries.Named("nodes_of_asset")
	pastNodesOfAsset = queries.Named("past_nodes_of_asset")
	edgeLives        = queries.Named("edge_lives")
	edgesOut         = queries.Named("edges_out")
	edgesIn          = queries.Named("edges_in")
	edgesBetween     = queries.Named("edges_between")
	pastEdgesOut     = queries.Named("past_edges_out")
	pastEdgesIn      = queries.Named("past_edges_in")
	pastEdgesBetween = queries.Named("past_edges_between")
	everyEdge        = queries.Named("every_edge")
	everyPastEdge    = queries.Named("every_past_edge")
	everyNode        = queries.Named("every_node")
	everyPastNode    = queries.Named("every_past_node")
	everyAffected    = queries.Named("every_affected")
	everyAffectedAt  = queries.Named("every_affected_as_of")
	everyKind        = queries.Named("every_kind")
	nodesSaying      = queries.Named("nodes_saying")
	claimsOf         = queries.Named("claims_of_subject")
	pastClaimsOf     = queries.Named("past_claims_of_subject")
	insertStage      = queries.Named("stage")
	stagePage        = queries.Named("stage_page")
	stageSize        = queries.Named("stage_size")
	scopeSize        = queries.Named("scope_size")
	clearStage       = queries.Named("clear_stage")
	clearStages      = queries.Named("clear_stages")
)

// Graph is the graph of one database. It is safe for concurrent use.
type Graph struct {
	db      store.Engine
	index   atomic.Pointer[Index]
	build   sync.Mutex   // held by whoever makes or replaces the index
	pending []*change    // committed since the index; guarded by build
	latest  atomic.Int64 // generation of the index with what is pending
	writing atomic.Int64 // scopes being written
	past    atomic.Pointer[pastIndex]
	held    int // facts of a run that are kept in memory; the rest is put aside in SQL
}

// pastIndex is the index as of a run, kept for the next question about that time.
type pastIndex struct {
	run        int64
	generation int64
	index      *Index
}

// maxHeld is how many facts of a run wait in memory, about 300 bytes each.
const maxHeld = 100_000

// Open prepares the graph of a database. The index is made when it is first asked
// for.
func Open(db store.Engine) *Graph { return &Graph{db: db, held: maxHeld} }

// Errors of the graph.
var (
	ErrNoEvidence = errors.New("expected evidence with a method, a source and a known strength")
	ErrNotFound   = errors.New("there is no such asset")
	ErrTooWide    = errors.New("the search goes too wide")
)

// strengths, strongest first.
var strengths = []fact.Strength{fact.Proven, fact.Attested, fact.Declared, fact.Derived, fact.Guess}

// rankOf orders strengths, the strongest first; one that is not known comes last.
func rankOf(s fact.Strength) int {
	if at := slices.Index(strengths, s); at >= 0 {
		return at
	}
	return len(strengths)
}

// ConfidenceOf is the confidence of evidence of a strength whose source gives none.
func ConfidenceOf(s fact.Strength) float64 {
	return [...]float64{1, .9, .75, .6, .3, 0}[rankOf(s)]
}

// Kinds lists the kinds of assets that Backstitch knows of.
func Kinds() []string {
	return []string{
		fact.AssetAccount, fact.AssetResource, fact.AssetCluster, fact.AssetDockerfile, fact.AssetFile, fact.AssetHost, fact.AssetIdentity, fact.AssetImage,
		fact.AssetInternet, fact.AssetKubernetes, fact.AssetLayer, fact.AssetModule, fact.AssetPackage, fact.AssetPerson, fact.AssetPipelineRun, fact.AssetProject,
		fact.AssetRepository, fact.AssetService, fact.AssetTeam, fact.AssetTerraform, fact.AssetUnknown, fact.AssetWorkload,
	}
}

// Relations lists the kinds of relations that Backstitch knows of.
func Relations() []fact.RelationKind {
	return []fact.RelationKind{
		fact.BuiltFrom, fact.CanAssume, fact.Controls, fact.CreatedBy, fact.DeclaredAt, fact.DeclaredBy, fact.DependsOn, fact.Exposes, fact.Guards, fact.HasLayer,
		fact.InModule, fact.InstalledIn, fact.InstanceOf, fact.LockedAt, fact.MayAct, fact.MemberOf, fact.OwnedBy, fact.PackagedBy, fact.PackagedFrom, fact.PartOf,
		fact.RequiredBy, fact.RunsAs, fact.RunsIn,
	}
}

// ensure gives the id of a row found by its key, inserting it when there is none.
func ensure(ctx context.Context, tx store.Tx, sequence string, find, insert *store.Query, key ...store.Value) (id int64, err error) {
	if err := tx.Query(ctx, find, func(row store.Row) error { id = row.Int(0); return nil }, key...); err != nil || id != 0 {
		return id, err
	}
	if id, err = store.ReserveIDs(ctx, tx, sequence, 1); err != nil {
		return 0, err
	}
	_, err = tx.Exec(ctx, insert, append([]store.Value{store.Int(id)}, key...)...)
	return id, err
}

// number gives the one integer of a query, 0 when it gives no row.
func number(ctx context.Context, tx store.Tx, query *store.Query, args ...store.Value) (n int64, err error) {
	err = tx.Query(ctx, query, func(row store.Row) error { n = row.Int(0); return nil }, args...)
	return n, err
}

// maxKinds is how many kinds of relations a graph tells apart.
const maxKinds = 255

// kinds reads the names of the kinds of relations, by their numbers.
func kinds(ctx context.Context, tx store.Tx) ([]fact.RelationKind, error) {
	names := make([]fact.RelationKind, 1, 32) // numbers count from 1
	err := tx.Query(ctx, listKinds, func(row store.Row) error {
		id := row.Int(0)
		if id != int64(len(names)) {
			return fmt.Errorf("kinds of relations: number %d follows %d", id, len(names)-1)
		}
		names = append(names, fact.RelationKind(row.Text(1)))
		return nil
	})
	return names, err
}

// likeText makes a text that LIKE takes letter by letter.
func likeText(text string) string {
	return strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(text)
}
