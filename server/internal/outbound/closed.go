package outbound

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// closed is what the server reaches only where its configuration says so. Private networks are not here: an
// organisation's own systems live there. What the machine itself has of them is closed as well, see machine.
var closed = prefixes(
	"0.0.0.0/8",          // this host, RFC 1122
	"127.0.0.0/8",        // loopback
	"169.254.0.0/16",     // link-local, with the metadata of most clouds
	"192.0.0.0/24",       // IETF protocols, RFC 6890; metadata of one cloud
	"100.100.100.200/32", // metadata of another
	"168.63.129.16/32",   // and the host of a third's machines
	"224.0.0.0/4",        // multicast
	"240.0.0.0/4",        // reserved, with broadcast

	"::/96",            // unspecified, loopback, and IPv4-compatible addresses, RFC 4291, 2.5.5.1
	"fe80::/10",        // link-local
	"fec0::/10",        // site-local of old, RFC 3879
	"ff00::/8",         // multicast
	"fd00:ec2::/32",    // metadata
	"fd20:ce::254/128", // metadata
	"64:ff9b:1::/48",   // translated to IPv4 in a way that only that network knows, RFC 8215
	"2001::/32",        // Teredo, RFC 4380: to an IPv4 address behind somebody's relay
	"::ffff:0:0:0/96",  // IPv4-translated, RFC 2765
)

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		out[i] = netip.MustParsePrefix(text)
	}
	return out
}

var (
	nat64  = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
	sixto4 = netip.MustParsePrefix("2002::/16")    // RFC 3056
)

// embeddedIPv4 is the IPv4 address that a translator makes of an IPv6 one.
func embeddedIPv4(a netip.Addr) (netip.Addr, bool) {
	if !a.Is6() {
		return netip.Addr{}, false
	}
	b := a.As16()
	switch {
	case nat64.Contains(a):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case sixto4.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}

// lookAgain is for how long the machine is taken to have the addresses that it had.
const lookAgain = 5 * time.Second

// machine knows the addresses of the server's own machine: what listens there may trust whoever comes from it.
type machine struct {
	look func() ([]net.Addr, error)

	mu    sync.Mutex
	until time.Time
	has   []netip.Addr
}

// isAt tells whether a is the machine's. Where its addresses cannot be read, every one might be.
func (m *machine) isAt(a netip.Addr) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := time.Now(); now.After(m.until) {
		found, err := m.look()
		if err != nil {
			return true
		}
		m.until, m.has = now.Add(lookAgain), nil
		for _, f := range found {
			if own, err := netip.ParsePrefix(f.String()); err == nil {
				m.has = append(m.has, own.Addr().Unmap())
			}
		}
	}
	return slices.Contains(m.has, a)
}
