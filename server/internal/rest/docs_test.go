package rest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// document is what the test wants to know of the OpenAPI document.
type document struct {
	OpenAPI string `json:"openapi"`
	Info    struct{ Title, Version string }
	Paths   map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Summary     string
		Description string
		Parameters  []struct{ Name, In string }
		Responses   map[string]any
		Security    []map[string][]string
	}
	Components struct {
		Schemas         map[string]any
		SecuritySchemes map[string]any `json:"securitySchemes"`
	}
}

var pathParameter = regexp.MustCompile(`\{([a-z]+)\}`)

func TestDocumentIsValid(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.do(s.raw(), s.request("GET", "/openapi.json", "", ""))
	if a.status != 200 || a.header.Get("Content-Type") != "application/openapi+json" {
		t.Fatalf("%d %s", a.status, a.header.Get("Content-Type"))
	}
	var d document
	var all any
	check(t, json.Unmarshal([]byte(a.body), &d))
	check(t, json.Unmarshal([]byte(a.body), &all))
	if !strings.HasPrefix(d.OpenAPI, "3.1.") || d.Info.Title == "" || d.Info.Version == "" {
		t.Errorf("the document says it is %q of %+v", d.OpenAPI, d.Info)
	}
	refs := map[string]bool{}
	collectRefs(all, refs)
	for ref := range refs {
		name, ok := strings.CutPrefix(ref, "#/components/schemas/")
		if _, there := d.Components.Schemas[name]; !ok || !there {
			t.Errorf("%s leads nowhere", ref)
		}
	}
	if len(refs) < 20 {
		t.Errorf("%d references are too few to be all", len(refs))
	}
	ids := map[string]bool{}
	for path, item := range d.Paths {
		for method, op := range item {
			at := strings.ToUpper(method) + " " + path
			if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" || op.Description == "" || len(op.Responses) < 2 {
				t.Errorf("%s: its ID %q is not its own, or it lacks words or answers", at, op.OperationID)
			}
			ids[op.OperationID] = true
			var declared, inPath []string
			for _, p := range op.Parameters {
				if p.In == "path" {
					declared = append(declared, p.Name)
				}
			}
			for _, m := range pathParameter.FindAllStringSubmatch(path, -1) {
				inPath = append(inPath, m[1])
			}
			if !slices.Equal(declared, inPath) {
				t.Errorf("%s: parameters %v are declared, the path has %v", at, declared, inPath)
			}
			for _, needs := range op.Security {
				for name := range needs {
					if d.Components.SecuritySchemes[name] == nil {
						t.Errorf("%s: there is no security scheme %s", at, name)
					}
				}
			}
			if needsToken := s.rest.routes[at].access.level <= withToken; needsToken != (len(op.Security) > 0) {
				t.Errorf("%s: it says of a token %v", at, op.Security)
			}
		}
	}
}

func collectRefs(v any, into map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if ref, ok := member.(string); ok && name == "$ref" {
				into[ref] = true
			}
			collectRefs(member, into)
		}
	case []any:
		for _, member := range v {
			collectRefs(member, into)
		}
	}
}

var (
	anchors = regexp.MustCompile(` id="([^"]+)"`)
	links   = regexp.MustCompile(` href="#([^"]+)"`)
	outside = regexp.MustCompile(`(?i)(https?:|//|<script|<link|<img|\son[a-z]+=|\sstyle=|javascript:|@import|url\()`)
)

// The page has every route, its links lead somewhere, and it loads and runs nothing.
func TestDocs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.do(s.raw(), s.request("GET", "/docs", "", ""))
	if a.status != 200 || a.header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	for _, at := range table {
		if at.path == "/docs" || at.path == "/openapi.json" {
			continue
		}
		if !strings.Contains(a.body, `<h2><span class="m">`+at.method+`</span> <code>`+at.path+`</code></h2>`) {
			t.Errorf("%s %s is not on the page", at.method, at.path)
		}
	}
	there := map[string]bool{}
	for _, m := range anchors.FindAllStringSubmatch(a.body, -1) {
		if there[m[1]] {
			t.Errorf("#%s is there twice", m[1])
		}
		there[m[1]] = true
	}
	for _, m := range links.FindAllStringSubmatch(a.body, -1) {
		if !there[m[1]] {
			t.Errorf("#%s leads nowhere", m[1])
		}
	}
	if len(there) < 80 {
		t.Errorf("the page has only %v", slices.Sorted(maps.Keys(there)))
	}
	if found := outside.FindString(a.body); found != "" {
		t.Errorf("the page has %q in it", found)
	}
	_, style, _ := strings.Cut(a.body, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; frame-ancestors 'none'"
	if got := a.header.Get("Content-Security-Policy"); got != want {
		t.Errorf("the policy is %q, want %q", got, want)
	}
}
