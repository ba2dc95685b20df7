package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/cli"
)

// maxDefinition is what a file of the catalogue has at most, in bytes.
const maxDefinition = 64 << 10

// applicationFile is a file that is imported as the application that it is called after.
type applicationFile struct{ path, name, text string }

// imported is what application import answers with.
type imported struct {
	Items  []*api.ApplicationChanged `json:"items"`
	DryRun bool                      `json:"dry_run"`
}

func (a *app) applicationImport() *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "import DIR|FILE... [--dry-run]",
		Short: "Add applications to the catalogue, or override built-in ones, from files",
		Long: `Add applications to the catalogue, or override built-in ones, from files: NAME.yaml each, of a folder all *.yaml. They
have the form of the built-in ones; strongroom application show APP --json has the members of one under definition.

All files are checked before the first is imported. For each you are told whether it is added, changed or unchanged, and
what that does: auth types, origins (where secrets may be sent), endpoints, injection, fields, env (variables), and more.
Existing credentials keep their values and where these may be sent: a value that is given again follows the new file.

This needs the permissions setting.edit and grant.edit.`,
		Example: "  strongroom application import ./applications --dry-run",
		Args:    cli.Takes("DIR|FILE..."),
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := applicationFiles(args)
			if err != nil {
				return err
			}
			done, err := call(a, func(c *api.Client) (*imported, error) { return importAll(cmd.Context(), c, files, dryRun) })
			if done == nil {
				return err
			}
			t := cli.Table{Head: []string{"NAME", "OUTCOME", "WHAT", "CHANGE"}}
			for _, item := range done.Items {
				addDifferences(&t, item)
			}
			if shown := a.Show(done, t); err == nil {
				err = shown
			}
			if err == nil && dryRun {
				a.Hint("nothing was changed: leave out --dry-run to import")
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would change, and change nothing")
	return cmd
}

// importAll checks every file before it imports the first. What was done is answered also where a later file failed.
func importAll(ctx context.Context, c *api.Client, files []applicationFile, dryRun bool) (*imported, error) {
	list, err := c.Applications(ctx)
	if err != nil {
		return nil, err
	}
	revisions := map[string]uint64{}
	for _, app := range list.Items {
		revisions[app.Name] = app.Revision
	}
	set := func(f applicationFile, dryRun bool) (*api.ApplicationChanged, error) {
		in := api.ApplicationSet{YAML: f.text, DryRun: dryRun}
		var changed *api.ApplicationChanged
		var err error
		if revision, listed := revisions[f.name]; listed {
			changed, err = c.SetApplication(ctx, f.name, revision, in)
		} else {
			changed, err = c.AddApplication(ctx, f.name, in)
		}
		if errors.Is(err, api.ErrChanged) {
			return nil, fmt.Errorf("%s: %w: %s is not as it was when the import began; look at it (strongroom application show) and import again",
				f.path, api.ErrChanged, f.name)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.path, err)
		}
		return changed, nil
	}
	checked := &imported{DryRun: true}
	for _, f := range files {
		changed, err := set(f, true)
		if err != nil {
			return nil, fmt.Errorf("%w; nothing was imported", err)
		}
		checked.Items = append(checked.Items, changed)
	}
	if dryRun {
		return checked, nil
	}
	done := &imported{Items: []*api.ApplicationChanged{}}
	for _, f := range files {
		changed, err := set(f, false)
		if err != nil {
			return done, fmt.Errorf("%w; %d of %d files were imported before it", err, len(done.Items), len(files))
		}
		done.Items = append(done.Items, changed)
	}
	return done, nil
}

// addDifferences gives each line of what changes a row.
func addDifferences(t *cli.Table, changed *api.ApplicationChanged) {
	rows := false
	for _, d := range changed.Differences {
		for _, line := range d.Removed {
			t.Add(changed.Name, changed.Outcome, d.What, "- "+line)
			rows = true
		}
		for _, line := range d.Added {
			t.Add(changed.Name, changed.Outcome, d.What, "+ "+line)
			rows = true
		}
	}
	if !rows {
		t.Add(changed.Name, changed.Outcome, "", "")
	}
}

// applicationFiles reads what is to be imported: files that are named, and the *.yaml of folders, by name.
func applicationFiles(paths []string) (files []applicationFile, err error) {
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, cli.Usagef("%s: %w", path, cli.WithoutPath(err))
		}
		inside := []string{path}
		if info.IsDir() {
			if inside, err = definitionsIn(path); err != nil {
				return nil, err
			}
		}
		for _, path := range inside {
			f, err := readDefinition(path)
			if err != nil {
				return nil, cli.Usagef("%s: %w", path, cli.WithoutPath(err))
			}
			if i := slices.IndexFunc(files, func(g applicationFile) bool { return g.name == f.name }); i >= 0 {
				return nil, cli.Usagef("%s and %s are both for the application %s", files[i].path, path, f.name)
			}
			files = append(files, f)
		}
	}
	return files, nil
}

func definitionsIn(dir string) (paths []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, cli.Usagef("%s: %w", dir, cli.WithoutPath(err))
	}
	for _, e := range entries {
		switch filepath.Ext(e.Name()) {
		case ".yaml":
			paths = append(paths, filepath.Join(dir, e.Name()))
		case ".yml":
			return nil, cli.Usagef("%s: call it %s", filepath.Join(dir, e.Name()), strings.TrimSuffix(e.Name(), ".yml")+".yaml")
		}
	}
	if len(paths) == 0 {
		return nil, cli.Usagef("%s: there is no file NAME.yaml in it", dir)
	}
	return paths, nil
}

func readDefinition(path string) (applicationFile, error) {
	name, ok := strings.CutSuffix(filepath.Base(path), ".yaml")
	if !ok || name == "" {
		return applicationFile{}, errors.New("it must be called NAME.yaml, after the application")
	}
	// Looked at before it is opened: the opening of a named pipe would wait for a writer.
	info, err := os.Stat(path)
	if err != nil {
		return applicationFile{}, err
	}
	if !info.Mode().IsRegular() {
		return applicationFile{}, errors.New("it is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return applicationFile{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxDefinition+1))
	if err == nil && len(text) > maxDefinition {
		err = fmt.Errorf("it is longer than %d bytes", maxDefinition)
	}
	return applicationFile{path, name, string(text)}, err
}

func (a *app) applicationDelete() *cobra.Command {
	return &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete an imported definition of an application",
		Long: `Delete an imported definition of an application. A built-in one that it overrode is back; one that was added is gone,
which is refused while credentials are of it or grants name it.

This needs the permissions setting.edit and grant.edit.`,
		Example: "  strongroom application delete acme-erp",
		Args:    cli.Takes("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			changed, err := call(a, func(c *api.Client) (*api.ApplicationChanged, error) {
				seen, err := c.Application(cmd.Context(), args[0])
				if err != nil {
					return nil, err
				}
				return c.DeleteApplication(cmd.Context(), args[0], seen.Revision)
			})
			if err != nil {
				return err
			}
			t := cli.Table{Head: []string{"NAME", "OUTCOME", "WHAT", "CHANGE"}}
			addDifferences(&t, changed)
			if err := a.Show(changed, t); err != nil {
				return err
			}
			if changed.Source != "" {
				a.Hint("the built-in definition of %s is used again", changed.Name)
			}
			return nil
		},
	}
}
