package seal

// Shamir's scheme over GF(2^8) with the polynomial of AES, x^8+x^4+x^3+x+1, for each byte by itself. No step branches
// on a secret byte or looks one up in a table: only indices, which are public, decide anything.

// multiply is the product of two elements.
func multiply(a, b byte) (product byte) {
	for range 8 {
		product ^= a & -(b & 1)
		a = a<<1 ^ 0x1b&-(a>>7)
		b >>= 1
	}
	return product
}

// inverse is a^254: 1/a, and 0 for 0.
func inverse(a byte) byte {
	result := byte(1)
	for range 7 { // 254 is 2+4+8+16+32+64+128
		a = multiply(a, a)
		result = multiply(result, a)
	}
	return result
}

// split writes the value at x of the polynomials whose constant terms are secret's bytes and whose other coefficients
// lie one degree after the other in coefficients. x is not 0: that would be the secret itself.
func split(share, secret, coefficients []byte, x byte) {
	n := len(secret)
	clear(share)
	for degree := len(coefficients) / n; degree > 0; degree-- {
		for i, c := range coefficients[(degree-1)*n : degree*n] {
			share[i] = multiply(share[i]^c, x)
		}
	}
	for i, c := range secret {
		share[i] ^= c
	}
}

// combine writes the values at 0 of the polynomials that go through the shares. The xs differ from each other and
// from 0, and are as many as the polynomial needs.
func combine(secret []byte, xs []byte, shares [][]byte) {
	clear(secret)
	for i, x := range xs {
		weight := byte(1)
		for j, other := range xs {
			if j != i {
				weight = multiply(weight, multiply(other, inverse(other^x)))
			}
		}
		for at, y := range shares[i] {
			secret[at] ^= multiply(weight, y)
		}
	}
}
