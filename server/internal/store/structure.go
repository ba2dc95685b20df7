package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
)

// bbolt trusts its pages: one that leads back to itself makes it recurse until the process dies, and a free list with
// a wild length makes it ask for all memory. Neither can be recovered from, so checkFile follows the pages first,
// with plain reads. It reads the branch pages whole and of the leaves, nearly all of the file, only the head:
// whatever is wrong inside a leaf is met by a transaction's guards and limits, and by the barrier.
//
// Layout of a bbolt file, all numbers in the machine's byte order:
//
//	page     id u64 | flags u16 | count u16 | overflow u32 | elements…
//	meta     magic u32 | version u32 | page size u32 | flags u32 | root page u64 | sequence u64 |
//	         free list page u64 | number of pages u64 | transaction u64 | FNV-1a of all before u64
//	branch   count × (key's offset from here u32 | key's length u32 | page u64)
//	leaf     count × (flags u32 | key's offset from here u32 | key's length u32 | value's length u32)
//	bucket   root page u64, zero if the page follows within the value | sequence u64
const (
	pageHead    = 16
	metaSize    = 64
	elementSize = 16
	bucketSize  = 16

	branchPage = 0x01
	leafPage   = 0x02
	listPage   = 0x10
	bucketLeaf = 0x01

	boltMagic   = 0xED0CDAED
	boltVersion = 2

	minPageSize = 1 << 10
	maxPageSize = 1 << 24
	maxDepth    = 64
)

var native = binary.NativeEndian

type meta struct {
	pageSize                   int64
	root, list, pages, version uint64
}

// pageMap is what is known of a file's pages while they are being followed.
type pageMap struct {
	r        io.ReaderAt
	pageSize int64
	pages    uint64   // all page numbers are below it
	seen     []uint64 // one bit a page
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// checkFile answers ErrCorrupt if bbolt could not be trusted with the file.
func checkFile(r io.ReaderAt, size int64) error {
	m, err := newestMeta(r, size)
	if err != nil {
		return err
	}
	if m.pages > uint64(size/m.pageSize) {
		return damaged("%d bytes long, %d pages of %d are missing from it", size, m.pages-uint64(size/m.pageSize), m.pageSize)
	}
	p := &pageMap{r: r, pageSize: m.pageSize, pages: m.pages, seen: make([]uint64, m.pages/64+1)}
	if err := p.checkRoot(m.root); err != nil {
		return err
	}
	return p.checkFreeList(m.list)
}

// newestMeta finds the page that bbolt will start from: of the two, the valid one with the later transaction.
func newestMeta(r io.ReaderAt, size int64) (meta, error) {
	first, ok := readMeta(r, 0)
	if ok {
		if second, ok := readMeta(r, first.pageSize); ok && second.version > first.version {
			if second.pageSize != first.pageSize {
				return meta{}, damaged("its two first pages disagree on the page size")
			}
			return second, nil
		}
		return first, nil
	}
	for offset := int64(minPageSize); offset <= maxPageSize && offset < size; offset *= 2 {
		if second, ok := readMeta(r, offset); ok && second.pageSize == offset {
			return second, nil
		}
	}
	return meta{}, damaged("neither of its first two pages is whole")
}

func readMeta(r io.ReaderAt, offset int64) (meta, bool) {
	var page [pageHead + metaSize]byte
	if _, err := r.ReadAt(page[:], offset); err != nil {
		return meta{}, false
	}
	b := page[pageHead:]
	sum := fnv.New64a()
	_, _ = sum.Write(b[:56])
	if native.Uint32(b) != boltMagic || native.Uint32(b[4:]) != boltVersion || native.Uint64(b[56:]) != sum.Sum64() {
		return meta{}, false
	}
	m := meta{
		pageSize: int64(native.Uint32(b[8:])), root: native.Uint64(b[16:]), list: native.Uint64(b[32:]),
		pages: native.Uint64(b[40:]), version: native.Uint64(b[48:]),
	}
	return m, m.pageSize >= minPageSize && m.pageSize <= maxPageSize && m.pageSize&(m.pageSize-1) == 0
}

// checkRoot follows the list of buckets, which holds ours and nothing else.
func (p *pageMap) checkRoot(id uint64) error {
	flags, page, err := p.read(id)
	if err != nil {
		return err
	}
	if flags != leafPage || native.Uint16(page[10:]) != 1 {
		return damaged("page %d is not the list of one bucket", id)
	}
	e := page[pageHead:]
	at, keyLen, valueLen := uint64(native.Uint32(e[4:])), uint64(native.Uint32(e[8:])), uint64(native.Uint32(e[12:]))
	if at+keyLen+valueLen > uint64(len(e)) || native.Uint32(e) != bucketLeaf || valueLen < bucketSize {
		return damaged("page %d: its entry is not a bucket", id)
	}
	if key := e[at : at+keyLen]; !bytes.Equal(key, bucketName) {
		return damaged("page %d: not a strongroom store", id)
	}
	bucket := e[at+keyLen : at+keyLen+valueLen]
	if root := native.Uint64(bucket); root != 0 {
		return p.follow(root, 0)
	}
	inline := bucket[bucketSize:]
	if len(inline) < pageHead || native.Uint16(inline[8:]) != leafPage ||
		pageHead+int(native.Uint16(inline[10:]))*elementSize > len(inline) {
		return damaged("page %d: the bucket inside it is not whole", id)
	}
	return nil
}

// follow checks the tree below a page. Each page may be met once, so it ends.
func (p *pageMap) follow(id uint64, depth int) error {
	if depth > maxDepth {
		return damaged("page %d: more than %d pages deep", id, maxDepth)
	}
	head, err := p.head(id)
	if err != nil {
		return err
	}
	switch native.Uint16(head[8:]) {
	case leafPage:
		return nil
	case branchPage:
	default:
		return damaged("page %d: neither leaf nor branch", id)
	}
	page, err := p.body(id, head)
	if err != nil {
		return err
	}
	var last []byte
	for i := range int(native.Uint16(head[10:])) {
		e := page[pageHead+i*elementSize:]
		at, keyLen := uint64(native.Uint32(e)), uint64(native.Uint32(e[4:]))
		if at+keyLen > uint64(len(e)) || keyLen == 0 {
			return damaged("page %d: key %d lies outside", id, i)
		}
		key := e[at : at+keyLen]
		if bytes.Compare(key, last) <= 0 {
			return damaged("page %d: key %d is out of order", id, i)
		}
		last = key
		if err := p.follow(native.Uint64(e[8:]), depth+1); err != nil {
			return err
		}
	}
	if last == nil {
		return damaged("page %d: branch without keys", id)
	}
	return nil
}

func (p *pageMap) checkFreeList(id uint64) error {
	flags, page, err := p.read(id)
	if err != nil {
		return err
	}
	if flags != listPage {
		return damaged("page %d is not the free list", id)
	}
	ids, count := page[pageHead:], uint64(native.Uint16(page[10:]))
	if count == 0xFFFF { // then the length is the first entry
		count, ids = native.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids)/8) {
		return damaged("page %d: free list of %d pages lies outside", id, count)
	}
	for i := range count {
		if err := p.mark(native.Uint64(ids[i*8:]), 1); err != nil {
			return err
		}
	}
	return nil
}

