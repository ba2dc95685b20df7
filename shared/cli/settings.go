package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"
)

const maxSettings = 64 << 10

// ReadSettings reads the YAML file that --config names, of at most 64 KiB, into
// T: a struct of strings and lists of them, each with its key as a yaml tag. Without a path it
// answers the zero value. Its errors are usage errors.
func ReadSettings[T any](path string) (s T, err error) {
	if path == "" {
		return s, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return s, Usagef("--config: %w", err)
	}
	defer file.Close()
	if s, err = parseSettings[T](file); err != nil {
		return s, Usagef("--config %s: %w", path, err)
	}
	return s, nil
}

// Setting takes value from the settings where flag was not given.
func Setting(cmd *cobra.Command, flag string, to *string, value string) {
	if value != "" && !cmd.Flags().Changed(flag) {
		*to = value
	}
}

// parseSettings reads one YAML document, or none: a file of comments is a fine start.
func parseSettings[T any](r io.Reader) (T, error) {
	var s, none T
	text, err := io.ReadAll(io.LimitReader(r, maxSettings+1))
	if err != nil {
		return none, err
	}
	if len(text) > maxSettings {
		return none, fmt.Errorf("longer than %d bytes", maxSettings)
	}
	loader, err := yaml.NewLoader(strings.NewReader(string(text)), yaml.WithKnownFields(), yaml.WithUniqueKeys())
	if err != nil {
		return none, err
	}
	if err := loader.Load(&s); err != nil && !errors.Is(err, io.EOF) {
		return none, settingsError(err, keys(reflect.TypeFor[T]()))
	}
	if err := loader.Load(new(any)); !errors.Is(err, io.EOF) {
		return none, errors.New("more than one YAML document")
	}
	return s, nil
}

// settingsError says where the file is wrong, in the file's words and not in Go's.
func settingsError(err error, keys string) error {
	var wrong *yaml.LoadError
	if !errors.As(err, &wrong) {
		return err
	}
	what, _, _ := strings.Cut(wrong.Message, " in type ")
	what, _, _ = strings.Cut(what, " into ")
	return fmt.Errorf("line %d, column %d: %s; the keys are %s, each with one text", wrong.Mark.Line, wrong.Mark.Column, what, keys)
}

// keys lists the keys of settings, such as "data, agents and console".
func keys(settings reflect.Type) string {
	var list strings.Builder
	for i := range settings.NumField() {
		switch {
		case i > 0 && i == settings.NumField()-1:
			list.WriteString(" and ")
		case i > 0:
			list.WriteString(", ")
		}
		list.WriteString(settings.Field(i).Tag.Get("yaml"))
		if settings.Field(i).Type.Kind() == reflect.Slice {
			list.WriteString(" (a list)")
		}
	}
	return list.String()
}
