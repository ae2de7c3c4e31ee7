package kubernetes

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits of a stream of objects.
const (
	maxObject    = 32 << 20 // bytes of one object
	maxHeldItems = 64 << 20 // bytes of items that stand before the kind of their list
)

// ListMeta is what a list says of itself beside its items.
type ListMeta struct {
	Kind       string
	APIVersion string
	Continue   string // the token that the next page is asked with, "" at the end
	Message    string // of a Status
	Reason     string // of a Status
	Code       int    // of a Status
	Items      int    // how many there were
}

var errCut = errors.New("the text is cut off")

// Stream gives the objects of an export one by one, whatever its size: JSON or
// YAML, one document or many, single objects and lists. What is no object is left
// out; what cannot be read is a Problem. An error is one of in, of each, or of the
// context.
//
// A list in one YAML document is read item by item when its items start at the
// left margin, as kubectl writes them; otherwise it must fit the limit of an object.
func Stream(ctx context.Context, name string, in io.Reader, each func(*Object) error) ([]Problem, error) {
	text := bufio.NewReaderSize(in, 64<<10)
	if bom, _ := text.Peek(3); bytes.Equal(bom, []byte("\xef\xbb\xbf")) {
		_, _ = text.Discard(3)
	}
	for {
		head, err := text.Peek(1)
		if err == io.EOF {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if strings.ContainsRune(" \t\r\n", rune(head[0])) {
			_, _ = text.Discard(1)
			continue
		}
		if head[0] == '{' || head[0] == '[' {
			return streamJSON(ctx, name, text, each)
		}
		return streamYAML(ctx, name, text, each)
	}
}

// lenient reads what API servers and tools write: a key that stands twice, as in
// YAML, has its last value.
var lenient = jsontext.AllowDuplicateNames(true)

func streamJSON(ctx context.Context, name string, in io.Reader, each func(*Object) error) ([]Problem, error) {
	d := jsontext.NewDecoder(in, lenient, jsontext.AllowInvalidUTF8(true))
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		_, err := readValue(ctx, d, each)
		if err == io.EOF {
			return nil, nil
		}
		if err != nil {
			if own, ok := errors.AsType[*eachError](err); ok {
				return nil, own.err
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return []Problem{{Place{Path: name}, fmt.Sprintf("not JSON at byte %d: %v", d.InputOffset(), plainJSON(err))}}, nil
		}
	}
}

// ReadList gives the objects of one JSON answer of an API server and what the list says
// of itself. An answer that breaks off or is no JSON is an error, after which the
// objects given so far may be part of the list only.
func ReadList(ctx context.Context, in io.Reader, each func(*Object) error) (ListMeta, error) {
	d := jsontext.NewDecoder(in, lenient, jsontext.AllowInvalidUTF8(true))
	meta, err := readValue(ctx, d, each)
	if err == io.EOF {
		return meta, errCut
	}
	if own, ok := errors.AsType[*eachError](err); ok {
		return meta, own.err
	}
	if err != nil && ctx.Err() == nil {
		return meta, plainJSON(err)
	}
	return meta, err
}

// plainJSON says what was wrong without quoting the text, which may hold secrets.
func plainJSON(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errCut
	}
	if _, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return errors.New("expected JSON")
	}
	return err
}

// eachError tells an error of the receiver from one of the text.
type eachError struct{ err error }

func (e *eachError) Error() string { return e.err.Error() }

