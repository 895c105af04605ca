package notify

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"switchd/rollout"
)

// tame makes a text fit for strangers' services: no control characters, which
// would end a mail's header; nothing that calls all people of a chat, since a
// failing health check's output may be in it; no more bytes than that.
func tame(text string, limit int, lines bool) string {
	text = strings.Map(func(c rune) rune {
		switch {
		case c == '\n' && lines:
			return c
		case c == utf8.RuneError:
			return '?'
		case unicode.IsControl(c), unicode.Is(unicode.Cf, c), c == '\u2028', c == '\u2029':
			return ' '
		default:
			return c
		}
	}, text)
	text = regexp.MustCompile(`(?i)(@|<!)(everyone|here|channel|all|room|subteam)`).ReplaceAllString(text, "$1 $2")
	if lines {
		var out []string
		for line := range strings.SplitSeq(text, "\n") {
			out = append(out, rollout.Clip(line, maxWidth))
		}
		text = strings.Join(out, "\n")
	}
	return rollout.Clip(text, limit)
}
