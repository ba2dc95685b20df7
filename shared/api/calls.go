package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/strongroom/strongroom/shared/checkpoint"
	"github.com/strongroom/strongroom/shared/secret"
)

// Session is a bearer token and when it ends. The caller wipes the token.
type Session struct {
	Name    string // empty for a login
	Token   *secret.Buffer
	Expires *time.Time // nil: never
}

// Login makes a session token. It is for the caller to keep: this client goes
// on with the token of its Config. code is that of the user's second factor:
// without it such a user gets ErrSecondFactor.
func (c *Client) Login(ctx context.Context, user string, password *secret.Buffer, code string) (*Session, error) {
	// A password travels as JSON inside TLS, so a string of it lives until collected.
	in := LoginRequest{User: user, Password: string(password.Reveal()), Code: code}
	var out LoginAnswer
	if _, err := c.do(ctx, call{method: http.MethodPost, path: []string{"login"}, in: in, out: &out}); err != nil {
		return nil, err
	}
	token, err := c.arena.From([]byte(out.Token))
	if err != nil {
		return nil, err
	}
	return &Session{Token: token, Expires: &out.Expires}, nil
}

// Logout ends the client's token.
func (c *Client) Logout(ctx context.Context) error {
	_, err := c.do(ctx, call{method: http.MethodPost, path: []string{"logout"}})
	return err
}

// Whoami says whose token this is.
func (c *Client) Whoami(ctx context.Context) (*Whoami, error) {
	return get[Whoami](ctx, c, nil, "whoami")
}

// Tokens lists the caller's tokens.
func (c *Client) Tokens(ctx context.Context) (*TokenList, error) {
	return get[TokenList](ctx, c, nil, "tokens")
}

// AddToken makes a token.
func (c *Client) AddToken(ctx context.Context, in TokenAdd) (*Session, error) {
	out, err := send[TokenAdded](ctx, c, http.MethodPost, in, "tokens")
	if err != nil {
		return nil, err
	}
	token, err := c.arena.From([]byte(out.Token))
	if err != nil {
		return nil, err
	}
	return &Session{Name: out.Name, Token: token, Expires: out.Expires}, nil
}

// RevokeToken ends a token of the caller.
func (c *Client) RevokeToken(ctx context.Context, name string) error {
	_, err := c.do(ctx, call{method: http.MethodDelete, path: []string{"tokens", name}})
	return err
}

// Status needs no token.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	return get[Status](ctx, c, nil, "status")
}

// Seal drops the server's root key.
func (c *Client) Seal(ctx context.Context) (*Seal, error) {
	return send[Seal](ctx, c, http.MethodPost, nil, "seal")
}

// Unsealing is what somebody opens the vault with: one of the three, whose
// caller wipes it, or Reset alone.
type Unsealing struct {
	KeyFile    *secret.Buffer // a key file's text
	Passphrase *secret.Buffer
	Share      *secret.Buffer // one share's line
	Reset      bool           // wipe the shares that are in, first
}

// Wipe wipes what there is.
func (u Unsealing) Wipe() {
	u.KeyFile.Wipe()
	u.Passphrase.Wipe()
	u.Share.Wipe()
}