// readValue reads one top-level value: an object, a list of objects, or a list with
// items, whose items are given as they are read.
func readValue(ctx context.Context, d *jsontext.Decoder, each func(*Object) error) (ListMeta, error) {
	var meta ListMeta
	switch d.PeekKind() {
	case '[':
		if _, err := d.ReadToken(); err != nil {
			return meta, err
		}
		for d.PeekKind() != ']' {
			if err := ctx.Err(); err != nil {
				return meta, err
			}
			inner, err := readValue(ctx, d, each)
			meta.Items += max(inner.Items, 1)
			if err != nil {
				return meta, cut(err)
			}
		}
		_, err := d.ReadToken()
		return meta, cut(err)
	case '{':
	case 0:
		_, err := d.ReadToken()
		return meta, err
	default:
		return meta, d.SkipValue()
	}
	if _, err := d.ReadToken(); err != nil {
		return meta, err
	}
	whole := &Node{Shape: Map}
	var held []*Node
	var heldBytes int64
	flush := func(item *Node) error {
		for _, o := range itemObjects(item, meta.Kind, meta.APIVersion) {
			meta.Items++
			if err := each(o); err != nil {
				return &eachError{err}
			}
		}
		return nil
	}
	isList := false
	for d.PeekKind() != '}' {
		key, err := d.ReadToken()
		if err != nil {
			return meta, cut(err)
		}
		name := key.String()
		if name != "items" || d.PeekKind() != '[' {
			n, err := decodeNode(d)
			if err != nil {
				return meta, cut(err)
			}
			// Appended, not set: a search for each of very many keys takes forever.
			whole.Fields = append(whole.Fields, Field{Key: name, Value: n})
			if len(whole.Fields) > maxNodes {
				return meta, errBudget
			}
			switch {
			case name == "kind" && n.Shape == Scalar:
				meta.Kind = n.Text
			case name == "apiVersion" && n.Shape == Scalar:
				meta.APIVersion = n.Text
			}
			continue
		}
		isList = true
		if _, err := d.ReadToken(); err != nil {
			return meta, cut(err)
		}
		for d.PeekKind() != ']' {
			if err := ctx.Err(); err != nil {
				return meta, err
			}
			start := d.InputOffset()
			item, err := decodeNode(d)
			if err != nil {
				return meta, cut(err)
			}
			if meta.Kind == "" && item.String("kind") == "" {
				if heldBytes += d.InputOffset() - start; heldBytes > maxHeldItems {
					return meta, errors.New("items without a kind stand before the kind of their list, and they are too many to hold")
				}
				held = append(held, item)
				continue
			}
			if err := flush(item); err != nil {
				return meta, err
			}
		}
		if _, err := d.ReadToken(); err != nil {
			return meta, cut(err)
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return meta, cut(err)
	}
	for _, item := range held {
		if err := flush(item); err != nil {
			return meta, err
		}
	}
	meta.Continue = whole.String("metadata", "continue")
	if meta.Kind == "Status" && !isList {
		meta.Message, meta.Reason = whole.String("message"), whole.String("reason")
		_, _ = fmt.Sscan(whole.String("code"), &meta.Code)
		return meta, nil
	}
	if !isList {
		return meta, flush(whole)
	}
	return meta, nil
}

// cut makes the end of the text inside a value an error.
func cut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// itemObjects gives the objects of an item of a list of the given kind.
func itemObjects(item *Node, kind, version string) []*Object {
	if item.Shape == Map && item.Get("kind") == nil && strings.HasSuffix(kind, "List") && kind != "List" {
		item.set("kind", text(strings.TrimSuffix(kind, "List"), "list", item.Place))
		item.set("apiVersion", text(version, "list", item.Place))
	}
	return objectsOf(item)
}

// decodeNode reads one JSON value.
func decodeNode(d *jsontext.Decoder) (*Node, error) {
	budget := maxNodes
	return decodeBounded(d, 0, &budget)
}

func decodeBounded(d *jsontext.Decoder, depth int, budget *int) (*Node, error) {
	if *budget--; *budget < 0 {
		return nil, errBudget
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	token, err := d.ReadToken()
	if err != nil {
		return nil, err
	}
	n := &Node{By: "live"}
	switch token.Kind() {
	case 'n':
		n.Tag, n.Text = "!!null", "null"
	case 't', 'f':
		n.Tag, n.Text = "!!bool", token.String()
	case '"':
		n.Tag, n.Text = "!!str", token.String()
	case '0':
		n.Tag, n.Text = "!!int", token.String()
		if strings.ContainsAny(n.Text, ".eE") {
			n.Tag = "!!float"
		}
	case '[':
		n.Shape = List
		for d.PeekKind() != ']' {
			child, err := decodeBounded(d, depth+1, budget)
			if err != nil {
				return nil, err
			}
			n.Items = append(n.Items, child)
		}
		_, err = d.ReadToken()
	case '{':
		n.Shape = Map
		for d.PeekKind() != '}' {
			key, err := d.ReadToken()
			if err != nil {
				return nil, err
			}
			name := key.String()
			child, err := decodeBounded(d, depth+1, budget)
			if err != nil {
				return nil, err
			}
			n.Fields = append(n.Fields, Field{Key: name, Value: child})
		}
		_, err = d.ReadToken()
	}
	return n, err
}

// streamYAML cuts a stream into documents, and a document that is a list into its
// items.
func streamYAML(ctx context.Context, name string, in *bufio.Reader, each func(*Object) error) ([]Problem, error) {
	y := &yamlStream{name: name, each: each}
	for number := 1; ; number++ {
		if number%1000 == 0 && ctx.Err() != nil {
			return y.problems, ctx.Err()
		}
		line, err := longLine(in)
		if errors.Is(err, errLong) {
			y.problem(number, "a line of more than 32 MiB; the rest is left out")
			break
		}
		if err != nil && err != io.EOF {
			return y.problems, err
		}
		if len(line) > 0 {
			if failed := y.line(number, line); failed != nil {
				return y.problems, failed
			}
		}
		if err == io.EOF {
			break
		}
	}
	return y.problems, y.flush()
}

var errLong = errors.New("line too long")

// longLine reads a line with its end, at most maxObject bytes.
func longLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
		if len(line) > maxObject {
			return nil, errLong
		}
	}
}

type yamlStream struct {
	name     string
	each     func(*Object) error
	problems []Problem
	part     []byte // document or item that is being read
	first    int    // line it starts at
	skip     bool   // the part is too large and left out
	list     bool   // inside the items of a list
	kind     string // of the list, as far as it was read
	version  string
}

