package dnsflip

// older tells whether serial a comes before b in the order of RFC 1982
// section 3.2. Two serials that are exactly half the space apart have no
// order; the safe answer for them is true.
func older(a, b uint32) bool { return int32(a-b) < 0 }
