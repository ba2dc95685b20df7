package delivery

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/strongroom/strongroom/server/internal/admission"
	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/shared/credential"
)

// strangers bounds what connections without a certificate can ask for. What is
// found to be no good is charged to its address, and an address that brings
// little else is turned away unheard. What is found good waits for its turn to
// be written, at one rate for all: a thousand hosts behind one address join as
// fast as a thousand elsewhere.
type strangers struct {
	failures   *admission.Addresses[*rate.Limiter]
	checking   chan struct{} // a place for each that is being looked at
	joins      *rate.Limiter
	recoveries *rate.Limiter
}

const (
	// failuresPerSecond and failuresAtOnce are of one address.
	failuresPerSecond = 2
	failuresAtOnce    = 30
	// writesPerSecond and writesAtOnce are of all joins; recoveries have the same.
	writesPerSecond = 100
	writesAtOnce    = 100
	// turnTime is how long a good one waits for its turn.
	turnTime = 20 * time.Second
)

func newStrangers() *strangers {
	return &strangers{
		failures:   admission.NewAddresses(func() *rate.Limiter { return rate.NewLimiter(failuresPerSecond, failuresAtOnce) }),
		checking:   make(chan struct{}, 4*runtime.GOMAXPROCS(0)),
		joins:      rate.NewLimiter(writesPerSecond, writesAtOnce),
		recoveries: rate.NewLimiter(writesPerSecond, writesAtOnce),
	}
}

var (
	errTooManyFailures = status.Error(codes.ResourceExhausted, "too many attempts from this address were refused: try again in a moment")
	errBusy            = status.Error(codes.ResourceExhausted, "too many hosts enrol at once: try again in a moment")
)

// try lets a stranger at an address try. attempt calls admit once it has found
// him good, and writes nothing before.
func (s *strangers) try(ctx context.Context, from netip.Prefix, writes *rate.Limiter, attempt func(admit func(context.Context) error) error) error {
	failures := s.failures.Of(from)
	if failures.Tokens() < 1 {
		return errTooManyFailures
	}
	select {
	case s.checking <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	looking := true
	done := func() {
		if looking {
			looking = false
			<-s.checking
		}
	}
	defer done()
	err := attempt(func(ctx context.Context) error {
		done()
		ctx, cancel := context.WithTimeout(ctx, turnTime)
		defer cancel()
		if writes.Wait(ctx) != nil {
			return errBusy
		}
		return nil
	})
	if errors.Is(err, fleet.ErrJoin) || errors.Is(err, fleet.ErrLabels) || errors.Is(err, fleet.ErrRecover) || errors.Is(err, credential.ErrInvalid) {
		failures.Allow()
	}
	return err
}