func (y *yamlStream) problem(line int, format string, args ...any) {
	if len(y.problems) < 1000 {
		y.problems = append(y.problems, Problem{Place{Path: y.name, Line: line}, fmt.Sprintf(format, args...)})
	}
}

func (y *yamlStream) line(number int, line []byte) error {
	text := strings.TrimRight(string(line[:min(len(line), 256)]), " \t\r\n")
	switch {
	case text == "---" || strings.HasPrefix(text, "--- ") || text == "...":
		err := y.flush()
		y.list, y.kind, y.version = false, "", ""
		return err
	case text == "items:" && !y.list:
		// What stands before is the head of a list, which is no object by itself.
		docs, _ := Documents(y.name, y.part)
		if len(docs) > 0 {
			y.kind, y.version = docs[0].String("kind"), docs[0].String("apiVersion")
		}
		y.list, y.part, y.first = true, nil, 0
		return nil
	case y.list && (strings.HasPrefix(text, "- ") || text == "-"):
		if err := y.flush(); err != nil {
			return err
		}
		line = append([]byte(" "), line[1:]...) // the dash becomes a space: the item stands alone
	case y.list && text != "" && !strings.ContainsAny(text[:1], " \t#"):
		// The list has ended: its other fields follow.
		err := y.flush()
		y.list = false
		y.part, y.first = nil, 0
		y.skip = true
		return err
	}
	if y.skip && !y.list && y.first == 0 {
		return nil // fields of a list behind its items
	}
	if y.first == 0 {
		y.first = number
	}
	if len(y.part)+len(line) > maxObject {
		if !y.skip {
			y.problem(y.first, "an object of more than 32 MiB; it is left out")
		}
		y.skip = true
	}
	if !y.skip {
		y.part = append(y.part, line...)
	}
	return nil
}

// flush reads the part that was gathered.
func (y *yamlStream) flush() error {
	part, first, skip := y.part, y.first, y.skip
	y.part, y.first, y.skip = nil, 0, false
	if skip || len(part) == 0 {
		return nil
	}
	docs, problems := documents(y.name, part, first-1, "live")
	for _, p := range problems {
		if len(y.problems) < 1000 {
			y.problems = append(y.problems, p)
		}
	}
	for _, doc := range docs {
		for _, o := range itemObjects(doc, y.kind, y.version) {
			if err := y.each(o); err != nil {
				return err
			}
		}
	}
	return nil
}

// slimmed are the fields of metadata that are kept of a live object, and those of a
// container.
var (
	slimMetadata  = []string{"name", "namespace", "labels", "annotations", "ownerReferences", "uid", "creationTimestamp"}
	slimPod       = []string{"containers", "initContainers", "ephemeralContainers", "serviceAccountName", "serviceAccount", "automountServiceAccountToken", "hostNetwork", "hostPID", "hostIPC", "securityContext", "volumes"}
	slimContainer = []string{"name", "image", "ports", "securityContext"}
	slimStatus    = []string{"phase", "loadBalancer", "addresses", "nodeInfo", "sync", "lastAppliedRevision", "artifact", "containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"}
)

// Slim drops what no answer is made of: values of secrets, of config maps and of
// environment variables, commands, and what the server keeps for itself. It is done
// as soon as a live object is read.
func (o *Object) Slim() {
	root := o.Root
	metadata := root.Get("metadata")
	if metadata != nil && metadata.Shape == Map {
		metadata.keep(slimMetadata)
		if notes := metadata.Get("annotations"); notes != nil && notes.Shape == Map {
			notes.remove("kubectl.kubernetes.io/last-applied-configuration")
		}
	}
	switch o.Kind {
	case "Secret", "ConfigMap":
		root.keep([]string{"apiVersion", "kind", "metadata", "type"})
		return
	}
	if status := root.Get("status"); status != nil && status.Shape == Map {
		status.keep(slimStatus)
		for _, list := range slimStatus[len(slimStatus)-3:] {
			for _, c := range status.List(list) {
				if c.Shape == Map {
					c.keep([]string{"name", "imageID"})
				}
			}
		}
	}
	if spec, _ := o.podSpec(); spec != nil && spec.Shape == Map {
		for _, list := range []string{"initContainers", "containers", "ephemeralContainers"} {
			for _, c := range spec.List(list) {
				if c.Shape == Map {
					c.keep(slimContainer)
				}
			}
		}
		for _, v := range spec.List("volumes") {
			if v.Shape == Map {
				v.keep([]string{"name", "hostPath"})
			}
		}
		spec.keep(slimPod)
	}
}

// keep drops the fields of a map that are not named.
func (n *Node) keep(names []string) {
	var left []Field
	for _, f := range n.Fields {
		for _, name := range names {
			if f.Key == name {
				left = append(left, f)
			}
		}
	}
	n.Fields = left
}

// decodeText reads one JSON value of a text.
func decodeText(data []byte) (*Node, error) {
	return decodeNode(jsontext.NewDecoder(bytes.NewReader(data), lenient, jsontext.AllowInvalidUTF8(true)))
}
