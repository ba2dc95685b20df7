package people

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/strongroom/strongroom/shared/secret"
)

// Argon2id's cost (RFC 9106): 19 MiB and two passes on one lane, which OWASP
// names as its least.
const (
	argonMemory  = 19 * 1024 // KiB
	argonTime    = 2
	argonThreads = 1
	argonKey     = 32
)

// decoyHash is what the password for an unknown name is compared with. It is
// the hash of nothing that anybody knows: its key is all zero.
var decoyHash = phc(make([]byte, 16), make([]byte, argonKey))

var errHash = errors.New("a stored password hash cannot be read")

func hashPassword(password []byte) (string, error) {
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", err
	}
	var key []byte
	secret.Do(func() {
		key = argon2.IDKey(password, salt, argonTime, argonMemory, argonThreads, argonKey)
	})
	return phc(salt, key), nil
}

func phc(salt, key []byte) string {
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		argonMemory, argonTime, argonThreads, enc.EncodeToString(salt), enc.EncodeToString(key))
}

// verifyPassword reads the cost from the stored hash, so that it can be raised
// later without locking anybody out.
func verifyPassword(stored string, password []byte) (bool, error) {
	parts := strings.Split(stored, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false, errHash
	}
	var version int
	var memory, time uint32
	var threads uint8
	if _, err := fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d", &version, &memory, &time, &threads); err != nil ||
		version != argon2.Version || memory > 1<<20 || time == 0 || time > 100 || threads == 0 {
		return false, errHash
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	want, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(want) < 16 {
		return false, errHash
	}
	var ok bool
	secret.Do(func() {
		ok = secret.Equal(argon2.IDKey(password, salt, time, memory, threads, uint32(len(want))), want)
	})
	return ok, nil
}
