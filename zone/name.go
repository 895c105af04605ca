// Package zone holds the data of an authoritative DNS zone and answers from
// it as RFC 1034, section 4.3.2, and its successors say. A zone is immutable;
// what changes is laid over it.
package zone

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// Name is a domain name in canonical wire form (RFC 4034, section 6.2):
// lower case, each label after its length, the root's zero octet at the end.
type Name string

// Root is the name of the DNS root.
const Root Name = "\x00"

// maxWire is the longest name in wire form (RFC 1035, section 2.3.4).
const maxWire = 255

// ParseName reads a name in presentation form, with or without the final
// dot.
func ParseName(presentation string) (Name, error) {
	var buf [maxWire]byte
	wire, err := appendName(buf[:0], presentation)
	if err != nil {
		return "", fmt.Errorf("read domain name %q: %w", presentation, err)
	}
	return Name(wire), nil
}

// appendName appends the canonical wire form of a name in presentation form.
func appendName(buf []byte, presentation string) ([]byte, error) {
	switch presentation {
	case "":
		return nil, errEmptyName
	case ".":
		return append(buf, 0), nil
	}
	start := len(buf)
	length := start // where the length of the current label stands
	buf = append(buf, 0)
	for i := 0; i < len(presentation); i++ {
		c := presentation[i]
		switch c {
		case '.':
			if err := closeLabel(buf, length); err != nil {
				return nil, err
			}
			length = len(buf)
			buf = append(buf, 0)
			continue
		case '\\':
			octet, n, err := unescape(presentation[i+1:])
			if err != nil {
				return nil, err
			}
			c, i = octet, i+n
		}
		buf = append(buf, lower(c))
		if len(buf)-start > maxWire {
			return nil, errLongName
		}
	}
	if length != len(buf)-1 { // no final dot
		if err := closeLabel(buf, length); err != nil {
			return nil, err
		}
		buf = append(buf, 0)
	}
	if len(buf)-start > maxWire {
		return nil, errLongName
	}
	return buf, nil
}

// closeLabel writes the length of the label that begins at buf[length].
func closeLabel(buf []byte, length int) error {
	switch n := len(buf) - length - 1; {
	case n == 0:
		return errEmptyLabel
	case n > 63:
		return errLongLabel
	default:
		buf[length] = byte(n)
		return nil
	}
}

// unescape reads what follows a backslash: three decimal digits or any one
// character (RFC 1035, section 5.1). It returns how much of s that was.
func unescape(s string) (octet byte, n int, err error) {
	if s == "" {
		return 0, 0, errEscape
	}
	if !digit(s[0]) {
		return s[0], 1, nil
	}
	if len(s) < 3 || !digit(s[1]) || !digit(s[2]) {
		return 0, 0, errEscape
	}
	v := int(s[0]-'0')*100 + int(s[1]-'0')*10 + int(s[2]-'0')
	if v > 255 {
		return 0, 0, errEscape
	}
	return byte(v), 3, nil
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// String returns the presentation form, escaped and with a final dot.
func (n Name) String() string {
	if n == "" || n == Root {
		return "."
	}
	s, _, err := dns.UnpackDomainName([]byte(n), 0)
	if err != nil {
		return fmt.Sprintf("invalid name %x", string(n))
	}
	return s
}

// Parent returns the name without its first label. The root is its own
// parent.
func (n Name) Parent() Name {
	if len(n) <= 1 {
		return Root
	}
	return n[int(n[0])+1:]
}

// Under tells whether the name is z or a name below it.
func (n Name) Under(z Name) bool {
	if !strings.HasSuffix(string(n), string(z)) {
		return false
	}
	// The octets agree, which they may do in the middle of a label.
	rest := n
	for len(rest) > len(z) && len(rest) > 1 {
		rest = rest.Parent()
	}
	return rest == z
}

// Labels counts the labels without the root's.
func (n Name) Labels() int {
	count := 0
	for rest := n; len(rest) > 1; rest = rest.Parent() {
		count++
	}
	return count
}

// Wildcard tells whether the first label is an asterisk (RFC 4592, section
// 2.1.1).
func (n Name) Wildcard() bool { return strings.HasPrefix(string(n), "\x01*") }
