package report_test

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
	"pgregory.net/rapid"

	"switchd/judge"
	"switchd/judge/report"
	"switchd/judge/sequential"
	"switchd/spec"
)

func began() time.Time { return time.Date(2026, 11, 20, 14, 0, 0, 0, time.UTC) }

// sample is a report with all that there may be in one.
func sample() report.Report {
	none := math.NaN()
	var path, together judge.Path
	for i := range 30 {
		m := judge.Mark{
			At: began().Add(time.Duration(i+1) * time.Minute), Looks: 1,
			Experiment: 0.01 + 0.001*float64(i), Control: 0.01, Ratio: 1 + 0.1*float64(i), Lower: 0.5, Upper: 4, LogE: 0.2 * float64(i),
		}
		switch {
		case i >= 10 && i < 14:
			m = judge.Mark{At: m.At, Looks: 1, Gaps: 1, Experiment: none, Control: none, Ratio: 2, Lower: 1, Upper: 4, LogE: 2}
		case i < 3:
			m.Upper = none // what was infinite
		}
		path = append(path, m)
		together = append(together, judge.Mark{At: m.At, Looks: 1, Experiment: none, Control: none, Ratio: none, Lower: none, Upper: none, LogE: m.LogE})
	}
	plain := slices.Clone(path)
	for i := range plain {
		plain[i].Control, plain[i].Ratio, plain[i].Lower, plain[i].Upper, plain[i].LogE = none, none, none, none, none
	}
	return report.Report{
		Title: "web 1.4.0 to green", Outcome: judge.Regressed, Why: "errors: green's share is too high",
		Facts:      []report.Fact{{Name: "Decided", Text: "regressed at 14:07"}},
		Experiment: "green", Control: "blue", Limit: math.Log(50), Together: together,
		Moments: []report.Moment{{At: began().Add(7 * time.Minute), Name: "regressed"}},
		Metrics: []report.Metric{
			{
				Finding: judge.Finding{Metric: "cpu", Judge: spec.JudgeThreshold, Outcome: judge.NoWorse, Why: "cpu: 0.5, allowed at most 0.8", Samples: 26, Gaps: 4},
				Max:     new(0.8), Path: plain,
			},
			{
				Finding: judge.Finding{
					Metric: "errors", Judge: spec.JudgeSequential, Outcome: judge.Regressed, Why: "errors: green's share is too high", Ratio: 2.9,
					Band: sequential.Interval{Lower: 2.3, Upper: 4.1}, Samples: 26, Gaps: 4, Requests: [2]float64{41200, 40100},
				},
				Share: true, Allowed: 1.1, Path: path, Queries: []report.Fact{{Name: "bad", Text: `http_requests_total{code=~"5.."}`}},
			},
			{Finding: judge.Finding{Metric: "latency", Judge: spec.JudgeSequential, Why: "latency: nothing yet", Band: sequential.Interval{Upper: math.Inf(1)}}},
		},
		Config: "analysis {\n  errors {}\n}",
	}
}

