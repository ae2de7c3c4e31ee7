package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	_ "modernc.org/sqlite" // the driver of the baseline

	"github.com/backstitch/backstitch/builtin"
	"github.com/backstitch/backstitch/intake"
	"github.com/backstitch/backstitch/store/sqlite"
)

// importFindings is how many findings the report of measureImport holds.
const importFindings = 100_000

// importChild selects, in a child process of this program, which import it is
// to measure: "ours" or "baseline", the report and the database.
const importChild = "BENCH_IMPORT_CHILD"

// measureImport imports a Trivy report of 100,000 findings twice, by intake and
// by the textbook way: encoding/json, one upsert of a wide row a finding,
// transactions of 10,000 rows. Each import is a process of its own, so that
// times and peak memory are those of the import alone.
var measureImport = Measurement{ID: "import", Run: func(ctx context.Context) ([]Row, error) {
	if job := os.Getenv(importChild); job != "" {
		return importJob(ctx, job)
	}
	folder, err := os.MkdirTemp("", "backstitch-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	name := filepath.Join(folder, "trivy.json")
	if err := writeTrivy(name, importFindings); err != nil {
		return nil, err
	}
	var first, again, base importFigures
	for _, step := range []struct {
		figures  *importFigures
		kind, db string
	}{
		{&base, "baseline", "baseline.db"},
		{&first, "ours", "ours.db"},
		{&again, "ours", "ours.db"},
	} {
		if *step.figures, err = runImport(ctx, step.kind, name, filepath.Join(folder, step.db)); err != nil {
			return nil, err
		}
	}
	if first.Written != importFindings || base.Written != importFindings {
		return nil, fmt.Errorf("%d and %d rows were written, expected %d", first.Written, base.Written, importFindings)
	}
	const against = "row-by-row upsert, encoding/json"
	ratio := base.CPU / first.CPU
	peak := max(first.PeakMB, again.PeakMB)
	return []Row{
		{What: "import of 100,000 findings", Value: first.CPU, Unit: "CPU s", Baseline: base.CPU, Against: against, Target: "6 times less", OK: ratio >= 6},
		{What: "the same, how many times less", Value: ratio, Unit: "times", Target: "at least 6", OK: ratio >= 6},
		{What: "import, peak memory", Value: peak, Unit: "MB", Baseline: base.PeakMB, Against: against, Target: "under 256", OK: peak < 256},
		{What: "unchanged re-import", Value: again.CPU, Unit: "CPU s", Target: "-", OK: true},
		{What: "unchanged re-import, finding rows written", Value: float64(again.Written), Unit: "rows", Target: "0", OK: again.Written == 0},
	}, nil
}}

// importFigures are what one child process measured.
type importFigures struct {
	CPU     float64 // seconds
	PeakMB  float64
	Written int
}

func runImport(ctx context.Context, kind, report, db string) (importFigures, error) {
	self, err := os.Executable()
	if err != nil {
		return importFigures{}, err
	}
	job, err := json.Marshal([]string{kind, report, db})
	if err != nil {
		return importFigures{}, err
	}
	cmd := exec.CommandContext(ctx, self, "-only", "import", "-o", "json")
	cmd.Env = append(os.Environ(), importChild+"="+string(job))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return importFigures{}, fmt.Errorf("import by %s: %w", kind, err)
	}
	var rows []Row
	if err := json.Unmarshal(out, &rows); err != nil || len(rows) != 3 {
		return importFigures{}, fmt.Errorf("import by %s: answered %q (%w)", kind, out, err)
	}
	return importFigures{rows[0].Value, rows[1].Value, int(rows[2].Value)}, nil
}

// importJob is the child's side of runImport.
func importJob(ctx context.Context, job string) ([]Row, error) {
	var args []string
	if err := json.Unmarshal([]byte(job), &args); err != nil || len(args) != 3 {
		return nil, fmt.Errorf("%s: expected kind, report and database", importChild)
	}
	run := importOurs
	if args[0] == "baseline" {
		run = importBaseline
	}
	before := processCPU()
	written, err := run(ctx, args[1], args[2])
	if err != nil {
		return nil, err
	}
	used := processCPU() - before
	peak, err := peakMB()
	if err != nil {
		return nil, err
	}
	return []Row{{What: "cpu", Value: used, OK: true}, {What: "peak", Value: peak, OK: true}, {What: "written", Value: float64(written), OK: true}}, nil
}

