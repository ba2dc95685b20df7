package uplink

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/strongroom/strongroom/shared/credential"
)

// What an agent presents fits the 256 KiB that a server takes of a request, however much the host holds: one that did
// not fit would keep it away for good.
func TestPresentsWhatFits(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	u := f.uplink(f.enrolled(time.Now()), time.Now)
	held := make([]Held, 10_000)
	for i := range held {
		held[i] = Held{Credential: credential.NewID(), Version: 1 << 40, Terms: make([]byte, 32)}
	}
	u.Subscribe(Subscriber{Drop: func(string) {}, Held: func() []Held { return held }, Kept: func([]string) {}})
	f.run(u)
	f.within("connected", func() bool { return u.State().Connected })
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.presents[0]) != 2500 {
		t.Errorf("%d leases were presented", len(f.presents[0]))
	}
	size := 4096 + 1024 // the checkpoint, and the rest
	for _, h := range f.presents[0] {
		size += proto.Size(h) + 3
	}
	if size > 256<<10 {
		t.Errorf("a hello of %d bytes", size)
	}
}
