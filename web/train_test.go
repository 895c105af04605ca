package web_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"switchd/train"
	"switchd/web"
)

func TestPage_ShowsTrains(t *testing.T) {
	t.Parallel()
	r := newReader()
	r.trains = []*train.Train{{
		ID: "train-1", By: "<b>alice</b>", At: time.Now().Add(-time.Minute), Parallel: 2,
		Cars: []train.Car{
			{Service: "cart", Version: "1.5.0", State: train.Failed, Since: time.Now().Add(-time.Second), Why: "smoke <i>failed</i>"},
			{Service: "web", Version: "2.0.0", State: train.Done, Since: time.Now().Add(-time.Second)},
		},
	}}
	_, page := get(t, web.New(config(r)), http.MethodGet, "/")
	for _, want := range []string{
		`<h2>train-1</h2>`, `by &lt;b&gt;alice&lt;/b&gt; · 1 of 2 done, 2 at a time</p>`,
		`<tr><td>cart</td><td>1.5.0</td><td class="bad">failed 1s ago · smoke &lt;i&gt;failed&lt;/i&gt;</td></tr>`,
		`<td class="good">done 1s ago</td>`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s:\n%s", want, regexp.MustCompile(`(?s)<style.*?</style>`).ReplaceAllString(page, ""))
		}
	}
}