// Unseal gives the server its root key back, or one share of it: the secret goes
// in an envelope. It needs no token, and waits up to ten minutes.
func (c *Client) Unseal(ctx context.Context, with Unsealing) (*Seal, error) {
	var out Seal
	err := c.withEnvelope(ctx, "", func(s *sealer) (err error) {
		in := UnsealRequest{Reset: with.Reset, Sealed: s.header()}
		for _, part := range []struct {
			field string
			value *secret.Buffer
			into  *[]byte
		}{{"key_file", with.KeyFile, &in.KeyFile}, {"passphrase", with.Passphrase, &in.Passphrase}, {"share", with.Share, &in.Share}} {
			if part.value == nil {
				continue
			}
			if *part.into, err = s.one(part.field, part.value); err != nil {
				return err
			}
		}
		_, err = c.do(ctx, call{method: http.MethodPost, path: []string{"unseal"}, timeout: longTimeout, in: in, out: &out})
		return err
	})
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// Applications lists the catalogue.
func (c *Client) Applications(ctx context.Context) (*ApplicationList, error) {
	return get[ApplicationList](ctx, c, nil, "applications")
}

// Application gives one entry of the catalogue.
func (c *Client) Application(ctx context.Context, name string) (*ApplicationDetail, error) {
	return get[ApplicationDetail](ctx, c, nil, "applications", name)
}

// SetApplication puts an imported definition in the place of the one that is as it was at that revision; 0: whatever it
// is, or none. What is not as it was is ErrChanged.
func (c *Client) SetApplication(ctx context.Context, name string, revision uint64, in ApplicationSet) (*ApplicationChanged, error) {
	return change[ApplicationChanged](ctx, c, http.MethodPut, revision, in, "applications", name)
}

// AddApplication is SetApplication where there must be no application of the name, not even a built-in one; else it is
// ErrChanged.
func (c *Client) AddApplication(ctx context.Context, name string, in ApplicationSet) (*ApplicationChanged, error) {
	out := new(ApplicationChanged)
	if _, err := c.do(ctx, call{method: http.MethodPut, path: []string{"applications", name}, absent: true, in: in, out: out}); err != nil {
		return nil, err
	}
	return out, nil
}

// DeleteApplication removes an imported definition that is as it was at that revision.
func (c *Client) DeleteApplication(ctx context.Context, name string, revision uint64) (*ApplicationChanged, error) {
	return change[ApplicationChanged](ctx, c, http.MethodDelete, revision, nil, "applications", name)
}

// Values are values to be set, by field or variable. The caller wipes them.
type Values struct {
	Secrets   map[string]*secret.Buffer // of an app credential
	Variables map[string]*secret.Buffer // of a custom one, shown
	Masked    map[string]*secret.Buffer // of a custom one
}

func (v Values) empty() bool { return len(v.Secrets)+len(v.Variables)+len(v.Masked) == 0 }

// AddCredential makes a credential. The client fills the members of in that
// hold envelopes from values.
func (c *Client) AddCredential(ctx context.Context, in CredentialAdd, values Values) (*CredentialDetail, error) {
	if values.empty() {
		return send[CredentialDetail](ctx, c, http.MethodPost, in, "credentials")
	}
	var out *CredentialDetail
	err := c.withEnvelope(ctx, in.Name, func(s *sealer) (err error) {
		if in.Secrets, in.Variables, in.Masked, err = s.values(values); err != nil {
			return err
		}
		in.Sealed = s.header()
		out, err = send[CredentialDetail](ctx, c, http.MethodPost, in, "credentials")
		return err
	})
	return out, err
}

// EditCredential changes a credential that is as it was at that revision, as
// AddCredential makes one.
func (c *Client) EditCredential(ctx context.Context, ref string, revision uint64, in CredentialEdit, values Values) (*CredentialDetail, error) {
	patch := func() (*CredentialDetail, error) {
		return change[CredentialDetail](ctx, c, http.MethodPatch, revision, in, "credentials", ref)
	}
	if values.empty() {
		return patch()
	}
	var out *CredentialDetail
	err := c.withEnvelope(ctx, ref, func(s *sealer) (err error) {
		if in.Secrets, in.Variables, in.Masked, err = s.values(values); err != nil {
			return err
		}
		in.Sealed = s.header()
		out, err = patch()
		return err
	})
	return out, err
}

func (s *sealer) values(v Values) (secrets, variables, masked map[string][]byte, err error) {
	if secrets, err = s.all(v.Secrets); err != nil {
		return nil, nil, nil, err
	}
	if variables, err = s.all(v.Variables); err != nil {
		return nil, nil, nil, err
	}
	masked, err = s.all(v.Masked)
	return secrets, variables, masked, err
}

// Credentials lists what the caller may list.
func (c *Client) Credentials(ctx context.Context, q CredentialQuery) (*CredentialList, error) {
	values := query("application", q.Application, "owner", q.Owner, "tag", q.Tag, "search", q.Search, "cursor", q.Cursor)
	if q.Limit != 0 {
		values.Set("limit", strconv.Itoa(q.Limit))
	}
	return get[CredentialList](ctx, c, values, "credentials")
}

// Credential gives what is known of one, without its secrets.
func (c *Client) Credential(ctx context.Context, ref string) (*CredentialDetail, error) {
	return get[CredentialDetail](ctx, c, nil, "credentials", ref)
}

// CredentialVersions lists its versions, newest first.
func (c *Client) CredentialVersions(ctx context.Context, ref string) (*CredentialVersions, error) {
	return get[CredentialVersions](ctx, c, nil, "credentials", ref, "versions")
}

// DeleteCredential deletes one that is as it was at that revision, with all its
// versions.
func (c *Client) DeleteCredential(ctx context.Context, ref string, revision uint64) (*CredentialDeleted, error) {
	return change[CredentialDeleted](ctx, c, http.MethodDelete, revision, nil, "credentials", ref)
}

// RollbackCredential makes an earlier version the newest.
func (c *Client) RollbackCredential(ctx context.Context, ref string, revision, to uint64) (*CredentialDetail, error) {
	return change[CredentialDetail](ctx, c, http.MethodPost, revision, Rollback{To: to}, "credentials", ref, "rollback")
}

// DisconnectCredential stops its delivery.
func (c *Client) DisconnectCredential(ctx context.Context, ref string, revision uint64) (*CredentialSwitched, error) {
	return change[CredentialSwitched](ctx, c, http.MethodPost, revision, nil, "credentials", ref, "disconnect")
}

// ConnectCredential lets it be delivered again.
func (c *Client) ConnectCredential(ctx context.Context, ref string, revision uint64) (*CredentialSwitched, error) {
	return change[CredentialSwitched](ctx, c, http.MethodPost, revision, nil, "credentials", ref, "connect")
}

// TransferCredential hands it to another user.
func (c *Client) TransferCredential(ctx context.Context, ref, to string) (*Transferred, error) {
	return send[Transferred](ctx, c, http.MethodPost, Transfer{To: to}, "credentials", ref, "transfer")
}

// AddGrant makes a grant.
func (c *Client) AddGrant(ctx context.Context, in GrantRule) (*GrantMade, error) {
	return send[GrantMade](ctx, c, http.MethodPost, in, "grants")
}

// Grants lists them.
func (c *Client) Grants(ctx context.Context) (*GrantList, error) {
	return get[GrantList](ctx, c, nil, "grants")
}

// Grant gives one.
func (c *Client) Grant(ctx context.Context, name string) (*Grant, error) {
	return get[Grant](ctx, c, nil, "grants", name)
}

// EditGrant puts a rule in the place of the one that the grant has, if it is as
// it was at that revision.
func (c *Client) EditGrant(ctx context.Context, revision uint64, in GrantRule) (*GrantMade, error) {
	return change[GrantMade](ctx, c, http.MethodPut, revision, in, "grants", in.Name)
}

// RevokeGrant ends a grant and the leases that hosts have by it.
func (c *Client) RevokeGrant(ctx context.Context, name string) (*GrantRevoked, error) {
	return send[GrantRevoked](ctx, c, http.MethodDelete, nil, "grants", name)
}

// Explain asks what the gate would decide.
func (c *Client) Explain(ctx context.Context, in ExplainRequest) (*Explanation, error) {
	return send[Explanation](ctx, c, http.MethodPost, in, "explain")
}

// AddJoinToken makes a join token.
func (c *Client) AddJoinToken(ctx context.Context, in JoinTokenAdd) (*JoinToken, error) {
	return send[JoinToken](ctx, c, http.MethodPost, in, "hosts", "join-tokens")
}

// Hosts lists them.
func (c *Client) Hosts(ctx context.Context) (*HostList, error) {
	return get[HostList](ctx, c, nil, "hosts")
}

// Host gives one.
func (c *Client) Host(ctx context.Context, id string) (*Host, error) {
	return get[Host](ctx, c, nil, "hosts", id)
}

// LabelHost lays labels over those of a host; an empty text removes one.
func (c *Client) LabelHost(ctx context.Context, id string, revision uint64, labels map[string]string) (*HostLabelled, error) {
	return change[HostLabelled](ctx, c, http.MethodPatch, revision, HostLabel{Labels: labels}, "hosts", id)
}

// RevokeHost cuts a host off for good and says what it held.
func (c *Client) RevokeHost(ctx context.Context, id string) (*HostRevoked, error) {
	return send[HostRevoked](ctx, c, http.MethodDelete, nil, "hosts", id)
}

// Audit lists entries of the log, newest first.
func (c *Client) Audit(ctx context.Context, q AuditQuery) (*AuditList, error) {
	values := q.values()
	if q.Limit != 0 {
		values.Set("limit", strconv.Itoa(q.Limit))
	}
	return get[AuditList](ctx, c, values, "audit")
}

// VerifyAudit lets the server recompute the whole log. It waits up to ten
// minutes. A log that does not verify is an answer, not an error.
func (c *Client) VerifyAudit(ctx context.Context) (*AuditCheck, error) {
	var out AuditCheck
	_, err := c.do(ctx, call{method: http.MethodGet, path: []string{"audit", "verify"}, out: &out, timeout: longTimeout})
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// ProveAudit gives the proof that an entry is in the log. It is not verified.
func (c *Client) ProveAudit(ctx context.Context, seq uint64) (*checkpoint.Proof, error) {
	return get[checkpoint.Proof](ctx, c, nil, "audit", "entries", strconv.FormatUint(seq, 10), "proof")
}

func get[T any](ctx context.Context, c *Client, q url.Values, path ...string) (*T, error) {
	out := new(T)
	if _, err := c.do(ctx, call{method: http.MethodGet, path: path, query: q, out: out}); err != nil {
		return nil, err
	}
	return out, nil
}

func send[T any](ctx context.Context, c *Client, method string, in any, path ...string) (*T, error) {
	out := new(T)
	if _, err := c.do(ctx, call{method: method, path: path, in: in, out: out}); err != nil {
		return nil, err
	}
	return out, nil
}

// change is send about what is as it was at a revision; 0: whatever it is.
func change[T any](ctx context.Context, c *Client, method string, revision uint64, in any, path ...string) (*T, error) {
	out := new(T)
	if _, err := c.do(ctx, call{method: method, path: path, match: ifMatch(revision), in: in, out: out}); err != nil {
		return nil, err
	}
	return out, nil
}

func ifMatch(revision uint64) string {
	if revision == 0 {
		return "*"
	}
	return `"` + strconv.FormatUint(revision, 10) + `"`
}

// query takes names and values in turn and leaves empty values out.
func query(pairs ...string) url.Values {
	values := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			values.Set(pairs[i], pairs[i+1])
		}
	}
	return values
}
