package notify

// What tests look at from outside.
var (
	Scrub = scrub
	Tame  = tame
	Parse = parse
	Kinds = kinds
)
