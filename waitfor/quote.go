package waitfor

import (
	"strconv"
	"unicode/utf8"
)

// maxQuoted bounds what is shown of what others have written, in bytes.
const maxQuoted = 100

// quote makes a foreign text printable and bounds it, between two characters.
func quote(text string) string {
	if len(text) <= maxQuoted {
		return strconv.Quote(text)
	}
	end := maxQuoted
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return strconv.Quote(text[:end]) + "…"
}
