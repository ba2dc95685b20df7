package httpauth

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/secret"
)

// TestMain lends every test one arena; locked memory is scarce.
func TestMain(m *testing.M) {
	var err error
	if arena, err = secret.NewArena(1 << 20); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

var arena *secret.Arena

// hidden moves texts into locked memory.
func hidden(t testing.TB, texts map[string]string) credential.Value {
	t.Helper()
	v := credential.Value{}
	for name, text := range texts {
		b, err := arena.From([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		v[name] = b
	}
	t.Cleanup(v.Wipe)
	return v
}

func originOf(t testing.TB, url string) []credential.Origin {
	t.Helper()
	o, err := credential.OriginOf("url", url)
	if err != nil {
		t.Fatal(err)
	}
	return []credential.Origin{o}
}

var given sync.Map // addresses, whose servers may not be there yet

// freeAddress picks a port below those that the kernel gives to clients.
func freeAddress(t testing.TB) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 12000+mathrand.IntN(18000))
		if _, again := given.LoadOrStore(address, true); again {
			continue
		}
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("no free port")
	return ""
}

// folder makes a short folder whose files other users may read, since servers drop root.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "@DIR@", dir)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// find gives a server's path; /usr/sbin is not on everybody's PATH. tools/parts.sh installs it.
func find(t testing.TB, program string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin") {
		if file := filepath.Join(dir, program); exists(file) {
			return file
		}
	}
	t.Fatalf("%s is missing; install it: tools/parts.sh %s", program, program)
	return ""
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// serve runs a server in the foreground until the test ends, and waits until it accepts at address.
func serve(t testing.TB, address, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, find(t, program), args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 3 * time.Second
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-ended:
			t.Fatalf("%s ended: %s", program, output.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatalf("%s does not accept at %s", program, address)
}

// serveNode runs a script that prints its port, with the packages that tools/parts.sh npm installs.
func serveNode(t testing.TB, script string, args ...string) (port string) {
	t.Helper()
	packages, err := filepath.Abs("../../bin/npm/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, find(t, "node"), append([]string{script}, args...)...)
	cmd.Env = append(os.Environ(), "NODE_PATH="+packages)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		cancel()
		_ = cmd.Wait()
		t.Fatalf("%v: %s; install what is missing: tools/parts.sh node npm", err, complaints.String())
	}
	return strings.TrimSpace(line)
}

// status sends a request through a credential's transport.
func status(t testing.TB, c Credential, method, url, contentType, body string) int {
	t.Helper()
	transport, err := NewTransport(c, &http.Transport{})
	if err != nil {
		t.Fatal(err)
	}
	defer transport.CloseIdleConnections()
	return statusOf(t, transport, method, url, contentType, body)
}

func statusOf(t testing.TB, transport *Transport, method, url, contentType, body string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	resp, err := transport.Client(time.Minute).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got := resp.Request.Header.Get("Authorization"); got != "" {
		t.Error("the response's request has the credential")
	}
	return resp.StatusCode
}

var rsaKey = func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}()
