package intake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/report"
	"github.com/backstitch/backstitch/store"
)

// The detector of exposures, and what it looks at.
const (
	exposureTool   = "backstitch exposure"
	exposureTarget = "graph"
)

var assetsOfTarget = syncQueries.Named("assets_of_target")

// maxExposed bounds the things that are judged.
const maxExposed = 10_000

var internet = fact.Asset{Kind: fact.AssetInternet, Key: "internet", Name: "internet"}

// Exposures judges what the internet reaches in the graph: databases, remote access
// and administration that are open to it, public buckets, functions without
// authentication, APIs of clusters, dashboards. Websites, which are meant to be
// reached, are none.
//
// The graph keeps a way until a run that covered its scope no longer tells it. So a
// finding whose way is gone becomes unconfirmed, and one behind a gap stays.
func Exposures(ctx context.Context, db store.Engine, g *graph.Graph, now time.Time) (Result, error) {
	x := &exposures{ctx: ctx, g: g, given: map[exposureKey]bool{}}
	if err := x.look(); err != nil {
		return Result{}, fmt.Errorf("what the internet reaches: %w", err)
	}
	run := fact.Run{Tool: exposureTool, Format: exposureTarget, Complete: !x.more}
	listed := map[[2]string]bool{}
	list := func(a fact.Asset) {
		if key := [2]string{a.Kind, a.Key}; !listed[key] {
			listed[key] = true
			run.Assets = append(run.Assets, a)
		}
	}
	err := db.Read(ctx, func(tx store.Tx) error {
		return tx.Query(ctx, assetsOfTarget, func(row store.Row) error {
			list(fact.Asset{Kind: row.Text(0), Key: row.Text(1), Name: row.Text(2)})
			return nil
		}, store.Text(exposureTool), store.Text(exposureTarget))
	})
	if err != nil {
		return Result{}, fmt.Errorf("exposures: %w", err)
	}
	for _, f := range x.found {
		list(f.Asset)
	}
	if len(run.Assets) == 0 {
		return Result{}, nil
	}
	result, err := Facts(ctx, db, exposureTool, Options{Target: exposureTarget, Now: now}, nil, func(to report.Sink) error {
		if err := to.Run(run); err != nil {
			return err
		}
		for _, f := range x.found {
			if err := to.Finding(f); err != nil {
				return err
			}
		}
		return nil
	})
	if x.more {
		result.Problems = append(result.Problems, fmt.Sprintf("the internet reaches more than %d things; the others were not judged", maxExposed))
	}
	return result, err
}

// exposures is one look at the graph.
type exposures struct {
	ctx   context.Context
	g     *graph.Graph
	found []fact.Finding
	given map[exposureKey]bool
	more  bool
}

type exposureKey struct{ kind, key, rule string }

