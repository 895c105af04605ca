# Where the shop runs. The platform team owns this file.
#
# The comment on each line tells the unit, the bounds and what holds if the
# line is left out. Every *.hcl file of this directory is read, in any order.

owner = "platform" # who to ask about what this file sets; default none

environment "prod" {
  # Values may use what varies by environment: ${env.name}, ${env.vars.…} and,
  # in services, ${env.prometheus}.
  vars = { # texts of at most 1 KiB; default none
    domain = "apps.test"
    nodes  = "prod"
  }
  prometheus = "http://127.0.0.1:9090" # base URL of its HTTP API; default none, and then analyses must name one
  parallel   = 2                       # rollouts of one train that may be under way, 1 to 100; default 4

  # The environment that a release must have been through before this one takes
  # it; without the block, none.
  after "staging" {
    for     = "24h" # how long it must have been done there, and live since, 0s to 720h; default "1h"
    promote = true  # whether it is promoted here by itself then; default false
  }

  # Who is asked for alerts that fire, besides the webhooks that tell of them;
  # without the block, nobody is.
  alerts {
    alertmanager = ["http://127.0.0.1:9093"] # base URLs; default none, but one of the two is required
    prometheus   = ["http://127.0.0.1:9090"] # base URLs of servers whose alerts count although Alertmanager may have silenced them; default none, but one of the two is required
    every        = "10s"                     # at least 1s; default "15s"
  }

  consul {
    address    = "127.0.0.1:8500" # default none: what CONSUL_HTTP_ADDR says
    datacenter = "dc1"            # default none: that of the Consul agent
  }

  # The DNS zone that switchd answers for: lower case, no final dot.
  zone "apps.test" {
    name_servers = ["ns1.apps.test", "ns2.apps.test"] # host names, the first one is the primary; required unless the zone file has NS records
    admin        = "dns@apps.test"                    # mail address; default "hostmaster@apps.test"
    ttl          = "2m"                               # of addresses, whole seconds from 1s to 24h; default "60s"
    negative_ttl = "10s"                              # of "no such name", whole seconds from 1s to 24h; default "5s"

    # How often secondaries ask by themselves, ask again after a failure, and
    # when they give up: whole seconds, to 720h, expire to 2160h. What the zone
    # file has as SOA holds instead of these, admin and negative_ttl, which are
    # left out then.
    refresh = "10m"  # default "5m"
    retry   = "2m"   # default "1m"
    expire  = "168h" # default "336h"

    # An ordinary zone file (RFC 1035) of at most 16 MiB, whose records are
    # served besides the services' names; without $INCLUDE.
    file = "apps.zone" # relative to this directory; default none

    # Name servers of your own that copy the zone. Each is told of every change,
    # and may transfer the zone from its address, or with the key. There may be
    # many.
    secondary "192.0.2.53:53" {
      key = "xfer" # name of a TSIG key that the replicas have in a file; default none
    }
    transfer = ["198.51.100.0/24", "key:backup"] # who else may transfer it: addresses, prefixes, TSIG keys; default none

    # Resolvers that must show a switch before it counts as made.
    verify_resolvers = ["192.0.2.1", "192.0.2.2:5353"] # addresses, with a port if it isn't 53; default none
  }
}

environment "staging" {
  vars       = { domain = "staging.test", nodes = "staging" }
  prometheus = "http://127.0.0.1:9091"

  alerts {
    alertmanager = ["http://127.0.0.1:9094"]
  }

  # prod reads here what is done, with a token that can only read.
  consul {
    address    = "127.0.0.1:8501"
    datacenter = "staging"
  }

  zone "staging.test" {
    name_servers = ["ns1.staging.test"]
    # Answers are signed with the keys that the replicas have in files. Signed
    # zones can't be copied by secondaries; default false.
    dnssec = true
  }
}
