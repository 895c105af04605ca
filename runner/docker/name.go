package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"switchd/runner"
)

// The labels of the containers.
const (
	instanceLabel = "switchd.instance"
	versionLabel  = "switchd.version"
)

// Names are for people, so they keep what an engine allows of an instance's ID
// and its version. A digest of the whole tells those apart that look alike then.
const (
	maxPart      = 60 // bytes of an ID or a version in a name
	digestDigits = 12
)

// containerName is the name of a version's container.
func containerName(inst runner.Instance) string {
	return "switchd-" + part(inst.ID) + "-" + part(inst.Version) + "-" + digest(inst.ID+"\x00"+inst.Version)
}

// repository is the repository of all the images of an instance. It is the
// instance's alone, since Cleanup takes images away by their names.
func repository(inst runner.Instance) string {
	return "switchd/" + part(inst.ID) + "-" + digest(inst.ID)
}

// tagPrefix is what comes before the archive's digest in a version's tags.
func tagPrefix(inst runner.Instance) string {
	return part(inst.Version) + "-"
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])[:digestDigits]
}

// part is what is left of s in a name: lower case letters, digits, and single
// dots and dashes between them.
func part(s string) string {
	var b strings.Builder
	var separator byte
	for _, r := range strings.ToLower(s) {
		switch {
		case b.Len() == maxPart:
			return b.String()
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			if separator != 0 && b.Len() > 0 && b.Len() < maxPart-1 {
				b.WriteByte(separator)
			}
			separator = 0
			b.WriteRune(r)
		case r == '.' && separator == 0:
			separator = '.'
		default:
			separator = '-'
		}
	}
	if b.Len() == 0 {
		return "x"
	}
	return b.String()
}