// processCPU gives the user and system seconds of this process so far.
func processCPU() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

// peakMB gives the peak resident memory of this process.
func peakMB() (float64, error) {
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		for line := range strings.Lines(string(status)) {
			if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				kb, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
				return kb / 1024, err
			}
		}
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, err
	}
	if runtime.GOOS == "darwin" {
		return float64(usage.Maxrss) / (1 << 20), nil
	}
	return float64(usage.Maxrss) / 1024, nil
}

func importOurs(ctx context.Context, name, database string) (written int, err error) {
	db, err := sqlite.Open(ctx, database)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	file, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	result, err := intake.Import(ctx, db, builtin.Readers(), "trivy.json", file, intake.Options{Now: time.Unix(1_760_000_000, 0)})
	if err != nil {
		return 0, err
	}
	if result.Seen() != importFindings || !result.Complete {
		return 0, fmt.Errorf("%d findings were read, complete %v", result.Seen(), result.Complete)
	}
	return result.Written(), nil
}

// trivyVulnerability is a vulnerability as the baseline reads it.
type trivyVulnerability struct {
	VulnerabilityID  string
	VendorIDs        []string
	PkgID            string
	PkgName          string
	PkgIdentifier    struct{ PURL, UID string }
	InstalledVersion string
	FixedVersion     string
	Status           string
	Layer            struct{ Digest, DiffID string }
	SeveritySource   string
	PrimaryURL       string
	DataSource       struct{ ID, Name, URL string }
	Title            string
	Description      string
	Severity         string
	CweIDs           []string
	VendorSeverity   map[string]int
	CVSS             map[string]struct {
		V3Vector string
		V3Score  float64
	}
	References       []string
	PublishedDate    string
	LastModifiedDate string
}

const (
	baselineSchema = `CREATE TABLE finding (
  id INTEGER PRIMARY KEY, fingerprint BLOB NOT NULL UNIQUE, artifact TEXT NOT NULL, target TEXT NOT NULL, vulnerability TEXT NOT NULL, package TEXT NOT NULL, package_id TEXT NOT NULL,
  purl TEXT, installed TEXT NOT NULL, fixed TEXT, status TEXT, layer TEXT, severity TEXT NOT NULL, title TEXT, description TEXT, url TEXT, source TEXT,
  cwe TEXT, cvss TEXT, refs TEXT, published TEXT, modified TEXT, first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL)`
	baselineByAsset = `CREATE INDEX finding_by_asset ON finding (artifact, target)`
	baselineByRule  = `CREATE INDEX finding_by_rule ON finding (vulnerability)`
	baselineUpsert  = `INSERT INTO finding (fingerprint, artifact, target, vulnerability, package, package_id, purl, installed, fixed, status, layer, severity, title,
  description, url, source, cwe, cvss, refs, published, modified, first_seen, last_seen)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (fingerprint) DO UPDATE SET purl = excluded.purl, installed = excluded.installed, fixed = excluded.fixed,
  status = excluded.status, layer = excluded.layer, severity = excluded.severity, title = excluded.title, description = excluded.description,
  url = excluded.url, source = excluded.source, cwe = excluded.cwe, cvss = excluded.cvss, refs = excluded.refs, published = excluded.published,
  modified = excluded.modified, last_seen = excluded.last_seen`
	baselineBatch = 10_000
)

// importBaseline is the table that one would write first: a wide row a finding,
// unique by a fingerprint, with indexes by asset and by rule. It streams the report
// through encoding/json and upserts with a prepared statement, in the same
// journal mode as ours.
func importBaseline(ctx context.Context, name, database string) (written int, err error) {
	db, err := sql.Open("sqlite", database+"?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=cache_size(-32768)&_pragma=page_size(8192)")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	for _, statement := range []string{baselineSchema, baselineByAsset, baselineByRule} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return 0, err
		}
	}
	file, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	b := baseline{ctx: ctx, db: db, now: time.Unix(1_760_000_000, 0).UnixMicro()}
	if err := b.read(json.NewDecoder(bufio.NewReaderSize(file, 1<<20))); err != nil {
		return 0, errors.Join(err, b.rollback())
	}
	return b.written, b.commit()
}

