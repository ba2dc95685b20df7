package delivery

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/envelope"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/wire"
)

// session is a host that is connected: what it holds, and what it has yet to be
// told. It lives as long as its Watch stream.
type session struct {
	host   string
	link   *link
	sealer *envelope.Sealer
	told   uint64 // size of the checkpoint that it was sent last

	mu       sync.Mutex
	held     map[string]held // by credential ID
	pending  []*wire.WatchEvent
	sequence uint64
	acked    uint64
	wake     chan struct{} // something is pending
	ackWake  chan struct{} // acked grew
	closed   chan struct{}
	once     sync.Once
	dropped  map[uint64]string // credential ID of each drop that is not acknowledged, by sequence
}

// held is what the agent was given and under which terms.
type held struct {
	version uint64
	terms   []byte
}

// begin waits for the host's turn to lease; the caller gives the place back.
func (s *session) begin(ctx context.Context, leasing chan struct{}) error {
	select {
	case leasing <- struct{}{}:
	case <-s.closed:
		return errEnded
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.ended() {
		<-leasing
		return errEnded
	}
	return nil
}

var errEnded = status.Error(codes.FailedPrecondition, "the watch has ended: open it again")

func (s *session) ended() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

// push queues an event for the agent.
func (s *session) push(e *wire.WatchEvent) uint64 {
	s.mu.Lock()
	s.sequence++
	e.Sequence = s.sequence
	s.pending = append(s.pending, e)
	if drop := e.GetDrop(); drop != nil {
		s.dropped[e.Sequence] = drop.GetCredential()
	}
	sequence := s.sequence
	s.mu.Unlock()
	signal(s.wake)
	return sequence
}

// signal wakes whoever waits on c, now or at its next look; it never blocks.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (s *session) hasAcked(sequence uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked >= sequence
}

func (s *session) take() []*wire.WatchEvent {
	s.mu.Lock()
	defer s.mu.Unlock()
	events := s.pending
	s.pending = nil
	return events
}

func (s *session) end() { s.once.Do(func() { close(s.closed) }) }

// Watch holds a host's session.
func (d service) Watch(stream wire.Agents_WatchServer) error {
	from := callerOf(stream.Context())
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	hello := first.GetHello()
	if hello == nil {
		return status.Error(codes.InvalidArgument, "the first message is hello")
	}
	sealer, encapsulation, err := envelope.NewSealer(d.arena, hello.GetEnvelopeKey(), envelope.ToAgent, from.link.exporter)
	if errors.Is(err, envelope.ErrEnvelope) {
		return status.Error(codes.InvalidArgument, "envelope_key: not an X25519 public key")
	}
	if err != nil {
		return err
	}
	s := &session{
		host: from.host.ID, link: from.link, sealer: sealer, held: map[string]held{},
		wake: make(chan struct{}, 1), ackWake: make(chan struct{}, 1), closed: make(chan struct{}),
		dropped: map[uint64]string{},
	}
	defer sealer.Wipe()
	seen, err := d.answerCheckpoint(stream.Context(), s, hello.GetCheckpoint())
	if err != nil {
		return err
	}
	confirmed := d.confirm(from.host, s, hello.GetHeld())
	if !from.link.session.CompareAndSwap(nil, s) {
		return status.Error(codes.FailedPrecondition, "this connection has a watch already")
	}
	// Before enter, from where on drops may come: welcome is the first.
	s.push(&wire.WatchEvent{Event: &wire.WatchEvent_Welcome{Welcome: &wire.Welcome{
		Encapsulation: encapsulation, Confirmed: confirmed, LogKey: d.audit.LogKey(), Checkpoint: seen,
	}}})
	d.enter(s)
	defer d.leave(s)
	go d.receive(s, stream)
	// What changed between confirm and enter is caught here.
	d.recheck(s)
	return s.send(stream)
}

