package barrier

import (
	"slices"
	"sort"
)

// shelf holds the entries of one kind by ID, in the order of the IDs, in pages. There is one for each record for as long
// as the vault is open, so it is made for many: a page is three stretches of memory without a pointer in them, which the
// garbage collector need not look into, and filling a shelf in order, as opening does, only appends.
type shelf struct {
	pages  []*shelfPage // none is empty
	length int
}

// pageRecords is how many records a page has at most. With IDs of 128 bytes their places fit into 16 bits.
const pageRecords = 256

type shelfPage struct {
	ids     []byte   // one behind the other
	ends    []uint16 // where in ids each ends
	entries []entry
}

func (p *shelfPage) id(i int) []byte {
	if i == 0 {
		return p.ids[:p.ends[0]]
	}
	return p.ids[p.ends[i-1]:p.ends[i]]
}

// find is the place of an ID in the page, or that where it belongs.
func (p *shelfPage) find(id string) (at int, found bool) {
	at = sort.Search(len(p.ends), func(i int) bool { return string(p.id(i)) >= id })
	return at, at < len(p.ends) && string(p.id(at)) == id
}

func (p *shelfPage) insert(at int, id string, e entry) {
	from := uint16(0)
	if at > 0 {
		from = p.ends[at-1]
	}
	p.ids = slices.Insert(p.ids, int(from), []byte(id)...)
	p.ends = slices.Insert(p.ends, at, from)
	p.entries = slices.Insert(p.entries, at, e)
	p.shift(at, len(id))
}

func (p *shelfPage) remove(at int) {
	size := len(p.id(at))
	from := int(p.ends[at]) - size
	p.ids = slices.Delete(p.ids, from, from+size)
	p.ends = slices.Delete(p.ends, at, at+1)
	p.entries = slices.Delete(p.entries, at, at+1)
	p.shift(at, -size)
}

// shift moves the ends from one place on.
func (p *shelfPage) shift(at, by int) {
	for i := at; i < len(p.ends); i++ {
		p.ends[i] = uint16(int(p.ends[i]) + by)
	}
}

// split leaves the first half in the page and returns the other.
func (p *shelfPage) split() *shelfPage {
	half := len(p.ends) / 2
	from := p.ends[half-1]
	other := &shelfPage{slices.Clone(p.ids[from:]), slices.Clone(p.ends[half:]), slices.Clone(p.entries[half:])}
	other.shift(0, -int(from))
	p.ids, p.ends, p.entries = p.ids[:from], p.ends[:half], p.entries[:half]
	return other
}

// page is the place of the page that an ID belongs to, 0 where there is none.
func (s *shelf) page(id string) int {
	return max(sort.Search(len(s.pages), func(i int) bool { return string(s.pages[i].id(0)) > id })-1, 0)
}

func (s *shelf) get(id string) (entry, bool) {
	if s == nil || len(s.pages) == 0 {
		return entry{}, false
	}
	p := s.pages[s.page(id)]
	if at, found := p.find(id); found {
		return p.entries[at], true
	}
	return entry{}, false
}

// set adds an entry or replaces the one that is there, which it returns.
func (s *shelf) set(id string, e entry) (old entry, replaced bool) {
	if s.behind(id) {
		s.add(id, e)
		return entry{}, false
	}
	number := s.page(id)
	p := s.pages[number]
	at, found := p.find(id)
	if found {
		old, p.entries[at] = p.entries[at], e
		return old, true
	}
	s.length++
	if len(p.ends) == pageRecords {
		other := p.split()
		s.pages = slices.Insert(s.pages, number+1, other)
		if at > len(p.ends) {
			at, p = at-len(p.ends), other
		}
	}
	p.insert(at, id, e)
	return entry{}, false
}

// behind says whether an ID comes after all that are there.
func (s *shelf) behind(id string) bool {
	if len(s.pages) == 0 {
		return true
	}
	last := s.pages[len(s.pages)-1]
	return id > string(last.id(len(last.ends)-1))
}

// add puts an entry behind all others.
func (s *shelf) add(id string, e entry) {
	if len(s.pages) == 0 {
		s.pages = append(s.pages, &shelfPage{})
	}
	last := s.pages[len(s.pages)-1]
	if len(last.ends) == pageRecords {
		last = &shelfPage{make([]byte, 0, len(last.ids)), make([]uint16, 0, pageRecords), make([]entry, 0, pageRecords)}
		s.pages = append(s.pages, last)
	}
	last.ids = append(last.ids, id...)
	last.ends = append(last.ends, uint16(len(last.ids)))
	last.entries = append(last.entries, e)
	s.length++
}

// remove takes an entry away, if there is one, and returns it.
func (s *shelf) remove(id string) (old entry, removed bool) {
	if s == nil || len(s.pages) == 0 {
		return entry{}, false
	}
	number := s.page(id)
	p := s.pages[number]
	at, found := p.find(id)
	if !found {
		return entry{}, false
	}
	old = p.entries[at]
	p.remove(at)
	if len(p.ends) == 0 {
		s.pages = slices.Delete(s.pages, number, number+1)
	}
	s.length--
	return old, true
}

// each calls fn for every entry, by ID.
func (s *shelf) each(fn func(id string, e *entry)) {
	for _, p := range s.pages {
		for i := range p.entries {
			fn(string(p.id(i)), &p.entries[i])
		}
	}
}
