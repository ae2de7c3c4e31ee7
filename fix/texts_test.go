package fix

import "testing"

func TestMembersOfAJSONDocumentAreFoundByTheirKeys(t *testing.T) {
	t.Parallel()
	data := []byte("\xef\xbb\xbf{\r\n  \"require\": {\"a/b\": \"^1\", \"n\": 1},\r\n  \"list\": [{\"x\": \"y\"}],\r\n  \"esc\": \"a\\n\"\r\n}")
	texts, objects, err := JSONStrings("x.json", data)
	if err != nil || len(texts) != 1 || len(objects) != 2 {
		t.Fatalf("%+v, %+v, %v", texts, objects, err)
	}
	if s := texts[0]; !s.Under("require", "a/b") || s.Under("require") || string(data[s.Start:s.End]) != "^1" || s.Line != 2 {
		t.Errorf("%+v", s)
	}
	after, err := Splice(data, objects[1].Member(data, `"c/d": "2"`))
	if want := `{"a/b": "^1", "n": 1, "c/d": "2"}`; err != nil || string(after[objects[1].Open-1:objects[1].Open-1+len(want)]) != want {
		t.Errorf("%v: %s", err, after)
	}
	for _, bad := range []string{"", "[]", "{", "{} x", `{"a": }`, "\"x\""} {
		if _, _, err := JSONStrings("x.json", []byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func FuzzJSONStringsStandWhereTheyAreSaidTo(f *testing.F) {
	f.Add([]byte(`{"a": {"b": "c", "b": ["d"]}, "e": "\u0041"}`))
	f.Add([]byte("\xef\xbb\xbf{\n\t\"a\": \"b\"\n}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		texts, objects, err := JSONStrings("x.json", data)
		if err != nil {
			return
		}
		for _, s := range texts {
			if string(data[s.Start:s.End]) != s.Value || data[s.Start-1] != '"' || data[s.End] != '"' {
				t.Errorf("%+v stands on %q", s, data[s.Start:s.End])
			}
		}
		for i := range objects {
			after, err := Splice(data, objects[i].Member(data, `"new": "member"`))
			if err != nil {
				t.Fatal(err)
			}
			if texts, _, err := JSONStrings("x.json", after); err != nil || len(texts) == 0 {
				t.Errorf("after a member was added: %v:\n%s", err, after)
			}
		}
	})
}

func FuzzTOMLStringsStandWhereTheyAreSaidTo(f *testing.F) {
	f.Add([]byte("a = 'b'\n[[c.d]]\r\ne = {f = \"g\", h = [\"i\", '''j''']}\n\"k.l\".m = \"\\t\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		texts, err := TOMLStrings("x.toml", data)
		if err != nil {
			return
		}
		for _, s := range texts {
			if string(data[s.Start:s.End]) != s.Value || s.Line < 1 {
				t.Errorf("%+v stands on %q", s, data[s.Start:s.End])
			}
		}
	})
}
