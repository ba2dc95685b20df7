package deliver

// automaton finds many patterns at once in a stream of symbols, in time linear in the stream (Aho and Corasick's
// construction). Children are kept as a list, since below the root nearly every node has one; the root has a table.
type automaton struct {
	nodes []node
	root  [256]int32
}

// node is a prefix of some pattern. Node 0 is the empty one.
type node struct {
	child, sibling int32
	fail           int32 // the longest proper suffix that is a prefix of some pattern
	depth          int32
	match          int32 // the length of the longest pattern that ends here, or 0
	live           int32 // the length of the longest suffix, this node included, that some pattern goes on from
	symbol         byte
}

func newAutomaton(patterns [][]byte) *automaton {
	most := 1
	for _, p := range patterns {
		most += len(p)
	}
	a := &automaton{nodes: make([]node, 1, most)}
	for _, p := range patterns {
		a.add(p)
	}
	a.link()
	return a
}

func (a *automaton) add(pattern []byte) {
	at := int32(0)
	for _, b := range pattern {
		next := a.childOf(at, b)
		if next == 0 {
			next = int32(len(a.nodes))
			a.nodes = append(a.nodes, node{sibling: a.nodes[at].child, depth: a.nodes[at].depth + 1, symbol: b})
			a.nodes[at].child = next
			if at == 0 {
				a.root[b] = next
			}
		}
		at = next
	}
	a.nodes[at].match = a.nodes[at].depth
}

func (a *automaton) childOf(at int32, b byte) int32 {
	for c := a.nodes[at].child; c != 0; c = a.nodes[c].sibling {
		if a.nodes[c].symbol == b {
			return c
		}
	}
	return 0
}

// link goes over the nodes in order of depth, so that what a node falls back to is ready before it.
func (a *automaton) link() {
	queue := make([]int32, 1, len(a.nodes))
	for i := 0; i < len(queue); i++ {
		at := queue[i]
		for c := a.nodes[at].child; c != 0; c = a.nodes[c].sibling {
			n := &a.nodes[c]
			if at != 0 {
				n.fail = a.next(a.nodes[at].fail, n.symbol)
			}
			fail := &a.nodes[n.fail]
			if n.match == 0 {
				n.match = fail.match
			}
			n.live = fail.live
			if n.child != 0 {
				n.live = n.depth
			}
			queue = append(queue, c)
		}
	}
}

func (a *automaton) next(at int32, b byte) int32 {
	for at != 0 {
		if c := a.childOf(at, b); c != 0 {
			return c
		}
		at = a.nodes[at].fail
	}
	return a.root[b]
}
