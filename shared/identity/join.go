package identity

import (
	"errors"
	"net"
	"strconv"
	"strings"
)

// Join is what an admin hands to a new host: where the server is, how to know
// it, and the join token. Its text form is a secret.
type Join struct {
	Server      string // HOST:PORT of the agents' listener
	Fingerprint string
	Token       string
}

const joinPrefix = "join1,"

// ErrJoin is the answer to a text that is not a join string. It never repeats it.
var ErrJoin = errors.New("this is not a join string: it begins with join1, and comes from strongroom host join-token")

// Text is one line without spaces.
func (j Join) Text() string { return joinPrefix + j.Server + "," + j.Fingerprint + "," + j.Token }

// ParseJoin reads what Text wrote.
func ParseJoin(s string) (Join, error) {
	rest, ok := strings.CutPrefix(s, joinPrefix)
	parts := strings.Split(rest, ",")
	if !ok || len(s) > 1024 || len(parts) != 3 || ValidServer(parts[0]) != nil || parts[2] == "" || ValidFingerprint(parts[1]) != nil {
		return Join{}, ErrJoin
	}
	return Join{Server: parts[0], Fingerprint: parts[1], Token: parts[2]}, nil
}

// ValidServer checks the form of an agents' address: HOST:PORT, the host a name
// or an IP address, IPv6 in brackets. What it lets through can stand in a line of
// HTTP.
func ValidServer(address string) error {
	host, port, err := net.SplitHostPort(address)
	number, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil || number == 0 || host == "" || len(host) > 253 || strings.Trim(host, hostCharacters) != "" {
		return errors.New("an agents' address is HOST:PORT, such as vault.example.com:7443")
	}
	return nil
}

const hostCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:%"
