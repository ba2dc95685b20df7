package uplink

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strongroom/strongroom/shared/secret"
)

// A proxy for CONNECT, as a company has it, or one that does what answer says in place of its answer.
type proxy struct {
	t       *testing.T
	address string
	auth    string // wanted in Proxy-Authorization
	answer  string

	mu    sync.Mutex
	asked []string // for which server
}

// nobodyThere is below the ports that listeners are given, so that no other test gets it.
const nobodyThere = "127.0.0.1:1"

func newProxy(t *testing.T, auth, answer string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, address: l.Addr().String(), auth: auth, answer: answer}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	t.Cleanup(func() { _ = l.Close() })
	return p
}

func (p *proxy) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	request, err := http.ReadRequest(r)
	if err != nil || request.Method != http.MethodConnect || request.Host != request.RequestURI {
		p.t.Errorf("asked with %+v, %v", request, err)
		return
	}
	p.mu.Lock()
	p.asked = append(p.asked, request.Host)
	p.mu.Unlock()
	switch {
	case p.answer == "silence":
		_, _ = io.Copy(io.Discard, r)
		return
	case p.answer != "":
		_, _ = io.WriteString(c, p.answer)
		return
	case request.Header.Get("Proxy-Authorization") != p.auth:
		_, _ = io.WriteString(c, "HTTP/1.1 407 Tell me who you are\r\nProxy-Authenticate: Basic\r\n\r\n")
		return
	}
	to, err := net.Dial("tcp", request.Host)
	if err != nil {
		_, _ = io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
		return
	}
	defer to.Close()
	_, _ = io.WriteString(c, "HTTP/1.1 200 Connection established\r\nX-Proxy: p\r\n\r\n")
	go func() { _, _ = io.Copy(to, r) }()
	_, _ = io.Copy(c, to)
}

func (p *proxy) route() Route { return Route{Proxy: func(string) string { return p.address }} }

// Through a proxy an agent connects as it does without one: TLS goes from end to end.
func TestThroughAProxy(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	plain, guarded := newProxy(t, "", ""), newProxy(t, "Basic cm9ib3Q6aHVudGVyMg==", "") // robot:hunter2
	withAuth := guarded.route()
	withAuth.ProxyAuth = f.proxyAuth("robot:hunter2")
	for what, route := range map[string]Route{"without a password": plain.route(), "with one": withAuth} {
		u := f.uplink(f.enrolled(time.Now()), time.Now)
		route.Servers = u.route.Servers
		u.route = route
		f.run(u)
		f.within("connected "+what, func() bool { return u.State().Connected })
	}
	for _, p := range []*proxy{plain, guarded} {
		if p.mu.Lock(); !slices.Equal(p.asked, []string{f.address}) {
			t.Errorf("the proxy was asked for %v, want %s once", p.asked, f.address)
		}
		p.mu.Unlock()
	}
}

func (f *far) proxyAuth(userPassword string) *secret.Buffer {
	f.t.Helper()
	text, err := f.arena.From([]byte(userPassword))
	f.must(err)
	defer text.Wipe()
	auth, err := NewProxyAuth(f.arena, text)
	f.must(err)
	return auth
}

