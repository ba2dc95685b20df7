package uplink

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/strongroom/strongroom/shared/envelope"
	"github.com/strongroom/strongroom/shared/identity"
	"github.com/strongroom/strongroom/shared/wire"
)

// connection is one that has been welcomed.
type connection struct {
	id        *Identity // that it was made with
	conn      *grpc.ClientConn
	watch     wire.Agents_WatchClient
	session   *session
	confirmed []string // of the leases that were presented
	cancel    context.CancelFunc
	over      chan error // why it ended; buffered
	reporting sync.WaitGroup
}

// close ends a connection. Whoever waits for over learns of it. What it was
// reporting is back in the queue when close returns.
func (c *connection) close() {
	c.cancel()
	c.conn.Close()
	if c.session != nil {
		c.session.close()
	}
	c.reporting.Wait()
}

// connect holds one connection for as long as it lasts, going over to another
// where the certificate is renewed, and says why it ended. again says that the
// attempt before this one failed.
func (u *Uplink) connect(ctx context.Context, again bool) error {
	if err := u.recoverEnded(ctx, again); err != nil {
		return err
	}
	c, err := u.open(ctx)
	if err != nil {
		return err
	}
	defer func() { c.close() }()
	u.to.Kept(c.confirmed)
	u.connected(c.session)
	u.serve(ctx, c)
	for {
		select {
		case err := <-c.over:
			return err
		case <-time.After(u.look/2 + spread(u.look/2)):
		}
		next, err := u.renewed(ctx, c)
		if turnedAway(err) || errors.Is(err, ErrLog) {
			return err
		}
		if err != nil {
			// There is half a certificate's life to try again.
			u.log.Warn("the certificate is not renewed yet", "error", err, "certificate_expires", c.id.Expires)
		}
		if next != nil {
			c = next
		}
	}
}

// open makes a connection with the current identity.
func (u *Uplink) open(ctx context.Context) (*connection, error) {
	c := &connection{id: u.identity(), over: make(chan error, 1)}
	config := identity.AgentClient(c.id.roots, c.id.TrustDomain, c.id.own)
	config.Time, config.ClientSessionCache = u.now, c.id.sessions
	var err error
	if c.conn, err = dial(u.route, u.server(), newHandshaker(config)); err != nil {
		return nil, err
	}
	ctx, c.cancel = context.WithCancel(ctx)
	if err := u.greet(ctx, c); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// greet exchanges hello and welcome.
func (u *Uplink) greet(ctx context.Context, c *connection) (err error) {
	agents := wire.NewAgentsClient(c.conn)
	if c.watch, err = agents.Watch(ctx); err != nil {
		return toError(err)
	}
	recipient, err := envelope.NewRecipient()
	if err != nil {
		return err
	}
	hello := &wire.Hello{EnvelopeKey: recipient.PublicKey(), Os: runtime.GOOS + "/" + runtime.GOARCH, Version: u.version, Checkpoint: u.witness.show(c)}
	held := u.to.Held()
	for _, h := range held[:min(len(held), wire.MaxHeld)] { // the others are leased anew when a job asks
		hello.Held = append(hello.Held, &wire.Held{Credential: h.Credential, Version: h.Version, Terms: h.Terms})
	}
	if err := c.watch.Send(&wire.WatchRequest{Message: &wire.WatchRequest_Hello{Hello: hello}}); err != nil {
		// The reason comes with Recv.
		_, err = c.watch.Recv()
		return toError(err)
	}
	first, err := u.welcome(c.watch, c.cancel)
	if err != nil {
		return err
	}
	if err := u.witnessed(c, first.GetWelcome()); err != nil {
		return err
	}
	on, err := provedOn(c.watch.Context())
	if err != nil {
		return err
	}
	opener, err := recipient.Opener(u.arena, first.GetWelcome().GetEncapsulation(), envelope.ToAgent, on.exporter)
	if err != nil {
		return err
	}
	c.session, c.confirmed = &session{agents: agents, opener: opener, heard: on.heard}, first.GetWelcome().GetConfirmed()
	return nil
}

// welcome waits 10 s for the server's first message.
func (u *Uplink) welcome(watch wire.Agents_WatchClient, cancel func()) (*wire.WatchEvent, error) {
	late := time.AfterFunc(10*time.Second, cancel)
	defer late.Stop()
	first, err := watch.Recv()
	if err != nil {
		return nil, toError(err)
	}
	if first.GetWelcome() == nil {
		return nil, errors.New("the server did not answer with welcome: are agent and server of matching versions?")
	}
	return first, nil
}

// serve follows a connection and reports over it until it ends.
func (u *Uplink) serve(ctx context.Context, c *connection) {
	go func() { c.over <- u.follow(c) }()
	c.reporting.Go(func() { u.report(c.watch.Context(), c.session.agents) })
}

// follow passes on what the server pushes, and acknowledges it once it is done.
func (u *Uplink) follow(c *connection) error {
	for watch := c.watch; ; {
		e, err := watch.Recv()
		if err != nil {
			return toError(err)
		}
		var ended error
		switch {
		case e.GetDrop() != nil:
			u.to.Drop(e.GetDrop().GetCredential())
		case e.GetWipe() != nil:
			ended = ErrRevoked
			if e.GetWipe().GetReason() == wire.MessageFrozen {
				ended = ErrFrozen
			}
			u.to.Kept(nil)
		case e.GetCheckpoint() != nil:
			if err := u.witness.accept(c, c.id.stored.LogKey, e.GetCheckpoint(), false); err != nil {
				return err
			}
		}
		ack := &wire.WatchRequest{Message: &wire.WatchRequest_Ack{Ack: &wire.Ack{Sequence: e.GetSequence()}}}
		if err := watch.Send(ack); err != nil && ended == nil {
			continue // Recv says why
		}
		if ended != nil {
			_ = watch.CloseSend()
			_, _ = watch.Recv() // the server cuts the connection once it has the ack
			return ended
		}
	}
}
