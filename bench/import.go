package main

import "context"

var measureImport = Measurement{ID: "import", Run: func(context.Context) ([]Row, error) { return nil, nil }}
