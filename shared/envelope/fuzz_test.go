package envelope

import (
	"bytes"
	"errors"
	"testing"
)

func FuzzOpen(f *testing.F) {
	a := testArena(f)
	s, o := pair(f, a, ToAgent, exporter)
	sealed := mustSeal(f, s, "value", context)
	f.Add(sealed, "r1", "salesforce-prod", uint64(7), "password")
	f.Add([]byte{}, "", "", uint64(0), "")
	f.Add(make([]byte, 24), "r1", "", uint64(1)<<63, "password")
	f.Fuzz(func(t *testing.T, b []byte, request, credential string, version uint64, field string) {
		inUse := a.InUse()
		c := Context{Request: request, Credential: credential, Version: version, Field: field}
		got, err := o.Open(b, c)
		if genuine := bytes.Equal(b, sealed) && c == context; genuine != (err == nil) {
			t.Fatalf("%v for %x in %+v", err, b, c)
		}
		got.Wipe()
		if a.InUse() != inUse {
			t.Fatal("something stayed in the arena")
		}
	})
}

func FuzzOpener(f *testing.F) {
	a := testArena(f)
	r := newRecipient(f)
	_, enc, err := NewSealer(a, r.PublicKey(), ToAgent, exporter)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(enc)
	f.Add([]byte{})
	f.Add(make([]byte, 32))
	f.Fuzz(func(t *testing.T, enc []byte) {
		inUse := a.InUse()
		o, err := newRecipient(t).Opener(a, enc, ToAgent, exporter)
		if err == nil {
			if len(enc) != 32 {
				t.Fatalf("an enc of %d bytes was accepted", len(enc))
			}
			o.Wipe()
		} else if !errors.Is(err, ErrEnvelope) {
			t.Fatal(err)
		}
		if a.InUse() != inUse {
			t.Fatal("something stayed in the arena")
		}
	})
}
