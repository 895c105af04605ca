package systemd

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"

	"switchd/runner"
)

const handleScheme = "unit"

// identity names one start for all time. systemd's invocation ID would not do:
// it changes with each automatic restart. So each start writes a token of its
// own into the unit's environment file, which lies in /run as the unit does.
type identity struct {
	unit  string
	token string
}

func newIdentity(unit string) identity {
	token := make([]byte, tokenSize)
	rand.Read(token) // Never fails, says its documentation.
	return identity{unit: unit, token: hex.EncodeToString(token)}
}

const tokenSize = 16

// handle writes the identity as unit:<name>:<token>.
func (i identity) handle() runner.Handle {
	return runner.Handle(handleScheme + ":" + i.unit + ":" + i.token)
}

func parseHandle(h runner.Handle) (identity, error) {
	// A unit's name may have colons, a token has none.
	name, isUnit := strings.CutPrefix(string(h), handleScheme+":")
	at := strings.LastIndexByte(name, ':')
	if !isUnit || at < 0 {
		return identity{}, fmt.Errorf("handle %q is not one of a systemd unit: want unit:<name>:<token>", h)
	}
	i := identity{unit: name[:at], token: name[at+1:]}
	if _, instance, ok := splitUnit(i.unit); !ok || instance == "" {
		return identity{}, fmt.Errorf("handle %q: %q is no instance of a template", h, i.unit)
	}
	if token, err := hex.DecodeString(i.token); err != nil || len(token) != tokenSize {
		return identity{}, fmt.Errorf("handle %q: its token is not of %d hexadecimal digits", h, 2*tokenSize)
	}
	return i, nil
}
