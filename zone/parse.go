package zone

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/miekg/dns"
)

const (
	// defaultTTL is that of records without one where no other TTL stands
	// before them, in seconds; NSD and Knot have the same.
	defaultTTL = 3600
	// maxRecords bounds a zone.
	maxRecords = 20_000_000
)

// Parse reads a master file (RFC 1035, section 5) with its $ORIGIN, $TTL and
// $GENERATE, but without $INCLUDE. Errors and places name it by file.
func Parse(r io.Reader, origin Name, file string) (*Zone, error) {
	return parse(r, origin, file, nil)
}

// ParseFile reads a master file as Parse does, and with it those that it
// includes from its own directory or one below.
func ParseFile(path string, origin Name) (*Zone, error) {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("open zone file %s: %w", path, err)
	}
	defer func() { _ = root.Close() }() // only read from
	f, err := os.Open(path)             // it may be a link to elsewhere; what it includes may not
	if err != nil {
		return nil, fmt.Errorf("open zone file: %w", err)
	}
	defer func() { _ = f.Close() }() // only read from
	return parse(f, origin, path, root.FS())
}

// Read reads a master file as Parse does, but makes no zone of it: it may
// lack a SOA, or be empty.
func Read(r io.Reader, origin Name, file string) ([]Record, error) {
	return read(r, origin, file, nil)
}

func parse(r io.Reader, origin Name, file string, beside fs.FS) (*Zone, error) {
	records, err := read(r, origin, file, beside)
	if err != nil {
		return nil, err
	}
	return New(origin, records)
}

// read reads a master file, and those that it includes from beside, if that
// is not nil.
func read(r io.Reader, origin Name, file string, beside fs.FS) ([]Record, error) {
	in := &input{beside: beside, dir: filepath.Dir(file)}
	parser := dns.NewZoneParser(in.open(r, file), origin.String(), filepath.Base(file))
	parser.SetDefaultTTL(defaultTTL)
	if beside != nil {
		parser.SetIncludeAllowed(true)
		parser.SetIncludeFS(in)
	}
	var records []Record
	var owner string // shared by records that stand together
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		if len(records) == maxRecords {
			return nil, fmt.Errorf("read zone file: %smore than %d records: split the zone", in.at(), maxRecords)
		}
		if h := rr.Header(); h.Name == owner {
			h.Name = owner
		} else {
			owner = h.Name
		}
		records = append(records, Record{RR: rr, File: in.current.name, Line: in.current.line})
	}
	if err := parser.Err(); err != nil {
		return nil, fmt.Errorf("read zone file: %s%w", in.at(), cause(err))
	}
	return records, nil
}

// cause is what the parser says, without its notion of the place: it counts
// anew in what $GENERATE makes.
func cause(err error) error {
	var parse *dns.ParseError
	if !errors.As(err, &parse) {
		return err
	}
	if inner := errors.Unwrap(parse); inner != nil {
		return inner
	}
	text := parse.Error()
	if i := strings.Index(text, "dns: "); i >= 0 {
		text = text[i+len("dns: "):]
	}
	if i := strings.LastIndex(text, " at line: "); i >= 0 {
		text = text[:i]
	}
	return errors.New(text)
}
