package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/cli"
	"github.com/strongroom/strongroom/shared/durable"
)

func (a *app) backup() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "backup --out FILE",
		Short: "Take a backup of the vault, while it is served",
		Long: `Take a backup of the vault and its audit log as they are at one moment, encrypted as a whole. It holds what is needed
to restore it but what opens the vault: the key file, the passphrase or the shares of today open this backup for
ever, also where their slots are removed later. Keep both, in different places.

strongroom-server restore makes a vault of it again.`,
		Example: "  strongroom backup --out vault-$(date +%F).backup",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return required("--out FILE")
			}
			var made *api.Backup
			err := fetch(out, func(file io.Writer) (err error) {
				made, err = call(a, func(c *api.Client) (*api.Backup, error) { return c.Backup(cmd.Context(), file) })
				return err
			})
			if err != nil {
				return err
			}
			t := cli.Table{}
			t.Add("file", out)
			t.Add("bytes", made.Bytes)
			t.Add("opens with", made.OpensWith)
			if err := a.Show(struct {
				File string `json:"file"`
				*api.Backup
			}{out, made}, t); err != nil {
				return err
			}
			a.Hint("the key that opens the vault is not in it: keep that somewhere else")
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "where to write it, `FILE`, which must not be there")
	return cmd
}

// fetch writes beside the place, and moves the file there once it is whole and on the disk.
func fetch(out string, write func(io.Writer) error) (err error) {
	if _, err := os.Lstat(out); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(cli.Usagef("--out: %s is there already; name a new file", out), err)
	}
	partial := out + ".partial"
	if err := os.Remove(partial); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return cli.Usagef("--out: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(partial)
		}
	}()
	err = write(file)
	if synced := errors.Join(file.Sync(), file.Close()); err == nil && synced != nil {
		err = fmt.Errorf("writing %s: %w", partial, synced)
	}
	if err != nil {
		return err
	}
	if err := os.Rename(partial, out); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(out))
}
