package main

import (
	"github.com/spf13/pflag"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/cli"
	"github.com/strongroom/strongroom/shared/secret"
)

// authority is what the flags say of what opens a vault.
type authority struct {
	keyFile, passphrase string
	shares              []string
}

func (w *authority) flags(f *pflag.FlagSet) {
	f.StringVar(&w.keyFile, "key-file", "", "what opens the vault: its key file, `FILE`")
	f.StringVar(&w.passphrase, "passphrase", "", "or its passphrase, as `@FILE` or - for stdin")
	f.StringArrayVar(&w.shares, "share", nil, "or a share, as `@FILE` or - for stdin; once for each that is needed")
}

// read reads what the flags name into memory that is hidden first; the caller wipes it. Nothing is given where no flag is.
func (w *authority) read(a *app, arena *secret.Arena, f *pflag.FlagSet) (with api.Authority, err error) {
	given := 0
	for _, flag := range []string{"key-file", "passphrase", "share"} {
		if f.Changed(flag) {
			given++
		}
	}
	if given > 1 {
		return with, cli.Usagef("--key-file, --passphrase and --share: give one kind of them")
	}
	if err := secret.Conceal(); err != nil {
		return with, err
	}
	defer func() {
		if err != nil {
			with.Wipe()
		}
	}()
	if f.Changed("key-file") {
		if with.KeyFile, err = api.ReadKeyFile(arena, w.keyFile); err != nil {
			return with, cli.Usagef("--key-file: %w", err)
		}
	}
	values := cli.NewValues(arena, a.Stdin)
	if f.Changed("passphrase") {
		with.Passphrase, err = values.Secret("--passphrase", w.passphrase)
	}
	for _, share := range w.shares {
		line, err := values.Secret("--share", share)
		if err != nil {
			return with, err
		}
		with.Shares = append(with.Shares, line)
	}
	return with, err
}

// arenaSize holds a whole set of shares, and one more value while it is read.
const arenaSize = 256 << 10
