package main

var benchmarkB10 = Benchmark{ID: "B10", Title: "placeholder", Needs: "absent"}
