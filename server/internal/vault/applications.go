package vault

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/catalogue"
	"github.com/strongroom/strongroom/shared/credential"
)

// Source says where an application's definition comes from.
type Source string

// The sources.
const (
	BuiltIn    Source = "built-in" // with the program
	Overridden Source = "override" // imported, in the place of a built-in one
	Added      Source = "added"    // imported
)

// builtInRevision is that of every definition that was not imported; those of imported ones are above it.
const builtInRevision = 1

// Application is an entry of the catalogue as credentials go by it.
type Application struct {
	catalogue.Application
	Source   Source
	Revision uint64
	// Of an imported one, though it may be broken.
	Updated   time.Time
	UpdatedBy string
	// Broken is why what was imported is not used, and the built-in one, if there is one, is: this version of the program
	// wants it otherwise. Nil: it is used.
	Broken error
}

// definition is an imported application as it is stored: the text, which every start reads anew.
type definition struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Text      string    `json:"text"`
	Revision  uint64    `json:"revision"`
	Updated   time.Time `json:"updated"`
	UpdatedBy string    `json:"updated_by"`
}

// applications is the catalogue: what is built in, and over it what was imported. It is safe for concurrent use; changes
// come one at a time.
type applications struct {
	builtIn *catalogue.Catalogue

	mu       sync.RWMutex
	merged   *catalogue.Catalogue
	imported map[string]imported // by name
	last     uint64              // the highest revision that one had
}

type imported struct {
	definition
	application catalogue.Application
	broken      error
}

func newApplications(builtIn *catalogue.Catalogue) *applications {
	return &applications{builtIn: builtIn, merged: builtIn, imported: map[string]imported{}, last: builtInRevision}
}

// load reads what was imported. A definition that this version of the program no longer takes stays, unused.
func (a *applications) load(tx *barrier.Tx) error {
	err := barrier.ScanJSON(tx, kindApplication, func(d definition) error {
		app, err := catalogue.Parse([]byte(d.Text))
		if err == nil && app.Name != d.Name {
			err = errors.New("name: it is not the one that it was imported as")
		}
		a.imported[d.Name] = imported{d, app, err}
		return nil
	})
	if err != nil {
		return err
	}
	if err := tx.GetJSON(kindCounter, counterApplications, &a.last); err != nil && !errors.Is(err, barrier.ErrNotFound) {
		return err
	}
	a.merge()
	return nil
}

// put notes what was stored, and remove what was deleted.
func (a *applications) put(i imported) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.imported[i.Name], a.last = i, i.Revision
	a.merge()
}

func (a *applications) remove(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.imported, name)
	a.merge()
}

func (a *applications) merge() {
	var used []catalogue.Application
	for _, i := range a.imported {
		if i.broken == nil {
			used = append(used, i.application)
		}
	}
	a.merged = a.builtIn.With(used...)
}

// Get returns an application as credentials go by it, or catalogue.ErrUnknown.
func (a *applications) Get(name string) (catalogue.Application, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.merged.Get(name)
}

// find is Get with what is known of the definition. A broken one that was added has a name and no more.
func (a *applications) find(name string) (Application, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	app, err := a.merged.Get(name)
	out := Application{Application: app, Source: BuiltIn, Revision: builtInRevision}
	i, ok := a.imported[name]
	if !ok {
		return out, err
	}
	out.Revision, out.Updated, out.UpdatedBy, out.Broken = i.Revision, i.Updated, i.UpdatedBy, i.broken
	out.Name, out.Source = name, a.sourceOf(name)
	return out, nil
}

func (a *applications) names() []string {
	a.mu.RLock()
	defer a.mu.RUnlock()
	var out []string
	for _, app := range a.merged.List() {
		out = append(out, app.Name)
	}
	for name := range a.imported {
		out = append(out, name)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (a *applications) stored(name string) (imported, bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	i, ok := a.imported[name]
	return i, ok
}

// sourceOf is the source of an imported definition.
func (a *applications) sourceOf(name string) Source {
	if _, err := a.builtIn.Get(name); err != nil {
		return Added
	}
	return Overridden
}

// redefine begins the next definition of an application, in the place of the imported one if there is one. Its revision is
// one that no definition has had.
func (a *applications) redefine(name string) (definition, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	d := definition{ID: credential.NewID(), Name: name, Revision: a.last + 1}
	if old, known := a.imported[name]; known {
		d.ID = old.ID
	} else if len(a.imported) >= maxApplications {
		return d, fmt.Errorf("%w application: %d are imported already, which is the most; delete one that is not needed", credential.ErrInvalid, maxApplications)
	}
	return d, nil
}

// Applications lists the catalogue, by name.
func (v *Vault) Applications() (out []Application) {
	for _, name := range v.catalogue.names() {
		if app, err := v.catalogue.find(name); err == nil {
			out = append(out, app)
		}
	}
	return out
}

// Application gives one entry of the catalogue, or catalogue.ErrUnknown.
func (v *Vault) Application(name string) (Application, error) { return v.catalogue.find(name) }