func page(t testing.TB, r report.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := report.HTML(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func picture(t testing.TB, r report.Report) image.Image {
	t.Helper()
	var b bytes.Buffer
	if err := report.PNG(&b, r); err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// wellFormed wants each element to be closed where it belongs.
func wellFormed(t testing.TB, text string) {
	t.Helper()
	void := []string{"meta", "br", "hr", "img", "link", "input"}
	var open []string
	tokens := html.NewTokenizer(strings.NewReader(text))
	for {
		switch kind := tokens.Next(); kind {
		case html.ErrorToken:
			if len(open) > 0 {
				t.Errorf("not closed: %v", open)
			}
			return
		case html.StartTagToken:
			if name, _ := tokens.TagName(); !slices.Contains(void, string(name)) {
				open = append(open, string(name))
			}
		case html.EndTagToken:
			name, _ := tokens.TagName()
			if len(open) == 0 || open[len(open)-1] != string(name) {
				t.Fatalf("</%s> closes %v", name, open)
			}
			open = open[:len(open)-1]
		case html.TextToken, html.SelfClosingTagToken, html.CommentToken, html.DoctypeToken:
		}
	}
}

func TestHTML_IsWellFormedAndNeedsNothingElse(t *testing.T) {
	t.Parallel()
	text := page(t, sample())
	wellFormed(t, text)
	for _, outside := range []string{"http:", "https:", "src=", "url(", "@import", "<script", "<link", "<iframe", "//"} {
		if i := strings.Index(text, outside); i >= 0 {
			t.Errorf("the page has %q: …%s…", outside, text[max(0, i-40):min(len(text), i+40)])
		}
	}
	for _, link := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(text, -1) {
		if !strings.HasPrefix(link[1], "#") || !strings.Contains(text, `id="`+link[1][1:]+`"`) {
			t.Errorf("a link leads to %s", link[1])
		}
	}
}

func TestHTML_TellsTheDrawingsInWords(t *testing.T) {
	t.Parallel()
	text := page(t, sample())
	for _, want := range []string{
		"errors of green and blue from 2026-11-20 14:01:00Z to 2026-11-20 14:30:00Z; regressed: green&#39;s share is too high</title>",
		"cpu of green from", "<td class=\"number\">2.9 (2.3 to 4.1)</td>", "http_requests_total{code=~&#34;5..&#34;}", "41,200",
		"<pre>analysis {\n  errors {}\n}</pre>", "nothing yet", "<strong>regressed</strong>",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	labelled := regexp.MustCompile(`<svg [^>]*role="img" aria-labelledby="([^"]+)"><title id="([^"]+)">[^<]+</title>`).FindAllStringSubmatch(text, -1)
	if drawings := strings.Count(text, "<svg "); drawings != 3 || len(labelled) != drawings {
		t.Errorf("%d of %d drawings have a label", len(labelled), drawings)
	}
}

// TestHTML_HasTheReadersColours wants no colour in a drawing that a dark page
// could not change.
// TestHTML_DrawsNoRatioThatHasNoCourse has what the judge mannwhitney finds: a
// ratio once, and no band.
func TestHTML_DrawsNoRatioThatHasNoCourse(t *testing.T) {
	t.Parallel()
	r := sample()
	r.Metrics = r.Metrics[1:2]
	m := &r.Metrics[0]
	m.Finding.Band, m.Shows = sequential.Interval{}, "Share of requests above 100 ms"
	m.Path = slices.Clone(m.Path)
	for i := range m.Path {
		m.Path[i].Lower, m.Path[i].Upper, m.Path[i].LogE = math.NaN(), math.NaN(), math.NaN()
	}
	text := page(t, r)
	if strings.Contains(text, "Ratio of green to blue") || strings.Contains(text, "(0 to 0)") {
		t.Error("the page has a ratio over time")
	}
	if !strings.Contains(text, "Share of requests above 100 ms") {
		t.Error("the page doesn't say what the values are")
	}
	if !strings.Contains(page(t, sample()), "Ratio of green to blue") {
		t.Error("the page has no ratio where there is one")
	}
}

func TestHTML_HasTheReadersColours(t *testing.T) {
	t.Parallel()
	text := page(t, sample())
	fixed := regexp.MustCompile(`(fill|stroke):#[0-9A-Fa-f]{6}`)
	defined := text[:strings.Index(text, "</style>")]
	for drawing := range strings.SplitSeq(text[len(defined):], "<svg ") {
		if found := fixed.FindString(drawing); found != "" {
			t.Errorf("a drawing has the fixed colour %s", found)
		}
		for _, name := range regexp.MustCompile(`var\((--[a-z]+)\)`).FindAllStringSubmatch(drawing, -1) {
			if strings.Count(defined, name[1]+":") != 2 {
				t.Errorf("the colour %s is not there twice, for light pages and dark ones", name[1])
			}
		}
	}
}

func TestHTML_EscapesWhatOthersNamed(t *testing.T) {
	t.Parallel()
	r := sample()
	const evil = `</title></svg><script>alert("x")</script>`
	r.Title, r.Why, r.Experiment, r.Config = evil, evil, evil, evil
	r.Facts[0].Text, r.Moments[0].Name = evil, evil
	r.Metrics[1].Finding.Metric, r.Metrics[1].Finding.Why, r.Metrics[1].Queries[0].Text = evil, evil, evil
	text := page(t, r)
	wellFormed(t, text)
	if strings.Contains(text, "<script") {
		t.Error("what others named got into the page")
	}
}

func TestReports_AreTheSameEachTime(t *testing.T) {
	t.Parallel()
	r := sample()
	r.Metrics = r.Metrics[1:2]
	for name, write := range map[string]func(*bytes.Buffer) error{
		"HTML": func(b *bytes.Buffer) error { return report.HTML(b, r) },
		"PNG":  func(b *bytes.Buffer) error { return report.PNG(b, r) },
	} {
		var first, second bytes.Buffer
		if err := write(&first); err != nil {
			t.Fatal(err)
		}
		if err := write(&second); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Errorf("%s differs from time to time", name)
		}
	}
}

func TestPNG_ShowsBothSidesTheBandAndTheLimit(t *testing.T) {
	t.Parallel()
	r := sample()
	r.Metrics = r.Metrics[1:2]
	img := picture(t, r)
	seen := make(map[color.RGBA]int)
	for y := img.Bounds().Min.Y; y < img.Bounds().Max.Y; y += 2 {
		for x := img.Bounds().Min.X; x < img.Bounds().Max.X; x += 2 {
			seen[color.RGBAModel.Convert(img.At(x, y)).(color.RGBA)]++
		}
	}
	for name, want := range map[string]color.RGBA{
		"green": {0x12, 0x8A, 0x5B, 0xFF}, "blue": {0x2A, 0x66, 0xC9, 0xFF}, "band": {0xDD, 0xD3, 0xF0, 0xFF},
		"limit": {0xC2, 0x36, 0x1F, 0xFF}, "estimate": {0x6B, 0x46, 0xB8, 0xFF}, "gap": {0xF1, 0xF2, 0xF4, 0xFF},
	} {
		if seen[want] < 20 {
			t.Errorf("%d pixels of %s", seen[want], name)
		}
	}
	if w := img.Bounds().Dx(); w != 1616 {
		t.Errorf("it is %d pixels wide", w)
	}
}

// TestReports_DrawWhateverAPathHas has paths with nothing, one mark, gaps,
// infinities, and numbers beyond all measure.
func TestReports_DrawWhateverAPathHas(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		number := rapid.OneOf(
			rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64}),
			rapid.Float64Range(-10, 10),
		)
		mark := func(i int) judge.Mark {
			return judge.Mark{
				At: began().Add(time.Duration(i) * time.Duration(rapid.IntRange(1, 1e13).Draw(rt, "step"))), Looks: 1, Gaps: rapid.IntRange(0, 1).Draw(rt, "gaps"),
				Experiment: number.Draw(rt, "experiment"), Control: number.Draw(rt, "control"), Ratio: number.Draw(rt, "ratio"),
				Lower: number.Draw(rt, "lower"), Upper: number.Draw(rt, "upper"), LogE: number.Draw(rt, "logE"),
			}
		}
		r := sample()
		r.Metrics = r.Metrics[1:2]
		r.Metrics[0].Path = nil
		for i := range rapid.IntRange(0, 4).Draw(rt, "marks") {
			r.Metrics[0].Path = append(r.Metrics[0].Path, mark(i))
		}
		r.Metrics[0].Share = rapid.Bool().Draw(rt, "share")
		r.Limit = rapid.SampledFrom([]float64{0, 0.7, math.Log(50), 14}).Draw(rt, "limit")
		text := page(t, r)
		if len(text) > 2<<20 {
			rt.Fatalf("the page has %d bytes", len(text))
		}
		for _, drawn := range regexp.MustCompile(` (?:d|x|y)="([^"]*)"`).FindAllStringSubmatch(text, -1) {
			if strings.Contains(drawn[1], "NaN") || strings.Contains(drawn[1], "Inf") {
				rt.Fatalf("drawn at %s", drawn[1])
			}
		}
	})
}

func TestReports_AreBounded(t *testing.T) {
	t.Parallel()
	r := sample()
	one := r.Metrics[0]
	one.Path = one.Path[:2]
	r.Metrics = nil
	for range report.MaxPlots + 20 {
		r.Metrics = append(r.Metrics, one)
	}
	text := page(t, r)
	if got := strings.Count(text, "<svg "); got != report.MaxPlots || !strings.Contains(text, "20 further metrics are not drawn.") {
		t.Errorf("%d drawings", got)
	}
	if h := picture(t, r).Bounds().Dy(); h > 8000 {
		t.Errorf("the picture is %d pixels high", h)
	}
}
