package rest

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/seal"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/envelope"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/secret"
)

// Keeping is what the server as a whole does with an open vault: its slots, its
// keys, its copies. What it got is wiped afterwards.
type Keeping struct {
	Slots      func() []seal.Slot
	AddSlot    func(context.Context, grant.Person, api.Authority, api.NewSlot) (seal.Slot, []*secret.Buffer, error)
	RemoveSlot func(ctx context.Context, who grant.Person, with api.Authority, id string) (seal.Slot, error)

	Rekey      func(context.Context, grant.Person) (api.Rekey, error)
	RekeyState func() api.Rekey

	Backup func(context.Context, grant.Person) (Backup, error)
}

func (r *REST) registerSlots(doc huma.API) {
	add(r, doc, route{method: http.MethodGet, path: "/v1/slots", summary: "List what opens the vault", access: may(grant.VaultKeys)}, listSlots)
	add(r, doc, route{method: http.MethodPost, path: "/v1/slots", summary: "Add a way to open the vault", access: may(grant.VaultKeys), status: http.StatusCreated, maxBody: maxSecrets, timeout: longTime}, r.addSlot)
	add(r, doc, route{method: http.MethodPost, path: "/v1/slots/{id}/remove", summary: "Remove a way to open the vault", access: may(grant.VaultKeys), maxBody: maxSecrets, timeout: longTime}, r.removeSlot)
}

// maxSecrets lets through a whole set of shares with a new key file beside them.
const maxSecrets = 512 << 10

func listSlots(_ context.Context, c *call, _ *nothing) (api.SlotList, error) {
	out := api.SlotList{Items: []api.Slot{}}
	for _, s := range c.rooms.Keeping.Slots() {
		out.Items = append(out.Items, slotOf(s))
	}
	return out, nil
}

func slotOf(s seal.Slot) api.Slot {
	return api.Slot{ID: s.ID, Kind: s.Kind, Created: timeOrNull(s.Created), Threshold: s.Need, Shares: s.Of}
}

func (r *REST) addSlot(ctx context.Context, c *call, in *with[api.SlotAdd]) (api.SlotAdded, error) {
	body := &in.Body
	given := 0
	for _, is := range []bool{len(body.NewKeyFile) > 0, len(body.NewPassphrase) > 0, body.NewShares != 0 || body.NewThreshold != 0} {
		if is {
			given++
		}
	}
	if given != 1 {
		return api.SlotAdded{}, usage("new_key_file, new_passphrase or new_shares", "give one of them")
	}
	made := api.NewSlot{Shares: body.NewShares, Threshold: body.NewThreshold}
	var sealer *envelope.Sealer
	var out api.SlotAdded
	if body.NewShares != 0 {
		var err error
		if sealer, out.Enc, err = r.toClient(c, body.PublicKey); err != nil {
			return api.SlotAdded{}, err
		}
		defer sealer.Wipe()
	}
	opened, err := r.openAuthority(c, body.Sealed, body.AuthoritySealed, map[string][]byte{
		"new_key_file": body.NewKeyFile, "new_passphrase": body.NewPassphrase,
	})
	if err != nil {
		return api.SlotAdded{}, err
	}
	defer opened.wipe()
	if err := r.attempt(ctx, c, "slot.add", ""); err != nil {
		return api.SlotAdded{}, err
	}
	made.KeyFile, made.Passphrase = opened.more["new_key_file"], opened.more["new_passphrase"]
	slot, lines, err := c.rooms.Keeping.AddSlot(ctx, c.person, opened.Authority, made)
	if err != nil {
		return api.SlotAdded{}, err
	}
	out.Slot = slotOf(slot)
	for i, line := range lines {
		defer line.Wipe()
		sealed, err := sealer.Seal(line.Reveal(), envelope.Context{Request: body.Request, Field: fmt.Sprintf("share.%d", i)})
		if err != nil {
			return api.SlotAdded{}, err
		}
		out.NewShares = append(out.NewShares, sealed)
	}
	return out, nil
}

type removeSlotRequest struct {
	ID   string `path:"id" maxLength:"63"`
	Body api.SlotRemove
}

func (r *REST) removeSlot(ctx context.Context, c *call, in *removeSlotRequest) (api.Slot, error) {
	opened, err := r.openAuthority(c, in.Body.Sealed, in.Body.AuthoritySealed, nil)
	if err != nil {
		return api.Slot{}, err
	}
	defer opened.wipe()
	if err := r.attempt(ctx, c, "slot.remove", in.ID); err != nil {
		return api.Slot{}, err
	}
	slot, err := c.rooms.Keeping.RemoveSlot(ctx, c.person, opened.Authority, in.ID)
	return slotOf(slot), err
}

// opened is what a request with an authority brought.
type opened struct {
	api.Authority
	more map[string]*secret.Buffer
}

func (o *opened) wipe() {
	o.Authority.Wipe()
	for _, b := range o.more {
		b.Wipe()
	}
}

// openAuthority opens what a request brings to regain the root key, and what
// more it has.
func (r *REST) openAuthority(c *call, header api.Sealed, in api.AuthoritySealed, more map[string][]byte) (_ *opened, err error) {
	given := 0
	for _, is := range []bool{len(in.KeyFile) > 0, len(in.Passphrase) > 0, len(in.Shares) > 0} {
		if is {
			given++
		}
	}
	if given != 1 {
		return nil, usage("key_file, passphrase or shares", "give the one that opens the vault now")
	}
	opener, err := r.opener(c, header)
	if err != nil {
		return nil, err
	}
	defer opener.Wipe()
	out := &opened{more: map[string]*secret.Buffer{}}
	defer func() {
		if err != nil {
			out.wipe()
		}
	}()
	open := func(field string, sealed []byte) (b *secret.Buffer) {
		if len(sealed) > 0 && err == nil {
			b, err = opener.Open(sealed, envelope.Context{Request: header.Request, Field: field})
		}
		return b
	}
	out.KeyFile, out.Passphrase = open("key_file", in.KeyFile), open("passphrase", in.Passphrase)
	for i, share := range in.Shares {
		if b := open(fmt.Sprintf("share.%d", i), share); b != nil {
			out.Shares = append(out.Shares, b)
		}
	}
	for field, sealed := range more {
		out.more[field] = open(field, sealed)
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// attempt counts one to open the vault, as unsealing does: who may change the
// slots may still guess.
func (r *REST) attempt(ctx context.Context, c *call, action, target string) error {
	_, wait := r.limits.unseal(c.request.RemoteAddr, r.now())
	if wait == 0 {
		return nil
	}
	entry := audit.Entry{Actor: c.person.Name, Action: action, Target: target, Outcome: audit.Refused, Reason: tooManyAttempts}
	if _, err := c.rooms.Audit.Append(ctx, entry); err != nil {
		return err
	}
	return busy("too many attempts to open the vault", wait)
}
