package spec

import "strings"

// Silence holds while an alert fires that meets all matchers.
type Silence struct {
	Hold

	Name string `json:"name"`
	// Match are matchers as Alertmanager writes them, as those of Alert.
	Match []string `json:"match"`
	// For is how long nothing may have fired.
	For Duration `json:"for,omitempty"`
}

func (q *Silence) form() form {
	return form{
		attrs: append(q.attrs(),
			texts("match", &q.Match, matcherRule(), true).must(),
			span("for", &q.For, 0),
		),
		check: q.own,
	}
}

// String is what must not fire.
func (q *Silence) String() string {
	text := "no alert " + strings.Join(q.Match, ", ")
	if q.For > 0 {
		text += " for " + q.For.String()
	}
	return text
}
