package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestAFigureIsReachedAtTheDecimalsOfItsTarget(t *testing.T) {
	for _, test := range []struct {
		value, target float64
		most, want    bool
	}{
		{.7596, .76, false, true},
		{.7549, .76, false, false},
		{.7596, .80, false, false}, // one decimal of a float, two as it was stated
		{.9985, .999, false, true},
		{.9984, .999, false, false},
		{.9999, 1, false, false},
		{1, 1, false, true},
		{1, 0, true, false},
		{0, 0, true, true},
		{50.4, 50, true, false},
	} {
		if got := reached(test.value, test.target, test.most); got != test.want {
			t.Errorf("reached(%v, %v, most %t) = %t", test.value, test.target, test.most, got)
		}
	}
}

func TestDataThatLacksEveryBenchmarkIsNotMistakenForSuccess(t *testing.T) {
	var out, problems bytes.Buffer
	if code := run(t.Context(), []string{"-data", t.TempDir()}, &out, &problems); code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
	for _, b := range benchmarks() {
		if !strings.Contains(problems.String(), b.ID+" left out") {
			t.Errorf("%s was left out silently:\n%s", b.ID, problems.String())
		}
	}
}
