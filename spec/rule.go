package spec

import (
	"errors"
	"fmt"
	"io/fs"
	"net/mail"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
)

// rule is what a text must be.
type rule struct {
	want string // completes "must be …"
	ok   func(string) bool
	// more is a sentence on what is wrong with a text, if there is more to
	// say; it may be nil.
	more func(string) string
}

// hint is that sentence, with a space before it.
func (r rule) hint(given string) string {
	if r.more == nil {
		return ""
	}
	return r.more(given)
}

func oneOf(names ...string) rule {
	r := rule{
		want: quoted(names),
		ok:   func(s string) bool { return slices.Contains(names, s) },
		more: func(s string) string { return DidYouMean(s, names) },
	}
	if len(names) > 1 {
		r.want = "one of " + r.want
	}
	return r
}

func matching(want, pattern string, longest int) rule {
	re := regexp.MustCompile(`\A(?:` + pattern + `)\z`)
	return rule{want: want, ok: func(s string) bool { return len(s) <= longest && re.MatchString(s) }}
}

// Labels are those of RFC 1123 section 2.1, in lower case, as DNS compares
// without case and Consul doesn't.
const labelPattern = `[a-z0-9](?:[a-z0-9-]*[a-z0-9])?`

func labelRule() rule {
	return matching("a DNS label: a-z, 0-9 and inner \"-\", at most 63 characters", labelPattern, 63)
}

// serviceRule leaves room for "-green".
func serviceRule() rule {
	return matching("a DNS label: a-z, 0-9 and inner \"-\", at most 57 characters", labelPattern, 57)
}

// switchNameRule also takes the zone's apex.
func switchNameRule() rule {
	r := serviceRule()
	label := r.ok
	r.want += ", or \"" + SwitchApex + "\" for the zone itself"
	r.ok = func(s string) bool { return s == SwitchApex || label(s) }
	return r
}

func domainRule() rule {
	r := matching("a domain name in lower case without a final dot, such as \"apps.test\"", labelPattern+`(?:\.`+labelPattern+`)*`, 253)
	return r.and(func(s string) bool {
		return !slices.ContainsFunc(strings.Split(s, "."), func(l string) bool { return len(l) > 63 })
	})
}

// keyRule is the name of a TSIG key, RFC 8945 section 4.2.
func keyRule() rule {
	return matching("the name of a TSIG key: a-z, 0-9, \"_\", inner \"-\" and \".\", without a final dot", `[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?`, 253)
}

func endpointRule() rule {
	return rule{
		want: "an IP address with a port, such as \"192.0.2.53:53\"",
		ok: func(s string) bool {
			at, err := netip.ParseAddrPort(s)
			return err == nil && at.Port() != 0 && !at.Addr().IsUnspecified() && at.Addr().Zone() == "" && at.String() == s
		},
	}
}

func resolverRule() rule {
	r := endpointRule()
	r.want = "an IP address, with a port if it isn't 53, such as \"192.0.2.53\""
	withPort := r.ok
	r.ok = func(s string) bool {
		addr, err := netip.ParseAddr(s)
		return err == nil && withPort(netip.AddrPortFrom(addr, dnsPort).String()) || withPort(s)
	}
	return r
}

// transferRule is who may copy a zone.
func transferRule() rule {
	return rule{
		want: "an address, a prefix such as \"192.0.2.0/24\", or \"key:NAME\" with the name of a TSIG key",
		ok: func(s string) bool {
			if name, isKey := strings.CutPrefix(s, "key:"); isKey {
				return keyRule().ok(name)
			}
			if prefix, err := netip.ParsePrefix(s); err == nil {
				return prefix == prefix.Masked()
			}
			addr, err := netip.ParseAddr(s)
			return err == nil && addr.Zone() == ""
		},
	}
}

// inputRule is a file beside the inputs or in a directory below them.
func inputRule() rule {
	return rule{
		want: "a path relative to the directory of inputs and not out of it, such as \"apps.zone\"",
		ok:   func(s string) bool { return fs.ValidPath(s) && s != "." && lineRule().ok(s) },
	}
}

