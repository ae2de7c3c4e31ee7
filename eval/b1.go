package main

var benchmarkB1 = Benchmark{ID: "B1", Title: "placeholder", Needs: "absent"}
