package vault

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/catalogue"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/secret"
)

// draft is a version on its way: the newest one with a change laid over it.
type draft struct {
	credential credential.Metadata
	app        catalogue.Application // of an app credential
	known      []credential.Field    // likewise
	old        credential.Version    // zero where this is the first
	fields     map[string]string
	value      credential.Value
	set        []string // the secret fields that the change sets
}

// nextVersion lays the change over the newest version and checks the whole. The caller wipes the value.
func (v *Vault) nextVersion(who grant.Person, c credential.Metadata, ch Change) (credential.Value, credential.Version, error) {
	d := &draft{credential: c}
	next, err := v.complete(d, who, ch)
	if err != nil {
		d.value.Wipe()
		return nil, next, err
	}
	return d.value, next, nil
}

func (v *Vault) complete(d *draft, who grant.Person, ch Change) (credential.Version, error) {
	c := d.credential
	next := credential.Version{Credential: c.ID, Number: c.Version + 1, Created: v.now(), CreatedBy: who.Name}
	if err := v.begin(d); err != nil {
		return next, err
	}
	d.fields = merge(d.old.Fields, ch.Fields)
	if c.Kind == credential.App && !ch.renewal {
		// Stored, so that people see them and that a catalogue which says otherwise later changes nothing by itself.
		d.fields = d.app.Filled(c.AuthType, d.fields)
	}
	if err := v.overlay(d, ch); err != nil {
		return next, err
	}
	if err := checkPlain(d.fields, d.value); err != nil {
		return next, err
	}
	if err := d.value.Check(); err != nil {
		return next, err
	}
	if c.Kind == credential.Custom {
		next.Fields, next.Secrets = d.fields, d.value.Names()
		if len(d.fields)+len(d.value) == 0 {
			return next, fmt.Errorf("%w credential: give it at least one variable", credential.ErrInvalid)
		}
		return next, nil
	}
	if err := c.AuthType.Accept(v.arena, d.known, d.fields, d.value, v.now()); err != nil {
		return next, err
	}
	next.Fields, next.Secrets = d.fields, d.value.Names() // without what was for the import only
	next.Since, next.Ends = lifeOf(c.AuthType, d.fields)
	var err error
	next.Origins, err = d.app.Origins(c.AuthType, d.fields)
	if err == nil && c.Version > 0 && !slices.Equal(d.old.Origins, next.Origins) {
		err = d.allSetAnew()
	}
	d.keepWays(&next)
	return next, err
}

// keepWays notes how the version goes on requests and what of it stays on the server. A secret that is not given again
// keeps the ways that it was given for, as it keeps its origins.
func (d *draft) keepWays(next *credential.Version) {
	injection := d.app.Injection(d.credential.AuthType)
	if next.Injection = &injection; d.old.Injection != nil && d.allSetAnew() != nil {
		next.Injection = d.old.Injection
	}
	for _, name := range next.Secrets {
		i := slices.IndexFunc(d.known, func(f credential.Field) bool { return f.Name == name })
		kept := slices.Contains(d.old.Withheld, name) && !slices.Contains(d.set, name)
		if kept || i >= 0 && d.known[i].ServerOnly {
			next.Withheld = append(next.Withheld, name)
		}
	}
}

// begin looks up what the credential's fields may be and opens its newest version.
func (v *Vault) begin(d *draft) error {
	c := d.credential
	d.value = credential.Value{}
	if c.Kind == credential.App {
		if c.Application == "" || c.AuthType == "" {
			return fmt.Errorf("%w application and auth type: an app credential needs both; for one of your own write OWNER/NAME", credential.ErrInvalid)
		}
		var err error
		if d.app, err = v.catalogue.Get(c.Application); err != nil {
			return fmt.Errorf("%w application: %w", credential.ErrInvalid, err)
		}
		if d.known, err = d.app.Fields(c.AuthType); err != nil {
			return err
		}
	}
	if c.Version == 0 {
		return nil
	}
	newest := &Opened{Credential: c}
	err := v.barrier.View(func(tx *barrier.Tx) error { return v.decrypt(tx, newest) })
	if err == nil {
		d.old, d.value = newest.Version, newest.Value
	}
	return err
}

