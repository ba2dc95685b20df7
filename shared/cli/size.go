package cli

import (
	"math"
	"strconv"
	"strings"
)

// Size reads what a flag for memory was given: a whole number of bytes, or one with KiB, MiB or GiB behind it. least
// and most bound it, in bytes. Its errors are usage errors.
func Size(flag, text string, least, most int) (int, error) {
	digits, unit := text, 1
	for suffix, bytes := range map[string]int{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if rest, ok := strings.CutSuffix(text, suffix); ok {
			digits, unit = rest, bytes
		}
	}
	n, err := strconv.ParseUint(digits, 10, 31)
	if err != nil || n > math.MaxInt/uint64(unit) {
		return 0, Usagef("--%s: give a number of bytes, such as 8388608, 8192KiB or 8MiB", flag)
	}
	if n *= uint64(unit); n < uint64(least) || n > uint64(most) {
		return 0, Usagef("--%s: from %d to %d bytes", flag, least, most)
	}
	return int(n), nil
}
