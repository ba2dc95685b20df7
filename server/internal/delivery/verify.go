package delivery

import (
	"cmp"
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/claims"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/wire"
)

// Verify judges a job's token. What it shows is logged with what the job then
// does; that a token is not taken is logged here.
func (d service) Verify(ctx context.Context, r *wire.VerifyRequest) (*wire.VerifyResponse, error) {
	from := callerOf(ctx)
	if !from.limits.calls.Allow() {
		return nil, errTooMany
	}
	if r.GetToken() == "" {
		return nil, status.Error(codes.InvalidArgument, "token: is empty")
	}
	of, issuer, err := d.tokens.Verify(ctx, r.GetToken())
	if errors.Is(err, claims.ErrToken) {
		if err := d.logToken(ctx, from.host, wire.ToJob(r.GetJob()), issuer, err); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	return &wire.VerifyResponse{Claims: of.Claims, RemainingMs: of.Left.Milliseconds()}, nil
}

// logToken notes a token that is not taken, and nothing of it: an issuer that
// nobody trusts could be any text.
func (d *Delivery) logToken(ctx context.Context, h grant.Host, job grant.Job, issuer string, reason error) error {
	_, err := d.audit.Append(ctx, audit.Entry{
		Actor: "host:" + h.ID, Action: "job.verify", Target: cmp.Or(issuer, "unknown"), Host: h.ID,
		Job: job.String(), Outcome: audit.Refused, Reason: reason.Error(),
	})
	return err
}
