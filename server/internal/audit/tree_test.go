package audit

import (
	"encoding/hex"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// TestTreeIsRFC6962's roots are those that certificate transparency's own tests use for these leaves.
func TestTreeIsRFC6962(t *testing.T) {
	t.Parallel()
	leaves := []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"}
	roots := []string{
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}
	var tr tree
	for size, want := range roots {
		if got := tr.root(); hex.EncodeToString(got[:]) != want {
			t.Errorf("root of %d leaves: %x, want %s", size, got, want)
		}
		if size < len(leaves) {
			leaf, err := hex.DecodeString(leaves[size])
			if err != nil {
				t.Fatal(err)
			}
			tr.add(tlog.RecordHash(leaf))
		}
	}
}

// hashes keeps every hash of a tree, as tlog wants them.
type hashes []tlog.Hash

func (h hashes) ReadHashes(at []int64) ([]tlog.Hash, error) {
	var got []tlog.Hash
	for _, i := range at {
		got = append(got, h[i])
	}
	return got, nil
}

func TestTreeAgreesWithTlog(t *testing.T) {
	t.Parallel()
	var tr tree
	var all hashes
	for i := range 300 {
		leaf := tlog.RecordHash([]byte{byte(i), byte(i >> 8)})
		more, err := tlog.StoredHashesForRecordHash(int64(i), leaf, all)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, more...)
		before := tr.clone()
		rootBefore := before.root()
		tr.add(leaf)
		want, err := tlog.TreeHash(int64(i+1), all)
		if err != nil || tr.root() != want {
			t.Fatalf("size %d: %x, want %x, %v", i+1, tr.root(), want, err)
		}
		if before.root() != rootBefore || before.size != uint64(i) {
			t.Fatalf("size %d: adding changed a clone", i)
		}
	}
}
