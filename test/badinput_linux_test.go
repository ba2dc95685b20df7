package test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/strongroom/strongroom/shared/identity"
	"github.com/strongroom/strongroom/shared/wire"
	"github.com/strongroom/strongroom/test/kit"
)

// site is a server, and an agent of it with a credential to read.
type site struct {
	server *kit.Server
	agent  *kit.Agent
	token  string // of the admin
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{server: kit.NewServer(t)}
	addLogin(t, s.server.Admin, "crm", "hunter2-hunter2")
	s.server.Admin.Do(t, "grant", "add", "g", "--credential", "crm", "--any-host")
	s.agent = s.server.Enroll(t)
	for _, e := range s.server.Admin.Env {
		if file, ok := strings.CutPrefix(e, "STRONGROOM_TOKEN_FILE="); ok {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s.token = strings.TrimSpace(string(text))
		}
	}
	return s
}

// serves has honest ones of each kind come: a job, an admin, and a host.
func (s *site) serves(t *testing.T) {
	t.Helper()
	password(t, s.agent.Run(t, "get", "crm", "--field", "password"), "hunter2-hunter2")
	s.server.Admin.Do(t, "status")
	join, err := identity.ParseJoin(s.server.JoinString(t))
	if err != nil {
		t.Fatal(err)
	}
	mustJoin(t, wire.NewEnrolmentClient(dial(t, join, nil)), join.Token, newKey(t))
}

// resident is what a process has in memory, in bytes.
func resident(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// grows checks what bad input costs a process: 64 MiB at most, or what the race detector makes of them.
func grows(t *testing.T, who string, pid int, before int64) {
	t.Helper()
	most := int64(64 << 20)
	if kit.Race {
		most *= 4
	}
	grown := resident(t, pid) - before
	t.Logf("%s: %d MiB and %d KiB more", who, before>>20, grown>>10)
	if grown > most {
		t.Errorf("%s has %d MiB more, want at most %d", who, grown>>20, most>>20)
	}
}

// door is a listener, and how a stranger comes to it.
type door struct {
	name string
	dial func() (net.Conn, error)
	proc *kit.Process
}

func (s *site) doors() []door {
	tcp := func(address string) func() (net.Conn, error) {
		return func() (net.Conn, error) { return net.DialTimeout("tcp", address, kit.Patience) }
	}
	return []door{
		{"the agents' port", tcp(s.server.Agents), s.server.Process},
		{"the console", tcp(strings.TrimPrefix(s.server.Console, "https://")), s.server.Process},
		{"the agent's socket", func() (net.Conn, error) { return dialAsNobody(s.agent.Socket) }, s.agent.Process},
	}
}

// dialAsNobody connects as another user: the kernel notes that of the thread. The thread must not end, since the
// programs that it started would end with it.
func dialAsNobody(socket string) (net.Conn, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	become := func(uid uint32) error {
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); e != 0 {
			return e
		}
		return nil
	}
	if err := become(kit.Nobody.UID); err != nil {
		return nil, err
	}
	conn, err := net.Dial("unix", socket)
	for late := time.Now().Add(kit.Patience); errors.Is(err, unix.EAGAIN) && time.Now().Before(late); { // its queue is full
		time.Sleep(time.Millisecond)
		conn, err = net.Dial("unix", socket)
	}
	if back := become(0); back != nil {
		panic(back) // the thread would go on as nobody
	}
	return conn, err
}

