package rest

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/credential"
)

func (r *REST) registerAudit(doc huma.API) {
	add(r, doc, route{method: http.MethodGet, path: "/v1/audit", summary: "Read the log, newest first"}, listAudit)
	add(r, doc, route{method: http.MethodGet, path: "/v1/audit/verify", summary: "Verify the whole log", timeout: longTime}, verifyAudit)
}

type auditQuery struct {
	Since      time.Time `query:"since" doc:"no older entries"`
	Action     string    `query:"action" maxLength:"256" example:"credential.read"`
	Credential string    `query:"credential" maxLength:"127" doc:"a reference"`
	Host       string    `query:"host" maxLength:"63" doc:"a host's ID"`
	Cursor     string    `query:"cursor" maxLength:"64" doc:"the next of the page before"`
	Limit      int       `query:"limit" minimum:"0" maximum:"1000" doc:"entries a page; 100 where absent"`
}

func listAudit(ctx context.Context, c *call, in *auditQuery) (api.AuditList, error) {
	page, err := c.rooms.Audit.Read(ctx, c.rooms.AuditKeys, audit.Query{
		Since: in.Since, Action: in.Action, Target: targetOf(c, in.Credential), Host: in.Host,
		Cursor: in.Cursor, Limit: in.Limit,
	})
	out := api.AuditList{Items: []api.AuditEntry{}, Next: page.Next}
	for _, e := range page.Items {
		out.Items = append(out.Items, api.AuditEntry{
			Seq: e.Seq, Time: e.Time, Actor: e.Actor, Action: e.Action, Target: e.Target,
			Host: e.Host, Job: e.Job, Outcome: string(e.Outcome), Reason: e.Reason,
		})
	}
	return out, err
}

// targetOf is how the log names a credential: one's own by its ID.
func targetOf(c *call, ref string) string {
	m, _, err := c.rooms.Vault.Show(c.person, ref)
	switch {
	case err != nil:
		return ref
	case m.Kind == credential.Custom:
		return m.ID
	}
	return m.Name
}

// verifyAudit answers a log that does not hold with what is wrong with it.
func verifyAudit(ctx context.Context, c *call, _ *nothing) (api.AuditCheck, error) {
	size, root, err := c.rooms.Audit.Verify(ctx)
	switch {
	case errors.Is(err, audit.ErrCorrupt), errors.Is(err, audit.ErrNewerFormat):
		return api.AuditCheck{Problem: err.Error()}, nil
	case err != nil:
		return api.AuditCheck{}, err
	}
	return api.AuditCheck{OK: true, Size: size, Root: base64.StdEncoding.EncodeToString(root[:])}, nil
}
