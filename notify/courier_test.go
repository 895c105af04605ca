package notify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"switchd/notify"
)

// send sends a message to one address by a process of its own.
func send(t *testing.T, limit time.Duration, address string, m notify.Message) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return courier(t).Send(ctx, load(t, "web = "+address).Of("web")[0], m)
}

var sample = notify.Message{
	Title: "[prod] web 2.0.0 is halted", Text: "Why: größer als erlaubt\n.\nFrom: nobody",
	Fields: map[string]string{"service": "web", "event": "halted"},
}

func TestCourier_SendsMail(t *testing.T) {
	t.Parallel()
	box := startSMTP(t, plainly)
	m := sample
	m.Title = "[prod] größer"
	if err := send(t, 20*time.Second, "smtp://alice:hunter22@"+box.addr+"/?from=switchd@apps.test&to=web@apps.test", m); err != nil {
		t.Fatal(err)
	}
	got := box.last(t)
	subject, err := new(mime.WordDecoder).DecodeHeader(got.Header.Get("Subject"))
	body, _ := io.ReadAll(got.Body)
	if err != nil || subject != m.Title || got.Header.Get("To") != "web@apps.test" || strings.TrimSpace(strings.ReplaceAll(string(body), "\r\n", "\n")) != m.Text {
		t.Errorf("got %v (%v)\n%s", got.Header, err, body)
	}
	if len(box.users) != 1 {
		t.Errorf("logged in %d times", len(box.users))
	}
}

func TestCourier_PostsJSONToAWebhook(t *testing.T) {
	t.Parallel()
	type request struct {
		path, contentType string
		body              map[string]string
	}
	got := make(chan request, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		found := request{path: r.URL.String(), contentType: r.Header.Get("Content-Type")}
		if err := json.NewDecoder(r.Body).Decode(&found.body); err != nil {
			t.Error(err)
		}
		got <- found
	}))
	t.Cleanup(server.Close)
	if err := send(t, 20*time.Second, server.URL+"/hook?team=web", sample); err != nil {
		t.Fatal(err)
	}
	r := <-got
	if r.path != "/hook?team=web" || r.contentType != "application/json" || r.body["title"] != sample.Title || r.body["message"] != sample.Text || r.body["service"] != "web" || r.body["event"] != "halted" {
		t.Errorf("got %+v", r)
	}
	if at, err := time.Parse(time.RFC3339, r.body["at"]); err != nil || time.Since(at) > time.Minute {
		t.Errorf("at %q: %v", r.body["at"], err)
	}
	// What Slack, Mattermost and Rocket.Chat take: a text.
	if err := send(t, 20*time.Second, strings.Replace(server.URL, "http", "generic+http", 1)+"/services/T/B/X?template=json&messagekey=text", sample); err != nil {
		t.Fatal(err)
	}
	if r := <-got; r.path != "/services/T/B/X" || r.body["text"] != sample.Text {
		t.Errorf("got %+v", r)
	}
}

