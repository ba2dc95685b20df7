package rest

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
)

// docsStyle is all the page has beside its text. The policy names it by its hash.
const docsStyle = `
body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}
code,.m{font-family:monospace}
.m{display:inline-block;min-width:4em;font-weight:bold}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.2em .6em .2em 0;border-bottom:1px solid #ddd}
section{margin:2em 0}
h2{border-bottom:2px solid #222}
`

// docsPolicy lets the page be styled and nothing else.
var docsPolicy = func() string {
	sum := sha256.Sum256([]byte(docsStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; frame-ancestors 'none'"
}()

var docsPage = template.Must(template.New("docs").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Strongroom's API</title><style>{{.Style}}</style></head>
<body>
<h1>Strongroom's API</h1>
<p>This page is made from <a href="/openapi.json">openapi.json</a>. A request carries its token as <code>Authorization: Bearer TOKEN</code>.
Secrets travel in envelopes, which <code>GET /v1/envelope</code> gives the key for. What one thing is answered with has an ETag; changing or
removing it wants that back as <code>If-Match</code>. Whatever fails is answered with a problem (RFC 9457).</p>
<ul>{{range .Operations}}<li><a href="#{{.ID}}"><span class="m">{{.Method}}</span> <code>{{.Path}}</code></a> {{.Summary}}</li>{{end}}</ul>
{{range .Operations}}<section id="{{.ID}}">
<h2><span class="m">{{.Method}}</span> <code>{{.Path}}</code></h2>
<p>{{.Summary}}. {{.Needs}}</p>
{{if .Parameters}}<table><tr><th>Parameter</th><th>In</th><th>Type</th><th></th></tr>
{{range .Parameters}}<tr><td><code>{{.Name}}</code></td><td>{{.In}}</td><td>{{.Type}}</td><td>{{.Doc}}</td></tr>{{end}}</table>{{end}}
{{with .Body}}<p>Body: {{template "type" .}}</p>{{end}}
{{range .Answers}}<p>{{.Status}}: {{with .Type}}{{template "type" .}}{{else}}nothing{{end}}</p>{{end}}
</section>{{end}}
{{range .Schemas}}<section id="schema-{{.Name}}">
<h2>{{.Name}}</h2>
<table><tr><th>Member</th><th>Type</th><th></th></tr>
{{range .Members}}<tr><td><code>{{.Name}}</code>{{if .Required}} *{{end}}</td><td>{{template "type" .Type}}</td><td>{{.Doc}}</td></tr>{{end}}</table>
</section>{{end}}
</body>
</html>
{{define "type"}}{{if .Of}}{{.Prefix}}<a href="#schema-{{.Of}}">{{.Of}}</a>{{else}}{{.Prefix}}{{end}}{{end}}`))

// The parts of the page.
type (
	docsOperation struct {
		ID, Method, Path, Summary, Needs string
		Parameters                       []docsParameter
		Body                             *docsType
		Answers                          []docsAnswer
	}
	docsParameter struct {
		Name, In, Doc string
		Type          string
	}
	docsAnswer struct {
		Status string
		Type   *docsType
	}
	docsSchema struct {
		Name    string
		Members []docsMember
	}
	docsMember struct {
		Name, Doc string
		Required  bool
		Type      docsType
	}
	// docsType is a type, or words before the name of a schema.
	docsType struct{ Prefix, Of string }
)

// serveDocs serves the document for people to read. Like the document it is the same for every server of a version.
func (r *REST) serveDocs(doc *huma.OpenAPI) {
	at := route{method: http.MethodGet, path: "/docs", access: anytime}
	page := sync.OnceValues(func() ([]byte, error) {
		var b bytes.Buffer
		err := docsPage.Execute(&b, map[string]any{
			"Style": template.CSS(docsStyle), "Operations": docsOperations(doc), "Schemas": docsSchemas(doc),
		})
		return b.Bytes(), err
	})
	r.routes[at.pattern()] = &at
	r.mux.HandleFunc(at.pattern(), func(w http.ResponseWriter, req *http.Request) {
		body, err := page()
		if err != nil {
			write(w, r.problem(callOf(req.Context()), at.pattern(), err))
			return
		}
		w.Header().Set("Content-Security-Policy", docsPolicy)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(body) // nobody is left to tell
	})
}

func docsOperations(doc *huma.OpenAPI) (out []docsOperation) {
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		item := doc.Paths[path]
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op != nil {
				out = append(out, docsOf(op))
			}
		}
	}
	return out
}

func docsOf(op *huma.Operation) docsOperation {
	out := docsOperation{ID: op.OperationID, Method: op.Method, Path: op.Path, Summary: op.Summary, Needs: op.Description}
	for _, p := range op.Parameters {
		t := docsTypeOf(p.Schema)
		out.Parameters = append(out.Parameters, docsParameter{p.Name, p.In, p.Description, t.Prefix + t.Of})
	}
	if op.RequestBody != nil {
		out.Body = docsContent(op.RequestBody.Content)
	}
	for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
		out.Answers = append(out.Answers, docsAnswer{status, docsContent(op.Responses[status].Content)})
	}
	return out
}

func docsContent(content map[string]*huma.MediaType) *docsType {
	names := slices.Sorted(maps.Keys(content))
	switch {
	case len(names) == 0:
		return nil
	case content[names[0]].Schema == nil:
		return &docsType{Prefix: names[0]}
	}
	t := docsTypeOf(content[names[0]].Schema)
	return &t
}

func docsTypeOf(s *huma.Schema) docsType {
	switch {
	case s == nil:
		return docsType{Prefix: "anything"}
	case s.Ref != "":
		return docsType{Of: s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]}
	case s.Items != nil:
		t := docsTypeOf(s.Items)
		return docsType{"list of " + t.Prefix, t.Of}
	}
	if values, ok := s.AdditionalProperties.(*huma.Schema); ok {
		t := docsTypeOf(values)
		return docsType{"map of " + t.Prefix, t.Of}
	}
	if s.ContentEncoding != "" {
		return docsType{Prefix: s.ContentEncoding}
	}
	return docsType{Prefix: cmp.Or(s.Format, s.Type, "anything")}
}

func docsSchemas(doc *huma.OpenAPI) (out []docsSchema) {
	schemas := doc.Components.Schemas.Map()
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		s := docsSchema{Name: name}
		for _, member := range slices.Sorted(maps.Keys(schemas[name].Properties)) {
			p := schemas[name].Properties[member]
			s.Members = append(s.Members, docsMember{
				member, p.Description, slices.Contains(schemas[name].Required, member), docsTypeOf(p),
			})
		}
		out = append(out, s)
	}
	return out
}
