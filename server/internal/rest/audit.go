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
	"github.com/strongroom/strongroom/shared/checkpoint"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

func (r *REST) registerAudit(doc huma.API) {
	add(r, doc, route{method: http.MethodGet, path: "/v1/audit", summary: "Read the log, newest first", access: may(grant.AuditView)}, listAudit)
	add(r, doc, route{method: http.MethodGet, path: "/v1/audit/verify", summary: "Verify the whole log", access: may(grant.AuditView), timeout: longTime}, verifyAudit)
	add(r, doc, route{
		method: http.MethodGet, path: "/v1/audit/entries/{seq}/proof", summary: "Prove that an entry is in the log", access: may(grant.AuditView),
	}, proveEntry)
	r.registerExport(doc)
}

// AuditFilter is what entries are chosen by.
type AuditFilter struct {
	Since      time.Time `query:"since" doc:"no older entries"`
	Until      time.Time `query:"until" doc:"no newer entries"`
	Actor      string    `query:"actor" maxLength:"256" doc:"a person's name, host:ID or system"`
	Action     string    `query:"action" maxLength:"256" example:"credential.read"`
	Credential string    `query:"credential" maxLength:"127" doc:"a reference"`
	Host       string    `query:"host" maxLength:"63" doc:"a host's ID"`
	Outcome    string    `query:"outcome" enum:"allowed,refused,failed"`
}

func (f AuditFilter) query(c *call) audit.Query {
	return audit.Query{
		Since: f.Since, Until: f.Until, Actor: f.Actor, Action: f.Action, Target: targetOf(c, f.Credential), Host: f.Host,
		Outcome: audit.Outcome(f.Outcome),
	}
}

type auditQuery struct {
	AuditFilter
	Cursor string `query:"cursor" maxLength:"64" doc:"the next of the page before"`
	Limit  int    `query:"limit" minimum:"0" maximum:"1000" doc:"entries a page; 100 where absent"`
}

func listAudit(ctx context.Context, c *call, in *auditQuery) (api.AuditList, error) {
	q := in.query(c)
	q.Cursor, q.Limit = in.Cursor, in.Limit
	page, err := c.rooms.Audit.Read(ctx, c.rooms.AuditKeys, q)
	out := api.AuditList{Items: []api.AuditEntry{}, Next: page.Next}
	for _, e := range page.Items {
		out.Items = append(out.Items, entryOf(e))
	}
	return out, err
}

func entryOf(e audit.Entry) api.AuditEntry {
	return api.AuditEntry{
		Seq: e.Seq, Time: e.Time, Actor: e.Actor, Action: e.Action, Target: e.Target,
		Host: e.Host, Job: e.Job, Outcome: string(e.Outcome), Reason: e.Reason, From: e.From,
	}
}

// targetOf is how the log names a credential: one's own by its ID.
func targetOf(c *call, ref string) string {
	if ref == "" {
		return ""
	}
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
	pruned := c.rooms.Audit.Pruned()
	switch {
	case errors.Is(err, audit.ErrCorrupt), errors.Is(err, audit.ErrNewerFormat):
		return api.AuditCheck{Problem: err.Error()}, nil
	case err != nil:
		return api.AuditCheck{}, err
	}
	return api.AuditCheck{OK: true, Size: size, Root: base64.StdEncoding.EncodeToString(root[:]), Pruned: pruned.Size}, nil
}

type bySeq struct {
	Seq uint64 `path:"seq" minimum:"1" doc:"the entry's number"`
}

// proveEntry gives what a verifier needs who has no more than the log's key.
func proveEntry(ctx context.Context, c *call, in *bySeq) (checkpoint.Proof, error) {
	return c.rooms.Checkpoints.Prove(ctx, in.Seq)
}
