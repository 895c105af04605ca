package alerts_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"switchd/alerts"
)

const (
	token   = "0123456789abcdef0123456789abcdef"
	another = "fedcba9876543210fedcba9876543210"
)

func TestLoadTokens_TakesNoFileThatOthersCanRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if tokens, err := alerts.LoadTokens(path); err != nil || !tokens.Accept("Bearer "+token) {
		t.Fatalf("got %v", err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := alerts.LoadTokens(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("mode 0640: got %v", err)
	}
	for _, path := range []string{filepath.Dir(path), path + "x"} {
		if _, err := alerts.LoadTokens(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v", path, err)
		}
	}
}

func TestTokens_AreAllAccepted(t *testing.T) {
	t.Parallel()
	tokens, err := alerts.ParseTokens(strings.NewReader("# the new one\n"+token+"\n\n  "+another+"  \n"), "tokens")
	if err != nil {
		t.Fatal(err)
	}
	for header, want := range map[string]bool{
		"Bearer " + token: true, "bearer " + another: true, "BEARER  " + token: true,
		"": false, token: false, "Basic " + token: false, "Bearer": false, "Bearer ": false,
		"Bearer " + token[1:]: false, "Bearer " + token + "0": false, "Bearer " + strings.ToUpper(another): false,
	} {
		if got := tokens.Accept(header); got != want {
			t.Errorf("%q: got %v", header, got)
		}
	}
	if (alerts.Tokens{}).Accept("Bearer ") {
		t.Error("without tokens, an empty one is accepted")
	}
}

func TestParseTokens_SaysWhereAMistakeIsAndNotWhat(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                              "no token in it",
		"# none\n":                      "no token in it",
		token + "\nsecret":              "tokens:2: a token is 16 to 512",
		"secret secret secret secret":   "tokens:1:",
		strings.Repeat("s", 513):        "tokens:1:",
		strings.Repeat(token+"\n", 17):  "more than 16 tokens",
		strings.Repeat("#"+token, 1000): "more than 16384 bytes",
	} {
		_, err := alerts.ParseTokens(strings.NewReader(text), "tokens")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), token) {
			t.Errorf("%.40q: got %v, want %q", text, err, want)
		}
	}
}
