package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rogpeppe/go-internal/testscript"

	"switchd/consul"
	"switchd/replica"
	"switchd/web"
)

// authority is a CA of a test, in a directory of its own.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.issue(t, "ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue writes NAME.pem and NAME.key. The first one signs itself and all others.
func (a *authority) issue(t *testing.T, name string, template *x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if a.cert == nil {
		a.cert, a.key = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert, private := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	for path, text := range map[string][]byte{a.file(name + ".pem"): cert, a.file(name + ".key"): private} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := tls.X509KeyPair(cert, private)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

const alertToken = "0123456789abcdef0123456789abcdef"

// Whoever has proved to be a sender is told that nothing is known yet (503):
// there is no Consul here.
func TestServe_TakesAlertsOverTLSFromWhomItKnows(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	ca.issue(t, "server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	sender := ca.issue(t, "sender", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	stranger := newAuthority(t).issue(t, "stranger", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err := os.WriteFile(ca.file("token"), []byte(alertToken), 0o600); err != nil {
		t.Fatal(err)
	}
	base := alertFlags{Listen: "127.0.0.1:0", Cert: ca.file("server.pem"), Key: ca.file("server.key")}
	byCert, byToken, byEither := base, base, base
	byCert.ClientCA, byToken.TokenFile = ca.file("ca.pem"), ca.file("token")
	byEither.ClientCA, byEither.TokenFile = byCert.ClientCA, byToken.TokenFile
	const refused = 0 // by the handshake
	for _, c := range []struct {
		name  string
		flags alertFlags
		certs []tls.Certificate
		token string
		want  int
	}{
		{"CertificateForCertificate", byCert, []tls.Certificate{sender}, "", 503},
		{"NothingForCertificate", byCert, nil, "", refused},
		{"StrangerForCertificate", byCert, []tls.Certificate{stranger}, "", refused},
		{"TokenForCertificate", byCert, nil, alertToken, refused},
		{"TokenForToken", byToken, nil, alertToken, 503},
		{"CertificateForToken", byToken, []tls.Certificate{sender}, "", 401},
		{"TokenForEither", byEither, nil, alertToken, 503},
		{"CertificateForEither", byEither, []tls.Certificate{sender}, "", 503},
		{"NothingForEither", byEither, nil, "", 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := askOverTLS(t, c.flags, ca, c.certs, c.token); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

// askOverTLS sends an empty webhook to what the flags describe.
func askOverTLS(t *testing.T, flags alertFlags, ca *authority, certs []tls.Certificate, token string) int {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	desk, err := flags.desk(t.Context(), nil, prometheus.NewRegistry(), log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- web.Serve(ctx, desk.listener, web.OnlyAlerts(desk.receiver), log) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	pool := x509.NewCertPool()
	text, err := os.ReadFile(ca.file("ca.pem"))
	if err != nil || !pool.AppendCertsFromPEM(text) {
		t.Fatal(err)
	}
	// A certificate is sent even if its CA isn't one that the server names.
	give := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if len(certs) == 0 {
			return &tls.Certificate{}, nil
		}
		return &certs[0], nil
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, GetClientCertificate: give},
	}}
	url := "https://" + desk.listener.Addr().String()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/alerts", strings.NewReader(`{"version":"4"}`))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	return response.StatusCode
}

func TestAlertFlags_SayWhatIsMissing(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	if err := os.WriteFile(ca.file("empty"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	pem, key := ca.file("ca.pem"), ca.file("ca.key")
	for _, c := range []struct {
		flags alertFlags
		usage bool
		want  string
	}{
		{alertFlags{Cert: pem}, true, "are for --alerts-listen"},
		{alertFlags{Listen: "127.0.0.1:0"}, true, "needs --alerts-cert and --alerts-key"},
		{alertFlags{Listen: "127.0.0.1:0", Cert: pem, Key: key}, true, "--alerts-client-ca or --alerts-token-file"},
		{alertFlags{Listen: "127.0.0.1:0", Cert: key, Key: pem, ClientCA: pem}, false, "load the certificate"},
		{alertFlags{Listen: "127.0.0.1:0", Cert: pem, Key: key, ClientCA: ca.file("empty")}, false, "has no certificate in PEM"},
		{alertFlags{Listen: "192.0.2.1:0", Cert: pem, Key: key, ClientCA: pem}, false, "listen for alerts"},
		{alertFlags{TokenFile: ca.file("empty")}, false, "there is no token in it"},
	} {
		_, err := c.flags.desk(t.Context(), nil, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
		if _, usage := errors.AsType[*usageError](err); err == nil || usage != c.usage || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.flags, err, c.want)
		}
	}
}

// sendAlert posts a file to a replica as a webhook, with NOW as the time, and
// prints the status and the answer:
//
//	alert TOKEN FILE
func sendAlert(ts *testscript.TestScript, _ bool, args []string) {
	client := ts.Value(clientKey{}).(*consul.Client)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	replicas, err := replica.List(ctx, client, ts.Getenv("SWITCHD_ENV"))
	ts.Check(err)
	body := strings.ReplaceAll(ts.ReadFile(args[1]), "NOW", time.Now().UTC().Format(time.RFC3339Nano))
	once := func() int {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+replicas[0].HTTP+"/v1/alerts", strings.NewReader(body))
		ts.Check(err)
		request.Header.Set("Authorization", "Bearer "+args[0])
		response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
		ts.Check(err)
		defer response.Body.Close()
		text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
		ts.Check(err)
		if response.StatusCode != http.StatusServiceUnavailable {
			_, _ = fmt.Fprintf(ts.Stdout(), "%s\n%s", response.Status, text)
		}
		return response.StatusCode
	}
	// A replica that has just started asks to be told again.
	for once() == http.StatusServiceUnavailable {
		time.Sleep(20 * time.Millisecond)
	}
}
