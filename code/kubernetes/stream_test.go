package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func streamed(t *testing.T, text string) (names []string, problems []Problem) {
	t.Helper()
	problems, err := Stream(t.Context(), "dump", strings.NewReader(text), func(o *Object) error {
		names = append(names, fmt.Sprintf("%s %s@%d", o.APIVersion, o.ID(), o.Place.Line))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names, problems
}

func TestEveryShapeOfAnExportIsStreamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"kubectl json":        {`{"apiVersion": "v1", "items": [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "b"}}], "kind": "List"}`, "[v1 Pod/a@0 apps/v1 Deployment/b@0]"},
		"raw list":            {`{"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": [{"metadata": {"name": "a", "namespace": "x"}}]}`, "[v1 x/Pod/a@0]"},
		"kind after items":    {`{"items": [{"metadata": {"name": "a"}}], "kind": "PodList", "apiVersion": "v1"}`, "[v1 Pod/a@0]"},
		"objects in a row":    {"{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"a\"}}\n{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"b\"}}", "[v1 Pod/a@0 v1 Pod/b@0]"},
		"array":               {`[{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}, 3]`, "[v1 Pod/a@0]"},
		"kubectl yaml":        {"apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata:\n    name: a\n    annotations:\n      note: |\n        - no item\n- apiVersion: v1\n  kind: Pod\n  metadata:\n    name: b\nkind: List\nmetadata:\n  resourceVersion: \"\"\n", "[v1 Pod/a@3 v1 Pod/b@10]"},
		"yaml list of a kind": {"apiVersion: v1\nkind: PodList\nitems:\n- metadata:\n    name: a\n- metadata: {name: b}\n", "[v1 Pod/a@4 v1 Pod/b@6]"},
		"indented items":      {"kind: List\napiVersion: v1\nitems:\n  - apiVersion: v1\n    kind: Pod\n    metadata: {name: a}\n", "[v1 Pod/a@4]"},
		"documents":           {"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\n# nothing\n---\nplain: true\n--- # one more\napiVersion: v1\nkind: Pod\nmetadata: {name: b}\n", "[v1 Pod/a@1 v1 Pod/b@9]"},
		"two lists":           {"kind: List\napiVersion: v1\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: b}\n", "[v1 Pod/a@4 v1 Pod/b@6]"},
		"empty list":          {"apiVersion: v1\nitems: []\nkind: List\n", "[]"},
		"nothing":             {" \n", "[]"},
	} {
		names, problems := streamed(t, c.text)
		if got := fmt.Sprint(names); got != c.want || len(problems) > 0 {
			t.Errorf("%s: got %s, problems %v, want %s", name, got, problems, c.want)
		}
	}
}

func TestABrokenPartOfAnExportIsAProblemAndTheRestIsRead(t *testing.T) {
	t.Parallel()
	pod := "{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"a\"}}"
	for name, text := range map[string]string{
		"cut json":  pod + `{"apiVersion": "v1", "kind": "Li`,
		"cut list":  `{"kind": "List", "items": [` + pod + `, {"a`,
		"bad item":  "kind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: a}\n- broken: [\n- fine: true\n",
		"deep json": pod + strings.Repeat(`{"a":`, 2000),
	} {
		if names, problems := streamed(t, text); len(names) != 1 || len(problems) != 1 {
			t.Errorf("%s: objects %v, problems %v; expected one of each", name, names, problems)
		}
	}
}

func TestTenThousandObjectsAreStreamedWithoutBeingHeld(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("apiVersion: v1\nitems:\n")
	for i := range 10_000 {
		fmt.Fprintf(&b, "- apiVersion: v1\n  kind: Pod\n  metadata:\n    name: p%d\n", i)
	}
	b.WriteString("kind: List\n")
	names, problems := streamed(t, b.String())
	if len(names) != 10_000 || len(problems) > 0 || names[9999] != "v1 Pod/p9999@39999" {
		t.Fatalf("%d objects, last %s, problems %v", len(names), names[len(names)-1], problems)
	}
	full := errors.New("full")
	count := 0
	if _, err := Stream(t.Context(), "dump", strings.NewReader(b.String()), func(*Object) error {
		if count++; count == 3 {
			return full
		}
		return nil
	}); !errors.Is(err, full) || count != 3 {
		t.Errorf("the receiver refused object 3: %d objects were given, error %v", count, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Stream(ctx, "dump", strings.NewReader(b.String()), func(*Object) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled stream ended with %v", err)
	}
}

func TestAnObjectOfVeryManyKeysIsReadInTime(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("{")
	for i := range 100_000 {
		fmt.Fprintf(&b, `"k%d": 1, `, i)
	}
	b.WriteString(`"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}`)
	start := time.Now()
	if names, problems := streamed(t, b.String()); len(names) != 1 || len(problems) > 0 || time.Since(start) > 20*time.Second {
		t.Errorf("objects %v, problems %v after %s", names, problems, time.Since(start))
	}
}

func FuzzStream(f *testing.F) {
	for _, s := range []string{clusterText, `{"items": [{"metadata": {}}], "kind": "PodList"}`, "items:\n- a\n-\nkind: List", "[[[{}]]]", "--- \n...\n---"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := Stream(t.Context(), "x", strings.NewReader(string(data)), func(o *Object) error {
			if o.Kind == "" || o.APIVersion == "" {
				t.Errorf("an object without kind: %+v", o)
			}
			o.Slim()
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
}
