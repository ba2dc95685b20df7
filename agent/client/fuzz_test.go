package client

import (
	"strings"
	"testing"
)

func FuzzAnswers(f *testing.F) {
	f.Add(200, []byte(`{"credential":"crm","version":7,"fields":{"a":"b"},"fields_base64":{"k":"/wA="},"lease":{"remaining":"1s"}}`))
	f.Add(200, []byte(`{"credential":"crm","fields":{"password":"b"},"environment":{"PGPASSWORD":"{password}"},"lease":{"remaining":"1s"}}`))
	f.Add(403, []byte(`{"title":"Forbidden","code":"refused","detail":"no"}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if c, err := decode[Credential](body); err == nil && c.Fields == nil {
			t.Error("a credential without fields to ask for")
		}
		_, _ = decode[List](body)
		_, _ = decode[Status](body)
		if err := problem(status, body); strings.TrimSpace(err.Error()) == "" && !strings.Contains(string(body), `"`) {
			t.Errorf("an error without words: %q", err)
		}
	})
}