// TestCourier_TellsWhatFailedAndNoSecret has servers that do what servers do, and
// one secret in every place of a URL that has room for one.
func TestCourier_TellsWhatFailedAndNoSecret(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("do") {
		case "refuse":
			http.Error(w, "the token S3cretToken is wrong, for "+r.URL.String(), http.StatusUnauthorized)
		case "hang":
			select {
			case <-ended:
			case <-r.Context().Done():
			}
		case "trickle":
			w.WriteHeader(http.StatusOK)
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte("x"))
				_ = http.NewResponseController(w).Flush()
				time.Sleep(10 * time.Millisecond)
			}
		case "flood":
			chunk := make([]byte, 1<<20)
			for r.Context().Err() == nil {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}
	}))
	t.Cleanup(server.Close)
	refusing := startSMTP(t, func(command string) string {
		if strings.HasPrefix(command, "AUTH") {
			return "535 no such user S3cretToken"
		}
		return ""
	})
	silent := startSMTP(t, func(command string) string {
		if strings.HasPrefix(command, "EHLO") {
			<-ended
		}
		return ""
	})
	t.Cleanup(func() { close(ended) }) // before the servers are waited for
	for name, c := range map[string]struct {
		address, want string
		limit         time.Duration
	}{
		"a webhook refuses":         {server.URL + "/S3cretToken?do=refuse&key=S3cretToken", "401", 20 * time.Second},
		"a webhook hangs":           {server.URL + "/S3cretToken?do=hang", "no end in time", 700 * time.Millisecond},
		"a webhook trickles":        {server.URL + "/S3cretToken?do=trickle", "no end in time", 700 * time.Millisecond},
		"a webhook never ends":      {server.URL + "/S3cretToken?do=flood", "generic", 15 * time.Second},
		"nobody listens":            {"http://S3cretToken:S3cretToken@127.0.0.1:1/S3cretToken?a=S3cretToken", "connection refused", 20 * time.Second},
		"a mail server refuses":     {"smtp://me:S3cretToken@" + refusing.addr + "/?from=a@apps.test&to=b@apps.test", "535", 20 * time.Second},
		"a mail server hangs":       {"smtp://me:S3cretToken@" + silent.addr + "/?from=a@apps.test&to=b@apps.test", "no end in time", 700 * time.Millisecond},
		"a URL lacks what it needs": {"slack://S3cretToken", "slack", 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			err := send(t, c.limit, c.address, sample)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if err != nil && strings.Contains(strings.ToLower(err.Error()), "s3cret") {
				t.Errorf("the secret is told: %v", err)
			}
			if took := time.Since(began); took > c.limit+5*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// TestCourier_TellsNoSecretOfAnyKind has all services fail at a proxy that refuses
// them, or at their own address.
func TestCourier_TellsNoSecretOfAnyKind(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "no way to "+r.URL.String(), http.StatusForbidden)
	}))
	t.Cleanup(proxy.Close)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		t.Setenv(name, proxy.URL)
	}
	t.Setenv("NO_PROXY", "")
	t.Setenv("no_proxy", "")
	const secret = "S3cretToken9AAAAAAAAAA"
	tried := make(map[string]bool)
	for _, address := range []string{
		"bark://" + secret + "@bark.apps.test/", "discord://" + secret + "@123456789012345678", "generic://hooks.apps.test/" + secret,
		"gotify://gotify.apps.test/A" + secret[:14], "googlechat://chat.googleapis.com/v1/spaces/FOO/messages?key=" + secret + "&token=" + secret,
		"hangouts://chat.googleapis.com/v1/spaces/FOO/messages?key=" + secret + "&token=" + secret,
		"ifttt://" + secret + "/?events=event", "join://shoutrrr:" + secret + "@join/?devices=device", "lark://open.feishu.cn/" + secret + "?secret=" + secret,
		"matrix://user:" + secret + "@matrix.apps.test/?rooms=!room", "mattermost://bot@mattermost.apps.test/" + secret, "notifiarr://" + secret,
		"ntfy://me:" + secret + "@ntfy.apps.test/topic", "opsgenie://api.opsgenie.com/" + secret, "pagerduty://events.pagerduty.com/5ec4e7000000000000000000deadbeef",
		"pushbullet://o." + (secret + secret)[:32], "pushover://shoutrrr:" + secret + "@user" + secret, "rocketchat://bot@rocketchat.apps.test/" + secret + "/" + secret,
		"signal://me:" + secret + "@signal.apps.test:443/+491701234567/+491701234568", "slack://hook:T53CRETT0-B53CRETB0-53CRETAAAAAAAAAAAAAAAAAA@webhook", "slack://xoxb:530001234567-530001234567-53CRETAAAAAAAAAAAAAAAAAA@C001",
		"smtp://me:" + secret + "@mail.invalid:25/?from=a@apps.test&to=b@apps.test",
		"teams://11111111-4444-4444-8444-cccccccccccc@22222222-4444-4444-8444-cccccccccccc/33333333012222222222333333333344/44444444-4444-4444-8444-cccccccccccc/V2ESyij_gAljSoUQHvZoZYzlpAoAXExyOl26dlf1xHEx05?host=apps.webhook.office.com",
		"telegram://123456789:" + strings.Repeat(secret, 2)[:35] + "@telegram?chats=@channel", "wecom://" + secret, "zulip://bot:" + secret + "@zulip.apps.test/?stream=s",
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		tried[u.Scheme] = true
		err = send(t, 10*time.Second, address, sample)
		if err == nil {
			t.Errorf("%s: it was sent", u.Scheme)
			continue
		}
		t.Log(err)
		for _, part := range []string{"S3cret", "oken9", "53cret", "deadbeef", "530001234567", "V2ESyij", "3333333301", "44444444-4444"} {
			if strings.Contains(strings.ToLower(err.Error()), strings.ToLower(part)) {
				t.Errorf("%s: %q is told: %v", u.Scheme, part, err)
			}
		}
	}
	for _, kind := range notify.Kinds() {
		if !tried[kind] {
			t.Errorf("%s isn't tried", kind)
		}
	}
}

func TestCourier_KeepsItsSecretsFromTheProcess(t *testing.T) {
	t.Setenv("CONSUL_HTTP_TOKEN", "S3cretToken")
	c := notify.Courier{Program: "/bin/sh", Args: []string{"-c", `echo "path=${PATH:+there} token=$CONSUL_HTTP_TOKEN." >&2; exit 1`}}
	err := c.Send(t.Context(), load(t, "web = smtp://apps").Of("web")[0], sample)
	if err == nil || !strings.Contains(err.Error(), "path=there token=.") {
		t.Errorf("got %v", err)
	}
	if err := (notify.Courier{Program: "/nowhere/at/all"}).Send(t.Context(), load(t, "web = smtp://apps").Of("web")[0], sample); err == nil || !strings.Contains(fmt.Sprint(err), "no such file") {
		t.Errorf("got %v", err)
	}
}
