package analysis

import (
	"fmt"
	"io"
	"net/http"
)

// bounded limits the size of every answer, which the client of the API reads
// whole.
type bounded struct {
	next    http.RoundTripper
	longest int
}

// RoundTrip does the request and bounds the body of its answer.
func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, longest: b.longest, left: b.longest}
	return resp, nil
}

type boundedBody struct {
	io.ReadCloser
	longest, left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("the answer is longer than %d bytes", b.longest)
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
