package vault

import (
	"slices"
	"strings"

	"github.com/strongroom/strongroom/shared/credential"
)

// textBlock is a run of credentials, by name, with all that is searched of them in one text. To look through a text is
// a hundred times quicker than to look at each credential, and a change makes the text of one block anew.
type textBlock struct {
	items []*credential.Metadata
	text  string
}

const (
	blockSize = 512  // credentials of a block when it is made
	maxBlock  = 1024 // and before it is divided
	// fewToSearch is how many credentials are looked at one by one without further ado.
	fewToSearch = 2048
)

// searchIndex is every credential, in blocks.
type searchIndex []*textBlock

func newSearchIndex(sorted []*credential.Metadata) (x searchIndex) {
	for part := range slices.Chunk(sorted, blockSize) {
		x = append(x, newTextBlock(slices.Clone(part)))
	}
	return x
}

func newTextBlock(items []*credential.Metadata) *textBlock {
	b := &textBlock{items: items}
	b.read()
	return b
}

func (b *textBlock) read() {
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

// block is the index of the block that a name belongs to; 0 where there is none.
func (x searchIndex) block(name string) int {
	i, found := slices.BinarySearchFunc(x, name, func(b *textBlock, name string) int { return strings.Compare(b.items[0].Name, name) })
	if !found && i > 0 {
		i--
	}
	return i
}

func (x *searchIndex) put(c *credential.Metadata) {
	if len(*x) == 0 {
		*x = searchIndex{newTextBlock([]*credential.Metadata{c})}
		return
	}
	at := x.block(c.Name)
	b := (*x)[at]
	i, _ := position(b.items, c.Name)
	b.items = slices.Insert(b.items, i, c)
	if len(b.items) > maxBlock {
		half := slices.Clone(b.items[maxBlock/2:])
		b.items = slices.Clone(b.items[:maxBlock/2])
		*x = slices.Insert(*x, at+1, newTextBlock(half))
	}
	b.read()
}

func (x *searchIndex) remove(c *credential.Metadata) {
	if len(*x) == 0 {
		return
	}
	at := x.block(c.Name)
	b := (*x)[at]
	i, found := position(b.items, c.Name)
	if !found {
		return
	}
	if b.items = slices.Delete(b.items, i, i+1); len(b.items) == 0 {
		*x = slices.Delete(*x, at, at+1)
		return
	}
	b.read()
}

// each gives every credential behind a name that may have the text in its name or description, by name, until it is
// told to stop.
func (x searchIndex) each(after, text string, look func(*credential.Metadata) bool) {
	for _, b := range x[min(x.block(after), len(x)):] {
		if !strings.Contains(b.text, text) {
			continue
		}
		for _, c := range b.items {
			if c.Name > after && !look(c) {
				return
			}
		}
	}
}
