package tsig

import "strings"

// kind is that of a token.
type kind int

const (
	end kind = iota
	word
	open
	closing
	semicolon
	broken
)

// String says what a token of the kind looks like.
func (k kind) String() string {
	switch k {
	case word:
		return "a word"
	case open:
		return "{"
	case closing:
		return "}"
	case semicolon:
		return ";"
	case broken:
		return "a quote or comment without an end"
	default:
		return "the end of the file"
	}
}

// lexer splits the text of a file as BIND does: words, which may be in double
// quotes, the marks { } ; and comments in the manners of C, C++ and the shell.
type lexer struct {
	text  string // what is left
	line  int
	kind  kind
	token string // of a word
}

// next reads the next token.
func (l *lexer) next() {
	if !l.skip() {
		l.kind, l.text = broken, ""
		return
	}
	if l.text == "" {
		l.kind = end
		return
	}
	switch l.text[0] {
	case '{':
		l.mark(open)
	case '}':
		l.mark(closing)
	case ';':
		l.mark(semicolon)
	case '"':
		token, rest, ok := strings.Cut(l.text[1:], `"`)
		if l.kind = word; !ok || strings.Contains(token, "\n") {
			l.kind, rest = broken, ""
		}
		l.token, l.text = token, rest
	default:
		n := strings.IndexAny(l.text, " \t\r\n{};\"")
		if n < 0 {
			n = len(l.text)
		}
		l.kind, l.token, l.text = word, l.text[:n], l.text[n:]
	}
}

func (l *lexer) mark(k kind) { l.kind, l.text = k, l.text[1:] }

// skip passes over space and comments. It is false for a comment without end.
func (l *lexer) skip() bool {
	for l.text != "" {
		switch {
		case strings.ContainsRune(" \t\r\n", rune(l.text[0])):
			l.pass(1)
		case l.text[0] == '#', strings.HasPrefix(l.text, "//"):
			_, l.text, _ = strings.Cut(l.text, "\n")
			l.line++
		case strings.HasPrefix(l.text, "/*"):
			n := strings.Index(l.text[2:], "*/")
			if n < 0 {
				return false
			}
			l.pass(n + 4)
		default:
			return true
		}
	}
	return true
}

// pass goes on by n bytes, and counts their lines.
func (l *lexer) pass(n int) {
	l.line += strings.Count(l.text[:n], "\n")
	l.text = l.text[n:]
}
