package consul_test

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"switchd/consul"
)

// asked is what a server was asked with.
type asked struct {
	token, dc string
}

// answering is a server that answers as Consul does for a key that is missing,
// and notes what it was asked with.
func answering(t *testing.T) (*httptest.Server, *asked) {
	t.Helper()
	a := &asked{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.token, a.dc = r.Header.Get("X-Consul-Token"), r.URL.Query().Get("dc")
		w.WriteHeader(http.StatusNotFound)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // refused certificates are expected
	t.Cleanup(server.Close)
	return server, a
}

// bare takes what would lead a client elsewhere out of the environment.
func bare(t *testing.T) {
	t.Helper()
	for _, name := range []string{
		"CONSUL_HTTP_ADDR", "CONSUL_HTTP_TOKEN", "CONSUL_HTTP_TOKEN_FILE", "CONSUL_HTTP_AUTH", "CONSUL_HTTP_SSL", "CONSUL_HTTP_SSL_VERIFY",
		"CONSUL_CACERT", "CONSUL_CAPATH", "CONSUL_CLIENT_CERT", "CONSUL_CLIENT_KEY", "CONSUL_TLS_SERVER_NAME", "CONSUL_NAMESPACE", "CONSUL_PARTITION",
	} {
		t.Setenv(name, "")
	}
}

func ask(t *testing.T, flags consul.Flags) error {
	t.Helper()
	client, err := consul.NewClient(flags)
	if err != nil {
		return err
	}
	_, err = client.Get(t.Context(), "k")
	return err
}

func TestFlags_WinOverConsulsVariables(t *testing.T) {
	server, got := answering(t)
	server.Start()
	file := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	fromEnv, fromFlag := file("env", "env-file\n"), file("flag", "flag-file\n")
	tests := map[string]struct {
		env   map[string]string
		flags consul.Flags
		want  asked
	}{
		"NothingSaid":             {want: asked{}},
		"VariableToken":           {env: map[string]string{"CONSUL_HTTP_TOKEN": "env"}, want: asked{token: "env"}},
		"VariableTokenFile":       {env: map[string]string{"CONSUL_HTTP_TOKEN_FILE": fromEnv}, want: asked{token: "env-file"}},
		"FileFlagOverVariable":    {env: map[string]string{"CONSUL_HTTP_TOKEN": "env"}, flags: consul.Flags{TokenFile: fromFlag}, want: asked{token: "flag-file"}},
		"FileFlagOverFile":        {env: map[string]string{"CONSUL_HTTP_TOKEN_FILE": fromEnv}, flags: consul.Flags{TokenFile: fromFlag}, want: asked{token: "flag-file"}},
		"TokenFlagOverVariable":   {env: map[string]string{"CONSUL_HTTP_TOKEN": "env"}, flags: consul.Flags{Token: "flag"}, want: asked{token: "flag"}},
		"TokenFlagOverFile":       {env: map[string]string{"CONSUL_HTTP_TOKEN_FILE": fromEnv}, flags: consul.Flags{Token: "flag"}, want: asked{token: "flag"}},
		"TokenFlagOverFileFlag":   {flags: consul.Flags{Token: "flag", TokenFile: fromFlag}, want: asked{token: "flag"}},
		"Datacenter":              {flags: consul.Flags{Datacenter: "dc2"}, want: asked{dc: "dc2"}},
		"AddressFlagOverVariable": {env: map[string]string{"CONSUL_HTTP_ADDR": "127.0.0.1:1"}, want: asked{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bare(t)
			for k, v := range test.env {
				t.Setenv(k, v)
			}
			test.flags.HTTPAddr = server.Listener.Addr().String()
			*got = asked{token: "not asked"}
			if err := ask(t, test.flags); err != nil {
				t.Fatal(err)
			}
			if *got != test.want {
				t.Errorf("asked with %+v, want %+v", *got, test.want)
			}
		})
	}
	t.Run("AddressOfTheVariable", func(t *testing.T) {
		bare(t)
		for _, address := range []string{server.Listener.Addr().String(), server.URL} {
			t.Setenv("CONSUL_HTTP_ADDR", address)
			if err := ask(t, consul.Flags{}); err != nil {
				t.Errorf("%s: %v", address, err)
			}
		}
	})
	t.Run("MissingTokenFile", func(t *testing.T) {
		bare(t)
		missing := filepath.Join(t.TempDir(), "missing")
		err := ask(t, consul.Flags{HTTPAddr: server.URL, TokenFile: missing})
		if err == nil || !strings.Contains(err.Error(), missing) {
			t.Errorf("got %v, which doesn't name %s", err, missing)
		}
	})
}

func TestFlags_TakeConsulsTLSVariables(t *testing.T) {
	server, _ := answering(t)
	server.StartTLS()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := server.Listener.Addr().String()
	tests := map[string]struct {
		env     map[string]string
		flags   consul.Flags
		trusted bool
	}{
		"Variables":      {map[string]string{"CONSUL_HTTP_SSL": "true", "CONSUL_CACERT": ca}, consul.Flags{HTTPAddr: addr}, true},
		"CAFlag":         {map[string]string{"CONSUL_HTTP_SSL": "true"}, consul.Flags{HTTPAddr: addr, CAFile: ca}, true},
		"CAPathFlag":     {nil, consul.Flags{HTTPAddr: server.URL, CAPath: filepath.Dir(ca)}, true},
		"Scheme":         {map[string]string{"CONSUL_HTTP_ADDR": server.URL, "CONSUL_CACERT": ca}, consul.Flags{}, true},
		"ServerName":     {map[string]string{"CONSUL_HTTP_SSL": "true", "CONSUL_CACERT": ca}, consul.Flags{HTTPAddr: addr, TLSServerName: "example.com"}, true},
		"AnotherName":    {map[string]string{"CONSUL_HTTP_SSL": "true", "CONSUL_CACERT": ca}, consul.Flags{HTTPAddr: addr, TLSServerName: "consul.apps.test"}, false},
		"WithoutItsCA":   {map[string]string{"CONSUL_HTTP_SSL": "true"}, consul.Flags{HTTPAddr: addr}, false},
		"NameOfVariable": {map[string]string{"CONSUL_HTTP_SSL": "true", "CONSUL_CACERT": ca, "CONSUL_TLS_SERVER_NAME": "consul.apps.test"}, consul.Flags{HTTPAddr: addr}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bare(t)
			for k, v := range test.env {
				t.Setenv(k, v)
			}
			switch err := ask(t, test.flags); {
			case test.trusted && err != nil:
				t.Error(err)
			case !test.trusted && (err == nil || !strings.Contains(err.Error(), "certificate")):
				t.Errorf("got %v, want the certificate to be refused", err)
			}
		})
	}
}
