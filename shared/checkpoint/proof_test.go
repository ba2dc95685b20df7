package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/shared/checkpoint/merkletest"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// example is a proof of the fifth of seven entries, whose layout is typed by hand.
func example(t testing.TB) (Proof, author) {
	t.Helper()
	a := newAuthor(t, origin)
	plaintext := unhex(t, "000102030405060708090a0b0c0d0e0f 02"+ // salt, refused
		"0005 616c696365"+ // alice
		"000f 63726564656e7469616c2e72656164"+ // credential.read
		"0003 63726d 0002 6831 0000 0002 6eff") // crm, h1, no job, a text that is not UTF-8
	sum := sha256.Sum256(plaintext)
	covered := unhex(t, "01 03 00000002 0000000000000005 18a0b0c0d0e0f001 0000000000000004")
	covered = append(append(covered, sum[:]...), make([]byte, len(plaintext)+16)...) // what stands for the ciphertext
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(covered)))
	table := crc32.MakeTable(crc32.Castagnoli)
	frame = binary.BigEndian.AppendUint32(frame, crc32.Update(crc32.Checksum(frame, table), table, covered))
	frame = append(frame, covered...)
	header := bytes.Repeat([]byte{7}, 32)
	leaves := numbered(7)
	leaves[4] = append(bytes.Clone(header), covered...)
	c := Checkpoint{origin, 7, merkletest.Root(leaves), 1}
	return Proof{
		LogKey: a.key, Checkpoint: string(a.sign(c.Body())), Header: header, Frame: frame, Plaintext: plaintext,
		Entry: Entry{
			Seq: 5, Time: time.Unix(0, 0x18a0b0c0d0e0f001).UTC(), Kind: "committed", Intent: 4,
			Actor: "alice", Action: "credential.read", Target: "crm", Host: "h1", Outcome: "refused", Reason: "n\uFFFD",
		},
		Inclusion: Raw(merkletest.Path(4, leaves)),
	}, a
}

