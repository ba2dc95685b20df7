package httpauth

import "slices"

const upperHex = "0123456789ABCDEF"

// appendEscaped percent-encodes as RFC 5849 section 3.6 asks: everything but the unreserved characters of RFC 3986,
// in upper-case hex. It is called inside Do where b is secret.
func appendEscaped(dst, b []byte) []byte {
	dst = slices.Grow(dst, len(b))
	for _, c := range b {
		if unreserved(c) {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return dst
}

func escape(s string) string { return string(appendEscaped(nil, []byte(s))) }

func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}
