package dnsflip

import (
	"fmt"
	"testing"

	"switchd/zone"
)

// TestHistory_OfManyNamesIsShorter counts the names that all versions of a
// large zone list, which is what they cost.
func TestHistory_OfManyNamesIsShorter(t *testing.T) {
	t.Parallel()
	const many = maxVersionNames / 20
	var overlay []*zone.Node
	for i := range many {
		name, err := zone.ParseName(fmt.Sprintf("s%d.apps.test", i))
		if err != nil {
			t.Fatal(err)
		}
		overlay = append(overlay, &zone.Node{Name: name})
	}
	base, h := parsed(t, master), history{}
	for serial := range uint32(30) {
		h = h.with(laid(t, base, serial, overlay...))
	}
	names := 0
	for _, z := range h.versions {
		names += len(z.Overlay())
	}
	if names > maxVersionNames || len(h.versions) < 15 || h.since(29) == nil {
		t.Errorf("got %d versions with %d names, want some fewer than 20 with %d at most", len(h.versions), names, maxVersionNames)
	}
}
