package helper

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// DockerNotFound is what a helper prints on stdout, ending with 1, where it has nothing for a registry: Docker then goes
// on without.
const DockerNotFound = "credentials not found in native keychain"

// identityToken is the user name by which Docker knows an identity token, which it exchanges for access tokens.
const identityToken = "<token>"

// hub are names of Docker's own registry; hubKey is how Docker asks for its credentials.
var hub = []string{"index.docker.io", "docker.io", "registry-1.docker.io", "registry.hub.docker.com"}

const hubKey = "https://index.docker.io/v1/"

// DockerQuestion is what Docker asks of a credential helper's get.
type DockerQuestion struct {
	url   string // as it was asked
	asked place
}

// ReadDocker reads a registry's address, with or without https:// and a path, of at most MaxInput bytes. It fails with
// ErrInput, and with ErrOtherHost for what is neither https nor loopback.
func ReadDocker(r io.Reader) (DockerQuestion, error) {
	text, err := readAll(r)
	if err != nil {
		return DockerQuestion{}, err
	}
	text = strings.TrimSpace(text)
	if text == "" || strings.ContainsAny(text, "\n\r\x00") || !utf8.ValidString(text) {
		return DockerQuestion{}, fmt.Errorf("%w: Docker sends the address of one registry", ErrInput)
	}
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		scheme, rest = "https", text
	}
	host, _, _ := strings.Cut(rest, "/")
	asked, err := placeOf(scheme, host)
	return DockerQuestion{url: text, asked: registry(asked)}, err
}

// registry gives all names of Docker's own registry one.
func registry(p place) place {
	if slices.Contains(hub, p.host) {
		p.host = hub[0]
	}
	return p
}

// Docker answers Docker's question. host and username are as in Git. A token without a user name goes as an identity
// token.
func (c Credential) Docker(q DockerQuestion, host, username string) ([]byte, error) {
	if err := c.isForRegistry(q.asked, host); err != nil {
		return nil, err
	}
	user, password, named, err := c.login(username)
	if err != nil {
		return nil, err
	}
	if !named {
		user = identityToken
	}
	if !utf8.ValidString(user) || !utf8.ValidString(password) {
		return nil, fmt.Errorf("%w: user name or password of %s is not UTF-8", ErrCredential, c.Reference)
	}
	return json.Marshal(struct{ ServerURL, Username, Secret string }{q.url, user, password})
}

// isForRegistry is isFor, for which a registry on loopback that is asked for without a scheme may be one without TLS.
func (c Credential) isForRegistry(asked place, host string) error {
	if slices.Contains(hub, host) {
		host = hub[0]
	}
	if own, err := c.place(); host == "" && err == nil {
		own = registry(own)
		if own == asked || own.scheme == "http" && loopback(own.host) && own.hostPort() == asked.hostPort() {
			return nil
		}
	}
	return c.isFor(asked, host)
}

// DockerList answers which registries the credential is for, each with its user name.
func (c Credential) DockerList(host, username string) ([]byte, error) {
	user, _, named, err := c.login(username)
	if err != nil {
		return nil, err
	}
	if !named {
		user = identityToken
	}
	own, err := c.place()
	if host != "" {
		own, err = placeOf("https", host)
	}
	if err != nil {
		return nil, err
	}
	key := own.hostPort()
	if slices.Contains(hub, own.host) {
		key = hubKey
	}
	return json.Marshal(map[string]string{key: user})
}
