package rest

import (
	"context"
	"encoding/json"
	"hash"
	"maps"
	"net/http"
	"slices"

	"github.com/strongroom/strongroom/server/internal/repeat"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/secret"
)

// creates is the input of routes that make something.
type creates[B any] struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"64" doc:"the same request with the same key makes nothing more and gets the same answer, for 24 hours"`
	Body           B
}

// making is what a request that makes something says, once its envelopes are open.
type making struct {
	key  string
	what string // the name of what it makes
	body any    // without envelopes and what is random about them
	// The values that came in envelopes. They are hashed only.
	secrets map[string]*secret.Buffer
	shown   map[string]string
}

// write gives each part its length, so that no two requests write the same.
func (m making) write(h hash.Hash) {
	part := func(b []byte) {
		length, _ := json.Marshal(len(b)) // a number
		h.Write(append(length, ':'))
		h.Write(b)
	}
	for _, v := range []any{m.body, m.shown} {
		text, _ := json.Marshal(v) // it came as JSON
		part(text)
	}
	for _, name := range slices.Sorted(maps.Keys(m.secrets)) {
		part([]byte(name))
		part(m.secrets[name].Reveal())
	}
}

// once makes something, unless the same request with its key did. Then the answer is what again says of it, as it is
// now; where again is nil, the answer cannot be given twice.
func once[O any](ctx context.Context, c *call, m making, do func(context.Context) (O, error), again func(what string) (O, error)) (O, error) {
	if m.key == "" {
		return do(ctx)
	}
	request := repeat.Request{Who: c.person, Key: m.key, Route: c.route.pattern(), What: m.what, Content: m.write}
	leave, err := c.rooms.Repeats.Enter(ctx, request)
	if err != nil {
		var none O
		return none, err
	}
	defer leave()
	out, known, err := repeated(c, request, again)
	if known || err != nil {
		return out, err
	}
	with, done := c.rooms.Repeats.Keep(ctx, request)
	if out, err = do(with); err == nil {
		done()
	}
	return out, err
}

func repeated[O any](c *call, q repeat.Request, again func(what string) (O, error)) (out O, known bool, err error) {
	what, known, same, err := c.rooms.Repeats.Find(q)
	switch {
	case err != nil || !known:
		return out, known, err
	case !same:
		return out, known, usage("Idempotency-Key", "it was used for another request: take a new one for each")
	case again == nil:
		return out, known, refusal(http.StatusConflict, api.CodeConflict, "the request with this Idempotency-Key was carried out, and its answer is not given twice")
	}
	if out, err = again(what); err != nil {
		err = refusal(http.StatusConflict, api.CodeConflict, "the request with this Idempotency-Key was carried out, and what it made is gone")
	}
	return out, known, err
}
