package gate

// WhenChanged reports a verdict only if its outcome or its reason is another one
// than what was reported last. It is for one goroutine.
func WhenChanged(report func(Verdict)) func(Verdict) {
	var last Verdict
	told := false
	return func(v Verdict) {
		if told && v.Outcome == last.Outcome && v.Why == last.Why {
			return
		}
		last, told = v, true
		report(v)
	}
}
