package spec

// MannWhitney configures the judge of that name, by Kayenta's words.
type MannWhitney struct {
	Direction     string  `json:"direction"` // increase, decrease or either
	NaN           string  `json:"nan"`       // remove or replace
	Outliers      string  `json:"outliers"`  // keep or remove
	OutlierFactor float64 `json:"outlier_factor"`
	Critical      bool    `json:"critical"`
	MustHaveData  bool    `json:"must_have_data"`
	Tolerance     float64 `json:"tolerance"`
	Confidence    float64 `json:"confidence"`
	Measure       string  `json:"measure"` // meanRatio or cles
	// The effect's bounds; nil: 1 for meanRatio and 0.5 for cles.
	AllowedIncrease  *float64 `json:"allowed_increase,omitempty"`
	AllowedDecrease  *float64 `json:"allowed_decrease,omitempty"`
	CriticalIncrease *float64 `json:"critical_increase,omitempty"`
	CriticalDecrease *float64 `json:"critical_decrease,omitempty"`
	Group            string   `json:"group"` // that it counts in; see Score
}

func (w *MannWhitney) form() form {
	return form{attrs: []attr{
		text("direction", &w.Direction, oneOf("increase", "decrease", "either")),
		text("nan", &w.NaN, oneOf("remove", "replace")),
		text("outliers", &w.Outliers, oneOf("keep", "remove")),
		number("outlier_factor", &w.OutlierFactor, 0.01, 1000),
		flag("critical", &w.Critical),
		flag("must_have_data", &w.MustHaveData),
		number("tolerance", &w.Tolerance, 0, 100),
		number("confidence", &w.Confidence, 0.5, 0.9999),
		text("measure", &w.Measure, oneOf("meanRatio", "cles")),
		bound("allowed_increase", &w.AllowedIncrease),
		bound("allowed_decrease", &w.AllowedDecrease),
		bound("critical_increase", &w.CriticalIncrease),
		bound("critical_decrease", &w.CriticalDecrease),
		text("group", &w.Group, groupRule()),
	}}
}
