//go:build linux

package main

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"testing"

	"github.com/anacrolix/torrent/bencode"
)

// announceTo asks the tracker as a peer does, and returns how many bytes of
// peers it is told.
func announceTo(t *testing.T, tracker *tracker, from string, query url.Values) (peers string, status int) {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/announce?"+query.Encode(), nil)
	request.RemoteAddr = from
	recorder := httptest.NewRecorder()
	tracker.ServeHTTP(recorder, request)
	if recorder.Code != http.StatusOK {
		return "", recorder.Code
	}
	var answer announcement
	if err := bencode.Unmarshal(recorder.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%q: %v", recorder.Body, err)
	}
	return answer.Peers, recorder.Code
}

func TestTracker_TellsEachOfAllOthers(t *testing.T) {
	t.Parallel()
	tracker := &tracker{peers: map[netip.AddrPort]bool{}}
	first := url.Values{"port": {"6881"}}
	if peers, _ := announceTo(t, tracker, "10.0.0.1:5000", first); peers != "" {
		t.Errorf("the first is told of %q", peers)
	}
	if peers, _ := announceTo(t, tracker, "10.0.0.2:5000", url.Values{"port": {"258"}}); peers != "\x0a\x00\x00\x01\x1a\xe1" {
		t.Errorf("the second is told of %q", peers)
	}
	if peers, _ := announceTo(t, tracker, "10.0.0.1:5001", first); peers != "\x0a\x00\x00\x02\x01\x02" {
		t.Errorf("the first is told of %q later", peers)
	}
	announceTo(t, tracker, "10.0.0.2:5000", url.Values{"port": {"258"}, "event": {"stopped"}})
	if peers, _ := announceTo(t, tracker, "10.0.0.1:5001", first); peers != "" {
		t.Errorf("the first is told of %q after that has gone", peers)
	}
}

func TestTracker_RefusesWhoCannotBeReached(t *testing.T) {
	t.Parallel()
	tracker := &tracker{peers: map[netip.AddrPort]bool{}}
	for i, port := range []string{"", "0", "65536", "x"} {
		if _, status := announceTo(t, tracker, "10.0.0.1:"+strconv.Itoa(5000+i), url.Values{"port": {port}}); status != http.StatusBadRequest {
			t.Errorf("port %q: got %d", port, status)
		}
	}
	if _, status := announceTo(t, tracker, "[2001:db8::1]:5000", url.Values{"port": {"6881"}}); status != http.StatusBadRequest {
		t.Errorf("IPv6: got %d", status)
	}
}