func (s *session) send(stream wire.Agents_WatchServer) error {
	for {
		for _, e := range s.take() {
			if err := stream.Send(e); err != nil {
				return err
			}
		}
		select {
		case <-s.wake:
		case <-s.closed:
			return nil
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

func (d *Delivery) receive(s *session, stream wire.Agents_WatchServer) {
	defer s.end()
	for {
		m, err := stream.Recv()
		if err != nil {
			return
		}
		if ack := m.GetAck(); ack != nil {
			if id, ok := s.acknowledge(ack.GetSequence()); ok {
				d.takeBack(s.host, id)
			}
			signal(s.ackWake)
		}
	}
}

// acknowledge returns the credential that was dropped, where it was a drop and
// none of it was leased again since.
func (s *session) acknowledge(sequence uint64) (credentialID string, dropped bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked = max(s.acked, sequence)
	id, ok := s.dropped[sequence]
	delete(s.dropped, sequence)
	_, again := s.held[id]
	return id, ok && !again
}

// enter makes s the host's session. An older one of the same host ends: an
// agent has one connection.
func (d *Delivery) enter(s *session) {
	d.mu.Lock()
	old := d.sessions[s.host]
	d.sessions[s.host] = s
	d.fleet.Seen(s.host, true) // under the lock: what the one before says when it leaves must not come behind it
	d.mu.Unlock()
	if old != nil {
		old.end()
	}
}

func (d *Delivery) leave(s *session) {
	s.end()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sessions[s.host] == s {
		delete(d.sessions, s.host)
		d.fleet.Seen(s.host, false)
	}
}

// confirm registers those leases of an earlier connection that are still
// allowed, under the same terms and version, and returns their IDs. The agent
// drops the others.
func (d *Delivery) confirm(h grant.Host, s *session, presented []*wire.Held) []string {
	var confirmed []string
	for _, p := range presented[:min(len(presented), wire.MaxHeld)] {
		if _, twice := s.held[p.GetCredential()]; twice {
			continue
		}
		mine := held{version: p.GetVersion(), terms: p.GetTerms()}
		if grants, ok := d.stillGood(h, p.GetCredential(), mine); ok {
			d.give(h.ID, p.GetCredential(), mine.version, grants)
			s.held[p.GetCredential()] = mine
			confirmed = append(confirmed, p.GetCredential())
		}
	}
	return confirmed
}

// stillGood returns the grants behind a lease that is allowed as it is.
func (d *Delivery) stillGood(h grant.Host, id string, have held) ([]grant.Grant, bool) {
	c, ok := d.vault.Get(id)
	if !ok || c.Version != have.version {
		return nil, false
	}
	now := d.vault.Permits(h, c)
	return now.Grants, now.Allowed && bytes.Equal(digest(c, now.Grants, d.vault.Environment(c)), have.terms)
}

// digest names the terms of a lease: any change to the grants behind it, to how
// the credential is called, or to the variables of its application's tools, makes
// another.
func digest(c credential.Metadata, grants []grant.Grant, environment map[string]string) []byte {
	type terms struct {
		ID string
		grant.Conditions
	}
	all := make([]terms, len(grants))
	for i, g := range grants {
		all[i] = terms{g.ID, g.Conditions}
	}
	var variables []string
	for variable, field := range environment {
		variables = append(variables, variable+"="+field)
	}
	slices.Sort(variables)
	text, err := json.Marshal(struct {
		Name    string
		Default bool // "app:x" stands for another one when it moves
		Terms   []terms

		Environment []string `json:",omitempty"` // sorted, which is quicker than a map
	}{c.Name, c.Default, all, variables})
	if err != nil {
		panic(err) // strings, numbers and times always marshal
	}
	sum := sha256.Sum256(text)
	return sum[:]
}

// recheckLoop looks at every lease after each change. A grant that ends by
// itself needs no look: no lease outlasts it.
func (d *Delivery) recheckLoop() {
	for {
		select {
		case <-d.kick:
		case <-d.done:
			return
		}
		for _, s := range d.all() {
			d.recheck(s)
		}
	}
}

func (d *Delivery) all() []*session {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]*session, 0, len(d.sessions))
	for _, s := range d.sessions {
		out = append(out, s)
	}
	return out
}

// recheck drops every lease of a session that is no longer allowed as it is, and
// ends a session whose host is no longer admitted.
func (d *Delivery) recheck(s *session) {
	h, err := d.fleet.Check(s.link.certificate)
	if err != nil {
		d.turnAway(s, err)
		return
	}
	s.mu.Lock()
	have := make(map[string]held, len(s.held))
	for id, l := range s.held {
		have[id] = l
	}
	s.mu.Unlock()
	for id, l := range have {
		if _, ok := d.stillGood(h, id, l); ok {
			continue
		}
		s.mu.Lock()
		delete(s.held, id)
		s.mu.Unlock()
		s.push(&wire.WatchEvent{Event: &wire.WatchEvent_Drop{Drop: &wire.Drop{
			Credential: id, Reason: "it or its grants changed",
		}}})
	}
}

// hostChanged looks again at a host some of whose certificates have ended.
func (d *Delivery) hostChanged(host string) {
	d.mu.Lock()
	s := d.sessions[host]
	d.mu.Unlock()
	if s != nil {
		d.recheck(s)
	}
}

// turnAway ends a session whose certificate is no longer good. A host that is
// revoked or frozen is told to wipe and cut off, at the latest after half a
// second; one that has a newer certificate goes on with that.
func (d *Delivery) turnAway(s *session, why error) {
	if errors.Is(why, fleet.ErrSuperseded) {
		s.end()
		return
	}
	sequence := s.push(&wire.WatchEvent{Event: &wire.WatchEvent_Wipe{Wipe: &wire.Wipe{Reason: status.Convert(toStatus(why)).Message()}}})
	go func() {
		defer s.link.conn.Close()
		defer s.end()
		late := time.After(500 * time.Millisecond)
		for !s.hasAcked(sequence) {
			select {
			case <-s.ackWake:
			case <-late:
				return
			case <-s.closed:
				return
			}
		}
	}()
}

// Holding counts the connected hosts that hold a credential.
func (d *Delivery) Holding(credentialID string) int {
	n := 0
	for _, s := range d.all() {
		s.mu.Lock()
		if _, ok := s.held[credentialID]; ok {
			n++
		}
		s.mu.Unlock()
	}
	return n
}
