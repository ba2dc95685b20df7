package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/strongroom/strongroom/server/internal/seal"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/envelope"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/secret"
)

func (r *REST) registerControl(doc huma.API) {
	add(r, doc, route{method: http.MethodGet, path: "/v1/status", summary: "How the server is", access: anytime}, r.status)
	add(r, doc, route{method: http.MethodGet, path: "/v1/envelope", summary: "A key to seal the values of one request to, on this connection", access: anytime}, r.issueEnvelope)
	add(r, doc, route{method: http.MethodPost, path: "/v1/seal", summary: "Seal the vault", access: may(grant.VaultSeal)}, r.seal)
	add(r, doc, route{method: http.MethodPost, path: "/v1/unseal", summary: "Unseal the vault", access: anytime, maxBody: 64 << 10, timeout: longTime}, r.unseal)
}

func (r *REST) status(context.Context, *call, *nothing) (api.Status, error) {
	s := r.control.Status()
	if s.Warnings == nil {
		s.Warnings = []string{}
	}
	return s, nil
}

// seal leaves the rooms first: the server waits until they are empty.
func (r *REST) seal(ctx context.Context, c *call, _ *nothing) (api.Seal, error) {
	c.leave()
	if err := r.control.Seal(context.WithoutCancel(ctx), c.person); err != nil {
		return api.Seal{}, err
	}
	return api.Seal{Sealed: true}, nil
}

// unseal is asked for by anybody, so its attempts are few: one is a secret that
// was tried, or a reset. What cannot be one costs nothing to refuse, and a share
// that only waits for the others was not tried yet.
func (r *REST) unseal(ctx context.Context, c *call, in *with[api.UnsealRequest]) (api.Seal, error) {
	attempt := Unsealing{Reset: in.Body.Reset}
	given := 0
	for _, part := range []struct {
		field  string
		sealed []byte
		into   **secret.Buffer
	}{
		{"key_file", in.Body.KeyFile, &attempt.KeyFile},
		{"passphrase", in.Body.Passphrase, &attempt.Passphrase},
		{"share", in.Body.Share, &attempt.Share},
	} {
		if len(part.sealed) == 0 {
			continue
		}
		if given++; given > 1 {
			return api.Seal{}, usage("key_file, passphrase and share", "give one of them")
		}
		opened, err := r.openOne(c, in.Body.Sealed, part.field, part.sealed)
		if err != nil {
			return api.Seal{}, err
		}
		defer opened.Wipe()
		*part.into = opened
	}
	if given == 0 && !in.Body.Reset {
		return api.Seal{}, usage("key_file, passphrase or share", "give one of them, or reset")
	}
	if what, err := attempt.check(); err != nil {
		return api.Seal{}, r.control.RefuseUnseal(ctx, "not "+what, err)
	}
	giveBack, wait := r.limits.unseal(c.request.RemoteAddr, r.now())
	if wait > 0 {
		return api.Seal{}, r.control.RefuseUnseal(ctx, tooManyAttempts, busy("too many attempts to unseal", wait))
	}
	out, err := r.control.Unseal(ctx, attempt)
	if waits := err == nil && out.Sealed; waits && attempt.Share != nil && !attempt.Reset {
		giveBack()
	}
	return out, err
}

// tooManyAttempts is the log's reason.
const tooManyAttempts = "too many attempts"

// check is an error for what can be no key file, or no share, of any vault.
func (u Unsealing) check() (what string, err error) {
	switch {
	case u.KeyFile != nil:
		return "a key file", seal.CheckKeyFile(u.KeyFile)
	case u.Share != nil:
		return "a share", seal.CheckShare(u.Share)
	}
	return "", nil
}

// openOne opens the envelope of a request that has one, about no credential.
func (r *REST) openOne(c *call, header api.Sealed, field string, sealed []byte) (*secret.Buffer, error) {
	opener, err := r.opener(c, header)
	if err != nil {
		return nil, err
	}
	defer opener.Wipe()
	return opener.Open(sealed, envelope.Context{Request: header.Request, Field: field})
}
