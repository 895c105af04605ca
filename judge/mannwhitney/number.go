package mannwhitney

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// Number is a number that JSON may not have: NaN and the infinities are written
// as null. Null is read as NaN, and so are the names that Prometheus and others
// write for them, as strings.
type Number float64

// MarshalJSON writes the number or null.
func (n Number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) || math.IsInf(float64(n), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// UnmarshalJSON reads a number, null, or a string that holds a number, NaN, Inf
// or Infinity.
func (n *Number) UnmarshalJSON(raw []byte) error {
	text := string(raw)
	if text == "null" {
		*n = Number(math.NaN())
		return nil
	}
	if raw[0] == '"' {
		if err := json.Unmarshal(raw, &text); err != nil {
			return err
		}
	}
	value, err := strconv.ParseFloat(text, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return fmt.Errorf("%s is beyond what a float64 holds", text)
	case err != nil:
		return fmt.Errorf("%s is not a number, null, NaN or Infinity", brief(raw))
	}
	*n = Number(value)
	return nil
}

// brief is a value as it stands in the input, cut for a message.
func brief(raw []byte) string {
	const most = 40
	if len(raw) > most {
		return string(bytes.ToValidUTF8(raw[:most], nil)) + "…"
	}
	return string(raw)
}

// quoteNonFinite puts quotes around the bare words NaN, Infinity and -Infinity.
// They are no JSON, but many programs write them. Lines stay where they are.
func quoteNonFinite(data []byte) []byte {
	quoted := make([]byte, 0, len(data))
	inString := false
scan:
	for i := 0; i < len(data); i++ {
		switch b := data[i]; {
		case b == '"':
			inString = !inString
		case inString && b == '\\' && i+1 < len(data):
			quoted = append(quoted, b)
			i++
		case !inString:
			for _, word := range []string{"NaN", "Infinity", "-Infinity"} {
				if bytes.HasPrefix(data[i:], []byte(word)) {
					quoted = append(append(append(quoted, '"'), word...), '"')
					i += len(word) - 1
					continue scan
				}
			}
		}
		quoted = append(quoted, data[i])
	}
	return quoted
}
