package outbound

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

var loopback = netip.MustParsePrefix("127.0.0.0/8")

// at is a dialer on a machine with these addresses.
func at(open []netip.Prefix, own ...string) *Dialer {
	d := New(open)
	d.own.look = func() (found []net.Addr, err error) {
		for _, text := range own {
			ip, network, err := net.ParseCIDR(text)
			if err != nil {
				return nil, err
			}
			found = append(found, &net.IPNet{IP: ip, Mask: network.Mask})
		}
		return found, nil
	}
	return d
}

// What the machine itself has is closed, though its neighbours are not.
func TestOwnAddresses(t *testing.T) {
	t.Parallel()
	own := []string{"10.0.0.7/24", "fd12:3456::7/64", "93.184.216.34/32"}
	control := func(d *Dialer, address string) error {
		return d.control(t.Context(), "tcp", net.JoinHostPort(address, "443"), nil)
	}
	for _, address := range []string{"10.0.0.7", "::ffff:10.0.0.7", "64:ff9b::a00:7", "2002:a00:7::1", "fd12:3456::7", "fd12:3456::7%eth0", "93.184.216.34"} {
		if err := control(at(nil, own...), address); !errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), "--outbound-allow ") {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, address := range []string{"10.0.0.8", "10.0.0.0", "fd12:3456::8", "93.184.216.35"} {
		if err := control(at(nil, own...), address); err != nil {
			t.Errorf("%s, a neighbour: %v", address, err)
		}
	}
	opened := []netip.Prefix{netip.MustParsePrefix("10.0.0.7/32")}
	if err := control(at(opened, own...), "10.0.0.7"); err != nil {
		t.Errorf("opened: %v", err)
	}
	if err := control(at(opened, own...), "fd12:3456::7"); !errors.Is(err, ErrClosed) {
		t.Errorf("not opened: %v", err)
	}

	// The real ones of the machine that tests.
	addresses, err := net.InterfaceAddrs()
	if err != nil || len(addresses) == 0 {
		t.Fatal(addresses, err)
	}
	for _, a := range addresses {
		if err := control(New(nil), a.(*net.IPNet).IP.String()); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", a, err)
		}
	}
}

