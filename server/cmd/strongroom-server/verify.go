package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/server"
	"github.com/strongroom/strongroom/shared/checkpoint"
	"github.com/strongroom/strongroom/shared/cli"
)

func (a *app) verify() *cobra.Command {
	var data, logKey, seen, proof string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check the audit log, or the proof of an entry, offline",
		Long: `Check every entry of the audit log, without a key and without opening the vault, and that the log still has all that it
signed for: the checkpoint in its own folder, and with --checkpoint one that an auditor or an agent kept (its STATE
folder has a file checkpoint). It changes nothing and may run beside the server.

With --proof it checks what strongroom audit prove saved, for which it needs the log key and no vault.

It ends with 1 and names the first thing that does not hold.`,
		Example: `  strongroom-server verify --data /var/lib/strongroom
  strongroom-server verify --checkpoint @checkpoint-of-runner1
  strongroom-server verify --proof @entry-17.json --log-key "$LOG_KEY"`,
		Args: cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if proof != "" {
				if changed := cmd.Flags().Changed; changed("data") || changed("checkpoint") {
					return cli.Usagef("--proof is checked by itself: without --data and --checkpoint")
				}
				return a.verifyProof(proof, logKey)
			}
			var text []byte
			if seen != "" {
				var err error
				if text, err = readDocument("--checkpoint", seen, a.Stdin, checkpoint.MaxText); err != nil {
					return err
				}
			}
			found, err := server.Verify(data, logKey, text)
			if err != nil {
				return err
			}
			return a.Show(found, verified(found))
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&data, "data", defaultData, "the vault's `DIR`")
	f.StringVar(&logKey, "log-key", "", "the log `KEY` that init printed, to be sure that it is that log")
	f.StringVar(&seen, "checkpoint", "", "a checkpoint that the log must extend, `@FILE`")
	f.StringVar(&proof, "proof", "", "check this proof of an entry instead of a log, `@FILE`; needs --log-key")
	a.JSONFlag(f)
	return cmd
}

func verified(found server.Verified) cli.Table {
	t := cli.Table{}
	t.Add("whole", true)
	t.Add("entries", found.Entries)
	if found.Pruned != nil {
		t.Add("pruned", fmt.Sprintf("entries 1 to %d were pruned on %s by retention", *found.Pruned, found.PrunedAt.Format(time.DateOnly)))
	}
	t.Add("root", found.Root)
	t.Add("log key", found.LogKey)
	if found.Promised != nil {
		t.Add("own checkpoint", *found.Promised)
	} else {
		t.Add("own checkpoint", "none: entries missing at the end are not noticed")
	}
	if found.Seen != nil {
		t.Add("given checkpoint", *found.Seen)
	}
	return t
}

// proven is a proof that holds.
type proven struct {
	Entry   checkpoint.Entry `json:"entry"`
	Entries uint64           `json:"entries"`
	Root    string           `json:"root"` // hex
	Epoch   uint32           `json:"epoch"`
}

func (a *app) verifyProof(from, logKey string) error {
	if logKey == "" {
		return cli.Usagef("--proof needs --log-key: the log key that init printed")
	}
	text, err := readDocument("--proof", from, a.Stdin, checkpoint.MaxProof)
	if err != nil {
		return err
	}
	p, err := checkpoint.ParseProof(text)
	if err != nil {
		return err
	}
	c, err := p.Verify(logKey)
	if err != nil {
		return err
	}
	t := cli.Table{}
	t.Add("proven", true)
	t.Add("entry", p.Entry.Seq)
	t.Add("time", p.Entry.Time)
	t.Add("action", p.Entry.Action)
	t.Add("entries", c.Size)
	t.Add("root", hex.EncodeToString(c.Root[:]))
	return a.Show(proven{p.Entry, c.Size, hex.EncodeToString(c.Root[:]), c.Epoch}, t)
}

// readDocument reads @FILE, or - for stdin. What is too long is cut off one byte
// behind the limit, for its parser to refuse.
func readDocument(flag, from string, stdin io.Reader, limit int64) ([]byte, error) {
	path, isFile := strings.CutPrefix(from, "@")
	switch {
	case from == "-":
		return io.ReadAll(io.LimitReader(stdin, limit+1))
	case !isFile:
		return nil, cli.Usagef("%s wants @FILE, or - for stdin", flag)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit+1))
}
