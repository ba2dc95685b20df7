package merkletest

import (
	"encoding/hex"
	"testing"
)

// TestTree holds the package against roots and a proof that certificate transparency's tests use.
func TestTree(t *testing.T) {
	t.Parallel()
	var leaves [][]byte
	for _, leaf := range []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"} {
		b, err := hex.DecodeString(leaf)
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, b)
	}
	if got := Root(leaves); hex.EncodeToString(got[:]) != "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328" {
		t.Errorf("root: %x", got)
	}
	want := []string{
		"0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
		"ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
	}
	got := Proof(6, leaves)
	if len(got) != len(want) {
		t.Fatalf("the proof from 6 to 8 has %d hashes, want %d", len(got), len(want))
	}
	for i := range want {
		if hex.EncodeToString(got[i][:]) != want[i] {
			t.Errorf("hash %d of the proof from 6 to 8: %x, want %s", i, got[i], want[i])
		}
	}
}
