package rest

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// metricsType is the text format of Prometheus, version 0.0.4.
const metricsType = "text/plain; version=0.0.4; charset=utf-8"

// exposition is a text of that format that is being written.
type exposition struct{ strings.Builder }

func (m *exposition) head(name, kind, help string) {
	m.WriteString("# HELP " + name + " " + strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(help) + "\n# TYPE " + name + " " + kind + "\n")
}

// line writes one sample; labels are name, value, name, value.
func (m *exposition) line(name string, value float64, labels ...string) {
	m.WriteString(name)
	for i := 0; i < len(labels); i += 2 {
		m.WriteString(map[bool]string{true: "{", false: ","}[i == 0] + labels[i] + `="` +
			strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`).Replace(labels[i+1]) + `"`)
	}
	if len(labels) > 0 {
		m.WriteByte('}')
	}
	m.WriteString(" " + number(value) + "\n")
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func (m *exposition) gauge(name, help string, value float64, labels ...string) {
	m.head(name, "gauge", help)
	m.line(name, value, labels...)
}

func (m *exposition) counter(name, help string, value float64) {
	m.head(name, "counter", help)
	m.line(name, value)
}

// histogram takes the count of each class, which the format wants added up; the last has no bound.
func (m *exposition) histogram(name, help string, bounds []float64, counts []uint64, sum float64) {
	m.head(name, "histogram", help)
	total := uint64(0)
	for i, n := range counts {
		total += n
		bound := "+Inf"
		if i < len(bounds) {
			bound = number(bounds[i])
		}
		m.line(name+"_bucket", float64(total), "le", bound)
	}
	m.line(name+"_sum", sum)
	m.line(name+"_count", float64(total))
}

// requests counts answers by route and status: as many as there are of both, whatever is asked.
type requests struct {
	mu     sync.Mutex
	counts map[answered]uint64
}

type answered struct {
	route  string
	status int
}

func (q *requests) count(route string, status int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.counts == nil {
		q.counts = map[answered]uint64{}
	}
	q.counts[answered{route, status}]++
}

func (q *requests) expose(m *exposition) {
	q.mu.Lock()
	defer q.mu.Unlock()
	const name = "strongroom_requests_total"
	m.head(name, "counter", "Requests of people that were answered, by route and status.")
	order := func(a, b answered) int {
		return cmp.Or(strings.Compare(a.route, b.route), cmp.Compare(a.status, b.status))
	}
	for _, a := range slices.SortedFunc(maps.Keys(q.counts), order) {
		m.line(name, float64(q.counts[a]), "route", a.route, "code", strconv.Itoa(a.status))
	}
}

// watched notes the status of an answer.
type watched struct {
	http.ResponseWriter
	status int
}

// WriteHeader is part of net/http's contract.
func (w *watched) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap gives what lies below to http.ResponseController.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *watched) answer() int { return cmp.Or(w.status, http.StatusOK) }
