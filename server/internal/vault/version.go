package vault

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/secret"
)

// nextVersion lays the change over the newest version and checks the whole. The
// caller wipes the value.
func (v *Vault) nextVersion(who grant.Person, c credential.Metadata, ch Change) (value credential.Value, next credential.Version, err error) {
	var old credential.Version
	value = credential.Value{}
	defer func() {
		if err != nil {
			value.Wipe()
			value = nil
		}
	}()
	if c.Version > 0 {
		previous := &Opened{Credential: c}
		if err = v.barrier.View(func(tx *barrier.Tx) error { return v.decrypt(tx, previous) }); err != nil {
			return value, next, err
		}
		old, value = previous.Version, previous.Value
	}
	fields := merge(old.Fields, ch.Fields)
	if err = v.overlay(value, ch); err != nil {
		return value, next, err
	}
	next = credential.Version{
		Credential: c.ID, Number: c.Version + 1, Created: v.now(), CreatedBy: who.Name,
		Fields: fields, Secrets: value.Names(),
	}
	if err = checkPlain(fields, value); err != nil {
		return value, next, err
	}
	if err = value.Check(); err != nil {
		return value, next, err
	}
	if c.Kind == credential.Custom {
		if len(fields)+len(value) == 0 {
			err = fmt.Errorf("%w credential: give it at least one variable", credential.ErrInvalid)
		}
		return value, next, err
	}
	next.Origins, err = v.checkApp(c, fields, value)
	if err == nil && c.Version > 0 && !slices.Equal(old.Origins, next.Origins) {
		err = allGivenAnew(old.Secrets, ch)
	}
	return value, next, err
}

// overlay puts copies of what the change sets over the older fields.
func (v *Vault) overlay(value credential.Value, ch Change) error {
	put := func(name string, b *secret.Buffer) {
		if old := value[name]; old != nil {
			old.Wipe()
		}
		value[name] = b
	}
	for name, given := range ch.Value {
		b, err := v.arena.New(given.Len())
		if err != nil {
			return err
		}
		secret.Do(func() { copy(b.Reveal(), given.Reveal()) })
		put(name, b)
	}
	for _, name := range ch.Generate {
		if ch.Value[name] != nil {
			return fmt.Errorf("%w field %s: it is given and to be generated; choose one", credential.ErrInvalid, name)
		}
		b, err := v.generate()
		if err != nil {
			return err
		}
		put(name, b)
	}
	return nil
}

// generate makes 32 characters out of 64, which is 192 bits without bias.
func (v *Vault) generate() (*secret.Buffer, error) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	b, err := v.arena.New(32)
	if err != nil {
		return nil, err
	}
	secret.Do(func() {
		p := b.Reveal()
		rand.Read(p) // never fails: crypto/rand ends the program instead
		for i := range p {
			p[i] = alphabet[p[i]&63]
		}
	})
	return b, nil
}

// checkPlain holds the plain fields against the limits: they are text, since
// they are shown to people.
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

// checkApp holds the fields against the application and returns the origins.
func (v *Vault) checkApp(c credential.Metadata, fields map[string]string, value credential.Value) ([]credential.Origin, error) {
	if c.Application == "" || c.AuthType == "" {
		return nil, fmt.Errorf("%w application and auth type: an app credential needs both; for one of your own write OWNER/NAME", credential.ErrInvalid)
	}
	app, err := v.catalogue.Get(c.Application)
	if err != nil {
		return nil, fmt.Errorf("%w application: %w", credential.ErrInvalid, err)
	}
	known, err := app.Fields(c.AuthType)
	if err != nil {
		return nil, err
	}
	byName := map[string]credential.Field{}
	for _, f := range known {
		byName[f.Name] = f
		missing := f.Secret && value[f.Name].Len() == 0 || !f.Secret && fields[f.Name] == ""
		if f.Required && missing {
			return nil, fmt.Errorf("%w field %s: %s with %s needs it (%s)", credential.ErrInvalid, f.Name, c.Application, c.AuthType, f.Help)
		}
	}
	for name := range fields {
		if f, ok := byName[name]; !ok || f.Secret {
			return nil, wrongField(name, ok, "secret: give it with --secret", known)
		}
	}
	for name := range value {
		if f, ok := byName[name]; !ok || !f.Secret {
			return nil, wrongField(name, ok, "not secret: give it with --field", known)
		}
	}
	return app.Origins(fields)
}

func wrongField(name string, known bool, kind string, fields []credential.Field) error {
	if known {
		return fmt.Errorf("%w field %s: it is %s", credential.ErrInvalid, name, kind)
	}
	var names []string
	for _, f := range fields {
		names = append(names, f.Name)
	}
	return fmt.Errorf("%w field %s: there is no such field; there is: %s", credential.ErrInvalid, name, strings.Join(names, ", "))
}

// allGivenAnew keeps an old secret from following a changed URL.
func allGivenAnew(secrets []string, ch Change) error {
	for _, name := range secrets {
		if ch.Value[name] == nil && !slices.Contains(ch.Generate, name) {
			return fmt.Errorf("%w field %s: the place it is sent to changes, so it must be given again", credential.ErrInvalid, name)
		}
	}
	return nil
}
