package lockfile

import (
	"encoding/json"
	"fmt"
	"strings"
)

// parseJSON reads a document into nodes with their lines. It refuses what is
// no JSON, is nested deeper than maxDepth or has more values than maxNodes;
// errors begin with the line.
func parseJSON(data []byte) (*node, error) {
	p := &jsonParser{text: string(data), line: 1}
	root, err := p.value(0)
	if err == nil {
		p.space()
		if p.at < len(p.text) {
			err = p.fail("end of file")
		}
	}
	if err != nil {
		return nil, err
	}
	return root, nil
}

// lineError is a syntax error at a line.
type lineError struct {
	line int
	text string
}

func (e *lineError) Error() string { return e.text }

type jsonParser struct {
	text string
	at   int
	line int
	nodes
}

func (p *jsonParser) fail(expected string) error {
	got := "end of file"
	if p.at < len(p.text) {
		got = fmt.Sprintf("%q", p.text[p.at])
	}
	return &lineError{p.line, fmt.Sprintf("is no JSON: expected %s, found %s", expected, got)}
}

func (p *jsonParser) space() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case '\n':
			p.line++
		case ' ', '\t', '\r':
		default:
			return
		}
		p.at++
	}
}

func (p *jsonParser) value(depth int) (*node, error) {
	if depth > maxDepth {
		return nil, &lineError{p.line, fmt.Sprintf("is nested deeper than %d", maxDepth)}
	}
	if p.count > maxNodes {
		return nil, &lineError{p.line, fmt.Sprintf("has more than %d values", maxNodes)}
	}
	p.space()
	if p.at >= len(p.text) {
		return nil, p.fail("a value")
	}
	switch c := p.text[p.at]; {
	case c == '{':
		return p.object(depth)
	case c == '[':
		n := p.new(nodeArray, p.line)
		p.at++
		for p.space(); p.peek() != ']'; {
			item, err := p.value(depth + 1)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, item)
			p.space()
			if p.peek() == ',' {
				p.at++
				continue
			}
			if p.peek() != ']' {
				return nil, p.fail(`"," or "]"`)
			}
		}
		p.at++
		n.end = p.line
		return n, nil
	case c == '"':
		n := p.new(nodeText, p.line)
		var err error
		n.text, err = p.quoted()
		return n, err
	case c == '-' || c >= '0' && c <= '9':
		start := p.at
		for p.at < len(p.text) && strings.IndexByte("+-.eE0123456789", p.text[p.at]) >= 0 {
			p.at++
		}
		n := p.new(nodeNumber, p.line)
		n.text = p.text[start:p.at]
		return n, nil
	}
	for _, word := range []string{"true", "false", "null"} {
		if strings.HasPrefix(p.text[p.at:], word) {
			kind := nodeBool
			if word == "null" {
				kind = nodeNull
			}
			n := p.new(kind, p.line)
			n.text = word
			p.at += len(word)
			return n, nil
		}
	}
	return nil, p.fail("a value")
}

func (p *jsonParser) object(depth int) (*node, error) {
	n := p.new(nodeObject, p.line)
	p.at++
	for p.space(); p.peek() != '}'; {
		p.space()
		if p.peek() != '"' {
			return nil, p.fail("a key")
		}
		line := p.line
		key, err := p.quoted()
		if err != nil {
			return nil, err
		}
		p.space()
		if p.peek() != ':' {
			return nil, p.fail(`":"`)
		}
		p.at++
		value, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		n.members = append(n.members, member{key, line, value})
		p.space()
		if p.peek() == ',' {
			p.at++
			continue
		}
		if p.peek() != '}' {
			return nil, p.fail(`"," or "}"`)
		}
	}
	p.at++
	n.end = p.line
	return n, nil
}

// peek gives the byte at the position, 0 at the end.
func (p *jsonParser) peek() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

func (p *jsonParser) quoted() (string, error) {
	start := p.at
	p.at++
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == '"':
			p.at++
			return p.text[start+1 : p.at-1], nil
		case c == '\\':
			return p.escaped(start)
		case c < ' ':
			return "", p.fail("the end of a string")
		}
		p.at++
	}
	return "", p.fail("the end of a string")
}

func (p *jsonParser) escaped(start int) (string, error) {
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == '\\':
			p.at++
		case c == '"':
			p.at++
			var text string
			if err := json.Unmarshal([]byte(p.text[start:p.at]), &text); err != nil {
				p.at = start
				return "", p.fail("a string")
			}
			return text, nil
		case c < ' ':
			return "", p.fail("the end of a string")
		}
		p.at++
	}
	return "", p.fail("the end of a string")
}
