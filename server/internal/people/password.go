package people

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"

	"github.com/strongroom/strongroom/server/internal/setting"
	"github.com/strongroom/strongroom/shared/credential"
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

// The costs of a bcrypt hash that is taken over from elsewhere.
const (
	minBcrypt = 8
	maxBcrypt = 14
)

// MaxPassword is the most bytes of a password.
const MaxPassword = 1024

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
	if isBcrypt(stored) {
		return verifyBcrypt(stored, password)
	}
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

func isBcrypt(stored string) bool { return strings.HasPrefix(stored, "$2") }

func verifyBcrypt(stored string, password []byte) (ok bool, err error) {
	secret.Do(func() { err = bcrypt.CompareHashAndPassword([]byte(stored), password) })
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, bcrypt.ErrMismatchedHashAndPassword), errors.Is(err, bcrypt.ErrPasswordTooLong):
		return false, nil
	}
	return false, errHash
}

// checkBcrypt holds a hash that is to be taken over against what can be verified.
func checkBcrypt(hash *secret.Buffer) (string, error) {
	text := string(hash.Reveal())
	cost, err := bcrypt.Cost([]byte(text))
	if err != nil || len(text) != 60 || !isBcrypt(text) {
		return "", fmt.Errorf("%w password hash: a bcrypt hash has 60 characters and begins with $2a$, $2b$ or $2y$", credential.ErrInvalid)
	}
	if cost < minBcrypt || cost > maxBcrypt {
		return "", fmt.Errorf("%w password hash: its cost is %d, from %d to %d are taken", credential.ErrInvalid, cost, minBcrypt, maxBcrypt)
	}
	return text, nil
}

// checkPolicy holds a new password against the settings. The errors say what is
// wanted and nothing of the password.
func (p *People) checkPolicy(name string, password *secret.Buffer) error {
	invalid := func(mend string) error { return fmt.Errorf("%w password: %s", credential.ErrInvalid, mend) }
	switch {
	case password.Len() > MaxPassword:
		return invalid(fmt.Sprintf("at most %d bytes are allowed", MaxPassword))
	case !utf8.Valid(password.Reveal()):
		return invalid("it is not UTF-8")
	case (credential.Policy{Banned: []string{name}}).Check(password) != nil:
		return invalid("it contains the user's name")
	}
	return credential.Policy{
		MinLength:  p.settings.Count(setting.PasswordMin),
		MinClasses: p.settings.Count(setting.PasswordClasses),
		Banned:     p.settings.Words(setting.PasswordBanned),
	}.Check(password)
}
