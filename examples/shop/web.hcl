# The shop's web front. The team that writes the service owns this file.
#
# Texts may use what is known only when they are used: ${service}, ${pool},
# ${other_pool}, ${version}, ${node}, ${address}, ${port} and ${dir}, the
# directory of the unpacked release. Durations are texts such as "90s" or
# "1h30m", from 1ms to 720h where nothing else is said.

owner = "web-team"

service "web" {
  environments = ["staging", "prod"] # where it runs; default ["staging", "prod"], which is all of them
  depends_on   = ["cart"]            # services that are rolled out before it; default none
  port         = 8080                # TCP, 1 to 65535; required

  # Both pools are needed: name their nodes, or the Consul metadata that the
  # nodes have.
  pool "blue" {
    nodes = ["web-b1", "web-b2", "web-b3"] # Consul node names; required unless there is node_meta
  }
  pool "green" {
    node_meta = { pool = "web-green-${env.vars.nodes}" } # all pairs must match; required unless there are nodes
  }

  # How a release is run on a node. There are other kinds than "process", which
  # take other attributes: see docs/RUNTIMES.md, and the services below.
  runtime "process" {
    command = ["./app", "--addr", "${address}:${port}"] # a relative path starts at the release; required
    env = {                                             # added to a minimal environment; default none
      NODE = "${node}"
      POOL = "${pool}"
    }
    user        = "shop"            # user or user:group on the node; default none: the agent's
    limits      = { nofile = 8192 } # as, core, memlock, nofile and nproc, as setrlimit(2) counts them; default none
    stop_signal = "SIGINT" # SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH; default "SIGTERM"
    stop_grace  = "30s"    # from the signal to SIGKILL; default "10s"
  }

  # Files of the new version that are in memory before the old one is stopped;
  # without the block, none. "cache" reads them into the page cache, "lock" also
  # locks them there for as long as the version is used, so that they never have
  # to be read again: the agent needs LimitMEMLOCK for that. A node without the
  # room says so before anything is stopped.
  preload "cache" {
    files = ["app", "templates/*.html"] # paths in the release, with * and ? as in a shell; required
  }

  # The check that each node's Consul agent makes: a GET that must answer 2xx.
  health {
    path     = "/health" # default "/healthz"
    interval = "1s"      # at least 1s; default "2s"
    timeout  = "500ms"   # default "1s"
  }

  # HTTP checks of the new version, on each node and through the pool's name.
  # There may be many.
  smoke "version" {
    method      = "GET"                           # GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS; default "GET"
    path        = "/version"                      # default "/"
    headers     = { Accept = "application/json" } # to send; default none
    status      = 200                             # wanted, 100 to 599; default 200
    want_header = { Content-Type = "json" }       # regular expressions (RE2) by name; default none
    want_body   = "${version}"                    # regular expression (RE2); default none
    max_latency = "500ms"                         # default none: not checked
    timeout     = "2s"                            # of one try; default "5s"
    retries     = 3                               # after the first try, 0 to 100; default 2
    retry_wait  = "2s"                            # between two tries; default "1s"
  }

  # Load on each new node until its latency is steady; without the block,
  # there is none.
  warmup {
    path        = "/products" # default "/"
    rate        = 50          # requests per second and node, 1 to 100000; default 20
    ramp        = "10s"       # from the first request to the full rate; default "30s"
    window      = "2s"        # over which a 95th percentile is taken; default "5s"
    windows     = 5           # consecutive ones that must agree, 2 to 1000; default 3
    tolerance   = 0.25        # by which they may differ, 0 to 10, 0.2 is 20 %; default 0.2
    max_latency = "250ms"     # bound of the steady 95th percentile; default none
    max_errors  = 0.001       # share of failed requests allowed, 0 to 1; default 0
  }

  # Steps in percent of answers that the new version gets before the switch,
  # rising, 1 to 99; default none: it gets no share
  weights = [5, 25]

  # Queries to Prometheus that judge the new version; without the block,
  # nothing does.
  analysis {
    prometheus = env.prometheus # base URL; default env.prometheus
    interval   = "30s"          # between two looks; default "1m"
    looks      = 10             # passing ones that each metric needs, 1 to 10000; default 5

    # There must be one, and there may be many.
    metric "errors" {
      # PromQL that gives one value, ${pool} is the new pool; required. Where
      # nothing has failed yet there is no series of failures: without
      # "or vector(0)" the answer would be "no data", which decides nothing.
      query = <<-Q
        (sum(rate(http_requests_total{service="${service}", pool="${pool}", code=~"5.."}[1m])) or vector(0))
          / sum(rate(http_requests_total{service="${service}", pool="${pool}"}[1m]))
      Q

      min           = 0    # least value that passes; default none, but one of min and max is required
      max           = 0.01 # largest value that passes; default none, but one of min and max is required
      failure_limit = 1    # failed looks that are forgiven, 0 to 10000; default 0

      # PromQL for the requests behind the value; default none. A look with
      # fewer than min_traffic decides nothing; the two come together.
      traffic     = "sum(increase(http_requests_total{service=\"${service}\", pool=\"${pool}\"}[1m]))"
      min_traffic = 20 # requests; default none
    }
  }

  # How users are led to a pool. The label says the kind: a CNAME in the zone,
  # shop.apps.test, that points to shop-blue.apps.test or shop-green.apps.test.
  # Its TTL is short from the beginning of a rollout to the end of the bake, and
  # nobody is led elsewhere before caches have forgotten the long one. The kind
  # "dns-update" changes a CNAME in a zone of somebody else: see media below.
  switch "dns" {
    name      = "shop" # in the environment's zone, or "@" for the zone's own name; default "web", the service's name
    ttl       = "5m"   # of the CNAME, whole seconds from 1s to 24h; default "60s"
    armed_ttl = "10s"  # the same during a rollout, at most ttl; default "5s"

    # Names outside of the zone to lead to, of both pools; default none: those
    # of the pools
    targets = { blue = "blue.lb.example.net", green = "green.lb.example.net" }
  }

  # When the old pool's traffic is over.
  drain {
    # How long after the switch nobody looks, and not less than three times
    # armed_ttl: browsers and runtimes keep answers longer than they should.
    least = "2m" # default "90s"
    # PromQL for its requests per second, ${pool} is the old pool; default
    # none: it is over then
    query = "sum(rate(http_requests_total{service=\"${service}\", pool=\"${pool}\"}[1m]))"
    below = 0.5   # requests per second; default 0.1
    for   = "30s" # how long it must stay below; default "1m"
  }

  bake       = "1h"      # how long the old pool stays ready for a rollback; default "10m"
  after_bake = "upgrade" # then "keep" the old pool as it is, or "upgrade" it; default "keep"
}