// Ten thousand connections that say nothing, or begin and stop, at each listener: memory stays within its bound, honest
// ones are served meanwhile, and the others are closed in time.
func TestTenThousandSilentConnections(t *testing.T) {
	t.Parallel()
	kit.NeedRoot(t)
	s := newSite(t)
	for _, d := range s.doors() {
		t.Run(d.name, func(t *testing.T) {
			before := resident(t, d.proc.Pid())
			began := time.Now()
			conns := flood(t, d, 10_000)
			opened := time.Since(began)
			s.serves(t)
			t.Logf("10,000 in %s, honest ones served %s later", opened.Round(time.Millisecond), (time.Since(began) - opened).Round(time.Millisecond))
			grows(t, d.name, d.proc.Pid(), before)
			late := time.Now().Add(kit.Patience)
			open := 0
			for _, c := range conns {
				_ = c.SetReadDeadline(late)
				var timeout net.Error
				if _, err := io.Copy(io.Discard, c); errors.As(err, &timeout) && timeout.Timeout() {
					open++
				}
			}
			if open > 0 {
				t.Errorf("%d are open after %v", open, kit.Patience)
			}
		})
	}
}

func flood(t *testing.T, d door, n int) []net.Conn {
	t.Helper()
	var mu sync.Mutex
	var conns []net.Conn
	t.Cleanup(func() {
		for _, c := range conns {
			_ = c.Close()
		}
	})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for i := range n / 20 {
				c, err := d.dial()
				if err != nil {
					t.Errorf("connection %d: %v", i, err)
					return
				}
				if i%3 == 0 {
					_, _ = c.Write([]byte{0x16, 0x03, 0x01, 0x02, 0x00, 0x01}) // TLS begins so; HTTP does not
				}
				mu.Lock()
				conns = append(conns, c)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return conns
}

// A client that sends a byte a second is dropped in bounded time, wherever it does so.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	doors := s.doors()
	over := func(d door) door { // past the TLS handshake
		return door{d.name + " after the handshake", func() (net.Conn, error) {
			c, err := d.dial()
			if err != nil {
				return nil, err
			}
			tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
			return tc, tc.Handshake()
		}, d.proc}
	}
	socket := doors[2]
	socket.dial = func() (net.Conn, error) { return net.Dial("unix", s.agent.Socket) }
	hello := "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("x", 40)
	var all sync.WaitGroup
	for _, c := range []struct {
		door
		text string
	}{
		{doors[0], hello}, {over(doors[0]), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + strings.Repeat("x", 30)},
		{doors[1], hello}, {over(doors[1]), "GET /v1/status HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 30)},
		{socket, "GET /v1/status HTTP/1.1\r\nHost: x\r\nX-Strongroom: 1\r\nX: " + strings.Repeat("x", 30)},
	} {
		all.Go(func() {
			conn, err := c.dial()
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				return
			}
			defer conn.Close()
			closed := make(chan struct{})
			go func() { _, _ = io.Copy(io.Discard, conn); close(closed) }()
			began := time.Now()
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for i := 0; time.Since(began) < kit.Patience; i++ {
				select {
				case <-closed:
					t.Logf("%s: dropped after %s", c.name, time.Since(began).Round(100*time.Millisecond))
					return
				case <-tick.C:
					_, _ = conn.Write([]byte{c.text[i%len(c.text)]})
				}
			}
			t.Errorf("%s: open after %v", c.name, kit.Patience)
		})
	}
	time.Sleep(2 * time.Second)
	s.serves(t)
	all.Wait()
}

