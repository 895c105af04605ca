package notify

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// scrub takes everything out of a text that could be of a secret URL: whatever
// follows the scheme of a URL, each part of the address and each word of one. Which
// of them are secrets depends on the service, and libraries put them together anew.
func scrub(text, address string) string {
	text = regexp.MustCompile(`(?i)([a-z][a-z0-9+.-]*://)[^\s"']*`).ReplaceAllString(text, "$1…")
	for _, part := range parts(address) {
		text = regexp.MustCompile(`(?i)`+regexp.QuoteMeta(part)).ReplaceAllString(text, "…")
	}
	return text
}

// shortSecret is the length in bytes from which something of an address counts: less
// is no secret, and would leave nothing of any text.
const shortSecret = 3

// parts are what an address is made of, the longest first, as it stands there and
// decoded.
func parts(address string) []string {
	_, rest, _ := strings.Cut(address, "://")
	texts := []string{rest}
	for _, decode := range []func(string) (string, error){url.QueryUnescape, url.PathUnescape} {
		if decoded, err := decode(rest); err == nil {
			texts = append(texts, decoded)
		}
	}
	var found []string
	for _, text := range texts {
		for _, pattern := range []string{`[^/:@?&=#]+`, `[\pL\pN]+`} {
			found = append(found, regexp.MustCompile(pattern).FindAllString(text, -1)...)
		}
	}
	found = slices.DeleteFunc(found, func(part string) bool { return len(part) < shortSecret })
	slices.SortFunc(found, func(a, b string) int { return len(b) - len(a) })
	return found
}