// nodeRule keeps the case, because Consul's node names do.
func nodeRule() rule {
	const part = `[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?`
	return matching("a Consul node name: letters, digits, inner \"-\" and \".\", at most 253 characters", part+`(?:\.`+part+`)*`, 253)
}

func metaKeyRule() rule {
	return matching("a Consul metadata key: letters, digits, \"-\" and \"_\", at most 128 characters", `[A-Za-z0-9_-]+`, 128)
}

func metaValueRule() rule {
	return rule{want: "a text of at most 512 bytes", ok: func(s string) bool { return len(s) <= 512 }}
}

func envNameRule() rule {
	return matching("the name of an environment variable: letters, digits and \"_\", not a digit first", `[A-Za-z_][A-Za-z0-9_]*`, 256)
}

// headerRule is a field name, RFC 9110 section 5.1.
func headerRule() rule {
	return matching("the name of an HTTP header, such as \"Content-Type\"", "[A-Za-z0-9!#$%&'*+.^_`|~-]+", 256)
}

func lineRule() rule {
	return rule{
		want: "a text on one line, without control characters, of at most 4096 bytes",
		ok:   func(s string) bool { return len(s) <= 4096 && !strings.ContainsFunc(s, unicode.IsControl) },
	}
}

func wordRule() rule {
	r := lineRule().and(func(s string) bool { return s != "" && !strings.ContainsFunc(s, unicode.IsSpace) })
	r.want = "a text without spaces, of at most 4096 bytes"
	return r
}

// argumentRule is what execve(2) takes.
func argumentRule() rule {
	return rule{
		want: "a text without NUL bytes, of at most 64 KiB",
		ok:   func(s string) bool { return len(s) <= 64<<10 && !strings.Contains(s, "\x00") },
	}
}

func varRule() rule {
	return rule{want: "a text of at most 1024 bytes", ok: func(s string) bool { return len(s) <= 1024 }}
}

func pathRule() rule {
	return rule{
		want: "a path that starts with \"/\", without spaces, such as \"/healthz\"",
		ok: func(s string) bool {
			u, err := url.ParseRequestURI(sample(s))
			return err == nil && strings.HasPrefix(s, "/") && u.Host == "" && wordRule().ok(s)
		},
	}
}

func queryRule() rule {
	return rule{
		want: "a PromQL query of at most 16 KiB",
		ok:   func(s string) bool { return len(s) <= 16<<10 && strings.TrimSpace(s) != "" },
	}
}

// labelNameRule is that of Prometheus' data model,
// https://prometheus.io/docs/concepts/data_model/.
func labelNameRule() rule {
	return matching("the name of a Prometheus label: letters, digits and \"_\", not a digit first", `[A-Za-z_][A-Za-z0-9_]*`, 128)
}

// optionalLabelRule also takes none.
func optionalLabelRule() rule {
	r := labelNameRule()
	name := r.ok
	r.want += ", or empty for none"
	r.ok = func(s string) bool { return s == "" || name(s) }
	return r
}

func seriesRule() rule {
	return matching("the name of a Prometheus metric: letters, digits, \"_\" and \":\", not a digit first", `[A-Za-z_:][A-Za-z0-9_:]*`, 256)
}

// selectorRule is a name, matchers, or both: what is done with counters is not
// up to the input.
func selectorRule() rule {
	return rule{
		want: "a selector of counters, without rate() or increase(), such as http_requests_total{pool=\"${pool}\"}",
		ok: func(s string) bool {
			s = strings.TrimSpace(sample(s))
			name, matchers, braced := strings.Cut(s, "{")
			if name != "" && !seriesRule().ok(strings.TrimSpace(name)) || len(s) > 16<<10 {
				return false
			}
			matchers, closed := strings.CutSuffix(matchers, "}")
			return braced == closed && s != "" && (!braced || noBraces(matchers))
		},
	}
}

