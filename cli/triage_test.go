package cli

import (
	"bytes"
	"testing"
)

func TestAListIsPrintedAsItsElementsAre(t *testing.T) {
	t.Parallel()
	type element struct {
		Name string            `json:"name"`
		List []int             `json:"list"`
		More map[string]string `json:"more,omitempty"`
	}
	for _, list := range [][]element{
		nil, {}, {{Name: "a<b>&"}}, {{Name: "\u2028", List: []int{1, 2}}, {List: []int{}, More: map[string]string{"k": "v"}}},
	} {
		var whole, pieces bytes.Buffer
		if list == nil {
			if err := (&streams{out: &whole}).json([]element{}); err != nil {
				t.Fatal(err)
			}
		} else if err := (&streams{out: &whole}).json(list); err != nil {
			t.Fatal(err)
		}
		if err := jsonList(&streams{out: &pieces}, list); err != nil {
			t.Fatal(err)
		}
		if whole.String() != pieces.String() {
			t.Errorf("%+v:\n%q\nwant\n%q", list, pieces.String(), whole.String())
		}
	}
}
