// Package bearer makes and reads the tokens that stand for somebody: a prefix
// that says what it is, the ID of a record, and a random part of which the
// record has the hash alone. It stores nothing and decides nothing.
package bearer

import (
	"crypto/rand"
	"crypto/sha256"
	"strings"

	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/secret"
)

const maxText = 256

// New makes the token of the record id: its text, which is shown once, and the
// hash to keep. The random part has at least 128 bits.
func New(prefix, id string) (text string, hash []byte) {
	random := strings.ToLower(rand.Text())
	sum := sha256.Sum256([]byte(random))
	return prefix + id + "_" + random, sum[:]
}

// Parse takes a token's text apart. It is false for what New never made.
func Parse(prefix, text string) (id, random string, ok bool) {
	rest, ok := strings.CutPrefix(text, prefix)
	if !ok || len(text) > maxText {
		return "", "", false
	}
	id, random, ok = strings.Cut(rest, "_")
	return id, random, ok && credential.ValidName("token", id) == nil
}

// Matches says in constant time whether the random part is the one of the hash.
func Matches(random string, hash []byte) bool {
	sum := sha256.Sum256([]byte(random))
	return secret.Equal(sum[:], hash)
}