func (x *exposures) look() error {
	if _, err := x.g.Asset(x.ctx, internet.Kind, internet.Key, time.Time{}); errors.Is(err, graph.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	reached, err := x.query("internet -exposes-> *")
	if err != nil {
		return err
	}
	for _, a := range reached {
		view, err := x.g.Asset(x.ctx, a.Kind, a.Key, time.Time{})
		if err != nil {
			return err
		}
		if err := x.judge(&view); err != nil {
			return err
		}
	}
	workloads, err := x.query("internet -exposes*1..6-> workload")
	if err != nil {
		return err
	}
	for _, a := range workloads {
		if err := x.program(a); err != nil {
			return err
		}
	}
	slices.SortStableFunc(x.found, func(a, b fact.Finding) int {
		return cmp.Or(cmp.Compare(a.Asset.Kind, b.Asset.Kind), cmp.Compare(a.Asset.Key, b.Asset.Key), cmp.Compare(a.Rule, b.Rule))
	})
	return nil
}

// query gives what is last in the rows of a pattern, each once.
func (x *exposures) query(text string) ([]fact.Asset, error) {
	pattern, err := graph.ParsePattern(text)
	if err != nil {
		return nil, err
	}
	answer, err := x.g.Query(x.ctx, pattern, graph.QueryOptions{Limit: maxExposed})
	if err != nil {
		return nil, err
	}
	x.more = x.more || answer.More
	var last []fact.Asset
	seen := map[fact.Asset]bool{}
	for _, row := range answer.Rows {
		if a := row[len(row)-1]; !seen[a] {
			seen[a] = true
			last = append(last, a)
		}
	}
	return last, nil
}

// said joins what sources say of a relation; of two values the first counts, which is
// that of the strongest.
func said(n *graph.Neighbour) map[string]string {
	all := map[string]string{}
	for _, witness := range n.Evidence {
		for name, value := range witness.Properties {
			if _, known := all[name]; !known {
				all[name] = value
			}
		}
	}
	return all
}

// judge judges one thing that the internet reaches at once, for each source's way.
func (x *exposures) judge(v *graph.View) error {
	at := slices.IndexFunc(v.In, func(n graph.Neighbour) bool { return n.Kind == fact.Exposes && n.Asset.Kind == fact.AssetInternet })
	if at < 0 {
		return nil
	}
	way := said(&v.In[at])
	kind := v.Properties["type"]
	switch {
	case kind == "ec2:security-group":
		return x.group(v, way["ports"])
	case kind == "elasticloadbalancing:loadbalancer":
		return x.listeners(v)
	case kind == "s3:bucket" || strings.HasPrefix(v.Asset.Key, "arn:aws") && strings.Contains(v.Asset.Key, ":s3:::"):
		return x.bucket(v, &v.In[at])
	case kind == "ec2:image":
		return x.add(exposure{asset: v.Asset, rule: "public-image", title: "Everyone may start the machine image " + v.Asset.Name, severity: fact.SeverityMedium})
	case v.Asset.Kind == fact.AssetCluster:
		return x.add(exposure{
			asset: resourceOf(v.Asset), rule: "cluster-api", title: "The API of cluster " + v.Asset.Name + " is open to the internet", severity: fact.SeverityMedium,
			ports: way["ports"], decides: "vpc_config[0].public_access_cidrs,vpc_config[0].endpoint_public_access",
		})
	case strings.Contains(way["through"], "without authentication"):
		return x.add(exposure{
			asset: resourceOf(v.Asset), rule: "function-without-authentication", title: "Function " + v.Asset.Name + " can be called from the internet without authentication",
			severity: fact.SeverityHigh, ports: way["ports"], detail: v.Properties["url"], decides: "authorization_type",
		})
	case v.Properties["kind"] == "Service" && v.Asset.Kind == fact.AssetKubernetes:
		return x.ports(v, cmp.Or(way["ports"], v.Properties["ports"]), exposure{asset: v.Asset, field: "spec.type", detail: way["reason"]})
	}
	ports := way["ports"]
	for _, m := range hostPort.FindAllStringSubmatch(way["detail"]+" "+way["reason"], -1) {
		ports += ", tcp/" + m[1]
	}
	return x.ports(v, ports, exposure{asset: v.Asset, detail: way["reason"]})
}

var hostPort = regexp.MustCompile(`hostPort ([0-9]+)`)

// resourceOf gives the cloud resource that a workload or cluster of a cloud is.
func resourceOf(a fact.Asset) fact.Asset {
	if strings.HasPrefix(a.Key, "arn:") {
		a.Kind = fact.AssetResource
	}
	return a
}

// exposure is one thing to tell.
type exposure struct {
	asset    fact.Asset
	rule     string // behind "exposure/"
	title    string
	severity fact.Severity
	ports    string
	detail   string // for people
	field    string // path in a manifest that decides
	decides  string // attributes in Terraform that may decide, the first that is set counts
}

// add gives the finding of an exposure, with the way in.
func (x *exposures) add(e exposure) error {
	key := exposureKey{e.asset.Kind, e.asset.Key, e.rule}
	if x.given[key] {
		return nil
	}
	x.given[key] = true
	f := fact.Finding{
		Kind: fact.Exposure, Rule: "exposure/" + e.rule, Title: e.title, Severity: e.severity, SeverityText: e.severity.String(),
		Asset: e.asset, Anchor: e.rule, Attributes: map[string]string{},
	}
	for _, kind := range []string{e.asset.Kind, fact.AssetWorkload, fact.AssetCluster} { // one key may be of several kinds
		to := e.asset
		to.Kind = kind
		ways, err := x.g.Paths(x.ctx, internet, to, graph.PathOptions{Follow: []graph.Follow{{Kind: fact.Exposes, Way: graph.Forward}, {Kind: fact.Guards, Way: graph.Forward}}, Depth: 8})
		if err != nil && !errors.Is(err, graph.ErrNotFound) {
			return err
		}
		if len(ways.Paths) > 0 {
			text, evidence := wayText(&ways.Paths[0])
			f.Attributes["way"], f.Attributes["strength"] = text, string(ways.Paths[0].Strength)
			f.Description = "The way in, " + string(ways.Paths[0].Strength) + ": " + text + " (" + evidence + ")."
			break
		}
	}
	if e.detail != "" {
		f.Description = strings.TrimSpace(f.Description + " " + strings.ToUpper(e.detail[:1]) + e.detail[1:] + ".")
	}
	for name, value := range map[string]string{"ports": e.ports, "field": e.field, "decides": e.decides} {
		if value != "" {
			f.Attributes[name] = value
		}
	}
	x.found = append(x.found, f)
	return nil
}

// wayText writes a way for people, and the methods that tell it.
func wayText(p *graph.Path) (text, evidence string) {
	names, methods := []string{}, []string{}
	for _, a := range p.Assets {
		name := cmp.Or(a.Name, a.Key)
		if a.Kind != fact.AssetInternet {
			name = strings.ReplaceAll(a.Kind, "_", " ") + " " + name
		}
		names = append(names, name)
	}
	for _, step := range p.Steps {
		if len(step.Evidence) > 0 {
			if method := step.Evidence[0].Method + " by " + step.Evidence[0].By; !slices.Contains(methods, method) {
				methods = append(methods, method)
			}
		}
	}
	return strings.Join(names, " > "), strings.Join(methods, ", ")
}

// group judges a security group that lets the world in, and the databases behind it.
func (x *exposures) group(v *graph.View, ports string) error {
	behind, public := []string{}, false
	for _, n := range v.Out {
		if n.Kind != fact.Guards {
			continue
		}
		thing, err := x.g.Asset(x.ctx, n.Asset.Kind, n.Asset.Key, time.Time{})
		if err != nil {
			return fmt.Errorf("behind %s: %w", v.Asset.Key, err)
		}
		behind = append(behind, cmp.Or(thing.Asset.Name, thing.Asset.Key))
		switch says := thing.Properties; says["type"] {
		case "ec2:instance":
			public = public || says["public_ip"] != ""
		case "rds:db", "rds:cluster":
			public = public || says["publicly_accessible"] != "false"
			if says["publicly_accessible"] == "true" && covers(ports, "tcp", says["port"]) {
				if err := x.add(exposure{
					asset: thing.Asset, rule: "database", title: strings.TrimSpace("The internet reaches the database " + thing.Asset.Name + " " + bracketed(says["engine"])), severity: fact.SeverityCritical,
					ports: "tcp/" + cmp.Or(says["port"], "any"), decides: "publicly_accessible",
				}); err != nil {
					return err
				}
			}
		case "elasticloadbalancing:loadbalancer":
			public = public || says["scheme"] == "internet-facing"
		default:
			public = true // what has no address of its own to look at
		}
	}
	e := exposure{asset: v.Asset, decides: "ingress"}
	switch {
	case len(behind) == 0:
		e.severity, e.detail = fact.SeverityLow, "nothing is known to stand behind it"
	case !public:
		e.severity, e.detail = fact.SeverityLow, "nothing behind it has a public address: "+someOf(behind)
	default:
		e.detail = "behind it: " + someOf(behind)
	}
	return x.ports(v, ports, e)
}

func bracketed(text string) string {
	if text == "" {
		return ""
	}
	return "(" + text + ")"
}

// someOf lists names, at most ten of them.
func someOf(names []string) string {
	slices.Sort(names)
	if n := len(names); n > 10 {
		return strings.Join(names[:10], ", ") + fmt.Sprintf(" and %d more", n-10)
	}
	return strings.Join(names, ", ")
}

// listeners judges what a load balancer listens to.
func (x *exposures) listeners(v *graph.View) error {
	ports := map[string]bool{}
	for i := range v.Out {
		if v.Out[i].Kind != fact.Exposes {
			continue
		}
		for _, witness := range v.Out[i].Evidence {
			if text := witness.Properties["ports"]; text != "" {
				ports[text] = true
			}
		}
	}
	return x.ports(v, strings.Join(slices.Sorted(maps.Keys(ports)), ", "), exposure{asset: v.Asset, decides: "internal"})
}

// bucket judges a bucket that a policy or an ACL opens.
func (x *exposures) bucket(v *graph.View, way *graph.Neighbour) error {
	// "all", or "without" those that are off; unknown when nobody looked.
	block, known := v.Properties["public_access_block"]
	on := func(name string) bool { return known && !strings.Contains(block, name) }
	var through []string
	e := exposure{asset: v.Asset, rule: "public-bucket", severity: fact.SeverityHigh}
	for _, witness := range way.Evidence {
		said := witness.Properties
		switch {
		case strings.Contains(said["through"], "policy") && !on("RestrictPublicBuckets"):
			through, e.decides = append(through, "its policy"), "policy"
		case strings.Contains(said["through"], "ACL") && !on("IgnorePublicAcls"):
			through = append(through, strings.ToLower("its ACL, which gives "+said["permission"]))
			if e.decides == "" {
				e.decides = "acl"
			}
			if permission := strings.ToUpper(said["permission"]); strings.HasPrefix(permission, "WRITE") || permission == "FULL_CONTROL" {
				e.severity = fact.SeverityCritical
			}
		}
	}
	if v.Properties["public_acl"] != "" && !on("IgnorePublicAcls") && !slices.ContainsFunc(through, func(t string) bool { return strings.Contains(t, "acl") }) {
		through = append(through, "its acl, which gives "+v.Properties["public_acl"])
	}
	if v.Properties["public_policy"] == "true" && !on("RestrictPublicBuckets") && !slices.Contains(through, "its policy") {
		through = append(through, "its policy")
	}
	if len(through) == 0 {
		return nil
	}
	e.title = "Bucket " + v.Asset.Name + " is public"
	e.detail = "it is opened by " + strings.Join(through, " and by ")
	return x.add(e)
}

// service is something that listens and that the world has no business with.
type service struct {
	name, title string
	severity    fact.Severity
}

const (
	medium, high, critical = fact.SeverityMedium, fact.SeverityHigh, fact.SeverityCritical
)

// services by protocol and port. What asks for no password by default is critical.
var services = map[string]service{
	"tcp/21": {"ftp", "FTP", medium}, "tcp/22": {"ssh", "SSH", high}, "tcp/23": {"telnet", "Telnet", high}, "tcp/111": {"rpc", "RPC", high}, "tcp/139": {"smb", "SMB", high},
	"tcp/389": {"ldap", "LDAP", medium}, "tcp/445": {"smb", "SMB", high}, "tcp/873": {"rsync", "rsync", high}, "tcp/1433": {"sql-server", "SQL Server", high}, "tcp/1521": {"oracle", "Oracle", high},
	"tcp/2049": {"nfs", "NFS", high}, "tcp/2181": {"zookeeper", "ZooKeeper", critical}, "tcp/2375": {"docker", "the Docker API", critical}, "tcp/2376": {"docker", "the Docker API", high},
	"tcp/2379": {"etcd", "etcd", critical}, "tcp/2380": {"etcd", "etcd", critical}, "tcp/3306": {"mysql", "MySQL", high}, "tcp/3389": {"rdp", "RDP", high}, "tcp/5432": {"postgresql", "PostgreSQL", high},
	"tcp/5439": {"redshift", "Redshift", high}, "tcp/5601": {"kibana", "Kibana", high}, "tcp/5672": {"rabbitmq", "RabbitMQ", high}, "tcp/5900": {"vnc", "VNC", high}, "tcp/5984": {"couchdb", "CouchDB", critical},
	"tcp/5985": {"winrm", "WinRM", high}, "tcp/5986": {"winrm", "WinRM", high}, "tcp/6379": {"redis", "Redis", critical}, "tcp/6443": {"cluster-api", "the Kubernetes API", medium},
	"tcp/7001": {"cassandra", "Cassandra", critical}, "tcp/8500": {"consul", "Consul", high}, "tcp/9042": {"cassandra", "Cassandra", critical}, "tcp/9090": {"prometheus", "Prometheus", medium},
	"tcp/9092": {"kafka", "Kafka", high}, "tcp/9200": {"elasticsearch", "Elasticsearch", critical}, "tcp/9300": {"elasticsearch", "Elasticsearch", critical}, "tcp/10250": {"kubelet", "the kubelet", critical},
	"tcp/10255": {"kubelet", "the kubelet", critical}, "tcp/11211": {"memcached", "Memcached", critical}, "tcp/15672": {"rabbitmq", "RabbitMQ", high}, "tcp/27017": {"mongodb", "MongoDB", critical},
	"tcp/27018": {"mongodb", "MongoDB", critical}, "tcp/27019": {"mongodb", "MongoDB", critical}, "tcp/50070": {"hadoop", "Hadoop", critical},
	"udp/69": {"tftp", "TFTP", medium}, "udp/111": {"rpc", "RPC", high}, "udp/161": {"snmp", "SNMP", medium}, "udp/389": {"ldap", "LDAP", medium}, "udp/2049": {"nfs", "NFS", high}, "udp/11211": {"memcached", "Memcached", critical},
}

// programs are what images run, by the last part of their name.
var programs = map[string]service{
	"redis": {"redis", "Redis", critical}, "valkey": {"redis", "Valkey", critical}, "memcached": {"memcached", "Memcached", critical}, "mongo": {"mongodb", "MongoDB", critical}, "mongodb": {"mongodb", "MongoDB", critical},
	"mysql": {"mysql", "MySQL", high}, "mariadb": {"mysql", "MariaDB", high}, "postgres": {"postgresql", "PostgreSQL", high}, "postgresql": {"postgresql", "PostgreSQL", high},
	"elasticsearch": {"elasticsearch", "Elasticsearch", critical}, "opensearch": {"elasticsearch", "OpenSearch", critical}, "cassandra": {"cassandra", "Cassandra", critical}, "couchdb": {"couchdb", "CouchDB", critical},
	"etcd": {"etcd", "etcd", critical}, "zookeeper": {"zookeeper", "ZooKeeper", critical}, "kafka": {"kafka", "Kafka", high}, "clickhouse": {"clickhouse", "ClickHouse", high}, "clickhouse-server": {"clickhouse", "ClickHouse", high}, "neo4j": {"neo4j", "Neo4j", high},
	"kubernetesui/dashboard": {"dashboard", "the Kubernetes dashboard", high}, "kubernetes-dashboard": {"dashboard", "the Kubernetes dashboard", high}, "kubernetes-dashboard-amd64": {"dashboard", "the Kubernetes dashboard", high},
	"kibana": {"dashboard", "Kibana", high}, "opensearch-dashboards": {"dashboard", "OpenSearch Dashboards", high}, "grafana": {"dashboard", "Grafana", medium}, "prometheus": {"dashboard", "Prometheus", medium},
	"alertmanager": {"dashboard", "Alertmanager", medium}, "phpmyadmin": {"dashboard", "phpMyAdmin", high}, "adminer": {"dashboard", "Adminer", high}, "pgadmin4": {"dashboard", "pgAdmin", high}, "mongo-express": {"dashboard", "Mongo Express", critical},
	"redis-commander": {"dashboard", "Redis Commander", critical}, "redisinsight": {"dashboard", "Redis Insight", critical}, "portainer": {"dashboard", "Portainer", high}, "portainer-ce": {"dashboard", "Portainer", high}, "jenkins": {"dashboard", "Jenkins", high},
	"argocd": {"dashboard", "Argo CD", medium}, "rancher": {"dashboard", "Rancher", high}, "vault": {"dashboard", "Vault", medium}, "consul": {"consul", "Consul", high}, "headlamp": {"dashboard", "Headlamp", high},
	"minimal-notebook": {"dashboard", "Jupyter", critical}, "base-notebook": {"dashboard", "Jupyter", critical}, "scipy-notebook": {"dashboard", "Jupyter", critical}, "flower": {"dashboard", "Flower", high}, "longhorn-ui": {"dashboard", "Longhorn", high},
	"weaveworks/scope": {"dashboard", "Weave Scope", critical}, "tiller": {"tiller", "Tiller", critical},
}

// span is a range of ports of a protocol.
type span struct {
	protocol string
	from, to int
}

// manyPorts is from how many ports on a range means everything.
const manyPorts = 1000

// spans reads ports as sources write them: "tcp/22, udp/53, tcp/0-65535, all".
func spans(text string) []span {
	var list []span
	for part := range strings.SplitSeq(text, ",") {
		protocol, ports, numbered := strings.Cut(strings.ToLower(strings.TrimSpace(part)), "/")
		switch protocol {
		case "":
			continue
		case "http", "https", "tls", "ssl", "6", "tcp_udp":
			protocol = "tcp"
		case "17":
			protocol = "udp"
		}
		if !numbered {
			if protocol == "all" || protocol == "tcp" || protocol == "udp" {
				list = append(list, span{protocol, 0, 65535})
			}
			continue
		}
		first, last, ranged := strings.Cut(ports, "-")
		from, err := strconv.Atoi(first)
		to := from
		if ranged && err == nil {
			to, err = strconv.Atoi(last)
		}
		if err == nil {
			list = append(list, span{protocol, from, to})
		}
	}
	return list
}

func (s span) holds(protocol string, port int) bool {
	return (s.protocol == protocol || s.protocol == "all") && s.from <= port && port <= s.to
}

// covers says whether ports that are open hold one; one that is not known is held by
// whatever is open.
func covers(ports, protocol, port string) bool {
	number, err := strconv.Atoi(port)
	return slices.ContainsFunc(spans(ports), func(s span) bool { return err != nil || s.holds(protocol, number) })
}

// ports tells of the services among open ports, of each one once; e holds what they
// share. A severity that e has bounds theirs.
func (x *exposures) ports(v *graph.View, open string, e exposure) error {
	bound := func(s fact.Severity) fact.Severity {
		if e.severity != fact.SeverityUnknown {
			return min(s, e.severity)
		}
		return s
	}
	name := cmp.Or(v.Asset.Name, v.Asset.Key)
	list := spans(open)
	for _, s := range list {
		if s.to-s.from >= manyPorts && s.protocol != "icmp" {
			e.rule, e.title, e.severity = "all-ports", fmt.Sprintf("%s is open to the internet at all ports", name), bound(high)
			if s.protocol != "all" || s.to-s.from < 65534 {
				e.title = fmt.Sprintf("%s is open to the internet at %s ports %d to %d", name, strings.ToUpper(s.protocol), s.from, s.to)
			}
			e.ports = open
			return x.add(e)
		}
	}
	type hit struct {
		service
		ports []string
	}
	hits := map[string]*hit{}
	for text, one := range services {
		protocol, number, _ := strings.Cut(text, "/")
		port, err := strconv.Atoi(number)
		if err != nil || !slices.ContainsFunc(list, func(s span) bool { return s.holds(protocol, port) }) {
			continue
		}
		h := hits[one.name]
		if h == nil {
			h = &hit{service: one}
			hits[one.name] = h
		}
		h.ports, h.severity = append(h.ports, text), max(h.severity, one.severity)
	}
	for _, rule := range slices.Sorted(maps.Keys(hits)) {
		h, own := hits[rule], e
		slices.Sort(h.ports)
		own.rule, own.ports, own.severity = rule, strings.Join(h.ports, ", "), bound(h.severity)
		own.title = fmt.Sprintf("%s lets the internet reach %s (%s)", name, h.title, own.ports)
		if err := x.add(own); err != nil {
			return err
		}
	}
	return nil
}

// program tells of a workload that the internet reaches when its image is that of a
// database or a dashboard, unless something on the way there was told of for it.
func (x *exposures) program(a fact.Asset) error {
	v, err := x.g.Asset(x.ctx, a.Kind, a.Key, time.Time{})
	if err != nil {
		return err
	}
	for _, n := range v.Out {
		if n.Kind != fact.InstanceOf || n.Asset.Kind != fact.AssetImage {
			continue
		}
		image := cmp.Or(n.Asset.Name, n.Asset.Key)
		one, ok := programOf(image)
		if !ok {
			continue
		}
		ways, err := x.g.Paths(x.ctx, internet, a, graph.PathOptions{Follow: []graph.Follow{{Kind: fact.Exposes, Way: graph.Forward}}, Depth: 8})
		if err != nil {
			return err
		}
		told := slices.ContainsFunc(ways.Paths, func(p graph.Path) bool {
			return slices.ContainsFunc(p.Assets, func(hop fact.Asset) bool { return x.given[exposureKey{hop.Kind, hop.Key, one.name}] })
		})
		if told {
			continue
		}
		if err := x.add(exposure{
			asset: resourceOf(a), rule: one.name, title: fmt.Sprintf("The internet reaches %s, which %s runs", one.title, cmp.Or(a.Name, a.Key)),
			severity: one.severity, detail: "its image is " + image,
		}); err != nil {
			return err
		}
	}
	return nil
}

// programOf finds what an image runs by its name without registry, tag and digest.
func programOf(image string) (service, bool) {
	image, _, _ = strings.Cut(strings.ToLower(image), "@")
	parts := strings.Split(image, "/")
	last := len(parts) - 1
	parts[last], _, _ = strings.Cut(parts[last], ":")
	if last > 0 {
		if one, ok := programs[parts[last-1]+"/"+parts[last]]; ok {
			return one, true
		}
	}
	one, ok := programs[parts[last]]
	return one, ok
}
