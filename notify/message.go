package notify

import (
	"fmt"
	"slices"
	"strings"

	"switchd/rollout"
	"switchd/spec"
)

// Message is what is sent to one address: a notice, or several at once.
type Message struct {
	Title string `json:"title"`
	Text  string `json:"text"`
	// Fields are for webhooks, whose receivers are programs.
	Fields map[string]string `json:"fields,omitempty"`
}

// Bounds of a message of several notices.
const (
	wholeAtMost  = 3 // with all that they say
	listedAtMost = 30
	maxText      = 3800 // bytes: some services take 4,096 characters
)

// Compose makes one message of notices: a storm of them becomes a list, and never
// as many messages.
func Compose(notices []Notice) Message {
	if len(notices) == 1 {
		n := notices[0]
		return Message{Title: n.Subject, Text: n.Body, Fields: map[string]string{
			"environment": n.Environment, "service": n.Service, "version": n.Version, "rollout": n.Rollout,
			"event": n.Event, "about": n.About, "since": n.Since.UTC().Format("2006-01-02T15:04:05Z"),
		}}
	}
	m := Message{Title: fmt.Sprintf("[%s] %s", notices[0].Environment, tally(notices)), Fields: map[string]string{
		"environment": notices[0].Environment, "event": "several",
	}}
	if len(notices) <= wholeAtMost {
		var parts []string
		for _, n := range notices {
			parts = append(parts, n.Subject+"\n"+n.Body)
		}
		if m.Text = strings.Join(parts, "\n\n"); len(m.Text) <= maxText {
			return m
		}
	}
	var lines []string
	for _, n := range notices[:min(len(notices), listedAtMost)] {
		lines = append(lines, n.Subject)
	}
	if more := len(notices) - listedAtMost; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	all := "\nTo see all:\n  switchd --env " + notices[0].Environment + " status"
	m.Text = rollout.Clip(strings.Join(lines, "\n"), maxText-len(all)) + all
	return m
}

// tally is how many notices there are of each event, such as
// "5 notices: 3 failed, 2 waiting".
func tally(notices []Notice) string {
	count := make(map[string]int)
	for _, n := range notices {
		count[n.Event]++
	}
	var parts []string
	for _, event := range slices.Backward(spec.Events()) { // what is wrong comes first
		if count[event] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count[event], event))
		}
	}
	return fmt.Sprintf("%d notices: %s", len(notices), strings.Join(parts, ", "))
}
