package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"

	"github.com/strongroom/strongroom/shared/envelope"
	"github.com/strongroom/strongroom/shared/secret"
)

// sealer puts values into the envelopes of one request.
type sealer struct {
	to         *envelope.Sealer
	enc        []byte
	request    string
	credential string
}

func (s *sealer) header() Sealed { return Sealed{Enc: s.enc, Request: s.request} }

func (s *sealer) one(field string, value *secret.Buffer) ([]byte, error) {
	sealed, err := s.to.Seal(value.Reveal(), envelope.Context{Request: s.request, Credential: s.credential, Field: field})
	if err != nil {
		return nil, fmt.Errorf("field %s: %w", field, err)
	}
	return sealed, nil
}

func (s *sealer) all(values map[string]*secret.Buffer) (map[string][]byte, error) {
	if len(values) == 0 {
		return nil, nil
	}
	sealed := make(map[string][]byte, len(values))
	for field, value := range values {
		var err error
		if sealed[field], err = s.one(field, value); err != nil {
			return nil, err
		}
	}
	return sealed, nil
}

// withEnvelope asks for a recipient and lets send write a request with it.
// Where the connection was replaced in between, the server cannot open what it
// got and says so: then both steps are done once more, with a new key.
func (c *Client) withEnvelope(ctx context.Context, credential string, send func(*sealer) error) error {
	c.seal.Lock()
	defer c.seal.Unlock()
	err := c.envelopeOnce(ctx, credential, send)
	var p *Problem
	if errors.As(err, &p) && p.Code == CodeEnvelope {
		err = c.envelopeOnce(ctx, credential, send)
	}
	return err
}

func (c *Client) envelopeOnce(ctx context.Context, credential string, send func(*sealer) error) error {
	var recipient Envelope
	state, err := c.do(ctx, call{method: http.MethodGet, path: []string{"envelope"}, out: &recipient})
	if err != nil {
		return err
	}
	exporter, err := envelope.Exporter(state)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotReachable, err)
	}
	to, enc, err := envelope.NewSealer(c.arena, recipient.PublicKey, envelope.ToServer, exporter)
	if err != nil {
		return fmt.Errorf("%w: the server's envelope key: %w", ErrFailed, err)
	}
	defer to.Wipe()
	return send(&sealer{to: to, enc: enc, request: rand.Text(), credential: credential})
}

// Revealed is a credential's secret fields. The caller wipes it.
type Revealed struct {
	Version uint64
	Secrets map[string]*secret.Buffer
}

// Wipe wipes every value.
func (r *Revealed) Wipe() {
	for _, b := range r.Secrets {
		b.Wipe()
	}
}

// Reveal gives the secret fields of the current version, in the client's arena.
func (c *Client) Reveal(ctx context.Context, ref string) (*Revealed, error) {
	recipient, err := envelope.NewRecipient()
	if err != nil {
		return nil, fmt.Errorf("making an envelope key: %w", err)
	}
	in := RevealRequest{PublicKey: recipient.PublicKey(), Request: rand.Text()}
	var out RevealAnswer
	state, err := c.do(ctx, call{method: http.MethodPost, path: []string{"credentials", ref, "reveal"}, in: in, out: &out})
	if err != nil {
		return nil, err
	}
	exporter, err := envelope.Exporter(state)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotReachable, err)
	}
	opener, err := recipient.Opener(c.arena, out.Enc, envelope.ToClient, exporter)
	if err != nil {
		return nil, fmt.Errorf("%w: its envelope cannot be opened: %w", ErrFailed, err)
	}
	defer opener.Wipe()
	revealed := &Revealed{Version: out.Version, Secrets: make(map[string]*secret.Buffer, len(out.Secrets))}
	for field, sealed := range out.Secrets {
		where := envelope.Context{Request: in.Request, Credential: ref, Version: out.Version, Field: field}
		if revealed.Secrets[field], err = opener.Open(sealed, where); err != nil {
			delete(revealed.Secrets, field)
			revealed.Wipe()
			return nil, fmt.Errorf("%w: field %s cannot be opened: %w", ErrFailed, field, err)
		}
	}
	return revealed, nil
}
