package zone

import "errors"

var (
	errEmptyName  = errors.New("the name is empty")
	errEmptyLabel = errors.New("a label is empty")
	errLongLabel  = errors.New("a label is longer than 63 octets")
	errLongName   = errors.New("the name is longer than 255 octets")
	errEscape     = errors.New(`a backslash needs a character or three digits up to 255 after it`)

	errOutside = errors.New("the name is outside of the zone")
	errTurns   = errors.New("an overlay can't make or end a delegation or a DNAME")
	errApex    = errors.New("an apex has NS and SOA records and no CNAME")
)
