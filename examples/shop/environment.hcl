# Where the shop runs. The platform team owns this file.
#
# The comment on each line tells the unit, the bounds and what holds if the
# line is left out. Every *.hcl file of this directory is read, in any order.

owner = "platform" # who to ask about what this file sets; default none

environment "prod" {
  # Values may use what varies by environment: ${env.name}, ${env.vars.…} and,
  # in services, ${env.prometheus}.
  vars = {           # texts of at most 1 KiB; default none
    domain = "apps.test"
    nodes  = "prod"
  }
  prometheus = "http://127.0.0.1:9090" # base URL of its HTTP API; default none, and then analyses must name one

  consul {
    address    = "127.0.0.1:8500" # default none: what CONSUL_HTTP_ADDR says
    datacenter = "dc1"            # default none: that of the Consul agent
  }

  # The DNS zone that switchd answers for: lower case, no final dot.
  zone "apps.test" {
    name_servers = ["ns1.apps.test", "ns2.apps.test"] # host names, the first one is the primary; required
    admin        = "dns@apps.test"                    # mail address; default "hostmaster@apps.test"
    ttl          = "2m"                               # of addresses, whole seconds from 1s to 24h; default "60s"
    negative_ttl = "10s"                              # of "no such name", whole seconds from 1s to 24h; default "5s"
  }
}

environment "staging" {
  vars       = { domain = "staging.test", nodes = "staging" }
  prometheus = "http://127.0.0.1:9091"

  zone "staging.test" {
    name_servers = ["ns1.staging.test"]
  }
}
