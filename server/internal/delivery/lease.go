package delivery

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/envelope"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/secret"
	"github.com/strongroom/strongroom/shared/wire"
)

// Lease passes the gate for one job and seals the value to this connection.
func (d service) Lease(ctx context.Context, r *wire.LeaseRequest) (*wire.LeaseResponse, error) {
	from := callerOf(ctx)
	s := from.link.session.Load()
	if s == nil {
		return nil, status.Error(codes.FailedPrecondition, "open the watch first")
	}
	if !from.limits.calls.Allow() {
		return nil, errTooMany
	}
	if err := s.begin(ctx, from.limits.leasing); err != nil {
		return nil, err
	}
	defer func() { <-from.limits.leasing }()
	if len(r.GetRequest()) > 64 || len(r.GetReference()) > 256 {
		return nil, status.Error(codes.InvalidArgument, "request or reference: too long")
	}
	who := grant.Caller{Host: &from.host, Job: wire.ToJob(r.GetJob())}
	opened, err := d.vault.Open(ctx, who, r.GetReference())
	if err != nil {
		return nil, err
	}
	defer secret.Sweep()
	defer opened.Value.Wipe()
	c := opened.Credential
	environment := d.vault.Environment(c)
	terms := digest(c, opened.Grants, environment)
	d.give(from.host.ID, c.ID, opened.Version.Number, opened.Grants)
	out := &wire.LeaseResponse{
		Credential: c.ID, Name: c.Name, Kind: string(c.Kind), Application: c.Application,
		AuthType: string(c.AuthType), Version: opened.Version.Number,
		Terms: wire.FromGrants(opened.Grants, d.now()), TermsDigest: terms,
		Environment: wire.FromEnvironment(environment),
	}
	if out.Fields, err = d.seal(s.sealer, r.GetRequest(), opened); err != nil {
		return nil, err
	}
	if err := d.register(from.host, s, c, held{version: opened.Version.Number, terms: terms}); err != nil {
		return nil, err
	}
	// Once more: an older drop may have been acknowledged in between.
	d.give(from.host.ID, c.ID, opened.Version.Number, opened.Grants)
	return out, nil
}

// register notes the lease and then looks again: a change that came between the
// gate's decision and here would otherwise find nothing to drop.
func (d *Delivery) register(h grant.Host, s *session, c credential.Metadata, l held) error {
	s.mu.Lock()
	s.held[c.ID] = l
	s.mu.Unlock()
	if s.ended() {
		return errEnded
	}
	if _, err := d.fleet.Check(s.link.certificate); err != nil {
		return err
	}
	if _, ok := d.stillGood(h, c.ID, l); ok {
		return nil
	}
	s.mu.Lock()
	delete(s.held, c.ID)
	s.mu.Unlock()
	return status.Error(codes.Aborted, "the credential or its grants changed meanwhile: ask again")
}

func (d *Delivery) seal(sealer *envelope.Sealer, request string, opened *vault.Opened) ([]*wire.Field, error) {
	about := envelope.Context{Request: request, Credential: opened.Credential.ID, Version: opened.Version.Number}
	var fields []*wire.Field
	add := func(name string, isSecret bool, plain []byte) error {
		about.Field = name
		sealed, err := sealer.Seal(plain, about)
		fields = append(fields, &wire.Field{Name: name, Secret: isSecret, Sealed: sealed})
		return err
	}
	for name, text := range opened.Version.Fields {
		if err := add(name, false, []byte(text)); err != nil {
			return nil, err
		}
	}
	for _, name := range opened.Value.Names() {
		var err error
		secret.Do(func() { err = add(name, true, opened.Value[name].Reveal()) })
		if err != nil {
			return nil, err
		}
	}
	return fields, nil
}

// List names what the host may lease. It gives out no value.
func (d service) List(ctx context.Context, _ *wire.ListRequest) (*wire.ListResponse, error) {
	from := callerOf(ctx)
	if !from.limits.calls.Allow() {
		return nil, errTooMany
	}
	out := &wire.ListResponse{}
	for _, o := range d.vault.Leasable(from.host) {
		c := o.Credential
		out.Items = append(out.Items, &wire.Listed{
			Credential: c.ID, Name: c.Name, Kind: string(c.Kind), Application: c.Application,
			AuthType: string(c.AuthType), Version: c.Version, Terms: wire.FromGrants(o.Grants, d.now()), Default: c.Default,
		})
	}
	return out, nil
}

// maxReport bounds the entries that one report may make.
const maxReport = 100

// Report logs what the agent decided by itself: the host's word, and no more.
func (d service) Report(ctx context.Context, r *wire.ReportRequest) (*wire.ReportResponse, error) {
	from := callerOf(ctx)
	if len(r.GetUsage()) > maxReport {
		return nil, status.Errorf(codes.InvalidArgument, "at most %d usages a report", maxReport)
	}
	if !from.limits.calls.AllowN(time.Now(), len(r.GetUsage())) {
		return nil, errTooMany
	}
	var all errgroup.Group // they share the log's fsync
	for _, u := range r.GetUsage() {
		all.Go(func() error {
			_, err := d.audit.Append(ctx, usageEntry(from.host, u, d.target))
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return nil, err
	}
	return &wire.ReportResponse{}, nil
}

// claimed marks entries about decisions that the agent made by itself.
const claimed = " (claimed by the host)"

func usageEntry(h grant.Host, u *wire.Usage, target func(id string) string) audit.Entry {
	e := audit.Entry{
		Actor: "host:" + h.ID, Action: vault.ActionRead, Target: target(u.GetCredential()), Host: h.ID, Outcome: audit.Allowed,
		Reason: u.GetReason()[:min(len(u.GetReason()), 256)] + claimed,
	}
	if u.GetJob() != nil { // else it is a number of usages by several
		e.Job = wire.ToJob(u.GetJob()).String()
	}
	if ago := wire.ToDuration(u.GetAgoMs()); ago > time.Minute {
		e.Reason += ", " + ago.Round(time.Second).String() + " ago"
	}
	if !u.GetAllowed() {
		e.Outcome = audit.Refused
	}
	return e
}

// target names a credential for the log, where a custom one has its ID alone.
func (d *Delivery) target(id string) string {
	switch c, ok := d.vault.Get(id); {
	case !ok:
		return "unknown"
	case c.Kind == credential.Custom:
		return c.ID
	default:
		return c.Name
	}
}
