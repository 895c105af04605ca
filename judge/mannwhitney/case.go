package mannwhitney

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// What an input may have at most.
const (
	MaxInput  = 64 << 20 // bytes
	MaxValues = 100_000  // values a side
)

// Case is a metric with its values, as read from a file.
type Case struct {
	// Name is the case's own, or tells which one it is.
	Name string
	// Place is the file and line where it begins.
	Place               string
	Groups              []string
	Muted               bool
	Config              Config
	Control, Experiment []float64
	// Fault is what keeps the case from being judged; nil for nothing.
	Fault error
	// Unknown are the fields that nothing was made of, in their order.
	Unknown []string
}

// Judge judges the case. One with a fault is classified as Error.
func (c Case) Judge() Result {
	r := Result{Name: c.Name, Groups: c.Groups, Muted: c.Muted}
	if c.Fault != nil {
		r.Verdict = failed(c.Fault)
	} else {
		r.Verdict = Judge(c.Config, c.Control, c.Experiment)
	}
	return r
}

// ReadCases reads cases from JSON: one object, or an array of them, with the
// fields name, kind ("mann-whitney"), control, experiment, direction, nan,
// outliers, outlierFactor, critical, mustHaveData, muted, groups, tolerance,
// confidence, and effectSize with measure, allowedDecrease, allowedIncrease,
// criticalDecrease and criticalIncrease. Only the values are needed: the others
// have the defaults of DefaultConfig. Fields whose name begins with "expected"
// are somebody else's.
//
// An error tells file and line of what is not JSON. What is wrong with a single
// case is told in the case, so that the others can be judged.
func ReadCases(r io.Reader, file string) ([]Case, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxInput+1))
	if err != nil {
		return nil, fmt.Errorf("read the cases: %w", err)
	}
	if len(data) > MaxInput {
		return nil, fmt.Errorf("%s: has more than %d MiB; split it", file, MaxInput>>20)
	}
	data = quoteNonFinite(data)
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		at := len(data)
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			at = int(syntax.Offset)
		}
		return nil, fmt.Errorf("%s:%d: not JSON: %w", file, lineAt(data, at), err)
	}
	if whole[0] != '[' {
		return []Case{readCase(whole, 1, fmt.Sprintf("%s:%d", file, lineAt(data, bytes.IndexByte(data, whole[0]))))}, nil
	}
	var cases []Case
	decoder := json.NewDecoder(bytes.NewReader(data)) // tells where each case begins
	_, err = decoder.Token()
	for err == nil && decoder.More() {
		var raw json.RawMessage
		if err = decoder.Decode(&raw); err == nil {
			begin := int(decoder.InputOffset()) - len(raw)
			cases = append(cases, readCase(raw, len(cases)+1, fmt.Sprintf("%s:%d", file, lineAt(data, begin))))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read the cases: %w", err)
	}
	return cases, nil
}

// lineAt is the line of an offset, counted from 1.
func lineAt(data []byte, offset int) int {
	return 1 + bytes.Count(data[:min(offset, len(data))], []byte("\n"))
}

// readCase reads one case, the nth, that begins at place.
func readCase(raw json.RawMessage, n int, place string) Case {
	c := Case{Name: fmt.Sprintf("case %d", n), Place: place, Config: DefaultConfig()}
	o := object{place: place}
	if err := json.Unmarshal(raw, &o.fields); err != nil || o.fields == nil {
		c.Fault = fmt.Errorf("%s: %s is not a case, want an object", place, brief(raw))
		return c
	}
	take(&o, "name", "a string", &c.Name)
	kind := "mann-whitney"
	take(&o, "kind", "a string", &kind)
	if kind != "mann-whitney" {
		o.fault("kind is %q, want \"mann-whitney\"", kind)
	}
	take(&o, "groups", "an array of strings", &c.Groups)
	take(&o, "muted", "true or false", &c.Muted)
	o.config(&c.Config)
	c.Control, c.Experiment = o.values("control"), o.values("experiment")
	if o.err == nil {
		if err := c.Config.Validate(); err != nil {
			o.fault("%w", err)
		}
	}
	c.Fault, c.Unknown = o.err, o.rest()
	return c
}

// config takes the settings over their defaults.
func (o *object) config(c *Config) {
	take(o, "direction", "a string", &c.Direction)
	take(o, "nan", "a string", &c.NaN)
	if bytes.HasPrefix(o.fields["outliers"], []byte("{")) { // as Kayenta nests it
		o.within("outliers", func(outliers *object) {
			take(outliers, "strategy", "a string", &c.Outliers)
			outliers.number("outlierFactor", &c.OutlierFactor)
		})
	}
	take(o, "outliers", "a string", &c.Outliers)
	o.number("outlierFactor", &c.OutlierFactor)
	take(o, "critical", "true or false", &c.Critical)
	take(o, "mustHaveData", "true or false", &c.MustHaveData)
	o.number("tolerance", &c.Tolerance)
	o.number("confidence", &c.Confidence)
	o.within("effectSize", func(effect *object) {
		measure := MeanRatio
		take(effect, "measure", "a string", &measure)
		c.Effect = DefaultEffect(measure)
		effect.number("allowedDecrease", &c.Effect.AllowedDecrease)
		effect.number("allowedIncrease", &c.Effect.AllowedIncrease)
		effect.number("criticalDecrease", &c.Effect.CriticalDecrease)
		effect.number("criticalIncrease", &c.Effect.CriticalIncrease)
	})
	const unset = "none" // what Kayenta passes for it
	if c.NaN == unset {
		c.NaN = RemoveNaN
	}
	if c.Outliers == unset {
		c.Outliers = KeepOutliers
	}
}
