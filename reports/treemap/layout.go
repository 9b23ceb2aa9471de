package treemap

import (
	"cmp"
	"slices"
)

// rect is a part of the map, in pixels.
type rect struct{ x, y, w, h float64 }

// squarify divides r among values, the largest first, in rectangles as near to squares as can
// be, whose areas are to one another as the values are.
//
// Source: Bruls, Huizing and van Wijk, Squarified Treemaps (2000).
func squarify(values []float64, r rect) []rect {
	var sum float64
	for _, v := range values {
		sum += v
	}
	if sum <= 0 || r.w <= 0 || r.h <= 0 {
		return make([]rect, len(values))
	}
	scale := r.w * r.h / sum
	var out []rect
	for len(values) > 0 {
		side := min(r.w, r.h)
		// As many as make the worst of them better stand beside one another.
		n, row := 1, values[0]*scale
		for n < len(values) {
			next := row + values[n]*scale
			if worst(values[0]*scale, values[n]*scale, next, side) > worst(values[0]*scale, values[n-1]*scale, row, side) {
				break
			}
			n, row = n+1, next
		}
		depth := row / side
		at := 0.0
		for _, v := range values[:n] {
			length := v * scale / depth
			if r.w >= r.h {
				out = append(out, rect{r.x, r.y + at, depth, length})
			} else {
				out = append(out, rect{r.x + at, r.y, length, depth})
			}
			at += length
		}
		if r.w >= r.h {
			r.x, r.w = r.x+depth, max(0, r.w-depth)
		} else {
			r.y, r.h = r.y+depth, max(0, r.h-depth)
		}
		values = values[n:]
		if side <= 0 || r.w <= 0 || r.h <= 0 { // rounding has left nothing
			for range values {
				out = append(out, rect{r.x, r.y, 0, 0})
			}
			break
		}
	}
	return out
}

// worst is the longest shape in a row of areas between the largest and the least, which
// sum up to row, along a side.
func worst(largest, least, row, side float64) float64 {
	if row <= 0 || least <= 0 {
		return 0
	}
	return max(side*side*largest/(row*row), row*row/(side*side*least))
}

// sorted are the nodes with something to show, the largest first; equal ones by name.
func sorted(nodes []Node) []Node {
	var list []Node
	for _, n := range nodes {
		if n.sum() > 0 {
			list = append(list, n)
		}
	}
	slices.SortStableFunc(list, func(a, b Node) int {
		return cmp.Or(cmp.Compare(b.sum(), a.sum()), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// values are the nodes' sums.
func values(nodes []Node) []float64 {
	list := make([]float64, len(nodes))
	for i, n := range nodes {
		list[i] = n.sum()
	}
	return list
}