type baseline struct {
	ctx      context.Context
	db       *sql.DB
	tx       *sql.Tx
	upsert   *sql.Stmt
	artifact string
	now      int64
	pending  int
	written  int
}

// read walks the report's objects, decoding one vulnerability at a time.
func (b *baseline) read(in *json.Decoder) error {
	return object(in, func(key string) error {
		switch key {
		case "ArtifactName":
			return in.Decode(&b.artifact)
		case "Results":
			return array(in, func() error {
				target := ""
				return object(in, func(key string) error {
					switch key {
					case "Target":
						return in.Decode(&target)
					case "Vulnerabilities":
						return array(in, func() error {
							var v trivyVulnerability
							if err := in.Decode(&v); err != nil {
								return err
							}
							return b.put(target, &v)
						})
					}
					return skip(in)
				})
			})
		}
		return skip(in)
	})
}

func object(in *json.Decoder, member func(key string) error) error {
	if _, err := in.Token(); err != nil {
		return err
	}
	for in.More() {
		key, err := in.Token()
		if err != nil {
			return err
		}
		text, ok := key.(string)
		if !ok {
			return fmt.Errorf("expected a key, found %v", key)
		}
		if err := member(text); err != nil {
			return err
		}
	}
	_, err := in.Token()
	return err
}

func array(in *json.Decoder, element func() error) error {
	if _, err := in.Token(); err != nil {
		return err
	}
	for in.More() {
		if err := element(); err != nil {
			return err
		}
	}
	_, err := in.Token()
	return err
}

func skip(in *json.Decoder) error {
	var dropped json.RawMessage
	return in.Decode(&dropped)
}

func (b *baseline) put(target string, v *trivyVulnerability) error {
	if b.tx == nil {
		var err error
		if b.tx, err = b.db.BeginTx(b.ctx, nil); err != nil {
			return err
		}
		if b.upsert, err = b.tx.PrepareContext(b.ctx, baselineUpsert); err != nil {
			return err
		}
	}
	cvss, err := json.Marshal(v.CVSS)
	if err != nil {
		return err
	}
	fingerprint := sha256.Sum256([]byte(strings.Join([]string{b.artifact, target, v.VulnerabilityID, v.PkgID}, "\n")))
	result, err := b.upsert.ExecContext(b.ctx, fingerprint[:16], b.artifact, target, v.VulnerabilityID, v.PkgName, v.PkgID, v.PkgIdentifier.PURL, v.InstalledVersion,
		v.FixedVersion, v.Status, v.Layer.DiffID, v.Severity, v.Title, v.Description, v.PrimaryURL, v.DataSource.Name, strings.Join(v.CweIDs, " "),
		string(cvss), strings.Join(v.References, "\n"), v.PublishedDate, v.LastModifiedDate, b.now, b.now)
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err != nil {
		return err
	}
	b.written += int(n)
	if b.pending++; b.pending < baselineBatch {
		return nil
	}
	return b.commit()
}

func (b *baseline) commit() error {
	if b.tx == nil {
		return nil
	}
	err := errors.Join(b.upsert.Close(), b.tx.Commit())
	b.tx, b.pending = nil, 0
	return err
}

func (b *baseline) rollback() error {
	if b.tx == nil {
		return nil
	}
	return b.tx.Rollback()
}

