// Package merkletest has the functions of RFC 6962, 2.1, written from its text and slow, for tests to hold the fast ones
// against: it shares nothing with them. Only tests import it.
package merkletest

import (
	"crypto/sha256"

	"golang.org/x/mod/sumdb/tlog"
)

// Root is the hash of the tree of these leaves, MTH.
func Root(leaves [][]byte) tlog.Hash {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, leaves[0]...))
	}
	k := split(len(leaves))
	left, right := Root(leaves[:k]), Root(leaves[k:])
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

// Path is the audit path of leaf m, PATH.
func Path(m int, leaves [][]byte) []tlog.Hash {
	if len(leaves) == 1 {
		return nil
	}
	k := split(len(leaves))
	if m < k {
		return append(Path(m, leaves[:k]), Root(leaves[k:]))
	}
	return append(Path(m-k, leaves[k:]), Root(leaves[:k]))
}

// Proof is the consistency proof that the first m leaves begin the tree, PROOF.
func Proof(m int, leaves [][]byte) []tlog.Hash { return subproof(m, leaves, true) }

func subproof(m int, leaves [][]byte, whole bool) []tlog.Hash {
	n := len(leaves)
	if m == n {
		if whole {
			return nil
		}
		return []tlog.Hash{Root(leaves)}
	}
	k := split(n)
	if m <= k {
		return append(subproof(m, leaves[:k], whole), Root(leaves[k:]))
	}
	return append(subproof(m-k, leaves[k:], false), Root(leaves[:k]))
}

// split is the largest power of two below n.
func split(n int) int {
	k := 1
	for 2*k < n {
		k *= 2
	}
	return k
}
