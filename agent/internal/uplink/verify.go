package uplink

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/wire"
)

var (
	// ErrToken means that the server does not take a job's token, and says why.
	ErrToken = errors.New("the job's token is not taken")
	// ErrUnjudged means that the server cannot judge a job's token now, and says why.
	ErrUnjudged = errors.New("the server could not judge the job's token")
)

// Verified is what the server found in a job's token.
type Verified struct {
	Claims []string      // as grant.Job has them
	Left   time.Duration // until the token's end
}

// Verify asks the server to judge a token that the job gave: ErrToken,
// ErrUnjudged, ErrRevoked, ErrNotReachable. No error has anything of the token.
func (u *Uplink) Verify(ctx context.Context, token string, job grant.Job) (v Verified, err error) {
	err = u.ask(ctx, func(s *session) (err error) {
		v, err = s.verify(ctx, token, job)
		return err
	})
	return v, err
}

func (s *session) verify(ctx context.Context, token string, job grant.Job) (Verified, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := s.agents.Verify(ctx, &wire.VerifyRequest{Token: token, Job: wire.FromJob(job)})
	if err != nil {
		return Verified{}, tokenError(err)
	}
	return Verified{Claims: r.GetClaims(), Left: wire.ToDuration(r.GetRemainingMs())}, nil
}

// tokenError leaves what is about the host, or about the connection, to toError.
func tokenError(err error) error {
	s := status.Convert(err)
	switch {
	case s.Code() == codes.FailedPrecondition:
		return fmt.Errorf("%w: %s", ErrUnjudged, s.Message())
	case s.Code() == codes.PermissionDenied && s.Message() != wire.MessageRevoked && s.Message() != wire.MessageFrozen:
		return fmt.Errorf("%w: %s", ErrToken, strings.TrimPrefix(s.Message(), ErrToken.Error()+": "))
	}
	return err
}