func TestProxiesThatFail(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	guarded := newProxy(t, "Basic cm9ib3Q6aHVudGVyMg==", "")
	wrong := guarded.route()
	wrong.ProxyAuth = f.proxyAuth("robot:guess")
	nobody := &proxy{address: nobodyThere}
	by := func(answer string) Route { return newProxy(t, "", answer).route() }
	for _, c := range []struct {
		what, want string
		route      Route
	}{
		{"no password", "answered 407, it wants to know who asks: name a file with user:password in --proxy-auth @FILE", guarded.route()},
		{"a wrong password", "answered 407, it wants to know who asks", wrong},
		{"nobody there", "is not reachable: dial tcp", nobody.route()},
		{"refused", "answered 403 Forbidden to CONNECT", by("HTTP/1.1 403 <script>\r\nContent-Length: 9\r\n\r\nno")},
		{"a number without a name", "answered 999  to CONNECT", by("HTTP/1.1 999 X\r\n\r\n")},
		{"a redirect", "answered 302 Found to CONNECT", by("HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\n\r\n")},
		{"not HTTP", "sent an answer that is not HTTP/1.1: is it an HTTP proxy?", by("SSH-2.0-OpenSSH_9.2p1\r\n\r\n")},
		{"a broken header", "sent an answer that is not HTTP/1.1", by("HTTP/1.1 200 OK\r\nno colon\r\n\r\n")},
		{"hung up", "hung up before it answered", by("HTTP/1.1 200 OK\r\nX: ")},
		{"too long", "sent headers of more than 16384 bytes", by("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 17<<10))},
		{"too many headers", "sent headers of more than 16384 bytes", by("HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 10_000))},
		{"data before its turn", "sent something of its own where only the server may", by("HTTP/1.1 200 OK\r\n\r\nhello")},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			conn, err := c.route.connect(t.Context(), "vault.example.com:7443")
			if err == nil {
				conn.Close()
			}
			proxy := c.route.Proxy("")
			if err == nil || !strings.HasPrefix(err.Error(), "the proxy "+proxy+" ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want the proxy %s and: %s", err, proxy, c.want)
			}
			if err != nil && (strings.Contains(err.Error(), "guess") || strings.Contains(err.Error(), "script")) {
				t.Errorf("%v repeats a password, or the proxy's text", err)
			}
		})
	}
}

// A proxy that says nothing is given up with the context, and after ten seconds in any case.
func TestASilentProxy(t *testing.T) {
	t.Parallel()
	for attempt := 1; ; attempt++ { // the machine may be away for some of the ten seconds, but not each time
		p := newProxy(t, "", "silence")
		ctx, cancel := context.WithCancel(t.Context())
		asked := make(chan time.Time, 1)
		go func() {
			for {
				p.mu.Lock()
				n := len(p.asked)
				p.mu.Unlock()
				if n > 0 {
					break
				}
				time.Sleep(time.Millisecond)
			}
			asked <- time.Now()
			cancel()
		}()
		_, err := p.route().connect(ctx, "vault:1")
		took := time.Since(<-asked)
		if err == nil || !strings.Contains(err.Error(), "did not answer within 10s") {
			t.Fatal(err)
		}
		if took < 5*time.Second {
			return
		}
		if attempt == 3 {
			t.Fatalf("given up after %s", took)
		}
	}
}

func TestProxyAuth(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	for text, good := range map[string]bool{"u:p": true, ":": true, "u:p:q": true, "": false, "token": false, "u:p\nX: y": false, "u:\r": false} {
		b, err := f.arena.From([]byte(text))
		f.must(err)
		if _, err := NewProxyAuth(f.arena, b); (err == nil) != good || err != nil && !errors.Is(err, ErrProxyAuth) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Servers are tried in turn, and the one that answered is the first to be tried again.
func TestSeveralServers(t *testing.T) {
	t.Parallel()
	f, stranger := newFar(t), newFar(t)
	second, stop := f.also()
	u := f.uplink(f.enrolled(time.Now()), time.Now)
	u.route.Servers = []string{nobodyThere, stranger.address, second, f.address}
	f.run(u)
	f.within("connected to the second that is there, since the first has another root", func() bool {
		s := u.State()
		return s.Connected && s.Server == second
	})
	stranger.mu.Lock()
	if len(stranger.watching) != 0 {
		t.Error("it watched a server of another vault")
	}
	stranger.mu.Unlock()
	f.cut() // it comes back to the same one
	f.within("connected again", func() bool { return u.State().Connected && len(f.watching) == 2 })
	if s := u.State().Server; s != second {
		t.Errorf("after a lost connection it is at %s, want %s, where it was", s, second)
	}
	stop()
	f.within("connected to the next", func() bool {
		s := u.State()
		return s.Connected && s.Server == f.address
	})
}

func TestPlainWords(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]string{
		`connection error: desc = "error reading server preface: remote error: tls: bad certificate"`:         "it did not take this host's certificate; its audit log says why",
		`connection error: desc = "transport: Error while dialing: the proxy p:1 hung up before it answered"`: "the proxy p:1 hung up before it answered",
	} {
		if got := plain(message); got != want {
			t.Errorf("%s: %q, want %q", message, got, want)
		}
	}
}

// An identity of when there was one server is read, and names it in the list from the next renewal on.
func TestIdentityOfOneServer(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	state := f.enrolled(time.Now())
	read := func() (servers any, server any) {
		text, err := os.ReadFile(filepath.Join(state, identityFile))
		f.must(err)
		var got map[string]any
		f.must(json.Unmarshal(text, &got))
		return got["servers"], got["server"]
	}
	if servers, server := read(); servers != nil || server != f.address {
		t.Fatalf("control: servers %v, server %v", servers, server)
	}
	id, err := LoadIdentity(state)
	f.must(err)
	if !slices.Equal(id.Servers, []string{f.address}) {
		t.Errorf("servers %v", id.Servers)
	}
	key, err := id.nextKey()
	f.must(err)
	_, err = id.renewed([][]byte{f.certify("host", "h1", &key.PublicKey, time.Now())}, key, time.Now())
	f.must(err)
	servers, server := read()
	if list, ok := servers.([]any); !ok || len(list) != 1 || list[0] != f.address || server != nil {
		t.Errorf("stored servers %v, server %v", servers, server)
	}
}

// A host whose clock is an hour off connects, renews in time and recovers like any other.
func TestClocksAnHourOff(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{-time.Hour, time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			t.Parallel()
			f := newFar(t)
			var c clock
			c.ahead.Store(int64(off))
			u := f.uplink(f.enrolled(time.Now().Add(-90*time.Minute)), c.now)
			f.run(u)
			f.within("connected", func() bool { return u.State().Connected })
			time.Sleep(30 * time.Millisecond)
			f.mu.Lock()
			if len(f.asked) != 0 {
				t.Error("it renews at once")
			}
			f.mu.Unlock()
			c.ahead.Store(int64(off + 15*time.Hour))
			f.within("a renewal", func() bool { return len(f.asked) > 0 })
			ended := f.uplink(f.enrolled(time.Now().Add(-25*time.Hour)), func() time.Time { return time.Now().Add(off) })
			f.run(ended)
			f.within("recovered", func() bool { return ended.State().Connected })
		})
	}
}

// FuzzProxyAnswer: whatever a proxy sends, the answer is judged within its bound, and nothing of it is taken for the
// server's.
func FuzzProxyAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 Connection established\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\n\r\n"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		from := bytes.NewReader(answer)
		err := readProxyAnswer(from)
		if read := len(answer) - from.Len(); read > maxProxyAnswer {
			t.Errorf("%d bytes were read", read)
		}
		if err == nil && (from.Len() > 0 || !bytes.HasPrefix(answer, []byte("HTTP/"))) {
			t.Errorf("%q was taken", answer)
		}
	})
}
