package cli

import "testing"

func TestSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"65536": 65536, "64KiB": 65536, "8MiB": 8388608, "1GiB": 1073741824, "0008MiB": 8388608,
	} {
		if got, err := Size("locked-memory", text, 64<<10, 1<<30); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "MiB", "8", "65535", "8mib", "8M", "8 MiB", "-8MiB", "+8MiB", "1.5MiB", "0x10000", "8MiBMiB",
		"1025MiB", "2GiB", "2147483647GiB", "99999999999999999999",
	} {
		if got, err := Size("locked-memory", text, 64<<10, 1<<30); Code(err) != Usage || got != 0 {
			t.Errorf("%q is %d, %v; want a usage error", text, got, err)
		}
	}
}