// matchersRule is what stands between the braces of a selector.
func matchersRule() rule {
	return rule{
		want: "matchers as PromQL has them, without braces, such as job=\"web\"",
		ok: func(s string) bool {
			s = strings.TrimSpace(sample(s))
			return s != "" && len(s) <= 4096 && noBraces(s) && !strings.HasSuffix(s, ",")
		},
	}
}

// noBraces tells whether all quotes are closed, and all braces within them.
func noBraces(promql string) bool {
	quote, escaped := rune(0), false
	for _, c := range promql {
		switch {
		case escaped:
			escaped = false
		case quote != 0 && quote != '`' && c == '\\':
			escaped = true
		case quote == c:
			quote = 0
		case quote != 0:
		case c == '"' || c == '\'' || c == '`':
			quote = c
		case c == '{' || c == '}':
			return false
		}
	}
	return quote == 0
}

// variableRule is a name that an expression may use. "live" leads to the
// control's values there.
func variableRule() rule {
	r := matching("the name of a query: a-z, digits and \"_\", not a digit first, and not \"live\"", `[a-z_][a-z0-9_]*`, 64)
	return r.and(func(s string) bool { return s != "live" })
}

func expressionRule() rule {
	return rule{
		want: "a boolean expression of at most 4096 bytes, such as \"errors < 0.01 && errors < 2 * live.errors\"",
		ok:   func(s string) bool { return len(s) <= 4096 && strings.TrimSpace(s) != "" },
	}
}

// groupRule is the name of a group of metrics.
func groupRule() rule {
	r := lineRule().and(func(s string) bool { return s != "" && len(s) <= 128 })
	r.want = "the name of a group, on one line, of at most 128 bytes"
	return r
}

// patternRule takes what Go's regexp package does (RE2).
func patternRule() rule {
	return rule{
		want: "a regular expression (RE2) of at most 4096 bytes",
		ok: func(s string) bool {
			_, err := regexp.Compile(sample(s))
			return err == nil && len(s) <= 4096
		},
		more: func(s string) string {
			var wrong *syntax.Error
			if _, err := regexp.Compile(sample(s)); errors.As(err, &wrong) {
				return fmt.Sprintf(" There is a %v: %s", wrong.Code, wrong.Expr)
			}
			return ""
		},
	}
}

// urlRule refuses user and password, because everybody who may read the
// compiled state would see them.
func urlRule() rule {
	return rule{
		want: "an http or https URL without user and password, such as \"http://127.0.0.1:9090\"",
		ok: func(s string) bool {
			u, err := url.Parse(s)
			return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" &&
				u.User == nil && u.RawQuery == "" && u.Fragment == "" && wordRule().ok(s) && fixed(s)
		},
	}
}

// mailRule is an addr-spec, RFC 5322 section 3.4.1.
func mailRule() rule {
	return rule{
		want: "a mail address, such as \"hostmaster@apps.test\"",
		ok: func(s string) bool {
			a, err := mail.ParseAddress(s)
			return err == nil && a.Address == s && len(s) <= 254
		},
	}
}

func (r rule) and(more func(string) bool) rule {
	first := r.ok
	r.ok = func(s string) bool { return first(s) && more(s) }
	return r
}

// fixed tells whether the text holds no runtime variable, for values that are
// used where these aren't known.
func fixed(s string) bool { return sample(s) == s }

// sample is the text as it may look once its runtime variables are known.
func sample(s string) string {
	return Vars{
		Service: "x", Pool: Blue, Other: Green, Version: "1", Node: "x", Address: "127.0.0.1", Port: "1", Dir: "x",
		Window: "1m", RateInterval: "1m",
	}.Expand(s)
}

// patternPathRule is what Go's path.Match takes.
func patternPathRule() rule {
	return rule{
		want: "a pattern of paths below the release, such as \"data/*.idx\"",
		ok: func(s string) bool {
			_, err := path.Match(s, "")
			return err == nil && lineRule().ok(s) && s != ""
		},
	}
}
