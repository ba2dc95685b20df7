package vault

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/catalogue"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

// Absent in the place of a revision wants that there is none yet.
const Absent uint64 = math.MaxUint64

// maxApplications is how many applications may be imported.
const maxApplications = 1000

// Redefinition is what a change of the catalogue does, or would do.
type Redefinition struct {
	Before, After Application // without a name: there is none
	Differences   []catalogue.Difference
}

// Outcome is the redefinition in one word: added, changed or unchanged; deleted where nothing is left.
func (r Redefinition) Outcome() string {
	switch {
	case r.After.Name == "":
		return "deleted"
	case r.Before.Name == "":
		return "added"
	case len(r.Differences) == 0 && r.Before.Broken == nil:
		return "unchanged"
	}
	return "changed"
}

// SetApplication puts an imported definition of an application, the text of a file of the catalogue, beside those that
// are there or in the place of the one of its name that is as it was at that revision (0: whatever it is; Absent: there
// must be none). Credentials keep their versions and where these may be sent; the next version follows the new
// definition. One that takes from credentials an auth type or a field that they have is ErrInUse. With try it is checked
// and compared, and nothing changes. What is as it was already is not stored again.
func (v *Vault) SetApplication(ctx context.Context, who grant.Person, name, text string, revision uint64, try bool) (Redefinition, error) {
	if err := mayRedefine(who); err != nil {
		return Redefinition{}, err
	}
	// Whatever its reading takes, nobody else's change waits for it.
	app, err := parseDefinition(name, text)
	if err != nil {
		return Redefinition{}, err
	}
	v.changing.Lock()
	defer v.changing.Unlock()
	before, err := v.catalogue.find(name)
	if err != nil {
		before = Application{} // there is none
	}
	if revision == Absent && before.Name != "" {
		return Redefinition{}, fmt.Errorf("%w: there is an application %s", ErrChanged, name)
	}
	if revision != 0 && revision != Absent && revision != before.Revision {
		return Redefinition{}, ErrChanged
	}
	d, err := v.catalogue.redefine(name)
	if err != nil {
		return Redefinition{}, err
	}
	d.Text, d.Updated, d.UpdatedBy = text, v.now(), who.Name
	after := Application{Application: app, Source: v.catalogue.sourceOf(name), Revision: d.Revision, Updated: d.Updated, UpdatedBy: who.Name}
	r := Redefinition{before, after, catalogue.Compare(before.Application, app)}
	if r.Outcome() == "unchanged" {
		r.After = before
		return r, nil
	}
	if err := v.takesAway(before.Application, app); err != nil || try {
		return r, err
	}
	entry := audit.Entry{Actor: who.Name, Action: "application.set", Target: name, Reason: reasonOf(r)}
	err = v.change(ctx, entry, func(tx *barrier.Tx) error {
		return errors.Join(
			tx.Claim(kindApplication, name, d.ID),
			tx.PutJSON(kindApplication, d.ID, d),
			tx.PutJSON(kindCounter, counterApplications, d.Revision),
		)
	}, func() { v.catalogue.put(imported{definition: d, application: app}) })
	return r, err
}

func parseDefinition(name, text string) (catalogue.Application, error) {
	app, err := catalogue.Parse([]byte(text))
	if err == nil && app.Name != name {
		err = fmt.Errorf("name: it is %s, and the file is called after %s: both must be alike", app.Name, name)
	}
	if err != nil {
		err = fmt.Errorf("%w application file: %w", credential.ErrInvalid, err)
	}
	return app, err
}

// DeleteApplication removes the imported definition of an application that is as it was at that revision (0: whatever
// it is). A built-in one that it overrode is back; one that was added is gone, which is ErrInUse while credentials are of
// it or grants name it. What is built in is not deleted: that is ErrRefused.
func (v *Vault) DeleteApplication(ctx context.Context, who grant.Person, name string, revision uint64) (Redefinition, error) {
	v.changing.Lock()
	defer v.changing.Unlock()
	if err := mayRedefine(who); err != nil {
		return Redefinition{}, err
	}
	before, err := v.catalogue.find(name)
	if err != nil {
		return Redefinition{}, err
	}
	if revision != 0 && revision != before.Revision {
		return Redefinition{}, ErrChanged
	}
	old, known := v.catalogue.stored(name)
	if !known {
		return Redefinition{}, fmt.Errorf("%w: %s is built in and stays; only what was imported can be deleted", ErrRefused, name)
	}
	after := Application{}
	if app, missing := v.catalogue.builtIn.Get(name); missing == nil {
		after = Application{Application: app, Source: BuiltIn, Revision: builtInRevision}
		err = v.takesAway(before.Application, app)
	} else {
		err = v.unused(name)
	}
	if err != nil {
		return Redefinition{}, err
	}
	r := Redefinition{before, after, catalogue.Compare(before.Application, after.Application)}
	entry := audit.Entry{Actor: who.Name, Action: "application.delete", Target: name, Reason: reasonOf(r)}
	err = v.change(ctx, entry, func(tx *barrier.Tx) error {
		return errors.Join(tx.Release(kindApplication, name), tx.Delete(kindApplication, old.ID))
	}, func() { v.catalogue.remove(name) })
	return r, err
}

// mayRedefine wants both permissions: the catalogue is everybody's, and says where secrets may be sent.
func mayRedefine(who grant.Person) error {
	for _, p := range []grant.Permission{grant.SettingEdit, grant.GrantEdit} {
		if !who.Can(p) {
			return fmt.Errorf("%w: this needs the permissions %s and %s", ErrRefused, grant.SettingEdit, grant.GrantEdit)
		}
	}
	return nil
}

// reasonOf is the difference as the log has it.
func reasonOf(r Redefinition) string {
	var b strings.Builder
	b.WriteString(r.Outcome())
	if r.After.Source == Overridden && r.Before.Source == BuiltIn {
		b.WriteString(", over the built-in one")
	}
	if r.After.Source == BuiltIn {
		b.WriteString(", the built-in one is back")
	}
	for _, d := range r.Differences {
		b.WriteString("; " + d.What + ":")
		for _, line := range d.Removed {
			b.WriteString(" -[" + line + "]")
		}
		for _, line := range d.Added {
			b.WriteString(" +[" + line + "]")
		}
	}
	return shortened(b.String())
}

// shortened is a text that fits into an entry of the log.
func shortened(text string) string {
	const cut, mark = audit.MaxText - 16, " … and more"
	if len(text) <= audit.MaxText {
		return text
	}
	end := cut
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + mark
}