// mark notes that n pages from id on are spoken for.
func (p *pageMap) mark(id, n uint64) error {
	if id < 2 || id >= p.pages || n > p.pages-id {
		return damaged("page %d is outside the file", id)
	}
	for i := id; i < id+n; i++ {
		if p.seen[i/64]&(1<<(i%64)) != 0 {
			return damaged("page %d is used twice", i)
		}
		p.seen[i/64] |= 1 << (i % 64)
	}
	return nil
}

// head reads a page's head and checks that the page is what it says, and whole.
func (p *pageMap) head(id uint64) ([]byte, error) {
	if id < 2 || id >= p.pages {
		return nil, damaged("page %d is outside the file", id)
	}
	head := make([]byte, pageHead)
	if _, err := p.r.ReadAt(head, int64(id)*p.pageSize); err != nil {
		return nil, damaged("page %d: %v", id, err)
	}
	if native.Uint64(head) != id {
		return nil, damaged("page %d calls itself %d", id, native.Uint64(head))
	}
	n := 1 + uint64(native.Uint32(head[12:]))
	if count := int64(native.Uint16(head[10:])); native.Uint16(head[8:]) != listPage &&
		pageHead+count*elementSize > int64(n)*p.pageSize {
		return nil, damaged("page %d: %d entries do not fit", id, count)
	}
	return head, p.mark(id, n)
}

func (p *pageMap) body(id uint64, head []byte) ([]byte, error) {
	page := make([]byte, (1+int64(native.Uint32(head[12:])))*p.pageSize)
	if _, err := p.r.ReadAt(page, int64(id)*p.pageSize); err != nil {
		return nil, damaged("page %d: %v", id, err)
	}
	return page, nil
}

func (p *pageMap) read(id uint64) (flags uint16, page []byte, err error) {
	head, err := p.head(id)
	if err != nil {
		return 0, nil, err
	}
	page, err = p.body(id, head)
	return native.Uint16(head[8:]), page, err
}
