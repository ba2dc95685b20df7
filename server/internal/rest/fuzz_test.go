package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// Whatever a body is, around a secret that stands somewhere in it: it is answered, what is refused is refused with a
// problem, and neither that nor the log has the secret.
func FuzzBodies(f *testing.F) {
	s := newSite(f)
	must(s.addBasic(s.client(s.token), "crm", "x"))(f)
	routes := slices.Sorted(maps.Keys(rightBodies))
	for n, route := range routes {
		right := strings.NewReplacer("X25519", "AAAA", "SEALED", "AAAA", "HOST", "h", "OLGAS", "bob/pin").Replace(rightBodies[route])
		f.Add(byte(n), right[:len(right)-1]+`,"`, `":1}`)
		f.Add(byte(n), `{"name":"`, `"}`)
		if middle := strings.IndexByte(right, ':'); middle > 0 {
			f.Add(byte(n), right[:middle+1]+`"`, `"}`)
			f.Add(byte(n), right[:middle-1]+"[0].", `":1}`)
		}
	}
	handler := s.rest.Handler()
	f.Fuzz(func(t *testing.T, n byte, before, after string) {
		s.rest.limits = newLimits()
		s.logged.mu.Lock()
		s.logged.b.Reset()
		s.logged.mu.Unlock()
		method, path, _ := strings.Cut(routes[int(n)%len(routes)], " ")
		path = strings.NewReplacer("{ref}", "crm", "{id}", "h", "{number}", "1", "{name}", "secret-banned").Replace(path)
		ctx := context.WithValue(t.Context(), connectionKey{}, new(connection))
		req := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(before+canary+after))
		req.Header.Set("Authorization", "Bearer "+s.token)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("If-Match", "*")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, req)
		if w.Code == http.StatusInternalServerError || w.Code == http.StatusNotImplemented {
			t.Fatalf("%s %s: %d %s\n%s", method, path, w.Code, w.Body, s.logged)
		}
		if form := leaks(s.logged.String()); form != "" {
			t.Fatalf("%s %s: the log has the canary (%s): %s", method, path, form, s.logged)
		}
		if w.Code < 400 {
			return
		}
		var headers bytes.Buffer
		_ = w.Header().Write(&headers)
		if form := leaks(headers.String() + w.Body.String()); form != "" {
			t.Fatalf("%s %s: the answer has the canary (%s): %s", method, path, form, w.Body)
		}
		var p struct{ Code, Detail string }
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Code == "" || p.Detail == "" {
			t.Fatalf("%s %s: %d is no problem: %s", method, path, w.Code, w.Body)
		}
	})
}
