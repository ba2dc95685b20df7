package delivery

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/shared/crash"
	"github.com/strongroom/strongroom/shared/wire"
)

// errTooMany bounds what one host can ask of the log and the store.
var errTooMany = status.Error(codes.ResourceExhausted, "too many calls at once from this host: try again in a moment")

// Join enrols a host.
func (d service) Join(ctx context.Context, r *wire.JoinRequest) (*wire.JoinResponse, error) {
	var joined fleet.Joined
	err := d.strangers.try(ctx, linkOf(ctx).from, d.strangers.joins, func(admit func(context.Context) error) (err error) {
		joined, err = d.fleet.Join(ctx, fleet.JoinRequest{
			Token: r.GetToken(), Certificate: r.GetCertificateRequest(),
			Name: r.GetName(), OS: r.GetOs(), Version: r.GetVersion(), Admit: admit,
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	crash.Point("delivery.joined")
	return &wire.JoinResponse{
		Host: joined.Host, Certificates: joined.Certificates, Root: joined.Root, TrustDomain: joined.TrustDomain,
		LogKey: d.audit.LogKey(),
	}, nil
}

// Recover gives a host whose certificate has ended a new one.
func (d service) Recover(ctx context.Context, r *wire.RecoverRequest) (*wire.RecoverResponse, error) {
	l := linkOf(ctx)
	request := fleet.RecoverRequest{
		Certificate: r.GetCertificate(), Request: r.GetCertificateRequest(), Shown: l.began,
		Signed: wire.RecoverDigest(l.exporter, r.GetCertificate(), r.GetCertificateRequest()),
	}
	if proof := metadata.ValueFromIncomingContext(ctx, wire.ProofMetadata); len(proof) == 1 {
		request.Signature = []byte(proof[0])
	}
	var chain [][]byte
	err := d.strangers.try(ctx, l.from, d.strangers.recoveries, func(admit func(context.Context) error) (err error) {
		request.Admit = admit
		chain, err = d.fleet.Recover(ctx, request)
		return err
	})
	if err != nil {
		return nil, err
	}
	crash.Point("delivery.recovered")
	return &wire.RecoverResponse{Certificates: chain}, nil
}

// Renew gives a host the certificate of its next generation.
func (d service) Renew(ctx context.Context, r *wire.RenewRequest) (*wire.RenewResponse, error) {
	from := callerOf(ctx)
	if !from.limits.renewals.Allow() {
		return nil, errTooMany
	}
	chain, err := d.fleet.Renew(ctx, from.link.certificate, r.GetCertificateRequest())
	if err != nil {
		return nil, err
	}
	crash.Point("delivery.renewed")
	return &wire.RenewResponse{Certificates: chain}, nil
}
