package zone

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"github.com/miekg/dns"
)

const (
	// maxEntry bounds an entry of a master file, in bytes: the largest record
	// with every octet escaped, and room for comments.
	maxEntry = 1 << 19
	// maxIncludes bounds how many files a zone file includes, one in another
	// or one after the other.
	maxIncludes = 1000
)

// input is a master file with those that it includes. The parser doesn't tell
// where a record was written, but it reads byte by byte: the entry that the
// last byte was of is the record's.
type input struct {
	beside   fs.FS // where files to include are, or nil
	dir      string
	current  *source // that was read from last
	included int
}

// open starts to read a file.
func (in *input) open(r io.Reader, name string) *source {
	s := &source{in: in, name: name, r: bufio.NewReaderSize(r, 1<<16), next: 1, bol: true}
	if in.current != nil {
		s.ttl = in.current.ttl
	}
	in.current = s
	return s
}

// at begins a message about the entry that is read now.
func (in *input) at() string { return at(in.current.name, in.current.line) }

// Open opens a file for $INCLUDE; [fs.FS] wants it so.
func (in *input) Open(name string) (fs.File, error) {
	if in.included++; in.included > maxIncludes {
		return nil, fmt.Errorf("more than %d files are included: does one include itself?", maxIncludes)
	}
	f, err := in.beside.Open(name)
	if err != nil {
		return nil, err
	}
	return file{File: f, source: in.open(f, filepath.Join(in.dir, filepath.FromSlash(path.Clean(name))))}, nil
}

// file is an included file that is read as a source.
type file struct {
	fs.File
	source *source
}

// ReadByte implements [io.ByteReader], which the parser then uses.
func (f file) ReadByte() (byte, error) { return f.source.ReadByte() }

// source is one master file, byte by byte. It keeps track of the entries: one
// ends at a newline outside of quotes and parentheses (RFC 1035, section
// 5.1).
type source struct {
	in    *input
	name  string
	r     *bufio.Reader
	ready []byte // the rest of a directive that was read as a whole
	ttl   string // as the last $TTL has it

	line int // where the last entry began
	next int // of the next byte
	size int // of the entry so far, in bytes

	bol     bool // the next byte is the first of its line
	begun   bool // the entry has more than blanks and comments
	quote   bool
	escape  bool
	comment bool
	depth   int // of parentheses
}

// Read implements [io.Reader] for the parser's sake, which reads bytes.
func (s *source) Read(p []byte) (int, error) {
	for i := range p {
		c, err := s.ReadByte()
		if err != nil {
			return i, err
		}
		p[i] = c
	}
	return len(p), nil
}

// ReadByte implements [io.ByteReader].
func (s *source) ReadByte() (byte, error) {
	s.in.current = s
	if len(s.ready) > 0 {
		c := s.ready[0]
		s.ready = s.ready[1:]
		return c, nil
	}
	directive := s.bol && !s.begun
	c, err := s.advance()
	if err != nil || c != '$' || !directive {
		return c, err
	}
	if err := s.directive(); err != nil {
		return 0, err
	}
	return c, nil
}

// advance reads a byte and sees what it does to the entry.
func (s *source) advance() (byte, error) {
	c, err := s.r.ReadByte()
	if err != nil {
		return 0, err
	}
	if s.size++; s.size > maxEntry {
		return 0, fmt.Errorf("the record is longer than %d bytes: is a parenthesis or a quote left open?", maxEntry)
	}
	escaped := s.escape
	s.escape, s.bol = false, c == '\n'
	switch {
	case c == '\n':
		s.next++
		s.comment = false
		if !s.quote && s.depth == 0 {
			s.begun, s.size = false, 0
		}
		return c, nil
	case s.comment || c == ' ' || c == '\t' || c == '\r':
		return c, nil
	case c == ';' && !s.quote && !escaped:
		s.comment = true
		return c, nil
	case escaped:
	case c == '\\':
		s.escape = true
	case c == '"':
		s.quote = !s.quote
	case s.quote:
	case c == '(':
		s.depth++
	case c == ')':
		s.depth--
	}
	if !s.begun {
		s.begun, s.line = true, s.next
	}
	return c, nil
}

// directive reads the rest of an entry that began with a dollar sign and gets
// it ready.
func (s *source) directive() error {
	var text strings.Builder
	text.WriteByte('$')
	for s.begun {
		c, err := s.advance()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		text.WriteByte(c)
	}
	entry := text.String()
	fields := strings.Fields(entry)
	switch strings.ToUpper(fields[0]) {
	case "$TTL":
		if len(fields) > 1 {
			s.ttl = fields[1]
		}
	case "$GENERATE":
		// The parser would open any file that the generated text includes.
		if strings.Contains(strings.ToUpper(entry), "$INCLUDE") {
			return errors.New("$GENERATE can't make a $INCLUDE: write it out")
		}
		entry = s.withTTL(entry, fields)
	}
	s.ready = []byte(entry[1:])
	return nil
}

// withTTL puts the TTL of $TTL into a $GENERATE without one. The parser
// forgets it there.
func (s *source) withTTL(entry string, fields []string) string {
	const owner = 2
	if s.ttl == "" || len(fields) < 5 {
		return entry
	}
	rest := fields[owner+1:]
	if _, class := dns.StringToClass[strings.ToUpper(rest[0])]; class {
		rest = rest[1:]
	}
	if digit(rest[0][0]) {
		return entry
	}
	// What follows the owner stays as it is: blanks count in quotes.
	after := entry
	for _, field := range fields[:owner+1] {
		_, after, _ = strings.Cut(after, field)
	}
	return strings.Join(fields[:owner+1], " ") + " " + s.ttl + after
}