// writeTrivy writes a report of one large image scan: 200 targets, 6,000
// advisories, 4,000 packages in several versions, all fields that Trivy gives,
// about 2.3 kB a finding.
func writeTrivy(name string, findings int) (err error) {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	out := bufio.NewWriterSize(file, 1<<20)
	random := rand.New(rand.NewPCG(1, 2))
	heads, advisories := make([]string, 6000), make([]json.RawMessage, 6000)
	for i := range advisories {
		if heads[i], advisories[i], err = trivyAdvisory(random, i); err != nil {
			return err
		}
	}
	const targets = 200
	fmt.Fprint(out, `{"SchemaVersion":2,"CreatedAt":"2025-10-09T08:53:20Z","ArtifactName":"registry.example/platform/everything:7.3.1","ArtifactType":"container_image",`+
		`"Metadata":{"OS":{"Family":"debian","Name":"12.7"},"ImageID":"sha256:`+strings.Repeat("ab", 32)+`"},"Results":[`)
	for t := range targets {
		if t > 0 {
			out.WriteByte(',')
		}
		fmt.Fprintf(out, `{"Target":"srv/app-%03d/package-lock.json","Class":"lang-pkgs","Type":"npm","Vulnerabilities":[`, t)
		for i := range findings / targets {
			if i > 0 {
				out.WriteByte(',')
			}
			n := t*(findings/targets) + i
			// Eight advisories a package and 63 packages a target, which share them.
			pkg := (t*37 + i/8) % 4000
			name, version := fmt.Sprintf("package-%04d", pkg), fmt.Sprintf("%d.%d.%d", pkg%5, (pkg+t)%6, pkg%20)
			which := (n * 7) % len(advisories)
			advisory := advisories[which]
			fmt.Fprintf(out, `{%s,"PkgID":"%s@%s","PkgName":"%s","PkgPath":"","PkgIdentifier":{"PURL":"pkg:npm/%s@%s","UID":"%016x"},"InstalledVersion":"%s",`+
				`"FixedVersion":"%d.%d.%d, %d.0.0","Status":"fixed","Layer":{"Digest":"sha256:%s","DiffID":"sha256:%s"},%s}`,
				heads[which], name, version, name, name, version, random.Uint64(), version, random.IntN(9), random.IntN(20), random.IntN(9), 10+random.IntN(5),
				strings.Repeat(fmt.Sprintf("%02x", t%40), 32), strings.Repeat(fmt.Sprintf("%02x", t%40+100), 32), advisory[1:len(advisory)-1])
		}
		fmt.Fprint(out, `]}`)
	}
	fmt.Fprintln(out, `]}`)
	return out.Flush()
}

// trivyAdvisory gives the parts of a finding that its advisory decides, in the
// order of Trivy's own: the ids that an item begins with, and the object of what
// follows the package.
func trivyAdvisory(random *rand.Rand, n int) (head string, rest json.RawMessage, err error) {
	words := strings.Fields("a crafted request lets remote attackers read memory of the process because the parser trusts a length field before checking its bounds in the decoder")
	text := func(count int) string {
		var list []string
		for range count {
			list = append(list, words[random.IntN(len(words))])
		}
		return strings.Join(list, " ")
	}
	id := fmt.Sprintf("CVE-%d-%05d", 2015+n%11, 10000+n)
	var references []string
	for i := range 6 + random.IntN(6) {
		references = append(references, fmt.Sprintf("https://advisories.example/%d/%s#%d", i, id, random.IntN(1000)))
	}
	type score struct {
		V3Vector string
		V3Score  float64
	}
	vector := score{"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", float64(40+random.IntN(60)) / 10}
	head = fmt.Sprintf(`"VulnerabilityID":"%s","VendorIDs":["GHSA-%04d-aaaa-bbbb"]`, id, n)
	rest, err = json.Marshal(struct {
		SeveritySource, PrimaryURL      string
		DataSource                      map[string]string
		Title, Description, Severity    string
		CweIDs                          []string
		VendorSeverity                  map[string]int
		CVSS                            map[string]score
		References                      []string
		PublishedDate, LastModifiedDate string
	}{
		"ghsa", "https://avd.aquasec.com/nvd/" + strings.ToLower(id),
		map[string]string{"ID": "ghsa", "Name": "GitHub Security Advisory npm", "URL": "https://github.com/advisories?query=type%3Areviewed+ecosystem%3Anpm"},
		text(8), text(110), []string{"LOW", "MEDIUM", "HIGH", "CRITICAL"}[random.IntN(4)],
		[]string{"CWE-79", fmt.Sprintf("CWE-%d", 20+n%300)},
		map[string]int{"ghsa": 3, "nvd": 3, "redhat": 2},
		map[string]score{"ghsa": vector, "nvd": vector, "redhat": vector},
		references, "2024-03-01T12:15:08.51Z", "2025-02-13T17:15:45.123Z",
	})
	return head, rest, err
}
