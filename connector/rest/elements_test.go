package rest_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/connector/rest"
)

func elements(t *testing.T, text string) (list []string, err error) {
	t.Helper()
	err = rest.Elements(t.Context(), strings.NewReader(text), []string{"users", "teams"}, func(member string, raw json.RawMessage) error {
		list = append(list, member+" "+string(raw))
		return nil
	})
	return list, err
}

func TestElementsOfExportedAnswers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		`{"users": [1, {"a": []}], "more": {"x": [1]}}`:          {"users 1", `users {"a": []}`},
		`{"limit": 2, "USERS": [1]} {"teams": [2]}`:              {"users 1", "teams 2"},
		`[{"users": [1]}, {"users": [2], "teams": ["3"]}]`:       {"users 1", "users 2", `teams "3"`},
		`{"totalResults": 0}`:                                    nil,
		`{"users": []}`:                                          nil,
		"{\"users\": [1]}\n\n{\"total\": 0}\n{\"users\": [2]}\n": {"users 1", "users 2"},
	} {
		got, err := elements(t, text)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", text, err, diff)
		}
	}
	for text, want := range map[string]string{
		"":                           "expected an answer, and the file is empty",
		" \n":                        "expected an answer, and the file is empty",
		"7":                          "expected an answer, found 7",
		`{"user": [1]}`:              "expected an answer with users, teams",
		`{"users": {"a": 1}}`:        "expected a list of users",
		`{"users": [1, 2`:            "unexpected EOF",
		`{"users": [1]`:              "unexpected EOF",
		`[{"users": [1]}`:            "unexpected EOF",
		`{"users": [1], "x": `:       "unexpected EOF",
		`{"users": [1,, 2]}`:         "at offset",
		`{"users": [1]} trailing`:    "at offset",
		`{"total": 3}`:               "expected an answer with users, teams",
		strings.Repeat("[", 100_000): "nested deeper than 4",
	} {
		if _, err := elements(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %q", text, err, want)
		}
	}
	enough := errors.New("enough")
	if err := rest.Elements(t.Context(), strings.NewReader(`{"users": [1, 2]}`), []string{"users"}, func(string, json.RawMessage) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("got %v, want the error of the function", err)
	}
}

func FuzzElements(f *testing.F) {
	f.Add(`{"users": [1, {"a": []}], "more": true}`)
	f.Add(`[{"users": [1]}, {"teams": ["x"]}]`)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := elements(t, text)
		var whole map[string]json.RawMessage
		if json.Unmarshal([]byte(text), &whole) != nil || len(whole) != 1 {
			return
		}
		var list []json.RawMessage
		if whole["users"] == nil || whole["users"][0] != '[' || json.Unmarshal(whole["users"], &list) != nil {
			return
		}
		// A decoder of its own reads the same. A member that is there twice is read twice.
		var want []string
		for _, raw := range list {
			want = append(want, "users "+string(raw))
		}
		if err != nil || !slices.Equal(want, got[max(0, len(got)-len(want)):]) {
			t.Errorf("%q: %v, got %q, want %q", text, err, got, want)
		}
	})
}
