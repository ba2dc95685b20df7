package uplink

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/wire"
)

// verdicts are what far says of tokens.
var verdicts = map[string]error{
	"good":       nil,
	"ended":      status.Error(codes.PermissionDenied, "the job's token is not taken: it has ended"),
	"no keys":    status.Error(codes.FailedPrecondition, "the keys of the token's issuer cannot be had"),
	"revoked":    status.Error(codes.PermissionDenied, wire.MessageRevoked),
	"frozen":     status.Error(codes.PermissionDenied, wire.MessageFrozen),
	"too many":   status.Error(codes.ResourceExhausted, "too many calls at once from this host: try again in a moment"),
	"older":      status.Error(codes.Unimplemented, "unknown method Verify"),
	"disk":       status.Error(codes.Unavailable, "the server's audit log cannot be written: nothing is given out"),
	"in trouble": status.Error(codes.Internal, "the server could not do it; its log says why"),
}

func (f *far) Verify(_ context.Context, r *wire.VerifyRequest) (*wire.VerifyResponse, error) {
	if err := verdicts[r.GetToken()]; err != nil {
		return nil, err
	}
	return &wire.VerifyResponse{Claims: []string{"https://ci:sub=" + r.GetJob().GetUser()}, RemainingMs: 90_500}, nil
}

// What the server says of a token is told apart from what it says of the host, and from its being away.
func TestVerify(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	u := f.uplink(f.enrolled(time.Now().Add(-time.Minute)), time.Now)
	job := grant.Job{User: "etl"}
	if _, err := u.Verify(t.Context(), "good", job); !errors.Is(err, ErrNotReachable) {
		t.Errorf("before there is a connection: %v", err)
	}
	f.run(u)
	f.within("it is connected", func() bool { return u.State().Connected })
	v, err := u.Verify(t.Context(), "good", job)
	if err != nil || len(v.Claims) != 1 || v.Claims[0] != "https://ci:sub=etl" || v.Left != 90*time.Second+500*time.Millisecond {
		t.Errorf("good: %+v, %v", v, err)
	}
	for token, want := range map[string]struct {
		err  error
		text string
	}{
		"ended":      {ErrToken, "the job's token is not taken: it has ended"},
		"no keys":    {ErrUnjudged, "the server could not judge the job's token: the keys of the token's issuer cannot be had"},
		"revoked":    {ErrRevoked, "this host is revoked"},
		"frozen":     {ErrFrozen, wire.MessageFrozen},
		"too many":   {ErrNotReachable, "the server is not reachable: too many calls at once from this host"},
		"older":      {ErrNotReachable, "the server is not reachable: unknown method"},
		"disk":       {ErrNotReachable, "the server is not reachable: the server's audit log cannot be written"},
		"in trouble": {ErrNotReachable, "the server is not reachable: the server could not do it"},
	} {
		v, err := u.Verify(t.Context(), token, job)
		if !errors.Is(err, want.err) || !strings.HasPrefix(err.Error(), want.text) || v.Claims != nil {
			t.Errorf("%s: %+v, %v, want %q", token, v, err, want.text)
		}
	}
}