// They are looked up again after a while, not each time; while they cannot be, nothing is taken for another's.
func TestOwnAddressesAreLookedUpAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, looked, fails := New(nil), 0, error(nil)
		d.own.look = func() ([]net.Addr, error) {
			looked++
			return []net.Addr{&net.IPNet{IP: net.IPv4(10, 0, 0, byte(looked)), Mask: net.CIDRMask(24, 32)}}, fails
		}
		control := func(address string) error { return d.control(t.Context(), "tcp", address+":443", nil) }
		for range 3 {
			if err := control("10.0.0.1"); !errors.Is(err, ErrClosed) || looked != 1 {
				t.Errorf("%v, looked up %d times", err, looked)
			}
			time.Sleep(lookAgain / 2)
		}
		if err := errors.Join(control("10.0.0.1"), control("10.0.0.3")); err != nil || !errors.Is(control("10.0.0.2"), ErrClosed) || looked != 2 {
			t.Errorf("after a while: %v, looked up %d times", err, looked)
		}
		fails = errors.New("no addresses")
		time.Sleep(lookAgain + 1)
		if err := control("10.0.0.9"); !errors.Is(err, ErrClosed) {
			t.Errorf("when they cannot be read: %v", err)
		}
	})
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		address   string
		open      bool   // by default
		opened    string // a prefix that opens it, where there is to be one
		whenAlone string // what the error names to open it
	}{
		{"93.184.216.34", true, "", ""},
		{"10.0.0.1", true, "", ""},
		{"172.16.0.1", true, "", ""},
		{"192.168.1.1", true, "", ""},
		{"100.100.100.199", true, "", ""},
		{"2001:4860:4860::8888", true, "", ""},
		{"fd12:3456::1", true, "", ""},
		{"64:ff9b::5db8:d822", true, "", ""}, // 93.184.216.34
		{"2002:0a00:0001::1", true, "", ""},  // 10.0.0.1
		{"::ffff:10.0.0.1", true, "", ""},

		{"127.0.0.1", false, "127.0.0.0/8", "127.0.0.1/32"},
		{"127.255.255.254", false, "127.0.0.0/8", "127.255.255.254/32"},
		{"0.0.0.0", false, "0.0.0.0/32", "0.0.0.0/32"},
		{"0.1.2.3", false, "0.0.0.0/8", "0.1.2.3/32"},
		{"169.254.169.254", false, "169.254.169.254/32", "169.254.169.254/32"},
		{"169.254.0.1", false, "169.254.0.0/16", "169.254.0.1/32"},
		{"192.0.0.192", false, "192.0.0.0/24", "192.0.0.192/32"},
		{"100.100.100.200", false, "100.64.0.0/10", "100.100.100.200/32"},
		{"168.63.129.16", false, "168.63.129.16/32", "168.63.129.16/32"},
		{"224.0.0.1", false, "224.0.0.0/4", "224.0.0.1/32"},
		{"239.255.255.255", false, "224.0.0.0/4", "239.255.255.255/32"},
		{"240.0.0.1", false, "240.0.0.0/4", "240.0.0.1/32"},
		{"255.255.255.255", false, "240.0.0.0/4", "255.255.255.255/32"},
		{"::", false, "::/128", "::/128"},
		{"::1", false, "::1/128", "::1/128"},
		{"::127.0.0.1", false, "::/96", "::7f00:1/128"},
		{"::ffff:127.0.0.1", false, "127.0.0.0/8", "127.0.0.1/32"},
		{"::ffff:169.254.169.254", false, "169.254.0.0/16", "169.254.169.254/32"},
		{"::ffff:0:7f00:1", false, "::ffff:0:0:0/96", "::ffff:0:7f00:1/128"},
		{"64:ff9b::7f00:1", false, "127.0.0.0/8", "64:ff9b::7f00:1/128"},
		{"64:ff9b::a9fe:a9fe", false, "64:ff9b::/96", "64:ff9b::a9fe:a9fe/128"},
		{"64:ff9b:1::1", false, "64:ff9b:1::/48", "64:ff9b:1::1/128"},
		{"2002:7f00:0001::1", false, "2002:7f00::/24", "2002:7f00:1::1/128"},
		{"2002:a9fe:a9fe::1", false, "169.254.0.0/16", "2002:a9fe:a9fe::1/128"},
		{"2001:0:4136:e378::1", false, "2001::/32", "2001:0:4136:e378::1/128"},
		{"fe80::1", false, "fe80::/10", "fe80::1/128"},
		{"fe80::1%eth0", false, "fe80::/10", "fe80::1/128"},
		{"fec0::1", false, "fec0::/10", "fec0::1/128"},
		{"ff02::1", false, "ff00::/8", "ff02::1/128"},
		{"fd00:ec2::254", false, "fd00:ec2::254/128", "fd00:ec2::254/128"},
		{"fd20:ce::254", false, "fd20:ce::254/128", "fd20:ce::254/128"},
	} {
		address := net.JoinHostPort(c.address, "443")
		err := at(nil, "127.0.0.1/8").control(t.Context(), "tcp", address, nil)
		if c.open {
			if err != nil {
				t.Errorf("%s: %v", c.address, err)
			}
			continue
		}
		if !errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), "--outbound-allow "+c.whenAlone+" ") {
			t.Errorf("%s: %v, want it closed, and %s to open it", c.address, err, c.whenAlone)
		}
		for _, text := range []string{c.opened, c.whenAlone} {
			d := at([]netip.Prefix{netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix(text)})
			if err := d.control(t.Context(), "tcp", address, nil); err != nil {
				t.Errorf("%s with %s open: %v", c.address, text, err)
			}
		}
	}
	if err := New([]netip.Prefix{loopback}).control(t.Context(), "tcp", "169.254.169.254:80", nil); !errors.Is(err, ErrClosed) {
		t.Errorf("what was not opened: %v", err)
	}
	if err := New([]netip.Prefix{loopback}).control(t.Context(), "tcp", "nonsense", nil); !errors.Is(err, ErrClosed) {
		t.Errorf("no address: %v", err)
	}
}

// patient is a dialer whose connections may take long, which the product's may not.
func patient(open ...netip.Prefix) *Dialer {
	d := New(open)
	d.dialer.Timeout = time.Minute
	return d
}

// listen counts the connections that come to an address.
func listen(t *testing.T, address string) (at string, came *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	came = new(atomic.Int32)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			came.Add(1)
			c.Close()
		}
	}()
	return l.Addr().String(), came
}

func TestDialing(t *testing.T) {
	t.Parallel()
	at, came := listen(t, "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(at)
	for _, address := range []string{at, "localhost:" + port, "[::ffff:127.0.0.1]:" + port, "0.0.0.0:" + port, "[::]:" + port} {
		if c, err := patient().DialContext(t.Context(), "tcp", address); err == nil || !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v, %v", address, c, err)
		}
	}
	if came.Load() != 0 {
		t.Error("a connection was made to an address that is closed")
	}
	c, err := patient(loopback).DialContext(t.Context(), "tcp", "localhost:"+port)
	if err != nil {
		t.Fatal("opened, but not reached:", err)
	}
	c.Close()
	if _, err := patient(loopback).DialContext(t.Context(), "unix", "/run/strongroom/agent.sock"); !errors.Is(err, ErrClosed) {
		t.Error("what has no address of IP:", err)
	}
}

