package spec

// Approval is a named consent that is needed before the switch.
type Approval struct {
	Name string `json:"name"`
}

func (*Approval) form() form { return form{} }
