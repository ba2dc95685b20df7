// Command fleet runs many agents in one process, each with an identity, a connection and a socket of its own, for tests
// that need hundreds of them. What they log goes to stderr as JSON, each line with the agent's number.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/strongroom/strongroom/agent"
	"github.com/strongroom/strongroom/shared/identity"
	"github.com/strongroom/strongroom/shared/secret"
)

func main() {
	var f fleet
	flag.StringVar(&f.dir, "dir", "", "where the agents keep their state and have their sockets, each by its number")
	flag.StringVar(&f.join, "join", "", "`FILE` with a join string that is good for all of them")
	flag.IntVar(&f.count, "n", 1, "how many agents")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := f.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type fleet struct {
	dir, join string
	count     int
}

// run says that the process is there, and enrols and runs the agents until ctx ends or one of them fails.
func (f *fleet) run(ctx context.Context) error {
	join, token, err := f.readJoin()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if _, err := fmt.Printf("ready agents=%d\n", f.count); err != nil {
		return err
	}
	enrolling := make(chan struct{}, 16) // so many at a time as a rollout would
	all, ctx := errgroup.WithContext(ctx)
	for i := range f.count {
		path := filepath.Join(f.dir, strconv.Itoa(i))
		all.Go(func() error {
			enrolling <- struct{}{}
			_, err := agent.Enroll(ctx, agent.Enrolment{
				State: path + ".state", Name: fmt.Sprintf("fleet-%d", i), Route: agent.Route{Servers: []string{join.Server}},
				Fingerprint: join.Fingerprint, Token: token, Version: "fleet",
			})
			<-enrolling
			if err != nil {
				return err
			}
			return agent.Run(ctx, agent.Config{
				State: path + ".state", Socket: path + ".sock", Version: "fleet", LockedMemory: agent.LeastLockedMemory,
				Log: log.With("agent", i), Ready: func(string, string) {},
			})
		})
	}
	return all.Wait()
}

func (f *fleet) readJoin() (identity.Join, *secret.Buffer, error) {
	text, err := os.ReadFile(f.join)
	if err != nil {
		return identity.Join{}, nil, err
	}
	join, err := identity.ParseJoin(string(text))
	if err != nil {
		return identity.Join{}, nil, err
	}
	arena, err := secret.NewArena(4096)
	if err != nil {
		return identity.Join{}, nil, err
	}
	token, err := arena.From([]byte(join.Token))
	return join, token, err
}
