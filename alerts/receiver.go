package alerts

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/time/rate"
)

// Bounds of a webhook.
const (
	maxBody  = 4 << 20 // bytes
	bodyTime = 5 * time.Second
	// bodiesAtOnce are read and acted on at the same time; more are told to
	// come again.
	bodiesAtOnce = 16
	// maxOutcomes are told in an answer.
	maxOutcomes = 100
)

// Receiver is the endpoint for webhooks. Senders prove themselves by a bearer
// token or, on a listener that asks for it, by a certificate.
type Receiver struct {
	halter *Halter
	tokens Tokens
	log    *slog.Logger
	slots  chan struct{}
	// complaints bounds what strangers can have logged.
	complaints rate.Sometimes
}

// NewReceiver returns the endpoint. Without tokens, it takes only what comes
// over TLS from a sender with a certificate that the listener has checked.
func NewReceiver(halter *Halter, tokens Tokens, log *slog.Logger) *Receiver {
	return &Receiver{
		halter: halter, tokens: tokens, log: log, slots: make(chan struct{}, bodiesAtOnce),
		complaints: rate.Sometimes{Interval: 10 * time.Second},
	}
}

// answer is what a sender is told.
type answer struct {
	Error    string         `json:"error,omitempty"`
	Received int            `json:"received"`
	Effects  map[Effect]int `json:"effects,omitempty"`
	Outcomes []Outcome      `json:"outcomes,omitempty"`
	LeftOff  int            `json:"left_off,omitempty"`
}

const howToSwitchOn = "no alerts are taken here: start serve with --alerts-token-file FILE, or with --alerts-listen and --alerts-client-ca"

// ServeHTTP takes one webhook. It answers 200 when all was done that is to be
// done, which may be nothing, and a status from 500 on when the sender is to
// try again.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if request.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		r.refuse(w, http.StatusMethodNotAllowed, "method", "alerts are sent by POST")
		return
	}
	certified := request.TLS != nil && len(request.TLS.VerifiedChains) > 0
	if !certified && !r.tokens.accept(request.Header.Get("Authorization")) {
		r.stranger(w, request)
		return
	}
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	default:
		r.refuse(w, http.StatusServiceUnavailable, "busy", "too many alerts are being taken; send them again")
		return
	}
	// It fails on a connection that is gone, which is found out anyway.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, maxBody))
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		r.log.WarnContext(request.Context(), "alerts that are too large to be taken", "limit", tooLarge.Limit, "sender", request.RemoteAddr)
		r.refuse(w, http.StatusRequestEntityTooLarge, "body", "the body is larger than 4 MiB; set max_alerts at the sender")
		return
	}
	if err != nil {
		r.refuse(w, http.StatusRequestTimeout, "body", "the body did not come within "+bodyTime.String())
		return
	}
	d, err := Parse(body)
	if err != nil {
		r.log.WarnContext(request.Context(), "alerts that can't be read", "sender", request.RemoteAddr, "error", err)
		r.refuse(w, http.StatusBadRequest, "body", err.Error())
		return
	}
	r.take(w, request, d)
}

// take has the alerts take effect, also when the sender doesn't wait for it.
func (r *Receiver) take(w http.ResponseWriter, request *http.Request, d Delivery) {
	ctx := context.WithoutCancel(request.Context())
	outcomes, err := r.halter.Take(ctx, d.Alerts)
	if err != nil {
		r.refuse(w, http.StatusServiceUnavailable, "not_ready", err.Error())
		return
	}
	if d.Truncated > 0 {
		r.log.WarnContext(ctx, "the sender has left out alerts; raise its max_alerts", "sender", request.RemoteAddr, "alerts", d.Truncated)
	}
	var unreadable []Outcome
	for _, err := range d.Unreadable {
		unreadable = append(unreadable, Outcome{Alert: "unreadable", Effect: Unreadable, Why: quote(err.Error(), 200), source: d.Source, way: webhook})
	}
	r.halter.Metrics.took(unreadable)
	outcomes = append(outcomes, unreadable...)
	a := answer{Received: len(d.Alerts) + len(d.Unreadable), Effects: make(map[Effect]int)}
	for _, o := range outcomes {
		a.Effects[o.Effect]++
	}
	a.Outcomes = outcomes[:min(len(outcomes), maxOutcomes)]
	a.LeftOff = len(outcomes) - len(a.Outcomes)
	status := http.StatusOK
	if a.Effects[Failed] > 0 {
		status = http.StatusServiceUnavailable
		a.Error = "some alerts could not take effect; send them again"
	}
	write(w, status, a)
}

// stranger refuses who has not proved to be a sender of alerts.
func (r *Receiver) stranger(w http.ResponseWriter, request *http.Request) {
	if len(r.tokens.sums) == 0 {
		r.complaints.Do(func() {
			r.log.WarnContext(request.Context(), howToSwitchOn, "sender", request.RemoteAddr)
		})
		r.refuse(w, http.StatusForbidden, "off", howToSwitchOn)
		return
	}
	r.complaints.Do(func() {
		r.log.WarnContext(request.Context(), "alerts from a sender without a token that is known", "sender", request.RemoteAddr)
	})
	w.Header().Set("WWW-Authenticate", `Bearer realm="switchd alerts"`)
	r.refuse(w, http.StatusUnauthorized, "unauthorized", "the header Authorization must have a bearer token of --alerts-token-file")
}

func (r *Receiver) refuse(w http.ResponseWriter, status int, reason, why string) {
	r.halter.Metrics.refuse(reason)
	write(w, status, answer{Error: why})
}

func write(w http.ResponseWriter, status int, a answer) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(a) // a sender that went away needs no answer
}
