package audit

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strongroom/strongroom/shared/checkpoint"
)

// behind is that the log was put back: somebody has a checkpoint of it that it does not extend.
type behind struct {
	mu       sync.Mutex
	what     string // empty: nobody has
	reported time.Time
}

// behindInterval is how often it is logged.
const behindInterval = time.Minute

// Since answers a host (or the server itself: "") that saw text last, with the latest checkpoint and the proof that it
// extends that one. The proof is missing where none can be or is needed: whoever asked is to see for himself. A
// checkpoint that this log signed and that it does not extend shows that log and vault were put back to an older copy:
// that is logged as log.behind, at most once a minute, and shown by Behind.
func (c *Checkpoints) Since(ctx context.Context, host string, text []byte) (Signed, []tlog.Hash, error) {
	latest := c.Latest()
	seen, err := checkpoint.Parse(c.log.LogKey(), text)
	if err != nil || seen.Epoch < latest.Epoch {
		return latest, nil, nil // none, another log's, or of before a restore
	}
	size := c.log.Size()
	if seen.Epoch > latest.Epoch {
		return latest, nil, c.report(ctx, host, fmt.Sprintf("%d entries in epoch %d; there are %d in epoch %d",
			seen.Size, seen.Epoch, size, latest.Epoch))
	}
	if seen.Size > size {
		return latest, nil, c.report(ctx, host, fmt.Sprintf("%d entries; there are %d", seen.Size, size))
	}
	if seen.Size > latest.Size { // a proof of an entry may show a newer one than agents get
		if err := c.refresh(); err != nil {
			return Signed{}, nil, err
		}
		latest = c.Latest()
	}
	l, err := c.link(ctx, seen.Size, latest.Size)
	if err != nil {
		return Signed{}, nil, err
	}
	if l.root != seen.Root {
		return latest, nil, c.report(ctx, host, fmt.Sprintf("%d entries, and not the same; there are %d", seen.Size, size))
	}
	return latest, l.proof, nil
}

// Behind says what shows that the log and the vault are an older copy; empty: nothing does.
func (c *Checkpoints) Behind() string {
	c.behind.mu.Lock()
	defer c.behind.mu.Unlock()
	return c.behind.what
}

func (c *Checkpoints) report(ctx context.Context, host, what string) error {
	who := "a host"
	if host == "" {
		who = "this server itself, as the log's file checkpoint says,"
	}
	reason := fmt.Sprintf("%s has seen this log with %s: log and vault were put back to an older copy, or tampered with", who, what)
	c.behind.mu.Lock()
	c.behind.what = cmp.Or(c.behind.what, reason) // the first tells most: what is logged makes the log grow
	due := c.behind.reported.IsZero() || c.now().Sub(c.behind.reported) >= behindInterval
	if due {
		c.behind.reported = c.now()
	}
	c.behind.mu.Unlock()
	if !due {
		return nil
	}
	_, err := c.log.Append(ctx, Entry{Actor: "system", Action: "log.behind", Host: host, Outcome: Failed, Reason: reason})
	return err
}

// Warnings are what whoever looks after the server has to know.
func (c *Checkpoints) Warnings() []string {
	var warnings []string
	if what := c.Behind(); what != "" {
		warnings = append(warnings, what+"; agents that saw more stay away. Put back the newest copy of the data that there is")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unsaved != nil {
		warnings = append(warnings, "the checkpoint of the audit log cannot be written: "+c.unsaved.Error())
	}
	return warnings
}
