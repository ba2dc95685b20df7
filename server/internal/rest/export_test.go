package rest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/shared/api"
)

func (s *site) export(c *api.Client, q api.AuditQuery) (out []api.AuditEntry) {
	s.t.Helper()
	var text bytes.Buffer
	n := must(c.ExportAudit(s.t.Context(), q, &text))(s.t)
	if int(n) != text.Len() {
		s.t.Errorf("%d bytes are %d", n, text.Len())
	}
	for lines := bufio.NewScanner(&text); lines.Scan(); {
		var e api.AuditEntry
		check(s.t, json.Unmarshal(lines.Bytes(), &e))
		out = append(out, e)
	}
	return out
}

// An export has what the list has, oldest first: who, what, from where, for which job, how it ended, why.
func TestExport(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx, c := t.Context(), s.client(s.token)
	must(s.addBasic(c, "crm", "value"))(t)
	_, err := c.Reveal(ctx, "absent")
	wantErr(t, err, api.ErrNotFound)
	job := audit.Entry{Actor: "host:h1", Action: "credential.read", Target: "crm", Host: "h1", Job: "user=etl", Outcome: audit.Allowed, Reason: "allowed by grant etl"}
	must(s.rooms.Audit.Append(ctx, job))(t)
	all := s.export(c, api.AuditQuery{})
	listed := must(c.Audit(ctx, api.AuditQuery{Limit: 1000}))(t).Items
	slices.Reverse(listed)
	if !slices.Equal(all, listed) || len(all) < 5 {
		t.Errorf("the export has\n%+v\nand the list\n%+v", all, listed)
	}
	last := all[len(all)-1]
	if last.Actor != "alice" || last.Action != "audit.export" || last.From != "127.0.0.1" || last.Outcome != "allowed" {
		t.Errorf("the last entry is %+v", last)
	}
	for name, test := range map[string]struct {
		query api.AuditQuery
		want  []string
	}{
		"actor":         {api.AuditQuery{Actor: "host:h1"}, []string{"credential.read from  for user=etl: allowed, allowed by grant etl"}},
		"outcome":       {api.AuditQuery{Outcome: "refused"}, []string{"credential.reveal from 127.0.0.1 for : refused, there is no such credential"}},
		"action":        {api.AuditQuery{Action: "credential.create"}, []string{"credential.create from 127.0.0.1 for : allowed, generic-rest basic; version 1; with password, url, username, description; tags team"}},
		"credential":    {api.AuditQuery{Credential: "crm", Action: "credential.create"}, []string{"credential.create from 127.0.0.1 for : allowed, generic-rest basic; version 1; with password, url, username, description; tags team"}},
		"host":          {api.AuditQuery{Host: "h1"}, []string{"credential.read from  for user=etl: allowed, allowed by grant etl"}},
		"until":         {api.AuditQuery{Until: time.Now().Add(-time.Hour)}, nil},
		"since":         {api.AuditQuery{Since: time.Now().Add(time.Hour)}, nil},
		"nothing of it": {api.AuditQuery{Actor: "nobody"}, nil},
	} {
		show := func(list []api.AuditEntry) (lines []string) {
			for _, e := range list {
				lines = append(lines, e.Action+" from "+e.From+" for "+e.Job+": "+e.Outcome+", "+e.Reason)
			}
			return lines
		}
		if got := show(s.export(c, test.query)); !slices.Equal(got, test.want) {
			t.Errorf("%s, exported: %q, want %q", name, got, test.want)
		}
		if got := show(must(c.Audit(ctx, test.query))(t).Items); !slices.Equal(got, test.want) {
			t.Errorf("%s, listed: %q, want %q", name, got, test.want)
		}
	}
	if _, err := c.ExportAudit(ctx, api.AuditQuery{Outcome: "maybe"}, io.Discard); !errors.Is(err, api.ErrUsage) {
		t.Errorf("an outcome that there is not: %v", err)
	}
}

// A log that does not hold cuts the connection, so that nobody takes the part that came for the whole.
func TestExportThatFails(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	keys := s.rooms.AuditKeys
	s.rooms.AuditKeys = audit.Keys{}
	_, err := s.client(s.token).ExportAudit(t.Context(), api.AuditQuery{}, io.Discard)
	s.rooms.AuditKeys = keys
	wantErr(t, err, api.ErrNotReachable)
}
