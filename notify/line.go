package notify

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// The pace of one address.
const (
	// sendEvery is the time between two messages, but for the first sendBurst.
	sendEvery = 10 * time.Second
	sendBurst = 3
	// sendTime bounds one try.
	sendTime = 20 * time.Second
	// tryAgain follows a try that failed, twice as long with each, up to
	// tryLongest.
	tryAgain   = 2 * time.Second
	tryLongest = 5 * time.Minute
	// Patience is how long a notice is tried.
	Patience = time.Hour
	// maxLetters is how many notices may wait for an address.
	maxLetters = 2000
	// fewLetters is how many of them one message is made of.
	fewLetters = 1000
)

// line is what waits for one address.
type line struct {
	post    *Post
	name    string
	address Address
	limit   *rate.Limiter
	more    chan struct{}

	mu      sync.Mutex
	letters []*letter
}

func newLine(p *Post, name string, a Address) *line {
	return &line{post: p, name: name, address: a, limit: rate.NewLimiter(rate.Every(sendEvery), sendBurst), more: make(chan struct{}, 1)}
}

func (l *line) full() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.letters) >= maxLetters
}

func (l *line) add(letter *letter) {
	l.mu.Lock()
	l.letters = append(l.letters, letter)
	l.mu.Unlock()
	l.post.Metrics.waiting(l.name, 1)
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// waiting are the letters that wait, the oldest first.
func (l *line) waiting() []*letter {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*letter(nil), l.letters...)
}

// finish closes the first letters, and forgets them.
func (l *line) finish(letters []*letter, o Outcome) {
	l.mu.Lock()
	l.letters = l.letters[len(letters):]
	l.mu.Unlock()
	l.post.Metrics.waiting(l.name, -len(letters))
	for _, letter := range letters {
		letter.closed(o)
	}
	l.post.Metrics.told(l.name, o, len(letters))
}

// run delivers until ctx ends.
func (l *line) run(ctx context.Context) {
	pause := tryAgain
	for {
		if len(l.waiting()) == 0 {
			select {
			case <-ctx.Done():
				return
			case <-l.more:
			}
			continue
		}
		if l.limit.Wait(ctx) != nil {
			return
		}
		if l.deliver(ctx) {
			pause = tryAgain
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, tryLongest)
	}
}

// deliver sends what waits as one message, and tells whether that went well.
func (l *line) deliver(ctx context.Context) bool {
	letters := l.waiting()
	if !l.post.File.Addresses(ctx).has(l.name, l.address.url) {
		l.finish(letters, Returned)
		return true
	}
	letters = letters[:min(len(letters), fewLetters)]
	notices := make([]Notice, len(letters))
	for i, letter := range letters {
		notices[i] = letter.Notice
	}
	sendCtx, cancel := context.WithTimeout(ctx, sendTime)
	err := l.post.Sender.Send(sendCtx, l.address, Compose(notices))
	cancel()
	if ctx.Err() != nil {
		return false // whether it has arrived isn't known: it is returned
	}
	l.post.Metrics.sent(l.name, err)
	if err == nil {
		l.finish(letters, Delivered)
		return true
	}
	late := 0
	for late < len(letters) && time.Since(letters[late].at) >= Patience {
		late++
	}
	log := l.post.Log.With("to", l.name, "address", l.address.Place(), "kind", l.address.Kind(), "error", err)
	if late > 0 {
		log.ErrorContext(ctx, "notices were given up", "notices", late, "after", Patience)
		l.finish(letters[:late], Missed)
	} else {
		log.WarnContext(ctx, "a message could not be sent; it is tried again", "notices", len(letters))
	}
	return false
}
