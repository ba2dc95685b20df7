package rest

import (
	"net/http"
	"runtime"
	"runtime/metrics"

	"github.com/danielgtaylor/huma/v2"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/grant"
)

// registerMonitor is for programs that watch over the server. Its answers are short texts.
func (r *REST) registerMonitor(doc huma.API) {
	r.plain(doc, route{method: http.MethodGet, path: "/healthz", summary: "Whether the process serves", access: anytime}, "text/plain; charset=utf-8",
		func(*http.Request) (int, string) { return http.StatusOK, "ok\n" })
	r.plain(doc, route{method: http.MethodGet, path: "/readyz", summary: "Whether the vault is open and its log can be written", access: anytime}, "text/plain; charset=utf-8",
		func(*http.Request) (int, string) {
			if reason := r.notReady(); reason != "" {
				return http.StatusServiceUnavailable, reason + "\n"
			}
			return http.StatusOK, "ready\n"
		})
	r.plain(doc, route{method: http.MethodGet, path: "/metrics", summary: "Numbers in the text format of Prometheus", access: may(grant.MetricsView)}, metricsType,
		func(req *http.Request) (int, string) { return http.StatusOK, r.metrics(callOf(req.Context()).rooms) })
}

// plain registers a route whose answer is a text.
func (r *REST) plain(doc huma.API, at route, contentType string, do func(*http.Request) (status int, text string)) {
	r.routes[at.pattern()] = &at
	op := at.operation(doc)
	op.Responses["200"] = &huma.Response{
		Description: "a text", Content: map[string]*huma.MediaType{contentType: {Schema: &huma.Schema{Type: huma.TypeString}}},
	}
	doc.OpenAPI().AddOperation(&op)
	r.mux.HandleFunc(at.pattern(), func(w http.ResponseWriter, req *http.Request) {
		status, text := do(req)
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(text)) // nobody is left to tell
	})
}

// notReady says in a word or two why the server cannot do its work; anybody may see it.
func (r *REST) notReady() string {
	u := r.current.Load()
	if u == nil {
		return "sealed"
	}
	leave, ok := u.enter()
	if !ok {
		return "sealed"
	}
	defer leave()
	if u.rooms.Audit.Ready() != nil {
		return "the audit log cannot be written"
	}
	return ""
}

// metrics never has a name of a credential, a person or a host, and counts app credentials only: of somebody's own not
// even their number is for others.
func (r *REST) metrics(rooms *Rooms) string {
	var m exposition
	m.gauge("strongroom_build_info", "The versions of server and Go; always 1.", 1, "version", r.control.Status().Version, "go", runtime.Version())
	m.gauge("strongroom_sealed", "1 while the vault is sealed. A sealed server knows no tokens, so it is never seen here: ask /readyz.", 0)
	r.requests.expose(&m)
	connected, leases := 0, 0
	hosts := rooms.Fleet.List()
	for _, h := range hosts {
		leases += len(rooms.Delivery.HeldBy(h.ID))
		if h.Connected {
			connected++
		}
	}
	m.gauge("strongroom_hosts", "Hosts that were enrolled, revoked ones too.", float64(len(hosts)))
	m.gauge("strongroom_hosts_connected", "Hosts that are connected.", float64(connected))
	m.gauge("strongroom_leases", "Versions that hosts were given and may still hold.", float64(leases))
	viewer := grant.Person{Permissions: grant.PermissionsOf(grant.CredentialView, grant.GrantView)}
	credentials, _ := rooms.Vault.List(viewer, vault.Filter{})
	m.gauge("strongroom_credentials", "App credentials.", float64(len(credentials)))
	m.gauge("strongroom_grants", "Grants of app credentials.", float64(len(rooms.Vault.Grants(viewer))))
	logMetrics(&m, rooms.Audit.Stats())
	m.gauge("strongroom_arena_bytes_in_use", "Bytes of locked memory that hold secrets.", float64(r.arena.InUse()))
	m.gauge("strongroom_arena_bytes", "Bytes of locked memory.", float64(r.arena.Size()))
	processMetrics(&m)
	return m.String()
}

func logMetrics(m *exposition, s audit.Stats) {
	m.counter("strongroom_log_entries_total", "Entries of the audit log, with those that were pruned.", float64(s.Entries))
	m.counter("strongroom_log_pruned_entries_total", "Entries that were pruned by retention.", float64(s.Pruned))
	m.gauge("strongroom_log_bytes", "Bytes of the audit log's segments.", float64(s.Bytes))
	bounds := make([]float64, len(audit.SyncBounds))
	for i, b := range audit.SyncBounds {
		bounds[i] = b.Seconds()
	}
	m.histogram("strongroom_log_fsync_seconds", "How long writing entries through to the disk took.", bounds, s.Syncs[:], s.SyncsTook.Seconds())
}

func processMetrics(m *exposition) {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(samples)
	m.gauge("go_goroutines", "Goroutines that there are.", float64(runtime.NumGoroutine()))
	m.gauge("go_memory_total_bytes", "Memory that the Go runtime has mapped; locked memory is not in it.", float64(samples[0].Value.Uint64()))
	m.gauge("go_memory_heap_objects_bytes", "Memory of objects on the heap.", float64(samples[1].Value.Uint64()))
}
