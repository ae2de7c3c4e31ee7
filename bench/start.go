package main

import "context"

var measureStart = Measurement{ID: "start", Run: func(context.Context) ([]Row, error) { return nil, nil }}
