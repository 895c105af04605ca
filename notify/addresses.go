package notify

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"switchd/secretfile"
)

// Bounds of a file of addresses.
const (
	maxFile      = 256 << 10 // bytes
	maxLine      = 4 << 10
	maxAddresses = 2000
	maxName      = 100 // characters
	maxOfName    = 8
)

// Addresses are those of the people and teams who can be told, by name. They are
// immutable.
type Addresses struct {
	byName map[string][]Address
}

// Load reads a file of lines such as
//
//	web-team = slack://hook:TOKEN@webhook
//	web-team = smtp://mail.apps.test/?from=switchd@apps.test&to=web@apps.test
//
// The URLs are those of shoutrrr, or http and https for a webhook that takes
// JSON. A name can have several lines; it is told at all of them. What follows a
// "#" at the beginning of a line is a comment. Nobody else may be able to read the
// file. Errors tell the line and nothing of what a URL has.
// Source: https://shoutrrr.nickfedor.com/latest/services/overview/
func Load(path string) (*Addresses, error) {
	f, err := secretfile.Open(path, "the addresses to notify", "the secrets in them")
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // was only read
	return parse(f, path)
}

func parse(r io.Reader, file string) (*Addresses, error) {
	limited := &io.LimitedReader{R: r, N: maxFile + 1}
	lines := bufio.NewScanner(limited)
	lines.Buffer(nil, maxLine)
	found := &Addresses{byName: make(map[string][]Address)}
	n, count := 0, 0
	for lines.Scan() {
		n++
		text := strings.TrimSpace(lines.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		name, address, err := parseLine(text)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		address.file, address.line = file, n
		if slices.ContainsFunc(found.byName[name], func(a Address) bool { return a.url == address.url }) {
			return nil, fmt.Errorf("%s:%d: %s has this address already", file, n, name)
		}
		found.byName[name] = append(found.byName[name], address)
		if count++; count > maxAddresses || len(found.byName[name]) > maxOfName {
			return nil, fmt.Errorf("%s:%d: there are more than %d addresses, or than %d of one name", file, n, maxAddresses, maxOfName)
		}
	}
	switch err := lines.Err(); {
	case err != nil:
		return nil, fmt.Errorf("%s:%d: %w; a line has %d bytes at most", file, n+1, err, maxLine)
	case limited.N == 0:
		return nil, fmt.Errorf("%s: more than %d bytes", file, maxFile)
	}
	return found, nil
}

func parseLine(text string) (string, Address, error) {
	name, address, found := strings.Cut(text, "=")
	name = strings.TrimSpace(name)
	// A URL without a name has a "=" too, in its query.
	if !found || name == "" || len(name) > maxName || strings.Contains(name, "://") {
		return "", Address{}, fmt.Errorf("a line is NAME = URL, with a name of up to %d characters", maxName)
	}
	parsed, err := parseAddress(strings.TrimSpace(address))
	if err != nil {
		return "", Address{}, fmt.Errorf("address of %s: %w", name, err)
	}
	return name, parsed, nil
}

// Of are the addresses of a name, nil if it is not known.
func (a *Addresses) Of(name string) []Address { return slices.Clone(a.byName[name]) }

// Names are all that are known, sorted.
func (a *Addresses) Names() []string { return slices.Sorted(maps.Keys(a.byName)) }

// has tells whether an address is still one of the name's.
func (a *Addresses) has(name, url string) bool {
	return slices.ContainsFunc(a.byName[name], func(known Address) bool { return known.url == url })
}