// overlay puts what the change sets over the older fields: copies of what is given, and what is to be generated.
func (v *Vault) overlay(d *draft, ch Change) error {
	if err := v.checkPasswords(d, ch.Value); err != nil {
		return err
	}
	for name, given := range ch.Value {
		b, err := v.arena.New(given.Len())
		if err != nil {
			return err
		}
		secret.Do(func() { copy(b.Reveal(), given.Reveal()) })
		d.put(name, b)
	}
	if d.credential.AuthType == credential.ClientCertificate {
		return v.overlayCertificate(d, ch)
	}
	for _, name := range ch.Generate {
		if err := d.generates(name); err != nil {
			return err
		}
		if ch.Value[name] != nil {
			return errTwoWays(name)
		}
		b, err := v.generate(d, name)
		if err != nil {
			return err
		}
		d.put(name, b)
	}
	return nil
}

// generates refuses to make up what is no secret field. Its error does not repeat the name, which is unchecked.
func (d *draft) generates(name string) error {
	var secrets []string
	for _, f := range d.known {
		if f.Secret {
			secrets = append(secrets, f.Name)
		}
	}
	if slices.Contains(secrets, name) {
		return nil
	}
	return fmt.Errorf("%w generate: there is no such secret field; there is: %s", credential.ErrInvalid, strings.Join(secrets, ", "))
}

func errTwoWays(field string) error {
	return fmt.Errorf("%w field %s: it is given and to be generated; choose one", credential.ErrInvalid, field)
}

// generate makes up one field: a password by the policy, everything else as its auth type has it.
func (v *Vault) generate(d *draft, name string) (*secret.Buffer, error) {
	for _, f := range d.known {
		if f.Name == name && f.Password {
			return credential.Generate(v.arena, generatingPolicy(v.passwordPolicy(d.app)))
		}
	}
	return d.credential.AuthType.Generate(v.arena, name)
}

func (d *draft) put(name string, b *secret.Buffer) {
	d.value[name].Wipe()
	d.value[name] = b
	d.set = append(d.set, name)
}

// allSetAnew keeps an old secret from following a changed URL.
func (d *draft) allSetAnew() error {
	for _, name := range d.old.Secrets {
		if !slices.Contains(d.set, name) {
			return fmt.Errorf("%w field %s: the place it is sent to changes, so it must be given again", credential.ErrInvalid, name)
		}
	}
	return nil
}

// lifeOf reads from when to when a version lasts by itself: a client certificate says so. Zero: nothing does.
func lifeOf(t credential.AuthType, fields map[string]string) (since, ends time.Time) {
	if t != credential.ClientCertificate {
		return since, ends
	}
	chain, err := credential.ParseChain("certificate", fields["certificate"])
	if err != nil {
		return since, ends
	}
	return chain[0].NotBefore, chain.End()
}

// checkPlain holds the plain fields against the limits: they are text, since they are shown to people.
func checkPlain(fields map[string]string, value credential.Value) error {
	total := 0
	for name, text := range fields {
		if err := credential.ValidField(name); err != nil {
			return err
		}
		total += len(text)
		switch {
		case value[name] != nil:
			return fmt.Errorf("%w field %s: it is secret already and cannot be plain as well", credential.ErrInvalid, name)
		case len(text) > credential.MaxValue:
			return fmt.Errorf("%w field %s: %d bytes, at most %d are allowed", credential.ErrInvalid, name, len(text), credential.MaxValue)
		case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
			return fmt.Errorf("%w field %s: not text; store it as a secret (--secret, --masked), which takes any bytes", credential.ErrInvalid, name)
		}
	}
	if len(fields)+len(value) > credential.MaxFields || total > credential.MaxValueTotal/2 {
		return fmt.Errorf("%w fields: at most %d, with %d bytes of plain text in all", credential.ErrInvalid, credential.MaxFields, credential.MaxValueTotal/2)
	}
	return nil
}