// Messages and headers that are too long are refused with the limit that they are over, and cost nothing.
func TestOversizedInput(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	join, err := identity.ParseJoin(s.server.JoinString(t))
	if err != nil {
		t.Fatal(err)
	}
	server, agent := resident(t, s.server.Pid()), resident(t, s.agent.Pid())
	ctx, cancel := context.WithTimeout(t.Context(), kit.Patience)
	defer cancel()
	enrolment := wire.NewEnrolmentClient(dial(t, join, nil))
	for range 5 {
		_, err = enrolment.Join(ctx, &wire.JoinRequest{Token: strings.Repeat("x", 5<<20)})
		if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "vs. 262144") {
			t.Errorf("a message of 5 MiB: %v, want the limit of 262144 bytes told", err)
		}
	}
	if err := manyHeaders(s.server.Agents); err == nil {
		t.Error("10,000 headers on gRPC: they were taken")
	} else {
		t.Logf("10,000 headers on gRPC: %v", err)
	}
	many := "GET /v1/status HTTP/1.1\r\nHost: x\r\nX-Strongroom: 1\r\n" + strings.Repeat("X-Header: y\r\n", 10_000) + "\r\n"
	for name, dial := range map[string]func() (net.Conn, error){
		"REST":               func() (net.Conn, error) { return s.console() },
		"the agent's socket": func() (net.Conn, error) { return net.Dial("unix", s.agent.Socket) },
	} {
		if code := answer(t, dial, many); code != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("10,000 headers on %s: %d, want 431", name, code)
		}
		if code := answer(t, dial, "GET /v1/status HTTP/1.1\r\nHost: x\r\nX-Strongroom: 1\r\nConnection: close\r\n\r\n"); code != 200 {
			t.Errorf("the control on %s: %d", name, code)
		}
	}
	grows(t, "the server", s.server.Pid(), server)
	grows(t, "the agent", s.agent.Pid(), agent)
	s.serves(t)
}

// manyHeaders sends what no gRPC client would, whatever limit the server told, and says how the server ended it.
func manyHeaders(address string) error {
	c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		return nil
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(kit.Patience))
	_, _ = io.WriteString(c, http2.ClientPreface)
	f := http2.NewFramer(c, c)
	_ = f.WriteSettings()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	path := "/" + wire.Enrolment_ServiceDesc.ServiceName + "/Join"
	for _, h := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":path", path}, {":authority", "x"}, {"content-type", "application/grpc"}, {"te", "trailers"}} {
		_ = encoder.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	for i := range 10_000 {
		_ = encoder.WriteField(hpack.HeaderField{Name: fmt.Sprintf("x-%d", i), Value: "y"})
	}
	go func() {
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Next(16 << 10), EndStream: true})
		for block.Len() > 0 {
			part := block.Next(16 << 10)
			_ = f.WriteContinuation(1, block.Len() == 0, part)
		}
	}()
	for {
		frame, err := f.ReadFrame()
		switch frame := frame.(type) { // an answer of any kind means that the call was looked at
		case *http2.RSTStreamFrame:
			return fmt.Errorf("the stream is reset: %s", frame.ErrCode)
		case *http2.GoAwayFrame:
			return fmt.Errorf("the server goes away: %s", frame.ErrCode)
		case *http2.HeadersFrame:
			return nil
		}
		var late net.Error
		if errors.As(err, &late) && late.Timeout() {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *site) console() (net.Conn, error) {
	return tls.Dial("tcp", strings.TrimPrefix(s.server.Console, "https://"), &tls.Config{InsecureSkipVerify: true})
}

// answer sends a request as it stands and gives the status of the answer.
func answer(t *testing.T, dial func() (net.Conn, error), request string) int {
	t.Helper()
	c, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(kit.Patience))
	go func() { _, _ = io.WriteString(c, request) }() // it may be hung up on
	got, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Errorf("%.60q: %v", request, err)
		return 0
	}
	got.Body.Close()
	return got.StatusCode
}

