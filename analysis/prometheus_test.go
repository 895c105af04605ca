package analysis_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"switchd/analysis"
)

// hang answers a beginning and then nothing until the client has gone, which a
// server notices only once it has read the request's body.
func hang(beginning string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if beginning != "" {
			_, _ = io.WriteString(w, beginning)
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	}
}

// What a healthy Prometheus can't be brought to answer comes from a server that
// speaks its protocol.
func TestPrometheus_TellsUnknownFromWrong(t *testing.T) {
	t.Parallel()
	answers := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = fmt.Fprint(w, body)
		}
	}
	const one = `"data":{"resultType":"scalar","result":[1435781451.781,"1"]}`
	tests := map[string]struct {
		handler http.HandlerFunc
		wrong   bool
		why     string
	}{
		"bad data":         {answers(400, `{"status":"error","errorType":"bad_data","error":"parse error"}`), true, `parse error, in "up"`},
		"execution":        {answers(422, `{"status":"error","errorType":"execution","error":"many-to-many"}`), true, `many-to-many, in "up"`},
		"too many samples": {answers(422, `{"status":"error","errorType":"execution","error":"query processing would load too many samples into memory in query execution"}`), false, "too many samples"},
		"a store is away":  {answers(422, `{"status":"error","errorType":"execution","error":"expanding series: proxy Series(): rpc error: code = Unavailable"}`), false, "rpc error"},
		"canceled":         {answers(499, `{"status":"error","errorType":"canceled","error":"query was canceled"}`), false, "client_error: client error: 499"},
		"internal":         {answers(500, `{"status":"error","errorType":"internal","error":"disk"}`), false, "server_error: server error: 500"},
		"timeout":          {answers(503, `{"status":"error","errorType":"timeout","error":"too slow"}`), false, `"error":"too slow"`},
		"not found":        {answers(404, `nothing here`), false, "client_error: client error: 404"},
		"unauthorized":     {answers(401, ``), false, "client_error: client error: 401"},
		"gateway":          {answers(502, `<html>`), false, "server_error: server error: 502"},
		"redirect":         {answers(302, ``), false, "302"},
		"no JSON":          {answers(200, `<html>`), false, "bad_response: "},
		"warnings":         {answers(200, `{"status":"success",`+one+`,"warnings":["a store is gone"]}`), false, "the data may be partial, Prometheus warns: a store is gone"},
		"endless":          {answers(200, strings.Repeat(" ", 2<<20)), false, "the answer is longer than 1048576 bytes"},
		"hanging":          {hang(""), false, "no answer within 5s"},
		"hanging midways":  {hang(`{"status":`), false, "no answer within 5s"},
		"histogram": {
			answers(200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{"count":"1","sum":"1","buckets":[]}]}]}}`),
			false, "a histogram where one value is expected",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(tt.handler)
			t.Cleanup(srv.Close)
			q := client(t, srv.URL)
			now := time.Now()
			_, err := q.Query(t.Context(), "up", now)
			wantError(t, err, tt.why, tt.wrong)
			if strings.HasPrefix(name, "hanging") || name == "endless" || name == "histogram" {
				return // the others take more of them
			}
			_, err = q.Raw(t.Context(), "up", now.Add(-time.Minute), now)
			wantError(t, err, tt.why, tt.wrong)
			_, err = q.Range(t.Context(), "up", now.Add(-time.Minute), now, time.Second)
			wantError(t, err, tt.why, tt.wrong)
		})
	}
}

func TestPrometheus_RefusesNativeHistogramsWhereNumbersAreExpected(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"took"},"histograms":[[1,{"count":"1","sum":"1","buckets":[]}]]}]}}`)
	}))
	t.Cleanup(srv.Close)
	_, err := client(t, srv.URL).Raw(t.Context(), "took", time.Unix(0, 0), time.Unix(60, 0))
	wantError(t, err, "took is a native histogram where numbers are expected: take a part of it, with histogram_fraction() for example", true)
}

func wantError(t *testing.T, err error, why string, wrong bool) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), why) {
		t.Fatalf("got %v, want …%s…", err, why)
	}
	if _, is := errors.AsType[*analysis.SpecError](err); is != wrong {
		t.Errorf("a mistake in the spec: %t, want %t: %v", is, wrong, err)
	}
}

func TestNewPrometheus_RefusesWhatIsNoAddress(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "127.0.0.1:9090", "ftp://127.0.0.1", "http://", "http://\x00"} {
		if _, err := analysis.NewPrometheus(base); err == nil {
			t.Errorf("accepted %q", base)
		}
	}
	for _, base := range []string{"ftp://user:secret@127.0.0.1", "http://user:secret@127.0.0.1:http", "127.0.0.1:9090"} {
		_, err := analysis.NewPrometheus(base)
		if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "expected http://host:port") {
			t.Errorf("of %q it says %v", base, err)
		}
	}
}
