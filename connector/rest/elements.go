package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Elements reads exported answers, one after the other or in a list, and gives the
// elements of their lists named members one by one; it holds one at a time. An
// answer of a total of nothing need not have a list.
func Elements(ctx context.Context, from io.Reader, members []string, give func(member string, raw json.RawMessage) error) error {
	e := &elements{ctx: ctx, decoder: json.NewDecoder(from), members: members, give: give}
	for answers := 0; ; answers++ {
		err := e.answer(0)
		if errors.Is(err, io.EOF) {
			if answers > 0 {
				return nil
			}
			return errors.New("expected an answer, and the file is empty")
		}
		if err != nil {
			return err
		}
	}
}

type elements struct {
	ctx     context.Context
	decoder *json.Decoder
	members []string
	give    func(member string, raw json.RawMessage) error
}

// whole makes the end of a file inside an answer an error of its own.
func whole(err error) error {
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	case errors.As(err, &syntax):
		return fmt.Errorf("at offset %d: %s", syntax.Offset, syntax.Error())
	}
	return err
}

// maxNested bounds lists in lists, which would otherwise go as deep as a file says.
const maxNested = 4

// answer reads one answer, or a list of them.
func (e *elements) answer(depth int) error {
	token, err := e.decoder.Token()
	if errors.Is(err, io.EOF) {
		return err
	}
	switch {
	case err != nil:
		return whole(err)
	case token == json.Delim('[') && depth == maxNested:
		return fmt.Errorf("expected an answer, found lists nested deeper than %d", maxNested)
	case token == json.Delim('['):
		for e.decoder.More() {
			if err := e.answer(depth + 1); err != nil {
				return whole(err)
			}
		}
	case token == json.Delim('{'):
		seen := false
		for e.decoder.More() {
			found, err := e.member()
			if err != nil {
				return whole(err)
			}
			seen = seen || found
		}
		if _, err := e.decoder.Token(); err != nil {
			return whole(err)
		}
		if !seen {
			return fmt.Errorf("expected an answer with %s", strings.Join(e.members, ", "))
		}
		return nil
	default:
		return fmt.Errorf("expected an answer, found %v", token)
	}
	_, err = e.decoder.Token()
	return whole(err)
}

// member reads one member of an answer; found says that it is one of those that
// are looked for, or says that there is nothing.
func (e *elements) member() (found bool, err error) {
	token, err := e.decoder.Token()
	if err != nil {
		return false, err
	}
	name, _ := token.(string)
	at := slices.IndexFunc(e.members, func(member string) bool { return strings.EqualFold(member, name) })
	if at < 0 {
		var other json.RawMessage
		err := e.decoder.Decode(&other)
		return strings.HasPrefix(strings.ToLower(name), "total") && string(other) == "0", err
	}
	if token, err := e.decoder.Token(); err != nil {
		return false, err
	} else if token != json.Delim('[') {
		return false, fmt.Errorf("expected a list of %s", name)
	}
	for e.decoder.More() {
		var raw json.RawMessage
		if err := e.decoder.Decode(&raw); err != nil {
			return false, err
		}
		if err := e.give(e.members[at], raw); err != nil {
			return false, err
		}
		if err := e.ctx.Err(); err != nil {
			return false, err
		}
	}
	_, err = e.decoder.Token()
	return true, err
}
