package main

import (
	"errors"
	"net/http"
	"path"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/api/apitest"
)

// Another admin adds acme after the import has looked, and again after it has checked: theirs is not overwritten.
func TestImportOverwritesNothingUnseen(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"before the check", "after the check"} {
		there := false
		var written []string
		s := apitest.Start(t, apitest.Chain{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				apitest.Answer(w, 200, api.ApplicationList{Items: []api.Application{{Name: "github", Revision: 1}}})
				there = when == "before the check"
				return
			}
			name, match, none := path.Base(r.URL.Path), r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
			written = append(written, name+" match="+match+" none="+none)
			if name == "acme" && there && none == "*" {
				apitest.Refuse(w, 412, api.CodeChanged, "it was changed meanwhile")
				return
			}
			there = there || name == "acme" // theirs, which came right after the check
			apitest.Answer(w, 200, api.ApplicationChanged{Name: name, Outcome: "added"})
		}))
		c, err := api.New(api.Config{Server: s.URL, CAFingerprint: s.CAFingerprint})
		if err != nil {
			t.Fatal(err)
		}
		files := []applicationFile{{"d/github.yaml", "github", "x"}, {"d/acme.yaml", "acme", "x"}}
		done, err := importAll(t.Context(), c, files, false)
		if !errors.Is(err, api.ErrChanged) || !strings.Contains(err.Error(), "d/acme.yaml: changed meanwhile: ") || !strings.Contains(err.Error(), "import again") {
			t.Errorf("%s: %v", when, err)
		}
		want := `github match="1" none=, acme match= none=*`
		if when == "after the check" {
			want += ", " + want
			if done == nil || len(done.Items) != 1 || !strings.Contains(err.Error(), "1 of 2 files were imported before it") {
				t.Errorf("%s: %+v, %v", when, done, err)
			}
		}
		if got := strings.Join(written, ", "); got != want {
			t.Errorf("%s: sent %s, want %s", when, got, want)
		}
	}
}
