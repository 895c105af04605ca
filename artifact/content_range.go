package artifact

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
)

// contentRange is what a PUT brings of an archive.
type contentRange struct {
	offset int64 // the first byte that it brings
	asks   bool  // it brings nothing and asks where to go on
}

// Content-Range as in RFC 9110 section 14.4, with a length that is known and
// with numbers that 63 bits can hold.
var contentRangePattern = regexp.MustCompile(`\Abytes (?:(\*)|([0-9]{1,18})-([0-9]{1,18}))/([0-9]{1,18})\z`)

// parseContentRange reads what a request brings of an archive of size bytes:
// all of it without the field, otherwise everything from one byte on to the
// end, or nothing.
func parseContentRange(header http.Header, size int64) (contentRange, error) {
	fields := header.Values("Content-Range")
	if len(fields) == 0 {
		return contentRange{}, nil
	}
	match := contentRangePattern.FindStringSubmatch(fields[0])
	if match == nil || len(fields) > 1 {
		return contentRange{}, fmt.Errorf("Content-Range %.80q: want one of \"bytes */%d\" and \"bytes FIRST-%d/%d\"", fields, size, size-1, size)
	}
	if total := number(match[4]); total != size {
		return contentRange{}, fmt.Errorf("Content-Range %.80q: the manifest says %d bytes", fields[0], size)
	}
	if match[1] == "*" {
		return contentRange{asks: true}, nil
	}
	first, last := number(match[2]), number(match[3])
	if first > last || last != size-1 {
		return contentRange{}, fmt.Errorf("Content-Range %.80q: an upload goes to the last byte, %d", fields[0], size-1)
	}
	return contentRange{offset: first}, nil
}

// number is what digits say, of which the pattern lets no more through than
// fit.
func number(digits string) int64 {
	n, _ := strconv.ParseInt(digits, 10, 64)
	return n
}
