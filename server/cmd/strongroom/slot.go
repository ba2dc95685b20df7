package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/cli"
	"github.com/strongroom/strongroom/shared/durable"
	"github.com/strongroom/strongroom/shared/secret"
)

const authorityHelp = `What opens the vault now is given with --key-file, with --passphrase, or with as many --share as are needed, of which
each is sealed to the server. Five attempts a minute are let through.`

// authority is what the flags say of what opens the vault now.
type authority struct {
	keyFile, passphrase string
	shares              []string
}

func (w *authority) flags(f *pflag.FlagSet) {
	f.StringVar(&w.keyFile, "key-file", "", "what opens the vault now: a key file, `FILE`")
	f.StringVar(&w.passphrase, "passphrase", "", "or a passphrase, as `@FILE` or - for stdin")
	f.StringArrayVar(&w.shares, "share", nil, "or a share, as `@FILE` or - for stdin; once for each")
}

// read reads what the flags name; the caller wipes it.
func (w *authority) read(a *app, f *pflag.FlagSet) (with api.Authority, err error) {
	if n := count(f.Changed("key-file"), f.Changed("passphrase"), f.Changed("share")); n != 1 {
		return with, cli.Usagef("--key-file FILE, --passphrase @FILE or --share @FILE...: give the one that opens the vault now")
	}
	defer func() {
		if err != nil {
			with.Wipe()
		}
	}()
	switch {
	case f.Changed("key-file"):
		if with.KeyFile, err = api.ReadKeyFile(a.arena, w.keyFile); err != nil {
			return with, cli.Usagef("--key-file: %w", err)
		}
	case f.Changed("passphrase"):
		with.Passphrase, err = readShort(a.values, "--passphrase", w.passphrase)
	}
	for _, share := range w.shares {
		line, err := readShort(a.values, "--share", share)
		if err != nil {
			return with, err
		}
		with.Shares = append(with.Shares, line)
	}
	return with, err
}

func count(all ...bool) (n int) {
	for _, is := range all {
		if is {
			n++
		}
	}
	return n
}

func (a *app) slot() *cobra.Command {
	return cli.Group("slot", "Add and remove what opens the vault, while it is served",
		"  strongroom slot list", a.slotList(), a.slotAdd(), a.slotRemove())
}

func (a *app) slotList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List what opens the vault",
		Example: "  strongroom slot list --json",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := call(a, func(c *api.Client) (*api.SlotList, error) { return c.Slots(cmd.Context()) })
			if err != nil {
				return err
			}
			t := cli.Table{Head: []string{"ID", "KIND", "SHARES", "CREATED"}}
			for _, s := range list.Items {
				t.Add(slotRow(s)...)
			}
			return a.Show(list, t)
		},
	}
}

func slotRow(s api.Slot) []any {
	row := []any{s.ID, s.Kind, "", "unknown"}
	if s.Kind == "shamir" {
		row[2] = fmt.Sprintf("%d of %d", s.Threshold, s.Shares)
	}
	if s.Created != nil {
		row[3] = *s.Created
	}
	return row
}

func (a *app) slotAdd() *cobra.Command {
	var with authority
	var made newSlot
	cmd := &cobra.Command{
		Use:   "add (--new-key-file FILE | --new-passphrase @FILE | --new-shares N --new-threshold K) (--key-file FILE | --passphrase @FILE | --share @FILE...)",
		Short: "Add a way to open the vault",
		Long: `Add a key file, a passphrase or a set of shares to what opens the vault. What opens it already stays.

A new key file is made here, on this machine, and written to FILE before the server hears of it; where the server then
refuses, the file opens nothing and may be deleted. New shares are made by the server, which keeps none of them; they
are shown only now, or with --out written to a folder, one file each.

` + authorityHelp,
		Example: "  strongroom slot add --new-passphrase @phrase --key-file /etc/strongroom/unseal.key",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := made.check(cmd.Flags()); err != nil {
				return err
			}
			authority, err := with.read(a, cmd.Flags())
			if err != nil {
				return err
			}
			defer authority.Wipe()
			return a.addSlot(cmd, authority, &made)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&made.keyFile, "new-key-file", "", "where to write the new key file, `FILE`, which must not be there")
	f.StringVar(&made.passphrase, "new-passphrase", "", "the new passphrase, 36 characters or more, as `@FILE` or - for stdin")
	f.IntVar(&made.shares, "new-shares", 0, "make a set of `N` shares")
	f.IntVar(&made.threshold, "new-threshold", 0, "`K` of which open the vault")
	f.StringVar(&made.out, "out", "", "a new folder `DIR` for the shares; without it they are printed")
	with.flags(f)
	return cmd
}

// newSlot is what the flags say of the slot to come.
type newSlot struct {
	keyFile, passphrase, out string
	shares, threshold        int
}

