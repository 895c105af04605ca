package spec

func (a *Approval) form() form {
	return form{attrs: []attr{whole("min_approvers", &a.MinApprovers, 1, 100)}}
}
