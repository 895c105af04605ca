package consul

import (
	"github.com/hashicorp/consul/api"
)

// Flags are Consul's usual ones. An empty flag leaves what Consul's own
// environment variables say (CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN,
// CONSUL_HTTP_TOKEN_FILE, CONSUL_HTTP_SSL, CONSUL_CACERT, CONSUL_CAPATH,
// CONSUL_CLIENT_CERT, CONSUL_CLIENT_KEY, CONSUL_TLS_SERVER_NAME,
// CONSUL_NAMESPACE, CONSUL_PARTITION).
type Flags struct {
	HTTPAddr      string `name:"http-addr" help:"Address of the Consul agent (CONSUL_HTTP_ADDR)." placeholder:"ADDR"`
	Token         string `name:"token" help:"ACL token; better in CONSUL_HTTP_TOKEN or --token-file, since others can see a command line." placeholder:"TOKEN"`
	TokenFile     string `name:"token-file" help:"File that holds the ACL token (CONSUL_HTTP_TOKEN_FILE)." placeholder:"FILE"`
	Datacenter    string `name:"datacenter" help:"Consul datacenter; the agent's own if not set." placeholder:"DC"`
	CAFile        string `name:"ca-file" help:"CA certificates to check Consul with (CONSUL_CACERT)." placeholder:"FILE"`
	CAPath        string `name:"ca-path" help:"Directory of CA certificates (CONSUL_CAPATH)." placeholder:"DIR"`
	ClientCert    string `name:"client-cert" help:"Client certificate (CONSUL_CLIENT_CERT)." placeholder:"FILE"`
	ClientKey     string `name:"client-key" help:"Key of the client certificate (CONSUL_CLIENT_KEY)." placeholder:"FILE"`
	TLSServerName string `name:"tls-server-name" help:"Name expected in Consul's certificate (CONSUL_TLS_SERVER_NAME)." placeholder:"NAME"`
}

func (f Flags) config() *api.Config {
	config := api.DefaultConfig()
	for _, flag := range []struct {
		value  string
		target *string
	}{
		{f.HTTPAddr, &config.Address},
		{f.TokenFile, &config.TokenFile},
		{f.Datacenter, &config.Datacenter},
		{f.CAFile, &config.TLSConfig.CAFile},
		{f.CAPath, &config.TLSConfig.CAPath},
		{f.ClientCert, &config.TLSConfig.CertFile},
		{f.ClientKey, &config.TLSConfig.KeyFile},
		{f.TLSServerName, &config.TLSConfig.Address},
	} {
		if flag.value != "" {
			*flag.target = flag.value
		}
	}
	if f.Token != "" {
		// A token on the command line wins over a file of the environment.
		config.Token, config.TokenFile = f.Token, ""
	}
	return config
}
