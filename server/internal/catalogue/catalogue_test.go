package catalogue

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/strongroom/strongroom/configs"
	"github.com/strongroom/strongroom/shared/credential"
)

func TestWhatIsBuiltIn(t *testing.T) {
	t.Parallel()
	c, err := Load(configs.Applications)
	if err != nil {
		t.Fatal(err)
	}
	app, err := c.Get("generic-rest")
	if err != nil {
		t.Fatal(err)
	}
	fields, err := app.Fields(credential.Basic)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range fields {
		names = append(names, f.Name)
	}
	if got := strings.Join(names, " "); got != "username password url" {
		t.Errorf("fields %s", got)
	}
	if _, err := app.Fields("telepathy"); !errors.Is(err, credential.ErrInvalid) {
		t.Errorf("another auth type: %v", err)
	}
	origins, err := app.Origins(map[string]string{"url": "https://API.example.com/v1", "username": "https://evil.example.com"})
	if err != nil || len(origins) != 1 || origins[0].String() != "https://api.example.com:443" {
		t.Errorf("origins %v, %v", origins, err)
	}
	if _, err := c.Get("nope"); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "generic-rest") {
		t.Errorf("%v, want ErrUnknown that names what there is", err)
	}
}

func TestFilesThatAreWrong(t *testing.T) {
	t.Parallel()
	const good = "name: x\ntitle: X\ncategory: c\nauth_types: [basic]\n"
	for text, want := range map[string]string{
		good + "colour: red\n":                         "colour",
		good + "name: x\n":                             "name",
		"name: y" + good[len("name: x"):]:              "must be called after it",
		"name: X y" + good[len("name: x"):]:            "name",
		"name: x\ntitle: X\ncategory: c\n":             "required",
		good + "fields: [{name: \"a b\"}]\n":           "field name",
		strings.Replace(good, "basic", "telepathy", 1): "telepathy",
		"": "",
	} {
		_, err := Load(fstest.MapFS{"applications/x.yaml": {Data: []byte(text)}})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "applications/x.yaml") {
			t.Errorf("%q: %v, want the file and %q named", text, err, want)
		}
	}
	if _, err := Load(fstest.MapFS{"applications/x.yaml": {Data: []byte(good)}}); err != nil {
		t.Errorf("control: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("name: x\ntitle: X\ncategory: c\nauth_types: [basic]\nfields: [{name: url, origin: true}]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 64<<10 {
			return
		}
		app, err := parse(text)
		if err == nil && (app.Name == "" || len(app.AuthTypes) == 0) {
			t.Errorf("%q gives %+v", text, app)
		}
	})
}
