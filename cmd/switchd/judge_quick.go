package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"switchd/judge/replay"
	"switchd/spec"
)

// auto is a flag that goes by something else.
const auto = "auto"

// quickFlags are an analysis in a few words.
type quickFlags struct {
	Judge    string         `help:"Judge to ask: sequential, threshold or mannwhitney; auto is sequential, or threshold with --min or --max." enum:"auto,sequential,threshold,mannwhitney" default:"auto" placeholder:"NAME"`
	Alpha    *float64       `help:"Probability of a false alarm over all looks and metrics, of sequential." placeholder:"P"`
	Allowed  *float64       `help:"Ratio above which a metric has regressed, of sequential." placeholder:"RATIO"`
	Margin   *float64       `help:"A ratio below 1+margin is no worse, of sequential." placeholder:"SHARE"`
	Harmless *float64       `help:"Share of bad events that is never a regression, of sequential." placeholder:"SHARE"`
	Settle   *time.Duration `help:"Time in which a new version may be worse, as its caches are cold." placeholder:"DURATION"`
	Min      *float64       `help:"Least value that passes, of threshold." placeholder:"VALUE"`
	Max      *float64       `help:"Highest value that passes, of threshold." placeholder:"VALUE"`
	Looks    *int           `help:"Least looks before anything passes." placeholder:"NUMBER"`
	Interval time.Duration  `help:"Time between two looks; files of samples have their own, and else it is 1m." default:"1m" placeholder:"DURATION"`

	Bad       string   `help:"Counters of bad events, a selector; for OpenMetrics and Prometheus." placeholder:"SELECTOR"`
	Total     string   `help:"Counters of all events, a selector." placeholder:"SELECTOR"`
	Buckets   string   `help:"Buckets of a latency histogram, a selector." placeholder:"SELECTOR"`
	Edges     []string `help:"Latencies from which on a request is slow, such as 300ms; those of the histogram if not set." placeholder:"LATENCY"`
	Query     string   `help:"PromQL that gives one value; for Prometheus." placeholder:"PROMQL"`
	PoolLabel string   `help:"Label that tells pools apart, where a selector doesn't use $${pool}; pool if not set." default:"pool" placeholder:"LABEL"`
	Node      string   `help:"Label that tells nodes apart; instance if not set." default:"instance" placeholder:"LABEL"`
}

// config returns the analysis of a file, or that of the flags, with its text.
// What is recorded says which metrics the flags are about; nil: what they name.
func (c *judgeCmd) config(recorded []replay.Metric) (spec.Analysis, string, error) {
	if c.Config == "" {
		text, err := c.quick(recorded)
		if err != nil {
			return spec.Analysis{}, "", err
		}
		a, err := spec.ParseAnalysis("the analysis that the flags make", []byte(text))
		if err != nil {
			return spec.Analysis{}, "", &usageError{err.Error()}
		}
		return a, text, nil
	}
	if name := c.quickNamed(); name != "" {
		return spec.Analysis{}, "", &usageError{fmt.Sprintf("--%s and --config can't be given both: the file says it all", name)}
	}
	text, err := os.ReadFile(c.Config)
	if err != nil {
		return spec.Analysis{}, "", &inputError{fmt.Sprintf("read the configuration: %v", err)}
	}
	a, err := spec.ParseAnalysis(c.Config, text)
	if err != nil {
		return spec.Analysis{}, "", &inputError{"the configuration has mistakes\n\n" + err.Error()}
	}
	return a, string(text), nil
}

// quickNamed is the first flag of an analysis that is given.
func (c *quickFlags) quickNamed() string {
	for _, flag := range []struct {
		name string
		set  bool
	}{
		{"judge", c.Judge != auto},
		{"alpha", c.Alpha != nil},
		{"allowed", c.Allowed != nil},
		{"margin", c.Margin != nil},
		{"harmless", c.Harmless != nil},
		{"settle", c.Settle != nil},
		{"min", c.Min != nil},
		{"max", c.Max != nil},
		{"looks", c.Looks != nil},
		{"bad", c.Bad != ""},
		{"total", c.Total != ""},
		{"buckets", c.Buckets != ""},
		{"edges", c.Edges != nil},
		{"query", c.Query != ""},
	} {
		if flag.set {
			return flag.name
		}
	}
	return ""
}

// quick writes the flags as an analysis.
func (c *quickFlags) quick(recorded []replay.Metric) (string, error) {
	if err := c.askable(recorded != nil); err != nil {
		return "", err
	}
	if recorded == nil {
		switch {
		case c.Bad != "" || c.Total != "":
			recorded = []replay.Metric{{Name: "errors", Kind: replay.Counts}}
		case c.Buckets != "":
			recorded = []replay.Metric{{Name: "latency", Kind: replay.Buckets}}
		case c.Query != "":
			recorded = []replay.Metric{{Name: "value", Kind: replay.Values}}
		default:
			return "", &usageError{"name what to judge: an analysis with --config, or counters with --bad and --total, a histogram with --buckets, a value with --query"}
		}
	}
	var b block
	b.open("analysis")
	b.set("interval", c.Interval.String())
	b.number("looks", intAsFloat(c.Looks))
	b.number("alpha", c.Alpha)
	if c.Settle != nil {
		b.set("settle", c.Settle.String())
	}
	for _, m := range recorded {
		if m.Kind == replay.Named {
			return "", &usageError{fmt.Sprintf("metric %q has several values a side, which only an expression can judge; write one with --config", m.Name)}
		}
		b.open("metric " + strconv.Quote(m.Name))
		c.metric(&b, m)
		b.close()
	}
	b.close()
	return b.text.String(), nil
}

