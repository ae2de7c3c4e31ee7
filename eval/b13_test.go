package main

import (
	"context"
	"testing"

	"github.com/backstitch/backstitch/code"
)

func TestHunksTellTheLinesBefore(t *testing.T) {
	for text, want := range map[string]span{
		"@@ -15 +15 @@": {15, 15}, "@@ -27,9 +26,0 @@": {27, 35}, "@@ -3,0 +4,2 @@": {3, 4}, "@@ -0,0 +1,2 @@": {0, 1},
	} {
		if got, ok := hunkSpan(text); !ok || got != want {
			t.Errorf("%s: %v %v, expected %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "@@", "@@ x y @@", "@@ -a +b @@", "@@ -1,x +1 @@"} {
		if _, ok := hunkSpan(text); ok {
			t.Errorf("%q is read", text)
		}
	}
}

// Of a change that is known, each way to ask has to find the block that changed, and one
// that changes nothing must not be asked about.
func TestTerraformIsAskedByWhatChanged(t *testing.T) {
	for name, c := range map[string]struct {
		before, after string
		line          int // 0 for not asked
	}{
		"seen by our scanner": {"resource \"aws_db_instance\" \"d\" {\n  publicly_accessible = true\n}\n", "resource \"aws_db_instance\" \"d\" {\n  publicly_accessible = false\n}\n", 2},
		"a value":             {"resource \"aws_x\" \"d\" {\n  a = 1\n}\n", "resource \"aws_x\" \"d\" {\n  a = 2\n}\n", 2},
		"a local":             {"locals {\n  b = 2\n  a = 1\n}\nresource \"aws_x\" \"d\" {\n  a = local.a\n}\n", "locals {\n  b = 2\n  a = 3\n}\nresource \"aws_x\" \"d\" {\n  a = local.a\n}\n", 3},
		"a reference":         {"resource \"aws_x\" \"d\" {\n  a = aws_y.z.id\n}\n", "resource \"aws_x\" \"d\" {\n  a = aws_y.w.id\n}\n", 2},
		"a comment":           {"resource \"aws_x\" \"d\" {\n  a = 1\n}\n", "resource \"aws_x\" \"d\" {\n  a = 1 # one\n}\n", 0},
		"what is new":         {"locals {}\n", "locals {}\nresource \"aws_x\" \"d\" {}\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			answers, why, err := placeTerraform(context.Background(), &placed{before: code.Files{"m.tf": []byte(c.before)}, after: code.Files{"m.tf": []byte(c.after)}})
			if err != nil {
				t.Fatal(err)
			}
			if c.line == 0 {
				if len(answers) > 0 || why == "" {
					t.Errorf("asked: %+v, why not %q", answers, why)
				}
				return
			}
			if len(answers) != 1 || answers[0].path != "m.tf" || !answers[0].block.meets(span{c.line, c.line}) {
				t.Errorf("answered %+v, expected line %d", answers, c.line)
			}
		})
	}
}
