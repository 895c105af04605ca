package spec

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Bounds of the inputs.
const (
	maxFiles    = 1000
	maxFileSize = 1 << 20
)

// Source is what the input files say, merged but not yet evaluated.
type Source struct {
	fs     fs.FS
	files  map[string]*hcl.File
	owners map[string]string // by file
	root   *tree
	diags  hcl.Diagnostics
}

// Load reads the *.hcl files of a directory, but not of those below it: at
// most 1000 files of at most 1 MiB. It checks their syntax, and that every
// name in them is known. The Source is never nil; if there are errors, it
// serves WriteDiagnostics only.
func Load(dir string) (*Source, hcl.Diagnostics) {
	if _, err := os.Stat(dir); err != nil {
		src := newSource()
		src.fail("Can't read the inputs", fmt.Sprintf("Open the directory of inputs: %v.", err))
		return src, src.diags
	}
	return LoadFS(os.DirFS(dir))
}

// LoadFS is Load for the top directory of fsys.
func LoadFS(fsys fs.FS) (*Source, hcl.Diagnostics) {
	src := newSource()
	src.fs = fsys
	names, err := fs.Glob(fsys, "*.hcl")
	switch {
	case err != nil:
		src.fail("Can't read the inputs", fmt.Sprintf("List the *.hcl files: %v.", err))
	case len(names) == 0:
		src.fail("No inputs", "The directory has no *.hcl file; those in directories below it are not read.")
	case len(names) > maxFiles:
		src.fail("Too many inputs", fmt.Sprintf("The directory has %d *.hcl files, and at most %d are read.", len(names), maxFiles))
	default:
		slices.Sort(names)
		for _, name := range names {
			src.load(name)
		}
	}
	sortDiagnostics(src.diags)
	return src, src.diags
}

func newSource() *Source {
	return &Source{
		files:  make(map[string]*hcl.File),
		owners: make(map[string]string),
		root:   newTree(hcl.Range{}),
	}
}

// Environments are the names of the declared environments, sorted.
func (s *Source) Environments() []string {
	return slices.Sorted(maps.Keys(s.root.blocks["environment"]))
}

func (s *Source) load(name string) {
	text, err := readBounded(s.fs, name, maxFileSize)
	if err != nil {
		s.fail("Can't read an input", fmt.Sprintf("Read %s: %v.", name, err))
		return
	}
	if !s.parse(name, text, (&inputs{}).form()) {
		return
	}

	// An owner is the file's own, so it must not merge with other files'.
	owned := s.root.attrs["owner"]
	delete(s.root.attrs, "owner")
	for _, a := range owned {
		c := newCompiler(s, nil, a.Range)
		in := inputs{}
		c.fill(&tree{at: a.Range, attrs: map[string][]*hcl.Attribute{"owner": {a}}}, form{attrs: in.form().attrs}, "")
		s.owners[name] = in.owner
		s.diags = append(s.diags, c.diags...)
	}
}

// parse merges a file into the tree, and tells whether its syntax is right.
func (s *Source) parse(name string, text []byte, f form) bool {
	if diags := tooDeep(text, name); diags.HasErrors() {
		s.files[name] = &hcl.File{Bytes: text}
		s.diags = append(s.diags, diags...)
		return false
	}
	file, diags := hclsyntax.ParseConfig(text, name, hcl.InitialPos)
	s.files[name] = file
	s.diags = append(s.diags, diags...)
	if diags.HasErrors() {
		return false
	}
	s.diags = append(s.diags, noLoops(file)...)
	s.diags = append(s.diags, s.root.add(file.Body, f)...)
	return true
}

func (s *Source) fail(summary, detail string) {
	s.diags = append(s.diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail})
}

// readBounded reads a regular file: what else a name may lead to, such as a
// pipe, could block for ever.
func readBounded(fsys fs.FS, name string, most int64) ([]byte, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path.Base(name))
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > most {
		return nil, fmt.Errorf("it is larger than %d bytes; split it", most)
	}
	return text, nil
}
