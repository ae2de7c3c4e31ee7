package main

var benchmarkB9 = Benchmark{ID: "B9", Title: "placeholder", Needs: "absent"}
