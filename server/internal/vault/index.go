package vault

import (
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/strongroom/strongroom/shared/credential"
)

// index finds credentials: by ID, by reference, and in the order of their names, all of them or those of one
// application, owner or tag. What it holds is never changed in place, so that a reader may keep it.
type index struct {
	byID  map[string]*credential.Metadata
	refs  map[string]*credential.Metadata // by name, and app:APPLICATION
	lists map[string]*ordered
}

// The keys of index.lists.
const listAll = ""

func listOfApplication(name string) string { return "application:" + name }
func listOfOwner(name string) string       { return "owner:" + name }
func listOfTag(tag string) string          { return "tag:" + tag } // key=value

func listsOf(c *credential.Metadata) []string {
	lists := make([]string, 0, 3+len(c.Tags))
	lists = append(lists, listAll, listOfOwner(c.Owner))
	if c.Application != "" {
		lists = append(lists, listOfApplication(c.Application))
	}
	for key, value := range c.Tags {
		lists = append(lists, listOfTag(key+"="+value))
	}
	return lists
}

// newIndex takes over what it is given.
func newIndex(credentials []*credential.Metadata) index {
	x := index{byID: map[string]*credential.Metadata{}, refs: map[string]*credential.Metadata{}, lists: map[string]*ordered{}}
	slices.SortFunc(credentials, func(a, b *credential.Metadata) int { return strings.Compare(a.Name, b.Name) })
	members := map[string][]*credential.Metadata{}
	same := alike{map[string]string{}, map[string]map[string]string{}}
	for _, c := range credentials {
		same.share(c)
		x.link(c)
		for _, list := range listsOf(c) {
			members[list] = append(members[list], c)
		}
	}
	for list, sorted := range members {
		x.lists[list] = newOrdered(sorted, list == listAll)
	}
	return x
}

// alike is what many credentials have in common, which is kept once: it halves the memory of a large vault, and the
// garbage collector, beside which people and hosts wait longer, has a third to look at.
type alike struct {
	texts map[string]string
	tags  map[string]map[string]string
}

func (a alike) share(c *credential.Metadata) {
	c.Kind, c.AuthType = credential.Kind(a.text(string(c.Kind))), credential.AuthType(a.text(string(c.AuthType)))
	c.Application, c.Owner, c.OwnerID = a.text(c.Application), a.text(c.Owner), a.text(c.OwnerID)
	var all []byte
	for _, key := range slices.Sorted(maps.Keys(c.Tags)) {
		all = strconv.AppendQuote(strconv.AppendQuote(all, key), c.Tags[key])
	}
	if tags, known := a.tags[string(all)]; known {
		c.Tags = tags
	} else {
		a.tags[string(all)] = c.Tags
	}
}

func (a alike) text(s string) string {
	if known, ok := a.texts[s]; ok {
		return known
	}
	a.texts[s] = s
	return s
}

func (x *index) all() iter.Seq[*credential.Metadata] { return x.lists[listAll].all() }

func (x *index) link(c *credential.Metadata) {
	x.byID[c.ID] = c
	x.refs[c.Name] = c
	if c.Default {
		x.refs["app:"+c.Application] = c
	}
}

// put adds a credential, or replaces the one of the same ID.
func (x *index) put(c credential.Metadata) {
	x.remove(c.ID)
	x.link(&c)
	for _, list := range listsOf(&c) {
		if x.lists[list] == nil {
			x.lists[list] = newOrdered(nil, list == listAll)
		}
		x.lists[list].put(&c)
	}
}

func (x *index) remove(id string) {
	old := x.byID[id]
	if old == nil {
		return
	}
	delete(x.byID, id)
	delete(x.refs, old.Name)
	if app := "app:" + old.Application; x.refs[app] == old {
		delete(x.refs, app)
	}
	for _, list := range listsOf(old) {
		if x.lists[list].remove(old.Name); x.lists[list].len() == 0 {
			delete(x.lists, list)
		}
	}
}
