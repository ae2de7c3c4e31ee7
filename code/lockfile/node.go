package lockfile

// node is one value of a JSON or TOML document, with its lines.
type node struct {
	kind      nodeKind
	text      string // of a string, decoded; of a number, boolean or date as written
	line, end int    // from 1; end is that of the last byte
	members   []member
	items     []*node
	index     map[string]int
}

type nodeKind uint8

const (
	nodeNull nodeKind = iota
	nodeText
	nodeNumber
	nodeBool
	nodeObject
	nodeArray
)

// member is one key of an object, in file order.
type member struct {
	key   string
	line  int // of the key
	value *node
}

// get gives the value of a key; nil for a nil node or a missing key. Of equal
// keys the last counts, as in JSON decoders.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	if len(n.members) > 16 {
		if n.index == nil || len(n.index) > len(n.members) {
			n.index = make(map[string]int, len(n.members))
			for i := range n.members {
				n.index[n.members[i].key] = i
			}
		}
		if i, ok := n.index[key]; ok {
			return n.members[i].value
		}
		return nil
	}
	for i := len(n.members) - 1; i >= 0; i-- {
		if n.members[i].key == key {
			return n.members[i].value
		}
	}
	return nil
}

// at follows a path of keys.
func (n *node) at(keys ...string) *node {
	for _, key := range keys {
		n = n.get(key)
	}
	return n
}

// str gives a key's text, "" when it is no string.
func (n *node) str(key string) string {
	if v := n.get(key); v != nil && v.kind == nodeText {
		return v.text
	}
	return ""
}

// yes says whether a key is true.
func (n *node) yes(key string) bool {
	v := n.get(key)
	return v != nil && v.kind == nodeBool && v.text == "true"
}

// fields gives an object's members, none for any other node.
func (n *node) fields() []member {
	if n == nil {
		return nil
	}
	return n.members
}

// list gives an array's items, none for any other node.
func (n *node) list() []*node {
	if n == nil {
		return nil
	}
	return n.items
}

// nodes hands out nodes from slabs.
type nodes struct {
	slab  []node
	count int
}

func (a *nodes) new(kind nodeKind, line int) *node {
	if len(a.slab) == 0 {
		a.slab = make([]node, 256)
	}
	n := &a.slab[0]
	a.slab = a.slab[1:]
	a.count++
	n.kind, n.line, n.end = kind, line, line
	return n
}
