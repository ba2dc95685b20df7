package vault

import (
	"slices"
	"strings"

	"github.com/strongroom/strongroom/shared/credential"
)

// index finds credentials: by ID, by reference, and in the order of their names, all of them or those of one
// application, owner or tag. What it holds is never changed in place, so that a reader may keep it.
type index struct {
	byID  map[string]*credential.Metadata
	refs  map[string]*credential.Metadata // by name, and app:APPLICATION
	lists map[string][]*credential.Metadata
	texts searchIndex
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
	x := index{byID: map[string]*credential.Metadata{}, refs: map[string]*credential.Metadata{}, lists: map[string][]*credential.Metadata{}}
	slices.SortFunc(credentials, func(a, b *credential.Metadata) int { return strings.Compare(a.Name, b.Name) })
	for _, c := range credentials {
		x.link(c)
		for _, list := range listsOf(c) {
			x.lists[list] = append(x.lists[list], c)
		}
	}
	x.texts = newSearchIndex(credentials)
	return x
}

func (x *index) all() []*credential.Metadata { return x.lists[listAll] }

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
	x.texts.put(&c)
	for _, list := range listsOf(&c) {
		i, _ := position(x.lists[list], c.Name)
		x.lists[list] = slices.Insert(x.lists[list], i, &c)
	}
}

func (x *index) remove(id string) {
	old := x.byID[id]
	if old == nil {
		return
	}
	delete(x.byID, id)
	delete(x.refs, old.Name)
	x.texts.remove(old)
	if app := "app:" + old.Application; x.refs[app] == old {
		delete(x.refs, app)
	}
	for _, list := range listsOf(old) {
		if i, found := position(x.lists[list], old.Name); found {
			x.lists[list] = slices.Delete(x.lists[list], i, i+1)
		}
		if len(x.lists[list]) == 0 {
			delete(x.lists, list)
		}
	}
}

func position(list []*credential.Metadata, name string) (int, bool) {
	return slices.BinarySearchFunc(list, name, func(c *credential.Metadata, name string) int { return strings.Compare(c.Name, name) })
}
