// Package test checks the whole from outside: the built programs as processes of their own against real parts, and
// the rules of the house. It reaches into no room; what it knows of the programs is their commands and the wire.
package test

import (
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/strongroom/strongroom"

// A source is one parsed Go file of the module.
type source struct {
	path    string // slash-separated, from the module's root
	dir     string
	lines   int
	syntax  *ast.File
	imports map[string]string // local name to import path
}

func (s source) test() bool      { return strings.HasSuffix(s.path, "_test.go") }
func (s source) generated() bool { return ast.IsGenerated(s.syntax) }

// A tree is the module as the rules see it.
type tree struct {
	sources []source
	gomod   []byte
	corpora map[string]int // the inputs for fuzz targets that are kept, by DIR/FuzzNAME
}

// A rule looks at a tree and complains; bad is a small tree that breaks it, with what the complaint must name.
type rule struct {
	name   string
	reason string
	check  func(tree) []string
	bad    map[string]string
	want   []string
}

func TestHouse(t *testing.T) {
	t.Parallel()
	real := readTree(t, "..")
	if len(real.sources) < 20 {
		t.Fatalf("only %d Go files found: the rules looked at the wrong folder", len(real.sources))
	}
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			for _, complaint := range r.check(real) {
				t.Errorf("%s\n\tthe rule: %s", complaint, r.reason)
			}
		})
	}
}

// Every rule is shown a tree that breaks it, and must name each breach and nothing else.
func TestHouseRulesCanFail(t *testing.T) {
	t.Parallel()
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range r.bad {
				file := filepath.Join(dir, filepath.FromSlash(name))
				if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got := r.check(readTree(t, dir))
			if len(got) != len(r.want) {
				t.Errorf("%d complaints, want %d: %q", len(got), len(r.want), got)
			}
			for _, want := range r.want {
				if !slices.ContainsFunc(got, func(c string) bool { return strings.Contains(c, want) }) {
					t.Errorf("no complaint names %q: %q", want, got)
				}
			}
		})
	}
}

func readTree(t *testing.T, root string) tree {
	t.Helper()
	found := tree{corpora: map[string]int{}}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if d.IsDir() {
			if d.Name() == "testdata" {
				return cmp.Or(readCorpora(file, path.Dir(name), found.corpora), filepath.SkipDir)
			}
			if strings.HasPrefix(d.Name(), ".") && name != "." || name == "bin" || name == "tools" {
				return filepath.SkipDir
			}
			return nil
		}
		if name == "go.mod" {
			found.gomod, err = os.ReadFile(file)
			return err
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		s, err := readSource(file, name)
		found.sources = append(found.sources, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// readCorpora counts the inputs below a folder testdata, which have the first line that the fuzzer writes.
func readCorpora(testdata, dir string, into map[string]int) error {
	folders, err := filepath.Glob(filepath.Join(testdata, "fuzz", "*"))
	if err != nil {
		return err
	}
	for _, folder := range folders {
		target := path.Join(dir, filepath.Base(folder))
		into[target] = 0
		inputs, err := os.ReadDir(folder)
		if err != nil {
			return err
		}
		for _, input := range inputs {
			text, err := os.ReadFile(filepath.Join(folder, input.Name()))
			if err != nil {
				return err
			}
			if strings.HasPrefix(string(text), "go test fuzz v1\n") {
				into[target]++
			}
		}
	}
	return nil
}

func readSource(file, name string) (source, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return source{}, err
	}
	syntax, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return source{}, err
	}
	s := source{path: name, dir: path.Dir(name), lines: strings.Count(string(text), "\n"), syntax: syntax, imports: map[string]string{}}
	for _, spec := range syntax.Imports {
		target, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return source{}, err
		}
		s.imports[localName(spec, target)] = target
	}
	return s, nil
}

// localName is the name an import is used by. Without a type checker the last element that is no version stands
// for the package's own name; blank imports get a name that no selector can have.
func localName(spec *ast.ImportSpec, target string) string {
	if spec.Name != nil && spec.Name.Name != "_" && spec.Name.Name != "." {
		return spec.Name.Name
	}
	if spec.Name != nil {
		return spec.Name.Name + target
	}
	base := path.Base(target)
	if len(base) > 1 && base[0] == 'v' && strings.Trim(base[1:], "0123456789") == "" {
		base = path.Base(path.Dir(target))
	}
	return base
}

// uses calls fn for every "package.Name" the file mentions, with the package's import path.
func (s source) uses(n ast.Node, fn func(target, name string)) {
	ast.Inspect(n, func(n ast.Node) bool {
		if selector, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := selector.X.(*ast.Ident); ok && s.imports[x.Name] != "" {
				fn(s.imports[x.Name], selector.Sel.Name)
			}
		}
		return true
	})
}

// within says whether a folder or import path is one of the given ones or below one.
func within(name string, roots ...string) bool {
	return slices.ContainsFunc(roots, func(root string) bool {
		return name == root || strings.HasPrefix(name, root+"/")
	})
}

// own gives the folder of an import of this module, from the module's root.
func own(target string) (dir string, ok bool) {
	if target == module {
		return ".", true
	}
	return strings.CutPrefix(target, module+"/")
}

// isCommand: the folders whose packages are programs.
func isCommand(dir string) bool {
	return within(dir, "server/cmd", "agent/cmd", "installer/cmd", "test", "tools")
}

// ARCHITECTURE.md names the tests that hold its promises: each of them exists.
func TestPromisesNameTheirTests(t *testing.T) {
	t.Parallel()
	have := map[string]bool{}
	for _, s := range readTree(t, "..").sources {
		for _, d := range s.syntax.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && s.test() {
				have[f.Name.Name] = true
			}
		}
	}
	text, err := os.ReadFile("../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(string(text), -1)
	if len(named) < 10 {
		t.Errorf("only %d tests are named", len(named))
	}
	for _, name := range named {
		if !have[name[1]] {
			t.Errorf("%s is named in ARCHITECTURE.md and does not exist", name[1])
		}
	}
}
