package service

import (
	"context"
	"os"

	manager "github.com/kardianos/service"
)

// Run calls serve, whose context ends when ctx does or when the service control manager says so. The manager is answered,
// which otherwise takes the agent for dead after 30 seconds.
func Run(ctx context.Context, serve func(context.Context) error) error {
	if manager.Interactive() {
		return serve(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := manager.New(&daemon{ctx: ctx, cancel: cancel, serve: serve, ended: make(chan error, 1)}, &manager.Config{Name: Name})
	if err != nil {
		return err
	}
	return s.Run()
}

// daemon is an agent that the service control manager starts and stops.
type daemon struct {
	ctx    context.Context // of one run
	cancel context.CancelFunc
	serve  func(context.Context) error
	ended  chan error
}

// Start returns at once. An agent that ends by itself ends its program, so that the manager sees a failure.
func (d *daemon) Start(manager.Service) error {
	go func() {
		err := d.serve(d.ctx)
		if d.ctx.Err() == nil {
			os.Exit(1)
		}
		d.ended <- err
	}()
	return nil
}

func (d *daemon) Stop(manager.Service) error {
	d.cancel()
	return <-d.ended
}
