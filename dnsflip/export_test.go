package dnsflip

// Carry is carry for views in any form, and changes neither.
func Carry(before, after View) View { return carry(before, after.normal()) }