// A NUL ends no name early: it is refused in each of them.
func TestNULInNames(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	join, err := identity.ParseJoin(s.server.JoinString(t))
	if err != nil {
		t.Fatal(err)
	}
	enrolment := wire.NewEnrolmentClient(dial(t, join, nil))
	for field, set := range map[string]func(*wire.JoinRequest){
		"name":    func(r *wire.JoinRequest) { r.Name = "a\x00b" },
		"os":      func(r *wire.JoinRequest) { r.Os = "a\x00b" },
		"version": func(r *wire.JoinRequest) { r.Version = "a\x00b" },
	} {
		r := request(t, join.Token, newKey(t))
		set(r)
		if _, err := enrolment.Join(t.Context(), r); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), field+": control characters are not allowed") {
			t.Errorf("Join with a NUL in %s: %v", field, err)
		}
	}
	mustJoin(t, enrolment, join.Token, newKey(t)) // the control: the token was good all the time
	s.nulInREST(t)
	for _, path := range []string{"/v1/credentials/value?ref=crm%00", "/v1/credentials/value?ref=crm%00x", "/v1/explain?ref=crm%00"} {
		code := answer(t, func() (net.Conn, error) { return net.Dial("unix", s.agent.Socket) },
			"GET "+path+" HTTP/1.1\r\nHost: x\r\nX-Strongroom: 1\r\nConnection: close\r\n\r\n")
		if code != http.StatusBadRequest {
			t.Errorf("%s on the agent's socket: %d, want 400", path, code)
		}
	}
	// A command line ends at a NUL, but files and stdin go on.
	nul := kit.File(t, "a\x00b")
	agent := kit.Command{Program: kit.Bin(t) + "/strongroom-agent"}
	agent.Run(t, "enroll", "--join", "@"+nul, "--state", kit.Dir(t)+"/state").Want(t, 2)
	agent.Run(t, "run", "--config", nul).Want(t, 2)
	s.server.Admin.Run(t, "credential", "add", "x", "--application", "generic-rest", "--auth-type", "basic",
		"--field", "url=https://api.example.com", "--field", "username=@"+nul, "--generate", "password").Want(t, 2)
}

func (s *site) nulInREST(t *testing.T) {
	t.Helper()
	client := &http.Client{Timeout: kit.Patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	call := func(method, path, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, s.server.Console+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+s.token)
		r.Header.Set("Content-Type", "application/json")
		a, err := client.Do(r)
		if err != nil {
			t.Errorf("%s %s: %v", method, path, err)
			return 0, ""
		}
		defer a.Body.Close()
		var text bytes.Buffer
		_, _ = io.Copy(&text, io.LimitReader(a.Body, 1<<20))
		return a.StatusCode, text.String()
	}
	const credential = `{"name":"%s","application":"%s","auth_type":"%s","fields":{"%s":"https://api.example.com","username":"u"},` +
		`"generate":["%s"],"tags":{"%s":"%s"}}`
	good := []any{"nul", "generic-rest", "basic", "url", "password", "k", "v"}
	for i := range good {
		bad := append([]any{}, good...)
		bad[i] = good[i].(string) + `\u0000`
		if code, text := call("POST", "/v1/credentials", fmt.Sprintf(credential, bad...)); code != 422 && code != 400 && code != 404 {
			t.Errorf("a credential with a NUL behind %s: %d %s", good[i], code, text)
		}
	}
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/v1/grants", `{"name":"g\u0000","credentials":["crm"],"any_host":true}`},
		{"POST", "/v1/grants", `{"name":"g2","credentials":["crm\u0000"],"any_host":true}`},
		{"POST", "/v1/grants", `{"name":"g3","credentials":["crm"],"any_host":true,"job_users":["root\u0000"]}`},
		{"POST", "/v1/hosts/join-tokens", `{"labels":{"k\u0000":"v"}}`},
		{"POST", "/v1/hosts/join-tokens", `{"labels":{"k":"v\u0000"}}`},
		{"POST", "/v1/tokens", `{"name":"t\u0000"}`},
		{"GET", "/v1/credentials/crm%00", ""},
		{"GET", "/v1/grants/g%00", ""},
		{"GET", "/v1/hosts/x%00", ""},
		{"GET", "/v1/applications/generic-rest%00", ""},
	} {
		if code, text := call(c.method, c.path, c.body); code < 400 || code >= 500 {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.body, code, text)
		}
	}
	if code, text := call("POST", "/v1/credentials", fmt.Sprintf(credential, good...)); code != http.StatusCreated {
		t.Errorf("the control: %d %s", code, text)
	}
}
