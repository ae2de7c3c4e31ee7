package fix

import "bytes"

// LineEdits gives the edits by whole lines that make one text of another. What is added
// is an edit of the line before it, so that it is found again when lines moved.
func LineEdits(name string, before, after []byte) []FileEdit {
	a, b := splitLines(before), splitLines(after)
	head := 0
	for head < len(a) && head < len(b) && bytes.Equal(a[head], b[head]) {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && bytes.Equal(a[len(a)-1-tail], b[len(b)-1-tail]) {
		tail++
	}
	offsets := make([]int, len(a)+1)
	for i, line := range a {
		offsets[i+1] = offsets[i] + len(line)
	}
	var all []FileEdit
	add := func(i1, i2, j1, j2 int) {
		if i1 == i2 && j1 == j2 {
			return
		}
		if i1 == i2 && i1 > 0 && j1 > 0 && bytes.Equal(a[i1-1], b[j1-1]) {
			i1, j1 = i1-1, j1-1
		}
		start, end := offsets[i1], offsets[i2]
		text := bytes.Join(b[j1:j2], nil)
		// The last line break is the same before and after in most edits.
		for _, eol := range []string{"\r\n", "\n"} {
			if bytes.HasSuffix(before[start:end], []byte(eol)) && bytes.HasSuffix(text, []byte(eol)) {
				end, text = end-len(eol), text[:len(text)-len(eol)]
				break
			}
		}
		all = append(all, NewFileEdit(name, before, start, end, string(text)))
	}
	x, y := a[head:len(a)-tail], b[head:len(b)-tail]
	if len(x)*len(y) > 4_000_000 {
		add(head, len(a)-tail, head, len(b)-tail)
		return all
	}
	// The longest common run of lines keeps edits apart.
	width := len(y) + 1
	best := make([]int32, (len(x)+1)*width)
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			if bytes.Equal(x[i], y[j]) {
				best[i*width+j] = best[(i+1)*width+j+1] + 1
			} else {
				best[i*width+j] = max(best[(i+1)*width+j], best[i*width+j+1])
			}
		}
	}
	i, j, i1, j1 := 0, 0, 0, 0
	for i < len(x) && j < len(y) {
		switch {
		case bytes.Equal(x[i], y[j]):
			add(head+i1, head+i, head+j1, head+j)
			i, j = i+1, j+1
			i1, j1 = i, j
		case best[(i+1)*width+j] >= best[i*width+j+1]:
			i++
		default:
			j++
		}
	}
	add(head+i1, head+len(x), head+j1, head+len(y))
	return all
}

func splitLines(data []byte) [][]byte {
	var lines [][]byte
	for line := range bytes.Lines(data) {
		lines = append(lines, line)
	}
	return lines
}
