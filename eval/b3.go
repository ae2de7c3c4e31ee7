package main

var benchmarkB3 = Benchmark{ID: "B3", Title: "placeholder", Needs: "absent"}
