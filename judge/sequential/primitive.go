package sequential

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// maxArgs bounds the arguments of Primitive, in bytes.
const maxArgs = 64 << 20

// Primitives returns the names that Primitive knows.
func Primitives() []string { return []string{"counts", "bernoulli", "cdf", "mean", "ratio"} }

// Primitive computes one of the package's building blocks, so that its numbers
// can be compared with others'. The arguments are a JSON object:
//
//   - counts, the e-process of counts: CountsArgs → CountsResult
//   - bernoulli, the beta-binomial mixture interval: BernoulliArgs → BernoulliResult
//   - cdf, the band around a distribution function: CDFArgs → CDFResult
//   - mean, the confidence sequence of a mean: MeanArgs → MeanResult
//   - ratio, the confidence sequence of a rate ratio: RatioArgs → RatioResult
//
// The result marshals to a JSON object; what JSON has no number for is null. An
// unknown name or field, a missing field and a value out of range are errors that
// name it.
func Primitive(name string, args json.RawMessage) (any, error) {
	switch name {
	case "counts":
		return run(name, args, defaultCountsArgs(), CountsArgs.compute)
	case "bernoulli":
		return run(name, args, defaultBernoulliArgs(), BernoulliArgs.compute)
	case "cdf":
		return run(name, args, defaultCDFArgs(), CDFArgs.compute)
	case "mean":
		return run(name, args, defaultMeanArgs(), MeanArgs.compute)
	case "ratio":
		return run(name, args, defaultRatioArgs(), RatioArgs.compute)
	}
	return nil, fmt.Errorf("primitive %q is unknown, known are %s", name, strings.Join(Primitives(), ", "))
}

// run decodes the arguments over their defaults and computes the result.
func run[A, R any](name string, raw json.RawMessage, args A, compute func(A) (R, error)) (any, error) {
	if len(raw) > maxArgs {
		return nil, fmt.Errorf("primitive %s: the arguments are %d bytes long, allowed are %d", name, len(raw), maxArgs)
	}
	if err := decode(raw, &args); err != nil {
		return nil, fmt.Errorf("primitive %s: read the arguments: %w (its fields are %s)", name, err, strings.Join(fields(reflect.TypeOf(args)), ", "))
	}
	result, err := compute(args)
	if err != nil {
		return nil, fmt.Errorf("primitive %s: %w", name, err)
	}
	return result, nil
}

// decode reads one JSON object strictly.
func decode(raw json.RawMessage, into any) error {
	if trimmed := bytes.TrimSpace(raw); len(trimmed) == 0 || trimmed[0] != '{' {
		return fmt.Errorf("want a JSON object, got %q", shortened(trimmed))
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON object")
	}
	return nil
}

// shortened returns the beginning of an input, for an error.
func shortened(input []byte) []byte {
	return input[:min(len(input), 20)]
}

// fields returns the JSON names of a struct's fields.
func fields(t reflect.Type) []string {
	names := make([]string, t.NumField())
	for i := range names {
		names[i], _, _ = strings.Cut(t.Field(i).Tag.Get("json"), ",")
	}
	return names
}

// required refuses a missing field.
func required(name string, there bool) error {
	if !there {
		return fmt.Errorf("%s is required", name)
	}
	return nil
}
