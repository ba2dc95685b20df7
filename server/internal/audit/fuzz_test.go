package audit

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"
)

// fuzzLog returns a description and the bytes of a segment with three entries.
func fuzzLog(f *testing.F) (*description, []byte) {
	f.Helper()
	a := newArena(f)
	d, keys, err := newDescription(a, testVault)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(keys.Wipe)
	key, err := d.newSegmentKey(a)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(key.retire)
	data := d.segmentHeader(&state{}, key.enc)
	for i, k := range []kind{intent, event, committed} {
		plaintext, err := appendPlaintext(nil, &Entry{Actor: "alice", Outcome: Allowed})
		if err != nil {
			f.Fatal(err)
		}
		frame, err := sealFrame(nil, key, k, uint64(1-i%2), plaintext)
		if err != nil {
			f.Fatal(err)
		}
		number(frame, uint32(i), uint64(i+1), time.Now().UnixNano())
		finish(frame)
		data = append(data, frame...)
	}
	return d, data
}

func FuzzFrame(f *testing.F) {
	_, data := fuzzLog(f)
	f.Add(data[125:])
	f.Add(data[125:200])
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := decodeFrame(b)
		if err != nil {
			return
		}
		if len(got.bytes) > len(b) || len(got.bytes) < minFrame || len(got.bytes) > maxFrame || !bytes.HasPrefix(b, got.bytes) {
			t.Fatalf("a frame of %d bytes out of %d", len(got.bytes), len(b))
		}
		again := bytes.Clone(got.bytes)
		number(again, got.index, got.seq, got.time)
		finish(again)
		if !bytes.Equal(again, got.bytes) {
			t.Fatal("it does not encode to what it was decoded from")
		}
	})
}

// FuzzSegment feeds the bytes of a first segment, and those after a good header with checksums made good, since a
// fuzzer finds neither by itself.
func FuzzSegment(f *testing.F) {
	d, data := fuzzLog(f)
	f.Add(data[125:])
	f.Add(data[:300])
	f.Add(append(bytes.Clone(data[125:]), data[125:]...))
	f.Fuzz(func(t *testing.T, b []byte) {
		checkReplay(t, d, b)
		b = append(bytes.Clone(data[:headerSize]), b...)
		checkReplay(t, d, b)
		for rest := b[headerSize:]; len(rest) >= minFrame; {
			n := min(len(rest), checksumEnd+int(rest[2])<<8+int(rest[3]))
			rest[0], rest[1] = 0, 0
			if n >= minFrame {
				finish(rest[:n])
			}
			rest = rest[n:]
		}
		checkReplay(t, d, b)
	})
}

func checkReplay(t *testing.T, d *description, b []byte) {
	t.Helper()
	var s state
	visited := int64(0)
	seg, err := d.replay(b, &s, func(f frame) { visited += int64(len(f.bytes)) })
	if seg.bytes != 0 && seg.bytes != headerSize+visited || seg.bytes > int64(len(b)) || (err == nil) != (seg.bytes == int64(len(b)) && seg.bytes > 0) {
		t.Fatalf("%d bytes of %d, %d in frames: %v", seg.bytes, len(b), visited, err)
	}
	if err != nil {
		isTorn(err, b[seg.bytes:], s.tree.size+1)
	}
}

func FuzzPlaintext(f *testing.F) {
	good, err := appendPlaintext(nil, &Entry{Actor: "alice", Target: "crm", Reason: "r", Outcome: Refused})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodePlaintext(b)
		if err != nil {
			return
		}
		again, err := appendPlaintext(nil, &e)
		if err != nil || !bytes.Equal(again[saltSize:], b[saltSize:]) {
			t.Fatalf("%x became %x, %v", b, again, err)
		}
	})
}

func FuzzDescription(f *testing.F) {
	d, _ := fuzzLog(f)
	f.Add([]byte(`{"format":1,"vault":"` + testVault + `","origin":"` + hex.EncodeToString(d.origin[:]) + `","encryption_key":"AAAA","log_key":"` + d.logKey() + `"}`))
	f.Add([]byte(`{"format":1,"log_key":"a+00000000+AQ=="}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, err := decodeDescription(b); err == nil && d.origin != d.computeOrigin() {
			t.Fatal("an origin that is not of these keys")
		}
	})
}
