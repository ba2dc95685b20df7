//go:build linux

package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/strongroom/strongroom/shared/api"
)

// recordSize is about what one write of a credential adds to the store.
const recordSize = 1 << 10

// writeGoal is 5: new values of credentials over the people's API, each with its audit entry durable. The goal's floor
// has no network: it is what the disk allows, to as many goroutines of this process. The second one comes over HTTPS.
func writeGoal(ctx context.Context, o options, s *stage, v *vault, f *floor, _ []host) ([]result, error) {
	writers := make([]*api.Client, o.writers)
	bare := make([]*http.Client, o.writers)
	for i := range writers {
		var err error
		if writers[i], err = v.client(); err != nil {
			return nil, err
		}
		defer writers[i].Close()
		bare[i] = f.writer()
		defer bare[i].CloseIdleConnections()
		if err := v.addToken(writers[i], writes(i)); err != nil {
			return nil, err
		}
	}
	disk, err := newCommitter(s.path("commits"))
	if err != nil {
		return nil, err
	}
	side := func(write func(ctx context.Context, i int) error) func(int) (float64, error) {
		return func(int) (float64, error) { return load(ctx, o.writers, o.round, write) }
	}
	figures, err := turns(ctx, o.rounds,
		side(func(ctx context.Context, i int) error {
			_, err := writers[i].EditCredential(ctx, writes(i), 0, api.CredentialEdit{Generate: []string{"token"}}, api.Values{})
			return err
		}),
		side(func(context.Context, int) error { return disk.commit(make([]byte, recordSize)) }),
		side(func(ctx context.Context, i int) error { return f.write(ctx, bare[i]) }))
	if err != nil {
		return nil, err
	}
	r := result{Goal: "5", What: "audited write over HTTPS, all writers", Unit: "/s", Ours: figures[0]}
	return []result{
		r.beside("append + fsync", figures[1], ratioAtLeast, 0.65),
		r.beside("HTTPS + append + fsync", figures[2], nothing, 0),
	}, disk.close()
}

func writes(i int) string { return fmt.Sprintf("written-%d", i) }
