//go:build linux

// Command bench measures the built programs beside floors: the least that must be done to get the same answer, measured
// in the same run, in turns. It speaks the agents' protocol and the people's API as they do, each host on a connection
// and with a certificate of its own. It must not import a room of either end: what it times, it times from outside.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

func init() {
	// The daemons are told to end with the thread that started them, so main must stay on one that lasts.
	runtime.LockOSThread()
}

// options are what a run is asked for.
type options struct {
	bin, dir string
	json     bool
	limit    time.Duration
	rounds   int
	round    time.Duration // of each side of a round under load
	agents   int           // that ask at once
	writers  int
	idle     int // agents whose memory is measured
	calls    int // of one caller, each side of a round
	jobs     int // fresh processes, each side of a round
}

func readOptions() options {
	var o options
	flag.StringVar(&o.bin, "bin", "bin", "folder of the built programs")
	flag.StringVar(&o.dir, "dir", "", "where to keep the vault meanwhile; its disk is what a commit waits for (default the system's temporary folder)")
	flag.BoolVar(&o.json, "json", false, "print one JSON document, with every round")
	flag.DurationVar(&o.limit, "limit", 3*time.Minute, "give up after this long")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of each goal")
	flag.DurationVar(&o.round, "round", time.Second, "how long each side of a round lasts under load")
	flag.IntVar(&o.agents, "agents", 64, "agents that ask at once")
	flag.IntVar(&o.writers, "writers", 64, "people who write at once")
	flag.IntVar(&o.idle, "idle", 500, "idle agents")
	flag.IntVar(&o.calls, "calls", 400, "calls of one caller in each side of a round, at most 1500")
	flag.IntVar(&o.jobs, "jobs", 25, "fresh processes in each side of a round")
	flag.Parse()
	return o
}

func (o options) check() error {
	if o.rounds < 1 || o.round <= 0 || o.agents < 1 || o.writers < 1 || o.idle < 20 || o.calls < 1 || o.jobs < 1 {
		return errors.New("every count and duration must be above 0, and -idle at least 20")
	}
	if o.calls > 1500 {
		return errors.New("-calls: at most 1500, or the server holds the one caller back")
	}
	return nil
}

func main() {
	o := readOptions()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch args := flag.Args(); {
	case len(args) == 2 && args[0] == roleFloor:
		err = serveFloor(ctx, args[1])
	case len(args) == 2 && args[0] == roleJob:
		err = runJob(args[1])
	case len(args) > 0:
		err = fmt.Errorf("%q: no arguments are expected, only flags", args)
	default:
		err = bench(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench runs all goals in a folder that it removes again.
func bench(ctx context.Context, o options) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.limit, fmt.Errorf("not done after %v: see -limit", o.limit))
	defer cancel()
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.dir, "strongroom-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	machine, err := readMachine(dir)
	if err != nil {
		return err
	}
	results, err := measureAll(ctx, o, bin, dir)
	if err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	// By now every child has ended, so what they used is known.
	if err := machine.finish(); err != nil {
		return err
	}
	if o.json {
		return printJSON(os.Stdout, machine, results)
	}
	return printTable(os.Stdout, machine, results)
}

// measureAll sets everything up, measures goal after goal, and ends what it started.
func measureAll(ctx context.Context, o options, bin, dir string) (results []result, err error) {
	s, err := newStage(ctx, bin, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	v, err := newVault(s)
	if err != nil {
		return nil, err
	}
	defer v.close()
	hosts, err := v.enrol(ctx, max(o.agents, o.idle))
	if err != nil {
		return nil, err
	}
	f, err := newFloor(s)
	if err != nil {
		return nil, err
	}
	for _, goal := range []func(context.Context, options, *stage, *vault, *floor, []host) ([]result, error){
		readGoals, localGoals, writeGoal, idleGoal,
	} {
		more, err := goal(ctx, o, s, v, f, hosts)
		if err != nil {
			return nil, err
		}
		results = append(results, more...)
	}
	return results, nil
}
