package kit

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"
)

// A Secret is what must not be found: any 8 bytes of it in a row as they are, as hex or in base64 however they lie in
// what was encoded, and the text as JSON writes it.
type Secret struct {
	Name  string
	Bytes []byte // 8 or more
}

// A Residue is a place in a process's memory that holds a piece of a secret.
type Residue struct {
	Secret, Form string
	Address      uint64
	Mapping      string // the line of /proc/PID/maps
}

// A Scan is what one search of a process's memory found.
type Scan struct {
	Found  []Residue // outside the arena
	Arena  []Residue // within it, where it can be read: see Command.PlainArena
	Unread []string  // mappings that cannot be read, such as an arena of memfd_secret
	Bytes  int       // that were looked at
}

// String is for the log: what was found, at most ten of each, without the values.
func (s Scan) String() string {
	text := fmt.Sprintf("%d pieces outside the arena, %d within it, %d MiB read", len(s.Found), len(s.Arena), s.Bytes>>20)
	for _, r := range s.Found[:min(len(s.Found), 10)] {
		text += fmt.Sprintf("\n\t%s, %s, at %#x in %s", r.Secret, r.Form, r.Address, r.Mapping)
	}
	for _, m := range s.Unread {
		text += "\n\tnot readable: " + m
	}
	return text
}

