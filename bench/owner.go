package main

import "context"

var measureOwner = Measurement{ID: "owner", Run: func(context.Context) ([]Row, error) { return nil, nil }}
