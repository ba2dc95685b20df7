package rest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/envelope"
)

// envelopeLife is how long a key from GET /v1/envelope is good.
const envelopeLife = 60 * time.Second

// connection is what is kept of one client connection: at most one key that a
// client may seal to. A new one replaces it.
type connection struct {
	mu        sync.Mutex
	recipient *envelope.Recipient
	expires   time.Time
}

type connectionKey struct{}

func (c *connection) put(r *envelope.Recipient, expires time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recipient, c.expires = r, expires
}

// take hands the key out once.
func (c *connection) take(now time.Time) *envelope.Recipient {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.recipient
	c.recipient = nil
	if !now.Before(c.expires) {
		return nil
	}
	return r
}

func (r *REST) issueEnvelope(_ context.Context, c *call, _ *nothing) (api.Envelope, error) {
	recipient, err := envelope.NewRecipient()
	if err != nil {
		return api.Envelope{}, err
	}
	c.connection.put(recipient, r.now().Add(envelopeLife))
	return api.Envelope{PublicKey: recipient.PublicKey()}, nil
}

// opener uses up the connection's key. The caller wipes it.
func (r *REST) opener(c *call, in api.Sealed) (*envelope.Opener, error) {
	if in.Request == "" {
		return nil, usage("request", "give a random identifier, which is bound into each envelope")
	}
	recipient := c.connection.take(r.now())
	if recipient == nil {
		return nil, fmt.Errorf("%w: this connection has no key to open it", envelope.ErrEnvelope)
	}
	exporter, err := envelope.Exporter(c.request.TLS)
	if err != nil {
		return nil, err
	}
	return recipient.Opener(r.arena, in.Enc, envelope.ToServer, exporter)
}

// toClient is a sealer for what the answer is to carry, which the caller wipes, and what the client opens that with.
func (r *REST) toClient(c *call, publicKey []byte) (sealer *envelope.Sealer, enc []byte, err error) {
	exporter, err := envelope.Exporter(c.request.TLS)
	if err != nil {
		return nil, nil, err
	}
	sealer, enc, err = envelope.NewSealer(r.arena, publicKey, envelope.ToClient, exporter)
	if errors.Is(err, envelope.ErrEnvelope) {
		err = usage("public_key", "not an X25519 public key")
	}
	return sealer, enc, err
}

// envelopes are the values that a request brings.
type envelopes struct {
	api.Sealed
	credential string // as the request names it
	secrets    map[string][]byte
	variables  map[string][]byte
	masked     map[string][]byte
}

// open puts secrets and masked variables into the arena, whence the caller
// wipes them, and gives variables that everybody may read as text.
func (r *REST) open(c *call, e envelopes) (value credential.Value, shown map[string]string, err error) {
	if err := e.check(); err != nil || len(e.secrets)+len(e.variables)+len(e.masked) == 0 {
		return nil, nil, err
	}
	opener, err := r.opener(c, e.Sealed)
	if err != nil {
		return nil, nil, err
	}
	defer opener.Wipe()
	value, shown = credential.Value{}, map[string]string{}
	defer func() {
		if err != nil {
			value.Wipe()
			value = nil
		}
	}()
	about := envelope.Context{Request: e.Request, Credential: e.credential}
	for _, part := range []map[string][]byte{e.secrets, e.masked} {
		for _, about.Field = range slices.Sorted(maps.Keys(part)) {
			if value[about.Field], err = opener.Open(part[about.Field], about); err != nil {
				return value, nil, err
			}
		}
	}
	for about.Field = range e.variables {
		b, err := opener.Open(e.variables[about.Field], about)
		if err != nil {
			return value, nil, err
		}
		shown[about.Field] = string(b.Reveal())
		b.Wipe()
	}
	return value, shown, nil
}

// sealedOverhead is more than what an envelope adds to its value.
const sealedOverhead = 64

// check holds what was sent against the limits before it takes locked memory.
func (e envelopes) check() error {
	total, room := 0, credential.MaxValueTotal
	for member, part := range map[string]map[string][]byte{"secrets": e.secrets, "variables": e.variables, "masked": e.masked} {
		for name, sealed := range part {
			if err := credential.ValidField(name); err != nil {
				return fmt.Errorf("%s: %w", member, err)
			}
			if len(sealed) > credential.MaxValue+sealedOverhead {
				return usage(member+"."+name, fmt.Sprintf("at most %d bytes are allowed", credential.MaxValue))
			}
			total, room = total+len(sealed), room+sealedOverhead
		}
	}
	if total > room {
		return usage("secrets, variables and masked", fmt.Sprintf("at most %d bytes are allowed in all", credential.MaxValueTotal))
	}
	return nil
}
