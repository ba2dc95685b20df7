package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/checkpoint"
	"github.com/strongroom/strongroom/shared/cli"
)

func (a *app) auditProve() *cobra.Command {
	var out, logKey string
	cmd := &cobra.Command{
		Use:   "prove SEQ",
		Short: "Prove that an entry is in the log, as it is shown",
		Long: `Prove that an entry is in the log, as it is shown: get its proof from the server and verify it here against the log's
key. Whoever has that key can verify a saved proof again, without the server: strongroom-server verify --proof. It has
the entry in the clear.

A change is two entries, its intent and its outcome; the proof of the intent says which entry is the outcome.`,
		Example: `  strongroom audit prove 17 --log-key "$LOG_KEY" --out entry-17.json`,
		Args:    cli.Takes("SEQ"),
		RunE: func(cmd *cobra.Command, args []string) error {
			seq, err := strconv.ParseUint(args[0], 10, 63)
			if err != nil || seq == 0 {
				return cli.Usagef("SEQ must be the number of an entry, as strongroom audit list shows it")
			}
			p, err := call(a, func(c *api.Client) (*checkpoint.Proof, error) { return c.ProveAudit(cmd.Context(), seq) })
			if err != nil {
				return err
			}
			if logKey == "" {
				a.Hint("the log key is the one that the server gives; to trust nothing but what init printed, give --log-key")
				logKey = p.LogKey
			}
			c, err := p.Verify(logKey)
			if err != nil {
				return fmt.Errorf("the server's proof does not hold: %w", err)
			}
			if p.Entry.Seq != seq {
				return fmt.Errorf("the server's proof does not hold: it is of entry %d", p.Entry.Seq)
			}
			if out != "" {
				text, err := json.MarshalIndent(p, "", "  ")
				if err != nil {
					return err
				}
				if err := saveFile(out, text, []byte("\n")); err != nil {
					return err
				}
			}
			return a.Show(p, proofTable(p, c))
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&logKey, "log-key", "", "the log `KEY` that init printed")
	flags.StringVar(&out, "out", "", "save the proof as JSON in the file `F`, which only you may read")
	return cmd
}

func proofTable(p *checkpoint.Proof, c checkpoint.Checkpoint) cli.Table {
	t := cli.Table{}
	t.Add("entry", p.Entry.Seq)
	t.Add("time", p.Entry.Time)
	t.Add("kind", p.Entry.Kind)
	for _, field := range [][2]string{
		{"actor", p.Entry.Actor}, {"action", p.Entry.Action}, {"target", p.Entry.Target}, {"host", p.Entry.Host},
		{"job", p.Entry.Job}, {"outcome", p.Entry.Outcome}, {"reason", p.Entry.Reason},
	} {
		if field[1] != "" {
			t.Add(field[0], field[1])
		}
	}
	if p.Entry.Intent != 0 {
		t.Add("of the change in entry", p.Entry.Intent)
	}
	if p.Outcome != 0 {
		t.Add("how it ended, in entry", p.Outcome)
	}
	t.Add("in the log of", c.Size)
	t.Add("root", base64.StdEncoding.EncodeToString(c.Root[:]))
	return t
}
