package local

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/agent/internal/claims"
	"github.com/strongroom/strongroom/agent/internal/uplink"
	"github.com/strongroom/strongroom/shared/grant"
)

// A token that comes with a request adds its claims to the job of that request alone; one that is not taken ends it.
func TestTokens(t *testing.T) {
	t.Parallel()
	verify := func(_ context.Context, token string, job grant.Job) (uplink.Verified, error) {
		switch token {
		case "ended":
			return uplink.Verified{}, fmt.Errorf("%w: it has ended", uplink.ErrToken)
		case "unjudged":
			return uplink.Verified{}, fmt.Errorf("%w: no keys", uplink.ErrUnjudged)
		case "away":
			return uplink.Verified{}, uplink.ErrNotReachable
		}
		return uplink.Verified{Claims: []string{"https://ci:length=" + strconv.Itoa(len(token)), "https://ci:asked=" + job.UID}, Left: time.Hour}, nil
	}
	l := New(nil, claims.New(verify, time.Now), nil, nil, nil, slog.New(slog.DiscardHandler))
	path := serve(t, l.admit(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := l.judged(r.Context(), r, func(job grant.Job) error {
			_, err := io.WriteString(w, strings.Join(job.Claims, " "))
			return err
		})
		if err != nil {
			l.fail(w, err)
		}
	})))
	uid := strconv.Itoa(os.Getuid())
	var d net.Dialer
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "unix", path)
	}}}
	t.Cleanup(client.CloseIdleConnections)
	for _, c := range []struct {
		token string
		code  int
		want  string
	}{
		{"a.b.c", 200, "https://ci:length=5 https://ci:asked=" + uid},
		{"", 200, ""}, // on the same connection
		{strings.Repeat("a", 16<<10), 200, "https://ci:length=16384 https://ci:asked=" + uid},
		{strings.Repeat("a", 32<<10), 431, "431"},
		{"ended", 403, "refused: the job's token is not taken: it has ended"},
		{"unjudged", 503, "the server could not judge the job's token: no keys"},
		{"away", 503, "the server is not reachable"},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://strongroom/", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Strongroom", "1")
		if c.token != "" {
			request.Header.Set(tokenHeader, c.token)
		}
		answer, err := client.Do(request)
		if err != nil && c.code == http.StatusRequestHeaderFieldsTooLarge { // it may be hung up on while it sends
			answer, err = client.Do(request)
		}
		if err != nil {
			t.Errorf("%.20q: %v", c.token, err)
			continue
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != c.code || !strings.Contains(string(body), c.want) || c.want == "" && len(body) > 0 {
			t.Errorf("%.20q: %d %q, %v, want %d %q", c.token, answer.StatusCode, body, err, c.code, c.want)
		}
	}
}
