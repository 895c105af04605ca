package judge

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// strict reads one JSON value and refuses fields that nobody wrote.
func strict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more than one value")
	}
	return nil
}