// nameServer answers questions for addresses of IPv4 with what a name means now: who hears nothing soon asks again.
func nameServer(t *testing.T, means *atomic.Pointer[[4]byte]) *net.Resolver {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := socket.ReadFrom(buffer)
			if err != nil {
				return
			}
			var question dnsmessage.Message
			if question.Unpack(buffer[:n]) != nil || len(question.Questions) != 1 {
				continue
			}
			q := question.Questions[0]
			answer := dnsmessage.Message{Header: dnsmessage.Header{ID: question.ID, Response: true}, Questions: question.Questions}
			if q.Type == dnsmessage.TypeA {
				answer.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET},
					Body:   &dnsmessage.AResource{A: *means.Load()},
				}}
			}
			packed, err := answer.Pack()
			if err != nil {
				continue
			}
			_, _ = socket.WriteTo(packed, from) // who asked asks again
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", socket.LocalAddr().String())
	}}
}

// A name that meant an open address and means a closed one a moment later is judged by the second.
func TestRebinding(t *testing.T) {
	t.Parallel()
	at, came := listen(t, "0.0.0.0:0") // at both
	_, port, _ := net.SplitHostPort(at)
	d := patient(netip.MustParsePrefix("127.0.0.2/32"))
	var means atomic.Pointer[[4]byte]
	d.dialer.Resolver = nameServer(t, &means)
	means.Store(&[4]byte{127, 0, 0, 2})
	c, err := d.DialContext(t.Context(), "tcp", "rebinding.example:"+port)
	if err != nil {
		t.Fatal("the first time:", err)
	}
	// What the listener has closed has been counted.
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	c.Close()
	means.Store(&[4]byte{127, 0, 0, 1})
	if _, err := d.DialContext(t.Context(), "tcp", "rebinding.example:"+port); !errors.Is(err, ErrClosed) {
		t.Errorf("the second time: %v", err)
	}
	if came.Load() != 1 {
		t.Errorf("%d connections, want the one to the open address", came.Load())
	}
}

func TestClient(t *testing.T) {
	t.Parallel()
	const most = 1000
	stop := make(chan struct{})
	var asked atomic.Int32
	mux := http.NewServeMux()
	mux.HandleFunc("/long/{bytes}", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.PathValue("bytes"))
		_, _ = io.WriteString(w, strings.Repeat("a", n))
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		for range 1000 {
			if _, err := io.WriteString(w, strings.Repeat("a", 100)); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
		}
	})
	mux.HandleFunc("/chunk", func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush() // the length is not known then
		_, _ = io.WriteString(w, strings.Repeat("a", 2*most))
	})
	mux.HandleFunc("/elsewhere", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/asked", http.StatusFound) })
	mux.HandleFunc("/asked", func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	mux.HandleFunc("/headers", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("a", maxHeaders+1))
	})
	mux.HandleFunc("/silent", func(http.ResponseWriter, *http.Request) { <-stop })
	mux.HandleFunc("/slow", func(w http.ResponseWriter, _ *http.Request) {
		for {
			_, _ = io.WriteString(w, "a")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	other := httptest.NewServer(mux)
	t.Cleanup(other.Close)
	t.Cleanup(func() { close(stop) })
	client := patient(loopback).Client(time.Minute, most)
	t.Cleanup(client.CloseIdleConnections)
	if client.Transport.(*bounded).transport.Proxy != nil { // which net/http never asks about loopback
		t.Error("a proxy of the environment would be used")
	}
	getBy := func(client *http.Client, path string) (int, error) {
		answer, err := client.Get(other.URL + path)
		if err != nil {
			return 0, err
		}
		defer answer.Body.Close()
		b, err := io.ReadAll(answer.Body)
		return len(b), err
	}
	get := func(path string) (int, error) { return getBy(client, path) }
	for _, n := range []int{0, 1, 999, 1000} {
		if got, err := get("/long/" + strconv.Itoa(n)); got != n || err != nil {
			t.Errorf("%d bytes: %d, %v", n, got, err)
		}
	}
	for _, path := range []string{"/long/1001", "/long/100000", "/endless", "/chunk"} {
		if n, err := get(path); !errors.Is(err, ErrTooLong) || n > most {
			t.Errorf("%s: %d bytes, %v", path, n, err)
		}
	}
	if _, err := get("/elsewhere"); !errors.Is(err, ErrRedirect) || asked.Load() != 0 {
		t.Errorf("a redirect: %v, followed %d times", err, asked.Load())
	}
	if _, err := get("/headers"); err == nil {
		t.Error("headers of any length were taken")
	}
	hasty := patient(loopback).Client(300*time.Millisecond, most)
	t.Cleanup(hasty.CloseIdleConnections)
	for _, path := range []string{"/silent", "/slow"} { // which is too long after 20 s, and silence has no end
		var late interface{ Timeout() bool }
		if _, err := getBy(hasty, path); !errors.As(err, &late) || !late.Timeout() {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := patient().Client(time.Minute, most).Get(other.URL + "/asked"); !errors.Is(err, ErrClosed) || asked.Load() != 0 {
		t.Errorf("a closed address: %v", err)
	}
}
