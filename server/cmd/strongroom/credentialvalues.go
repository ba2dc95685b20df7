package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/cli"
	"github.com/strongroom/strongroom/shared/secret"
)

// credentialFlags are those that add and edit share.
type credentialFlags struct {
	fields, secrets, variables, masked, describe, tags []string
	generate                                           []string
	description                                        string
	expires                                            timeFlag
	isDefault, requestable                             bool
}

func (f *credentialFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringArrayVar(&f.fields, "field", nil, "a field that is not secret, `NAME=VALUE`")
	flags.StringArrayVar(&f.secrets, "secret", nil, "a secret field, `NAME=@FILE` or NAME=-")
	flags.StringArrayVar(&f.generate, "generate", nil, "a secret field that the server makes up, `NAME`; of a client_certificate: certificate, with its key")
	flags.StringArrayVar(&f.variables, "variable", nil, "a variable of a custom credential, `NAME=VALUE` or NAME=@FILE")
	flags.StringArrayVar(&f.masked, "masked", nil, "a masked variable, `NAME=@FILE` or NAME=-")
	flags.StringArrayVar(&f.describe, "describe", nil, "what a variable is for, `NAME=TEXT`")
	flags.StringVar(&f.description, "description", "", "what the credential is for, `TEXT`")
	flags.StringArrayVar(&f.tags, "tag", nil, "a tag, `KEY=VALUE`")
	f.expires.never = true
	flags.Var(&f.expires, "expires", "when its value ends: a `TIME`, a date, a duration from now such as 90d, or never")
	flags.BoolVar(&f.isDefault, "default", false, "app:APPLICATION means this one")
	flags.BoolVar(&f.requestable, "requestable", false, "others may ask for this custom credential")
}

// given is what the flags say, with every value read.
type given struct {
	fields, describe, tags map[string]string
	values                 api.Values
}

// read reads every value. Nothing is read twice, and no name is given twice.
func (f *credentialFlags) read(v *cli.Values) (g given, err error) {
	taken := map[string]bool{}
	if g.fields, err = texts(v, "--field", f.fields, taken); err != nil {
		return g, err
	}
	if g.values.Secrets, err = buffers(v.Secret, "--secret", f.secrets, taken); err != nil {
		return g, err
	}
	if g.values.Variables, err = buffers(v.Bytes, "--variable", f.variables, taken); err != nil {
		return g, err
	}
	if g.values.Masked, err = buffers(v.Secret, "--masked", f.masked, taken); err != nil {
		return g, err
	}
	for _, name := range f.generate {
		if err := once("--generate", name, taken); err != nil {
			return g, err
		}
	}
	if g.describe, err = texts(v, "--describe", f.describe, map[string]bool{}); err != nil {
		return g, err
	}
	g.tags, err = labels("--tag", f.tags)
	return g, err
}

func once(flag, name string, taken map[string]bool) error {
	if taken[name] {
		return cli.Usagef("%s: this name was given before", flag)
	}
	taken[name] = true
	return nil
}

func texts(v *cli.Values, flag string, pairs []string, taken map[string]bool) (map[string]string, error) {
	var read map[string]string
	for _, pair := range pairs {
		name, value, err := cli.Pair(flag, pair)
		if err != nil {
			return nil, err
		}
		if err := once(flag, name, taken); err != nil {
			return nil, err
		}
		text, err := v.Text(flag+" "+name, value)
		if err != nil {
			return nil, err
		}
		if read == nil {
			read = map[string]string{}
		}
		read[name] = text
	}
	return read, nil
}

// buffers reads values by way of Values.Secret or Values.Bytes. Its errors name
// the flag alone: what stands before the = may be half of a literal secret.
func buffers(read func(flag, text string) (*secret.Buffer, error), flag string, pairs []string, taken map[string]bool) (map[string]*secret.Buffer, error) {
	var values map[string]*secret.Buffer
	for _, pair := range pairs {
		name, value, err := cli.Pair(flag, pair)
		if err != nil {
			return nil, err
		}
		if err := once(flag, name, taken); err != nil {
			return nil, err
		}
		b, err := read(flag, value)
		if err != nil {
			return nil, err
		}
		if values == nil {
			values = map[string]*secret.Buffer{}
		}
		values[name] = b
	}
	return values, nil
}

func labels(flag string, pairs []string) (map[string]string, error) {
	var read map[string]string
	for _, pair := range pairs {
		key, value, err := label(flag, pair)
		if err != nil {
			return nil, err
		}
		if read == nil {
			read = map[string]string{}
		}
		if _, twice := read[key]; twice {
			return nil, cli.Usagef("%s: the key %s was given before", flag, key)
		}
		read[key] = value
	}
	return read, nil
}

func label(flag, pair string) (key, value string, err error) {
	key, value, found := strings.Cut(pair, "=")
	if !found || key == "" {
		return "", "", cli.Usagef("%s: wanted is KEY=VALUE", flag)
	}
	return key, value, nil
}
