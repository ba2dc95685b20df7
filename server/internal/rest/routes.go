package rest

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/strongroom/strongroom/shared/api"
)

// route is what is said of a route beside its handler. The zero values are the
// usual: 200, 1 MiB, 30 seconds.
type route struct {
	method, path string
	summary      string
	access       access
	status       int
	maxBody      int64
	timeout      time.Duration
}

func (at *route) pattern() string {
	if at == nil {
		return "none"
	}
	return at.method + " " + at.path
}

func (at *route) operation(doc huma.API) huma.Operation {
	op := huma.Operation{
		OperationID: operationID(at.method, at.path), Method: at.method, Path: at.path, Summary: at.summary, Description: at.access.demands(),
		DefaultStatus: at.status, MaxBodyBytes: 1 << 20, BodyReadTimeout: usualTime,
		Responses: map[string]*huma.Response{"default": {
			Description: "a problem",
			Content: map[string]*huma.MediaType{problemType: {
				Schema: doc.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[api.Problem](), true, "Problem"),
			}},
		}},
	}
	if at.maxBody != 0 {
		op.MaxBodyBytes = at.maxBody
	}
	if at.timeout != 0 {
		op.BodyReadTimeout = at.timeout
	}
	if at.access.level <= withToken {
		op.Security = []map[string][]string{{"token": {}}}
	}
	return op
}

// operationID is the route in letters and hyphens: get-v1-grants-name.
func operationID(method, path string) string {
	id := []byte{}
	for _, b := range []byte(method + path) {
		switch {
		case b >= 'A' && b <= 'Z':
			id = append(id, b-'A'+'a')
		case b >= 'a' && b <= 'z', b >= '0' && b <= '9':
			id = append(id, b)
		case b == '/' || b == '-':
			id = append(id, '-')
		}
	}
	return string(id)
}

// The parts that requests have. They are exported because huma takes no notice of embedded ones that are not.
type (
	nothing struct{}

	ByRef struct {
		Ref string `path:"ref" maxLength:"127" doc:"the credential's reference, escaped"`
	}

	ByName struct {
		Name string `path:"name" maxLength:"63"`
	}

	ByID struct {
		ID string `path:"id" maxLength:"63"`
	}

	// Precondition is for changing or removing what somebody has looked at.
	Precondition struct {
		IfMatch string `header:"If-Match" maxLength:"64" doc:"the ETag of the thing as it was looked at"`
	}

	// Page is for lists.
	Page struct {
		Limit  int    `query:"limit" minimum:"0" maximum:"1000" doc:"at most so many, up to 1000; 0: 100"`
		Cursor string `query:"cursor" maxLength:"512" doc:"the next of the page before"`
	}

	with[B any] struct{ Body B }
)

// bounds says behind which key a page begins, and how many it has.
func (p Page) bounds() (after string, limit int, err error) {
	key, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	if err != nil {
		return "", 0, usage("cursor", "take it from the next of the page before")
	}
	return string(key), cmp.Or(p.Limit, 100), nil
}

// cursor names the last key of a page.
func cursor(key string) string { return base64.RawURLEncoding.EncodeToString([]byte(key)) }

func etag(revision uint64) string {
	if revision == 0 {
		return ""
	}
	return `"` + strconv.FormatUint(revision, 10) + `"`
}

// revision demands that the request says what it was made for: 0 is whatever
// there is.
func (m Precondition) revision() (uint64, error) {
	text, quoted := strings.CutPrefix(m.IfMatch, `"`)
	text, closed := strings.CutSuffix(text, `"`)
	n, err := strconv.ParseUint(text, 10, 63)
	switch {
	case m.IfMatch == "*":
		return 0, nil
	case m.IfMatch == "":
		return 0, refusal(http.StatusPreconditionRequired, api.CodeChanged, "say with If-Match what this was made for: the ETag of the thing as you saw it, or * for whatever it is")
	case !quoted || !closed || err != nil || n == 0:
		return 0, refusal(http.StatusPreconditionFailed, api.CodeChanged, "If-Match is no ETag of this server: look at the thing again")
	}
	return n, nil
}

// maxValues lets through what the largest version takes in base64, and one byte
// more, since huma counts the limit itself as too much.
const maxValues = api.MaxRequest + 1

func (r *REST) register() {
	config := huma.DefaultConfig("Strongroom", "1")
	// These would add members to bodies and routes that need no token.
	config.CreateHooks, config.OpenAPIPath, config.DocsPath, config.SchemasPath = nil, "", "", ""
	config.RejectUnknownQueryParameters = true
	config.Transformers = []huma.Transformer{r.scrub}
	format := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: decode}
	config.Formats = map[string]huma.Format{"application/json": format, "json": format} // the second is every +json
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	doc := humago.New(r.mux, config)
	r.registerSessions(doc)
	r.registerControl(doc)
	r.registerCredentials(doc)
	r.registerApplications(doc)
	r.registerGrants(doc)
	r.registerRequests(doc)
	r.registerHosts(doc)
	r.registerUsers(doc)
	r.registerSettings(doc)
	r.registerAudit(doc)
	r.registerSlots(doc)
	r.registerRekey(doc)
	r.registerBackup(doc)
	r.registerMonitor(doc)
	r.schemas = doc.OpenAPI().Components.Schemas
	r.learnMembers(doc.OpenAPI())
	r.serveDocument(doc.OpenAPI())
	r.serveDocs(doc.OpenAPI())
}

// decode keeps the decoder's errors to itself, since they quote what they read.
func decode(data []byte, into any) error {
	if json.Unmarshal(data, into) != nil {
		return errNotJSON
	}
	return nil
}

// learnMembers notes every name that a request may rightly have.
func (r *REST) learnMembers(doc *huma.OpenAPI) {
	for _, schema := range doc.Components.Schemas.Map() {
		for name := range schema.Properties {
			r.members[name] = true
		}
	}
	for _, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			for _, p := range op.Parameters {
				r.members[p.Name] = true
			}
		}
	}
}

// serveDocument serves the OpenAPI document, which huma would make anew in
// every request at once.
func (r *REST) serveDocument(doc *huma.OpenAPI) {
	at := route{method: http.MethodGet, path: "/openapi.json", access: anytime}
	text := sync.OnceValues(func() ([]byte, error) { return json.Marshal(doc) })
	r.routes[at.pattern()] = &at
	r.mux.HandleFunc(at.pattern(), func(w http.ResponseWriter, req *http.Request) {
		body, err := text()
		if err != nil {
			write(w, r.problem(callOf(req.Context()), at.pattern(), err))
			return
		}
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(body) // nobody is left to tell
	})
}
