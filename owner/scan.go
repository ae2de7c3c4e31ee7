package owner

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/backstitch/backstitch/fact"
)

// errEscaped says that a document needs a whole decoder.
var errEscaped = errors.New("a text with escapes")

// eachString gives the members of a document that are texts, of every depth, without
// decoding. The documents are the graph's own, so that a quote stands only around a
// text; one with escapes is refused with errEscaped.
func eachString(doc []byte, give func(name, value []byte)) error {
	if bytes.IndexByte(doc, '\\') >= 0 {
		return errEscaped
	}
	for {
		name, rest, ok := quoted(doc)
		if !ok {
			return nil
		}
		if len(rest) > 1 && rest[0] == ':' && rest[1] == '"' {
			value, after, ok := quoted(rest[1:])
			if !ok {
				return nil
			}
			give(name, value)
			rest = after
		}
		doc = rest
	}
}

// quoted gives the next text in quotes and what follows it.
func quoted(doc []byte) (text, rest []byte, ok bool) {
	from := bytes.IndexByte(doc, '"')
	if from < 0 {
		return nil, nil, false
	}
	length := bytes.IndexByte(doc[from+1:], '"')
	if length < 0 {
		return nil, nil, false
	}
	return doc[from+1 : from+1+length], doc[from+length+2:], true
}

// readClaim reads a claim of the graph without its evidence's texts.
func readClaim(doc []byte, c *claimed) error {
	err := eachString(doc, func(name, value []byte) {
		switch string(name) {
		case "Kind":
			c.Owner.Kind = word(value)
		case "ID":
			c.Owner.ID = string(value)
		case "Name":
			if c.Owner.Name = c.Owner.ID; string(value) != c.Owner.ID {
				c.Owner.Name = string(value)
			}
		case "role":
			c.Role = word(value)
		case "source":
			if c.Source == "" { // the evidence has one, too, which follows
				c.Source = word(value)
			}
		case "strength":
			c.Evidence.Strength = fact.Strength(word(value))
		}
	})
	if err != nil {
		return json.Unmarshal(doc, c)
	}
	// The numbers stand at the end.
	tail := doc[max(0, len(doc)-maxNumbers):]
	for _, number := range [...]struct {
		name []byte
		take func(text string) error
	}{
		{confidenceName, func(text string) (err error) { c.Confidence, err = strconv.ParseFloat(text, 64); return err }},
		{sinceName, func(text string) (err error) { c.Since, err = strconv.ParseInt(text, 10, 64); return err }},
		{untilName, func(text string) (err error) { c.Until, err = strconv.ParseInt(text, 10, 64); return err }},
	} {
		if at := bytes.Index(tail, number.name); at >= 0 {
			if err := number.take(string(digits(tail[at+len(number.name):]))); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxNumbers is how much room the numbers of a claim take at most.
const maxNumbers = 128

var confidenceName, sinceName, untilName = []byte(`},"confidence":`), []byte(`,"since":`), []byte(`,"until":`)

// digits is the number that a document goes on with.
func digits(doc []byte) []byte {
	end := bytes.IndexAny(doc, ",}")
	if end < 0 {
		return doc
	}
	return doc[:end]
}

// word gives a text that is used again and again without another copy of it.
func word(text []byte) string {
	switch string(text) {
	case "team":
		return "team"
	case "person":
		return "person"
	case RoleOwner:
		return RoleOwner
	case "creator":
		return "creator"
	case "declared":
		return "declared"
	case "attested":
		return "attested"
	case "derived":
		return "derived"
	case SourceCode:
		return SourceCode
	case "backstage":
		return "backstage"
	case "project":
		return "project"
	}
	return string(text)
}
