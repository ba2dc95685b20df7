package local

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/strongroom/strongroom/agent/client"
	"github.com/strongroom/strongroom/agent/internal/lease"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

const (
	// patience is how long a job's question for a change is kept open. It asks again then, which also renews a lease
	// that has ended meanwhile.
	patience = time.Minute
	// Half of all connections may wait for changes, so that the others are left to reads. Who finds no place waits
	// shortly, and is told to come again later.
	maxWaiting       = maxConnections / 2
	maxWaitingOfUser = maxOfUser / 2
	shortPatience    = 2 * time.Second
	comeAgain        = 30 * time.Second
)

// changes answers once the job gets another version than the one that it has, 204 where that takes too long, and
// what value would answer where the job may not have it anymore.
func (l *Local) changes(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	reference := q.Get("ref")
	if _, err := credential.ParseReference(reference); err != nil {
		problem(w, http.StatusBadRequest, "usage", "ref: "+err.Error())
		return
	}
	number, err := strconv.ParseUint(q.Get("version"), 10, 64)
	if err != nil {
		problem(w, http.StatusBadRequest, "usage", "version: it must be the number of the version that the job has")
		return
	}
	caller := callerOf(r)
	limit := l.patience
	if l.waiting.takeOf(caller.UID, maxWaitingOfUser, maxWaiting) {
		defer l.waiting.give(caller.UID)
	} else {
		limit = min(limit, shortPatience)
		w.Header().Set("Retry-After", strconv.Itoa(int(comeAgain.Seconds())))
	}
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	defer context.AfterFunc(l.ending, cancel)()
	var now lease.Version
	err = l.judged(ctx, r, func(job grant.Job) (err error) {
		now, err = l.leases.Await(ctx, reference, job, lease.Version{Credential: q.Get("credential"), Number: number})
		return err
	})
	if ctx.Err() != nil && err != nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if err == nil {
		err = caller.Recheck()
	}
	if err != nil {
		l.fail(w, err)
		return
	}
	w.Header().Del("Retry-After")
	answer(w, client.Version{Credential: now.Credential, Version: now.Number})
}