# What "web" needs: a release that brings a container image.
service "cart" {
  port = 7070

  pool "blue" {
    nodes = ["cart-b1", "cart-b2"]
  }
  pool "green" {
    nodes = ["cart-g1", "cart-g2"]
  }

  runtime "docker" {
    image   = "image.tar" # in the release
    command = ["/cart", "-listen", "${address}:${port}"]
  }
}

# Files that each node's nginx serves from behind a symbolic link.
service "media" {
  port = 8081

  pool "blue" {
    nodes = ["media-b1", "media-b2"]
  }
  pool "green" {
    nodes = ["media-g1", "media-g2"]
  }

  runtime "static" {
    link         = "/srv/www/${service}-${pool}"
    reload       = ["systemctl", "reload", "nginx"]
    hook_timeout = "10s"
  }

  # A CNAME in a zone that other name servers have, changed by RFC 2136 on its
  # primary. An environment without services of the kind "dns" needs no zone.
  switch "dns-update" {
    name   = "media.www"     # in that zone, one label or more; default "media", the service's name
    zone   = "example.net"   # required
    server = "192.0.2.10:53" # its primary; required
    key    = "switchd"       # name of a TSIG key that the replicas have in a file; required
    targets = {              # what the CNAME leads to; required
      blue  = "media-blue.example.net"
      green = "media-green.example.net"
    }
  }

  # This one asks nginx, whatever the release is.
  health {
    path = "/"
  }
}