// Names are those of the secrets of which there is a piece among the residues, sorted.
func Names(residues []Residue) []string {
	var names []string
	for _, r := range residues {
		names = append(names, r.Secret)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Memory searches all memory of a process that it may read and that has contents. Of a process that is gone it reads 0
// bytes.
func Memory(t testing.TB, pid int, secrets ...Secret) Scan {
	t.Helper()
	NeedRoot(t)
	w := wantedOf(secrets)
	gone := func(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) }
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", pid))
	if gone(err) {
		return Scan{}
	}
	if err != nil {
		t.Fatal(err)
	}
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if gone(err) {
		return Scan{}
	}
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	pages, err := os.Open(fmt.Sprintf("/proc/%d/pagemap", pid))
	if gone(err) {
		return Scan{}
	}
	if err != nil {
		t.Fatal(err)
	}
	defer pages.Close()
	var out Scan
	var m mapping
	for lines := bufio.NewScanner(bytes.NewReader(maps)); lines.Scan(); {
		line := lines.Text()
		if next, ok := parseMapping(line); ok {
			m = next
			continue
		}
		if flags, ok := strings.CutPrefix(line, "VmFlags:"); ok && m.readable {
			m.arena = isArena(strings.Fields(flags))
			m.search(memory, pages, w, &out)
		}
	}
	return out
}

// Search looks through a file, such as a core dump.
func Search(t testing.TB, file string, secrets ...Secret) Scan {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	var out Scan
	m := mapping{high: uint64(info.Size()), line: file}
	if !m.chunks(f, 0, m.high, wantedOf(secrets), &out) {
		out.Unread = append(out.Unread, m.line)
	}
	return out
}

type mapping struct {
	low, high       uint64
	readable, arena bool
	line            string
}

func parseMapping(line string) (m mapping, ok bool) {
	var rights string
	n, _ := fmt.Sscanf(line, "%x-%x %s", &m.low, &m.high, &rights)
	m.readable, m.line = strings.HasPrefix(rights, "r"), line
	return m, n == 3 && len(rights) == 4
}

// isArena knows the arena by what nothing else has: locked, not dumped, and wiped or absent after a fork.
func isArena(flags []string) bool {
	has := func(flag string) bool { return slices.Contains(flags, flag) }
	return has("lo") && has("dd") && (has("wf") || has("dc"))
}

// search reads the pages that are there: in memory or swapped out.
func (m mapping) search(memory, pages *os.File, w *wanted, out *Scan) {
	const page = 4096
	entries := make([]byte, (m.high-m.low)/page*8)
	if n, err := pages.ReadAt(entries, int64(m.low/page*8)); err != nil || n < len(entries) {
		out.Unread = append(out.Unread, m.line)
		return
	}
	there := func(i uint64) bool { return entries[i*8+7]&0xc0 != 0 }
	unread := false
	for i, n := uint64(0), (m.high-m.low)/page; i < n; i++ {
		if !there(i) {
			continue
		}
		first := i
		for i < n && there(i) {
			i++
		}
		if !m.chunks(memory, m.low+first*page, m.low+i*page, w, out) && !unread {
			unread = true
			out.Unread = append(out.Unread, m.line)
		}
	}
}

// chunks searches a stretch in pieces that overlap, to the first byte that cannot be read: where there is one it is false.
func (m mapping) chunks(from *os.File, low, high uint64, w *wanted, out *Scan) bool {
	chunk := make([]byte, min(1<<20, high-low))
	for at := low; at < high; at += uint64(len(chunk)) - w.longest {
		n, err := from.ReadAt(chunk[:min(uint64(len(chunk)), high-at)], int64(at))
		out.Bytes += n
		w.find(chunk[:n], func(i int, p piece) {
			r := Residue{p.secret, p.form, at + uint64(i), m.line}
			if m.arena {
				out.Arena = append(out.Arena, r)
			} else {
				out.Found = append(out.Found, r)
			}
		})
		if err != nil {
			return false
		}
		if at+uint64(n) >= high || uint64(len(chunk)) <= w.longest {
			break
		}
	}
	return true
}

// wanted finds the pieces by their first 8 bytes.
type wanted struct {
	filter  [1 << 16]bool
	pieces  map[uint64][]piece
	longest uint64
}

type piece struct {
	secret, form string
	text         []byte
}

var zeros [4096]byte

func scramble(v uint64) uint64 { return v * 0x9e3779b97f4a7c15 }

func wantedOf(secrets []Secret) *wanted {
	w := &wanted{pieces: map[uint64][]piece{}}
	for _, s := range secrets {
		if len(s.Bytes) < 8 {
			panic("kit: " + s.Name + " is too short to be looked for")
		}
		w.add(s.Name, "plain", s.Bytes, 8, 1)
		w.add(s.Name, "hex", []byte(hex.EncodeToString(s.Bytes)), 16, 2)
		w.add(s.Name, "HEX", []byte(strings.ToUpper(hex.EncodeToString(s.Bytes))), 16, 2)
		for form, text := range forms(string(s.Bytes)) {
			if strings.HasPrefix(form, "base64") {
				w.add(s.Name, form, text, 10, 1)
			}
		}
		if escaped, err := json.Marshal(string(s.Bytes)); err == nil && utf8.Valid(s.Bytes) {
			w.add(s.Name, "JSON", escaped[1:len(escaped)-1], 16, 1)
		}
	}
	return w
}

// add wants each window of a text; a text that is shorter than one as a whole.
func (w *wanted) add(secret, form string, text []byte, window, step int) {
	window = min(window, len(text))
	if window < 8 {
		return
	}
	for i := 0; i+window <= len(text); i += step {
		p := piece{secret, form, text[i : i+window]}
		key := scramble(binary.LittleEndian.Uint64(p.text))
		w.filter[key>>48] = true
		if !slices.ContainsFunc(w.pieces[key], func(q piece) bool { return bytes.Equal(p.text, q.text) }) {
			w.pieces[key] = append(w.pieces[key], p)
		}
		w.longest = max(w.longest, uint64(window))
	}
}

// find is not watched by the race detector, which would make it ten times slower.
//
//go:norace
func (w *wanted) find(b []byte, found func(int, piece)) {
	for i := 0; i+8 <= len(b); i++ {
		// Most of a core file was never written to.
		if i+len(zeros) <= len(b) && b[i] == 0 && bytes.Equal(b[i:i+len(zeros)], zeros[:]) {
			i += len(zeros) - 8
			continue
		}
		if key := scramble(binary.LittleEndian.Uint64(b[i:])); w.filter[key>>48] {
			for _, p := range w.pieces[key] {
				if bytes.HasPrefix(b[i:], p.text) {
					found(i, p)
				}
			}
		}
	}
}

// Text is a canary as a Secret.
func Text(name, canary string) Secret { return Secret{name, []byte(canary)} }
