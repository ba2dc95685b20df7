package vault

import (
	"iter"
	"slices"
	"strings"

	"github.com/strongroom/strongroom/shared/credential"
)

// ordered is credentials by name, in blocks, so that a change moves a block's and not all that come behind. A nil one is
// empty.
type ordered struct {
	blocks []*block // none is empty
	length int
	texts  bool // each block has its text
}

// block is a run of credentials and, where they are searched, all that is searched of them in one text. To look through a
// text is a hundred times quicker than to look at each credential, and a change makes the text of one block anew.
type block struct {
	items []*credential.Metadata
	text  string
}

const (
	blockSize = 128 // credentials of a block when it is made
	maxBlock  = 256 // and before it is divided
	// fewToSearch is how many credentials are looked at one by one without further ado.
	fewToSearch = 2048
)

func newOrdered(sorted []*credential.Metadata, texts bool) *ordered {
	x := &ordered{length: len(sorted), texts: texts}
	for part := range slices.Chunk(sorted, blockSize) {
		b := &block{items: slices.Clone(part)}
		x.blocks = append(x.blocks, b)
		x.read(b)
	}
	return x
}

// read makes a block's text.
func (x *ordered) read(b *block) {
	if !x.texts {
		return
	}
	size := 0
	for _, c := range b.items {
		size += len(c.Name) + len(c.Description) + 2
	}
	var text strings.Builder
	text.Grow(size)
	for _, c := range b.items {
		text.WriteString(c.Name)
		text.WriteByte(0)
		text.WriteString(c.Description)
		text.WriteByte(0)
	}
	b.text = text.String()
}

// block is the place of the block that a name belongs to; 0 where there is none.
func (x *ordered) block(name string) int {
	i, found := slices.BinarySearchFunc(x.blocks, name, func(b *block, name string) int { return strings.Compare(b.items[0].Name, name) })
	if !found && i > 0 {
		i--
	}
	return i
}

// place is where in a block a name is, or belongs.
func (b *block) place(name string) (int, bool) {
	return slices.BinarySearchFunc(b.items, name, func(c *credential.Metadata, name string) int { return strings.Compare(c.Name, name) })
}

// put adds a credential whose name is not there.
func (x *ordered) put(c *credential.Metadata) {
	x.length++
	if len(x.blocks) == 0 {
		x.blocks = []*block{{items: []*credential.Metadata{c}}}
		x.read(x.blocks[0])
		return
	}
	at := x.block(c.Name)
	b := x.blocks[at]
	i, _ := b.place(c.Name)
	b.items = slices.Insert(b.items, i, c)
	if len(b.items) > maxBlock {
		half := &block{items: slices.Clone(b.items[maxBlock/2:])}
		b.items = slices.Clone(b.items[:maxBlock/2])
		x.blocks = slices.Insert(x.blocks, at+1, half)
		x.read(half)
	}
	x.read(b)
}

// remove takes away the credential that has the name, if one has.
func (x *ordered) remove(name string) {
	if x.len() == 0 {
		return
	}
	at := x.block(name)
	b := x.blocks[at]
	i, found := b.place(name)
	if !found {
		return
	}
	x.length--
	if b.items = slices.Delete(b.items, i, i+1); len(b.items) == 0 {
		x.blocks = slices.Delete(x.blocks, at, at+1)
		return
	}
	x.read(b)
}

func (x *ordered) len() int {
	if x == nil {
		return 0
	}
	return x.length
}

// all gives every credential, by name.
func (x *ordered) all() iter.Seq[*credential.Metadata] { return x.behind("", "") }

// behind gives every credential behind a name, by name. Of blocks that have texts it may leave out those credentials that
// do not have the text in their name or description.
func (x *ordered) behind(after, text string) iter.Seq[*credential.Metadata] {
	return func(yield func(*credential.Metadata) bool) {
		if x.len() == 0 {
			return
		}
		for _, b := range x.blocks[x.block(after):] {
			if x.texts && !strings.Contains(b.text, text) {
				continue
			}
			for _, c := range b.items {
				if c.Name > after && !yield(c) {
					return
				}
			}
		}
	}
}
