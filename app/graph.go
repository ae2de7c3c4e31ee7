package app

import "github.com/backstitch/backstitch/graph"

// Graph is the security graph of the state.
func (a *App) Graph() *graph.Graph { return a.graph }