func (n *newSlot) check(f *pflag.FlagSet) error {
	shares := f.Changed("new-shares")
	switch {
	case count(f.Changed("new-key-file"), f.Changed("new-passphrase"), shares) != 1:
		return cli.Usagef("--new-key-file FILE, --new-passphrase @FILE or --new-shares N: give one of them")
	case shares != f.Changed("new-threshold"):
		return cli.Usagef("--new-shares and --new-threshold: give both")
	case !shares && f.Changed("out"):
		return cli.Usagef("--out is for --new-shares")
	case shares && (n.shares < 2 || n.threshold < 2):
		return cli.Usagef("--new-shares and --new-threshold: at least 2 each")
	}
	return nil
}

// slotMade is what slot add answers with --json.
type slotMade struct {
	*api.Slot
	KeyFile    string   `json:"key_file,omitempty"`
	ShareFiles []string `json:"share_files,omitempty"`
	NewShares  []string `json:"new_shares,omitempty"` // where no --out is
}

func (a *app) addSlot(cmd *cobra.Command, with api.Authority, n *newSlot) (err error) {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	made := api.NewSlot{Shares: n.shares, Threshold: n.threshold}
	defer func() {
		made.KeyFile.Wipe()
		made.Passphrase.Wipe()
	}()
	switch {
	case n.keyFile != "":
		if made.KeyFile, err = a.newKeyFile(n.keyFile); err != nil {
			return err
		}
	case n.passphrase != "":
		if made.Passphrase, err = readShort(a.values, "--new-passphrase", n.passphrase); err != nil {
			return err
		}
	case n.out != "":
		// Before there are shares that it is to hold.
		if err := os.Mkdir(n.out, 0o700); err != nil {
			return cli.Usagef("--out: %w", err)
		}
	}
	slot, lines, err := c.AddSlot(cmd.Context(), with, made)
	if err != nil {
		if n.keyFile != "" {
			a.Hint("%s is written, but whether it opens the vault only `strongroom slot list` tells: keep it until that shows no new slot", n.keyFile)
		}
		if n.out != "" {
			err = errors.Join(err, os.Remove(n.out))
		}
		return ended(err)
	}
	out := slotMade{Slot: slot, KeyFile: n.keyFile}
	for i, line := range lines {
		defer line.Wipe()
		if n.out == "" {
			out.NewShares = append(out.NewShares, string(line.Reveal()))
			continue
		}
		path := filepath.Join(n.out, fmt.Sprintf("share-%d", i+1))
		if err := durable.Create(path, line.Reveal(), []byte{'\n'}); err != nil {
			return fmt.Errorf("a share is lost, so remove slot %s and add another: %w", slot.ID, err)
		}
		out.ShareFiles = append(out.ShareFiles, path)
	}
	return a.tellSlot(out)
}

// newKeyFile has the file on the disk before anybody else hears of the key.
func (a *app) newKeyFile(path string) (*secret.Buffer, error) {
	text, err := api.NewKeyFile(a.arena)
	if err != nil {
		return nil, err
	}
	if err := durable.Create(path, text.Reveal()); err != nil {
		text.Wipe()
		return nil, cli.Usagef("--new-key-file: %w", err)
	}
	return text, nil
}

func (a *app) tellSlot(out slotMade) error {
	t := cli.Table{}
	t.Add("slot", out.ID)
	t.Add("kind", out.Kind)
	if out.KeyFile != "" {
		t.Add("key file", out.KeyFile)
	}
	for i, share := range append(out.NewShares, out.ShareFiles...) {
		t.Add(fmt.Sprintf("share %d", i+1), share)
	}
	if err := a.Show(out, t); err != nil {
		return err
	}
	if len(out.NewShares)+len(out.ShareFiles) > 0 {
		a.Hint("hand the shares out, each to another person; nothing else has them")
	}
	return nil
}

func (a *app) slotRemove() *cobra.Command {
	var with authority
	cmd := &cobra.Command{
		Use:   "remove ID (--key-file FILE | --passphrase @FILE | --share @FILE...)",
		Short: "Remove a way to open the vault",
		Long: `Remove a slot, so that its key file, its passphrase or its shares open the vault no more. The last one stays.

This does not help against somebody who has the key that was removed and an old copy of DIR/vault/seal.json, from a
backup or from the disk: both together still give the root key, which stays the same for a vault's life. Keep copies
of that file away from those who had a key. Where it has happened, what helps is a new vault (strongroom-server init)
and credentials that were changed where they are used.

` + authorityHelp,
		Example: "  strongroom slot remove 0a1b2c3d --passphrase @phrase",
		Args:    cli.Takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			authority, err := with.read(a, cmd.Flags())
			if err != nil {
				return err
			}
			defer authority.Wipe()
			slot, err := call(a, func(c *api.Client) (*api.Slot, error) { return c.RemoveSlot(cmd.Context(), authority, args[0]) })
			if err != nil {
				return err
			}
			t := cli.Table{}
			t.Add("removed", slot.ID)
			t.Add("kind", slot.Kind)
			if err := a.Show(slot, t); err != nil {
				return err
			}
			a.Hint("whoever has its key and an old copy of seal.json can still open the vault: see strongroom slot remove --help")
			return nil
		},
	}
	cmd.Flags().SortFlags = false
	with.flags(cmd.Flags())
	return cmd
}
