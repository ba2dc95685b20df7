package rest

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/server/internal/people"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/secret"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.raw()
	demand := func(path string, status int, body string) {
		t.Helper()
		a := s.do(c, s.request("GET", path, "", ""))
		if a.status != status || a.body != body || a.header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s: %d %q %s", path, a.status, a.body, a.header.Get("Content-Type"))
		}
	}
	demand("/healthz", 200, "ok\n")
	demand("/readyz", 200, "ready\n")
	log := s.rooms.Audit
	check(t, log.Close())
	demand("/readyz", 503, "the audit log cannot be written\n")
	demand("/healthz", 200, "ok\n")
	s.rest.Close()
	demand("/readyz", 503, "sealed\n")
	demand("/healthz", 200, "ok\n")
}

// sample is a line of the text format: a name, labels, a number.
var sample = regexp.MustCompile(`^([a-z_]+)(\{(?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)+\})? ([0-9.e+-]+|\+Inf)$`)

func TestMetrics(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.client(s.token)
	must(s.addBasic(c, "wellknown-name", "value"))(t)
	custom := api.CredentialAdd{Name: "alice/private-name"}
	must(c.AddCredential(t.Context(), custom, api.Values{Variables: map[string]*secret.Buffer{"a": s.secret("b")}}))(t)
	must(c.AddGrant(t.Context(), api.GrantRule{Name: "granted-name", Credentials: []string{"wellknown-name"}, AnyHost: true}))(t)
	must(c.AddGrant(t.Context(), api.GrantRule{Name: "own-name", Credentials: []string{"alice/private-name"}, AnyHost: true}))(t)
	must(c.AddJoinToken(t.Context(), api.JoinTokenAdd{}))(t)
	who, token, err := s.rooms.People.Authenticate(t.Context(), s.token)
	check(t, err)
	scraper, _, err := s.rooms.People.CreateToken(t.Context(), who, token, people.NewToken{Name: "scraper", Scopes: []string{"metrics.view"}})
	check(t, err)
	raw := s.raw()
	s.do(raw, s.request("GET", "/v1/nowhere/wellknown-name", "", ""))
	s.do(raw, s.request("GET", "/v1/whoami", "", ""))
	a := s.do(raw, s.request("GET", "/metrics", scraper, ""))
	if a.status != 200 || a.header.Get("Content-Type") != "text/plain; version=0.0.4; charset=utf-8" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	values := map[string]string{}
	described := map[string]bool{}
	for line := range strings.Lines(a.body) {
		line = strings.TrimSuffix(line, "\n")
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, _, _ = strings.Cut(name, " ")
			described[name] = true
			continue
		}
		if strings.HasPrefix(line, "# HELP ") {
			continue
		}
		m := sample.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("this is no sample: %q", line)
			continue
		}
		base := m[1]
		for _, part := range []string{"_bucket", "_sum", "_count"} {
			base = strings.TrimSuffix(base, part)
		}
		if !described[m[1]] && !described[base] {
			t.Errorf("%s has no type", m[1])
		}
		if values[m[1]+m[2]] != "" {
			t.Errorf("%s is there twice", m[1]+m[2])
		}
		values[m[1]+m[2]] = m[3]
	}
	for name, want := range map[string]string{
		"strongroom_sealed": "0", "strongroom_credentials": "1", "strongroom_grants": "1", "strongroom_hosts": "0",
		"strongroom_leases": "0", "strongroom_hosts_connected": "0", "strongroom_log_pruned_entries_total": "0",
		`strongroom_requests_total{route="POST /v1/grants",code="201"}`: "2",
		`strongroom_requests_total{route="none",code="404"}`:            "1",
		`strongroom_requests_total{route="GET /v1/whoami",code="401"}`:  "1",
		"strongroom_arena_bytes":                                        "2097152",
	} {
		if values[name] != want {
			t.Errorf("%s is %q, want %s", name, values[name], want)
		}
	}
	for _, name := range []string{
		"strongroom_log_entries_total", "strongroom_log_bytes", "strongroom_log_fsync_seconds_sum", "strongroom_log_fsync_seconds_count",
		"strongroom_arena_bytes_in_use", "go_goroutines", "go_memory_total_bytes", "go_memory_heap_objects_bytes",
	} {
		if v, err := strconv.ParseFloat(values[name], 64); err != nil || v <= 0 {
			t.Errorf("%s is %q", name, values[name])
		}
	}
	if values[`strongroom_log_fsync_seconds_bucket{le="+Inf"}`] != values["strongroom_log_fsync_seconds_count"] {
		t.Error("the histogram's last class is not its count")
	}
	if !strings.Contains(a.body, `strongroom_build_info{version="v1",go="go1`) {
		t.Error("no versions")
	}
	for _, name := range []string{"wellknown", "private", "granted", "own-name", "alice", "scraper"} {
		if strings.Contains(a.body, name) {
			t.Errorf("%q is among the metrics", name)
		}
	}
	if a := s.do(raw, s.request("GET", "/metrics", "", "")); a.status != http.StatusUnauthorized {
		t.Errorf("without a token: %d", a.status)
	}
}

func TestExposition(t *testing.T) {
	t.Parallel()
	var m exposition
	m.gauge("a", "first\nsecond \\ third", 1.5, "x", `q"u`+"\n\\", "y", "z")
	m.histogram("h", "help", []float64{0.5, 1}, []uint64{2, 0, 3}, 9)
	want := "# HELP a first\\nsecond \\\\ third\n# TYPE a gauge\na{x=\"q\\\"u\\n\\\\\",y=\"z\"} 1.5\n" +
		"# HELP h help\n# TYPE h histogram\nh_bucket{le=\"0.5\"} 2\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 5\nh_sum 9\nh_count 5\n"
	if m.String() != want {
		t.Errorf("got\n%s", m.String())
	}
}
