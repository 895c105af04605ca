package dnsflip

import (
	"slices"

	"switchd/zone"
)

// maxVersions bounds a history, and maxVersionNames the names that its versions
// list, each about 300 bytes: they share the records that a flip didn't change,
// but not the list of what lies over the zone's data.
const (
	maxVersions     = 100
	maxVersionNames = 200_000
)

// history are the last versions of a zone, which secondaries may have that
// ask for what has changed since (RFC 1995 section 5). It is immutable.
type history struct {
	versions []*zone.Zone // the newest one is the last
	// unsure says that the serial of the first version was that of other data
	// before, so that nobody knows what a secondary has.
	unsure bool
}

// with returns the history with a newer version. It begins anew when
// differences would lead nowhere: with other data of the zone's own, or a
// serial that isn't newer.
func (h history) with(z *zone.Zone) history {
	if len(h.versions) == 0 {
		return history{versions: []*zone.Zone{z}}
	}
	last := h.versions[len(h.versions)-1]
	switch {
	case last.Serial() == z.Serial():
		return history{versions: []*zone.Zone{z}, unsure: true}
	case !last.Same(z), older(z.Serial(), last.Serial()):
		return history{versions: []*zone.Zone{z}}
	}
	if most := max(1, min(maxVersions, maxVersionNames/(1+len(z.Overlay())))); len(h.versions) >= most {
		h = history{versions: h.versions[len(h.versions)-most+1:]}
	}
	h.versions = append(slices.Clip(h.versions), z)
	return h
}

// since returns the version of a serial, nil if it isn't known.
func (h history) since(serial uint32) *zone.Zone {
	for i, z := range h.versions {
		if z.Serial() == serial && (i > 0 || !h.unsure) {
			return z
		}
	}
	return nil
}