// askable refuses flags that would ask for nothing, for two things at once, or
// for what a file of samples has already.
func (c *quickFlags) askable(recorded bool) error {
	var named []string
	for _, flag := range []struct{ name, text string }{{"--bad", c.Bad}, {"--total", c.Total}, {"--buckets", c.Buckets}, {"--query", c.Query}} {
		if flag.text != "" {
			named = append(named, flag.name)
		}
	}
	pair := c.Bad != "" && c.Total != ""
	switch {
	case len(named) == 0 || !recorded && (len(named) == 1 && c.Bad+c.Total == "" || len(named) == 2 && pair):
		return nil
	case recorded:
		return &usageError{named[0] + " asks a Prometheus or a file of OpenMetrics, and a file of samples has its metrics; leave it out"}
	case !pair && c.Bad+c.Total != "" && len(named) == 1:
		return &usageError{"--bad and --total belong together: the bad events of all events; " + named[0] + " alone can't be judged"}
	}
	return &usageError{strings.Join(named, " and ") + " ask for several metrics; name one, or write them into a file for --config"}
}

// metric writes one metric.
func (c *quickFlags) metric(b *block, m replay.Metric) {
	judge := c.Judge
	if judge == auto {
		judge = spec.JudgeSequential
		if c.Min != nil || c.Max != nil {
			judge = spec.JudgeThreshold
		}
	}
	b.set("judge", judge)
	switch m.Kind {
	case replay.Counts:
		b.set("bad", c.pooled(c.Bad, "bad"))
		b.set("total", c.pooled(c.Total, "total"))
	case replay.Buckets:
		b.set("buckets", c.pooled(c.Buckets, "buckets"))
		edges := c.Edges
		for _, e := range m.Edges {
			if c.Edges == nil {
				edges = append(edges, strconv.FormatFloat(e, 'g', -1, 64))
			}
		}
		b.edges(edges)
	case replay.Values, replay.Named:
		query := c.Query
		if query == "" {
			query = c.pooled("", "value")
		}
		b.set("query", query)
	}
	if c.Node != "instance" && m.Kind != replay.Values {
		b.set("node", c.Node)
	}
	b.number("min", c.Min)
	b.number("max", c.Max)
	b.number("allowed", c.Allowed)
	b.number("margin", c.Margin)
	if m.Kind != replay.Values {
		b.number("harmless", c.Harmless)
	}
}

// pooled is a selector that tells pools apart. Without one, it is the name of
// what a file of samples has.
func (c *quickFlags) pooled(selector, name string) string {
	if selector == "" {
		selector = name
	}
	if strings.Contains(selector, "${pool}") || strings.Contains(selector, "${version}") {
		return selector
	}
	matcher := c.PoolLabel + `="${pool}"`
	if head, rest, ok := strings.Cut(selector, "{"); ok {
		if strings.TrimSpace(strings.TrimSuffix(rest, "}")) != "" {
			matcher += ", "
		}
		return head + "{" + matcher + rest
	}
	return selector + "{" + matcher + "}"
}

// block writes HCL.
type block struct {
	text  strings.Builder
	depth int
}

func (b *block) line(format string, args ...any) {
	_, _ = fmt.Fprintf(&b.text, strings.Repeat("  ", b.depth)+format+"\n", args...)
}

func (b *block) open(head string) {
	b.line("%s {", head)
	b.depth++
}

func (b *block) close() {
	b.depth--
	b.line("}")
}

// set writes a text, in which ${pool} is a variable.
func (b *block) set(name, value string) { b.line("%s = %s", name, quoted(value)) }

func quoted(value string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(value) + `"`
}

func (b *block) number(name string, value *float64) {
	if value != nil {
		b.line("%s = %s", name, strconv.FormatFloat(*value, 'f', -1, 64))
	}
}

// edges writes latencies, which are durations or numbers.
func (b *block) edges(edges []string) {
	if len(edges) == 0 {
		return
	}
	items := make([]string, len(edges))
	for i, e := range edges {
		items[i] = quoted(e)
		if v, err := strconv.ParseFloat(e, 64); err == nil {
			items[i] = strconv.FormatFloat(v, 'f', -1, 64)
		}
	}
	b.line("edges = [%s]", strings.Join(items, ", "))
}

func intAsFloat(n *int) *float64 {
	if n == nil {
		return nil
	}
	return new(float64(*n))
}
