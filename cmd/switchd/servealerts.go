package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"switchd/alerts"
	"switchd/ledger"
	"switchd/rollout"
)

// alertFlags say who may send alerts to this replica.
type alertFlags struct {
	TokenFile string `help:"File of bearer tokens that senders of alerts may have, one a line. Without it, none are taken on --http-listen." type:"path" placeholder:"FILE"`
	Listen    string `help:"Address for alerts over TLS, and nothing else." placeholder:"IP:PORT"`
	Cert      string `help:"Certificate of --alerts-listen, with those in between." type:"path" placeholder:"FILE"`
	Key       string `help:"Key of the certificate." type:"path" placeholder:"FILE"`
	ClientCA  string `name:"client-ca" help:"CA certificates for senders, who then need no token on --alerts-listen." type:"path" placeholder:"FILE"`
}

// alertDesk is what a replica takes alerts with.
type alertDesk struct {
	halter   *alerts.Halter
	receiver *alerts.Receiver
	listener net.Listener // nil: there is none of its own
}

// desk reads the files and binds the port that the flags name.
func (f alertFlags) desk(ctx context.Context, l *ledger.Ledger, metrics prometheus.Registerer, log *slog.Logger) (*alertDesk, error) {
	var tokens alerts.Tokens
	var err error
	if f.TokenFile != "" {
		if tokens, err = alerts.LoadTokens(f.TokenFile); err != nil {
			return nil, err
		}
	}
	halter := &alerts.Halter{Rollouts: steered{l, log}, Log: log, Metrics: alerts.NewMetrics(metrics)}
	d := &alertDesk{halter: halter, receiver: alerts.NewReceiver(halter, tokens, log)}
	config, err := f.tls()
	if err != nil || config == nil {
		return d, err
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", f.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for alerts: %w", err)
	}
	d.listener = tls.NewListener(listener, config)
	return d, nil
}

// steered are rollouts of which the mesh follows what an alert has done, whether
// anybody drives or not: who drives may be the one that stands still.
type steered struct {
	*ledger.Ledger

	log *slog.Logger
}

// Do implements alerts.Rollouts.
func (s steered) Do(ctx context.Context, service, by string, operation func(rollout.Situation) (*rollout.Change, error)) (*rollout.Change, error) {
	change, err := s.Ledger.Do(ctx, service, by, operation)
	if err != nil || change.Live == nil {
		return change, err
	}
	if _, err := deriveMesh(ctx, s.Ledger, service); err != nil {
		s.log.WarnContext(ctx, "the mesh does not follow what an alert has done yet; whoever drives goes on trying", "service", service, "error", err)
	}
	return change, nil
}

// tls is how --alerts-listen is served, nil without it.
func (f alertFlags) tls() (*tls.Config, error) {
	if f.Listen == "" {
		if f.Cert != "" || f.Key != "" || f.ClientCA != "" {
			return nil, &usageError{"--alerts-cert, --alerts-key and --alerts-client-ca are for --alerts-listen"}
		}
		return nil, nil //nolint:nilnil // no listener of its own is the ordinary state
	}
	if f.Cert == "" || f.Key == "" {
		return nil, &usageError{"--alerts-listen needs --alerts-cert and --alerts-key"}
	}
	if f.ClientCA == "" && f.TokenFile == "" {
		return nil, &usageError{"--alerts-listen needs --alerts-client-ca or --alerts-token-file: nobody could prove to be a sender"}
	}
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, fmt.Errorf("load the certificate for alerts: %w", err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if f.ClientCA == "" {
		return config, nil
	}
	text, err := os.ReadFile(f.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("read the CA of alerts' senders: %w", err)
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("read the CA of alerts' senders: %s has no certificate in PEM", f.ClientCA)
	}
	config.ClientAuth = tls.VerifyClientCertIfGiven
	if f.TokenFile == "" {
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return config, nil
}
