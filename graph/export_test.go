package graph

import "fmt"

// KeepInMemory sets how many facts of a run are kept in memory.
func (g *Graph) KeepInMemory(n int) { g.held = n }

// Describe writes an index as text.
func (x *Index) Describe() []string {
	var lines []string
	for n := range uint32(len(x.ids)) {
		lines = append(lines, fmt.Sprintf("%d %s", x.ids[n], x.Kind(n)))
		x.each(n, x.mask(nil), func(to uint32, verb uint8, way Direction) bool {
			lines = append(lines, fmt.Sprintf("%d %s %d %d", x.ids[n], x.verbs[verb], x.ids[to], way))
			return true
		})
	}
	return append(lines, fmt.Sprint(x.kindNames, x.counts, len(x.in.to)))
}
