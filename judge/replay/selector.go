package replay

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Selector is a PromQL instant vector selector without modifiers, such as
// http_requests_total{pool="green",code=~"5.."}; see
// https://prometheus.io/docs/prometheus/latest/querying/basics/.
type Selector struct {
	Name     string // of the metric; "" if matchers alone select
	Matchers []Matcher
}

// Matcher is one condition on a label. A label that a series has not is "".
type Matcher struct {
	Label, Op, Value string

	re *regexp.Regexp // of the operators =~ and !~
}

// The operators of matchers.
const (
	equal    = "="
	unequal  = "!="
	matches  = "=~"
	nomatch  = "!~"
	nameOf   = "__name__"
	maxLabel = 4096 // bytes of one label
)

// ParseSelector reads a selector. What else PromQL has can't be evaluated on a
// file.
func ParseSelector(text string) (Selector, error) {
	s := scanner{text: strings.TrimSpace(text)}
	selector, err := s.selector()
	if err == nil && s.text != "" {
		err = fmt.Errorf("%q is left over", s.brief())
	}
	if err == nil && selector.Name == "" && len(selector.Matchers) == 0 {
		err = errors.New("it selects everything")
	}
	if err != nil {
		return Selector{}, fmt.Errorf("%q is not a selector such as http_requests_total{code=~\"5..\"}, and only those can be evaluated on a file: %w", text, err)
	}
	return selector, nil
}

// Selects tells whether a series with these labels is meant.
func (s Selector) Selects(labels map[string]string) bool {
	if s.Name != "" && labels[nameOf] != s.Name {
		return false
	}
	for _, m := range s.Matchers {
		if !m.matches(labels[m.Label]) {
			return false
		}
	}
	return true
}

func (m Matcher) matches(value string) bool {
	switch m.Op {
	case equal:
		return value == m.Value
	case unequal:
		return value != m.Value
	case matches:
		return m.re.MatchString(value)
	default:
		return !m.re.MatchString(value)
	}
}

// compile prepares the regular expressions, which are anchored.
func (s Selector) compile() (Selector, error) {
	for i, m := range s.Matchers {
		if m.Op != matches && m.Op != nomatch {
			continue
		}
		re, err := regexp.Compile("^(?s:" + m.Value + ")$")
		if err != nil {
			return s, fmt.Errorf("label %s: %w", m.Label, err)
		}
		s.Matchers[i].re = re
	}
	return s, nil
}

// scanner takes a text apart from its beginning: selectors, and the series of
// the exposition formats, which are selectors with = only.
type scanner struct{ text string }

// selector takes a name and conditions on labels.
func (s *scanner) selector() (Selector, error) {
	var selector Selector
	selector.Name = s.name(":")
	s.space()
	if s.take("{") {
		if err := s.conditions(&selector); err != nil {
			return selector, err
		}
	}
	return selector.compile()
}

// conditions takes what is between braces, of which the first one is taken. A
// quoted text without an operator is the name (as UTF-8 names are written).
func (s *scanner) conditions(selector *Selector) error {
	for {
		s.space()
		if s.take("}") {
			return nil
		}
		quoted := strings.HasPrefix(s.text, `"`)
		label := s.name(".")
		if quoted {
			var err error
			if label, err = s.quoted(); err != nil {
				return err
			}
		}
		s.space()
		op := s.operator()
		switch {
		case label == "":
			return fmt.Errorf("a label is expected at %q", s.brief())
		case op == "" && quoted && selector.Name == "":
			selector.Name = label
		case op == "":
			return fmt.Errorf("an operator is expected at %q", s.brief())
		default:
			s.space()
			value, err := s.quoted()
			if err != nil {
				return err
			}
			if label == nameOf && op == equal && selector.Name == "" {
				selector.Name = value
			} else {
				selector.Matchers = append(selector.Matchers, Matcher{Label: label, Op: op, Value: value})
			}
		}
		s.space()
		if !s.take(",") && !strings.HasPrefix(s.text, "}") {
			return fmt.Errorf("a comma or a closing brace is expected at %q", s.brief())
		}
	}
}

// name takes letters, digits, underscores and what is more.
func (s *scanner) name(more string) string {
	end := 0
	for end < len(s.text) {
		b := s.text[end]
		if b != '_' && (b|0x20 < 'a' || b|0x20 > 'z') && (end == 0 || b < '0' || b > '9') && !strings.ContainsRune(more, rune(b)) {
			break
		}
		end++
	}
	name := s.text[:end]
	s.text = s.text[end:]
	return name
}

// operator takes the longest one, "" if there is none.
func (s *scanner) operator() string {
	for _, op := range []string{matches, unequal, nomatch, equal} {
		if s.take(op) {
			return op
		}
	}
	return ""
}

// quoted takes a string in double quotes, in single ones or in backquotes.
func (s *scanner) quoted() (string, error) {
	if s.text == "" || !strings.ContainsRune("\"'`", rune(s.text[0])) {
		return "", fmt.Errorf("a quoted string is expected at %q", s.brief())
	}
	quote := s.text[0]
	for end := 1; end < len(s.text) && end <= maxLabel; end++ {
		switch {
		case s.text[end] == '\\' && quote != '`':
			end++
		case s.text[end] == quote:
			raw := s.text[1:end]
			s.text = s.text[end+1:]
			return unescape(raw, quote)
		}
	}
	return "", fmt.Errorf("a string has no end, or more than %d bytes, at %q", maxLabel, s.brief())
}

// unescape resolves the escapes of a string.
func unescape(raw string, quote byte) (string, error) {
	if quote == '`' || !strings.ContainsRune(raw, '\\') {
		if !utf8.ValidString(raw) {
			return "", fmt.Errorf("%q is not UTF-8", raw)
		}
		return raw, nil
	}
	var text strings.Builder
	for rest := raw; rest != ""; {
		r, multibyte, tail, err := strconv.UnquoteChar(rest, quote)
		if err != nil {
			return "", fmt.Errorf("%q has an escape that is unknown", raw)
		}
		if rest = tail; multibyte || r < utf8.RuneSelf {
			text.WriteRune(r)
		} else {
			text.WriteByte(byte(r))
		}
	}
	if !utf8.ValidString(text.String()) {
		return "", fmt.Errorf("%q is not UTF-8", raw)
	}
	return text.String(), nil
}

func (s *scanner) take(prefix string) bool {
	rest, ok := strings.CutPrefix(s.text, prefix)
	if ok {
		s.text = rest
	}
	return ok
}

func (s *scanner) space() { s.text = strings.TrimLeft(s.text, " \t\n\r") }

// brief is the beginning of what is left, for a message.
func (s *scanner) brief() string {
	const most = 20
	if len(s.text) <= most {
		return s.text
	}
	return strings.ToValidUTF8(s.text[:most], "") + "…"
}