func TestProof(t *testing.T) {
	t.Parallel()
	p, a := example(t)
	c, err := p.Verify(a.key)
	if err != nil || c.Size != 7 {
		t.Fatalf("Verify: %+v, %v", c, err)
	}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseProof(text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Verify(a.key); err != nil {
		t.Errorf("after saving and reading it: %v", err)
	}
	if _, err := p.Verify(newAuthor(t, origin).key); !errors.Is(err, ErrForeign) {
		t.Errorf("with another log's key: %v", err)
	}
}

// TestEachByteOfAProof flips every byte of every part.
func TestEachByteOfAProof(t *testing.T) {
	t.Parallel()
	good, a := example(t)
	flipped := 0
	flip := func(what string, b []byte, p *Proof) {
		for i := range b {
			b[i] ^= 1
			if _, err := p.Verify(a.key); err == nil {
				t.Errorf("%s: byte %d flipped, and it is proven", what, i)
			}
			b[i] ^= 1
			flipped++
		}
	}
	p := good
	p.Header, p.Frame, p.Plaintext = bytes.Clone(good.Header), bytes.Clone(good.Frame), bytes.Clone(good.Plaintext)
	flip("header", p.Header, &p)
	flip("frame", p.Frame, &p)
	flip("plaintext", p.Plaintext, &p)
	p.Inclusion = slices.Clone(good.Inclusion)
	for i := range p.Inclusion {
		p.Inclusion[i] = bytes.Clone(p.Inclusion[i])
		flip("inclusion", p.Inclusion[i], &p)
	}
	if _, err := p.Verify(a.key); err != nil || flipped != 32+len(good.Frame)+len(good.Plaintext)+3*32 {
		t.Errorf("%d bytes were flipped; flipped back: %v", flipped, err)
	}
	for i := range good.Checkpoint {
		p := good
		b := []byte(good.Checkpoint)
		b[i] ^= 1
		p.Checkpoint = string(b)
		if _, err := p.Verify(a.key); err == nil {
			t.Errorf("checkpoint: byte %d flipped, and it is proven: %q", i, p.Checkpoint)
		}
	}
	for i := range good.LogKey {
		p := good
		b := []byte(good.LogKey)
		b[i] ^= 1
		p.LogKey = string(b)
		if _, err := p.Verify(a.key); !errors.Is(err, ErrForeign) {
			t.Errorf("log key: byte %d flipped: %v", i, err)
		}
	}
}

func TestRefusedProofs(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(*Proof){
		"another number":        func(p *Proof) { p.Entry.Seq = 6 },
		"another time":          func(p *Proof) { p.Entry.Time = p.Entry.Time.Add(1) },
		"another kind":          func(p *Proof) { p.Entry.Kind = "event" },
		"another change":        func(p *Proof) { p.Entry.Intent = 3 },
		"another actor":         func(p *Proof) { p.Entry.Actor = "mallory" },
		"another action":        func(p *Proof) { p.Entry.Action = "credential.list" },
		"another target":        func(p *Proof) { p.Entry.Target = "" },
		"another host":          func(p *Proof) { p.Entry.Host = "h2" },
		"another job":           func(p *Proof) { p.Entry.Job = "etl" },
		"another outcome":       func(p *Proof) { p.Entry.Outcome = "allowed" },
		"another reason":        func(p *Proof) { p.Entry.Reason = "" },
		"no frame":              func(p *Proof) { p.Frame = nil },
		"no plaintext":          func(p *Proof) { p.Plaintext = nil },
		"no header":             func(p *Proof) { p.Header = nil },
		"no inclusion":          func(p *Proof) { p.Inclusion = nil },
		"an inclusion too long": func(p *Proof) { p.Inclusion = append(slices.Clone(p.Inclusion), make([]byte, 32)) },
		"no checkpoint":         func(p *Proof) { p.Checkpoint = "" },
		"a shorter frame":       func(p *Proof) { p.Frame = p.Frame[:len(p.Frame)-1] },
	} {
		p, a := example(t)
		change(&p)
		if _, err := p.Verify(a.key); err == nil {
			t.Errorf("%s: it is proven", what)
		}
	}
	// A checkpoint of the same log from before the entry.
	p, a := example(t)
	p.Checkpoint = string(a.sign(Checkpoint{origin, 4, merkletest.Root(numbered(4)), 1}.Body()))
	if _, err := p.Verify(a.key); !errors.Is(err, ErrNotProven) {
		t.Errorf("an earlier checkpoint: %v", err)
	}
}

func TestParseProof(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "x", "[]", `{"frame":"not base64!"}`, `{"more":1}`, `{} {}`, `{"log_key":"` + strings.Repeat("x", MaxProof) + `"}`} {
		if _, err := ParseProof([]byte(text)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

func FuzzProof(f *testing.F) {
	p, a := example(f)
	text, err := json.Marshal(p)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"frame":"AA==","plaintext":"","inclusion":["AA=="]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := ParseProof(b)
		if err != nil {
			return
		}
		if _, err := q.Verify(a.key); err == nil && !bytes.Equal(q.Frame, p.Frame) {
			t.Fatal("another entry than the one in the log is proven")
		}
	})
}

// FuzzFrame makes checksum, length and hash good, which a fuzzer does not find.
func FuzzFrame(f *testing.F) {
	p, _ := example(f)
	f.Add(p.Frame, p.Plaintext)
	f.Add(p.Frame[:70], []byte{})
	f.Fuzz(func(t *testing.T, frame, plaintext []byte) {
		_, _ = ReadFrame(frame, plaintext)
		if len(frame) < cipherAt {
			return
		}
		frame = append(bytes.Clone(frame[:cipherAt]), make([]byte, len(plaintext)+tag)...)
		sum := sha256.Sum256(plaintext)
		copy(frame[hashAt:], sum[:])
		binary.BigEndian.PutUint32(frame, uint32(len(frame)-checksumEnd))
		table := crc32.MakeTable(crc32.Castagnoli)
		binary.BigEndian.PutUint32(frame[4:], crc32.Update(crc32.Checksum(frame[:4], table), table, frame[8:]))
		if e, err := ReadFrame(frame, plaintext); err == nil && (e.Kind == "" || e.Outcome == "") {
			t.Fatalf("%+v", e)
		}
	})
}
