# The shop's web front. The team that writes the service owns this file.
#
# Texts may use what is known only when they are used: ${service}, ${pool},
# ${other_pool}, ${version}, ${node}, ${address}, ${port} and ${dir}, the
# directory of the unpacked release; in an analysis also ${window} and
# ${rate_interval}. Durations are texts such as "90s" or
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
    stop_signal = "SIGINT"          # SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH; default "SIGTERM"
    stop_grace  = "30s"             # from the signal to SIGKILL; default "10s"
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
  # rising, 1 to 100, which is the switch itself and may be left out; default
  # none: it gets no share
  weights = [5, 25, 100]

  # What judges the new version on Prometheus, at each share; without the block,
  # nothing does. docs/ANALYSIS.md tells which judge to take, and what a verdict
  # means.
  analysis {
    prometheus = env.prometheus # base URL; default env.prometheus
    interval   = "30s"          # from one look to the next; they are at its multiples; default "1m"
    looks      = 20             # least ones at each share, 1 to 10000; default is 5, but the judge mannwhitney needs 10
    alpha      = 0.01           # probability of a false alarm by the judge sequential, over all looks and metrics of a rollout, 0.000001 to 0.5; default 0.02

    # What the new version is compared with: the "live" pool at the same time, the
    # live pool while the "warmup" loads the new one, or "former" days.
    compare  = "live"   # default "live"
    fallback = "former" # if it gets no share: "warmup" or "former"; default none
    days     = 5        # how many former days, at the same time of day, 1 to 31; default 7
    wider    = 3        # factor by which allowed and margin are widened for them, 1 to 100; default 2

    # A fresh pool's caches are cold: it may be so many times as bad as allowed
    # otherwise at first, and less and less so.
    settle        = "5m" # 0s to 720h; default "3m"
    settle_factor = 2    # 1 to 100; default 3

    history = "12h" # the live pool's time that its noise is learnt from, before the release, 0s (none) to 720h; default "6h"

    # By how much the nodes of one version differ where the history is too short to
    # tell. More makes for later verdicts, less for false ones.
    noise = 0.2 # 0 to 10, 0.3 is 30 %; default 0.3

    # What the metrics of the judge mannwhitney come to, from 0 to 100.
    score {
      pass     = 90             # least that passes; default 95
      marginal = 60             # least that doesn't fail; default 75
      weights  = { sales = 50 } # of groups; those without share the rest; default none
    }

    # Ready-made: the share of answers 5xx, compared by the judge sequential.
    errors {
      exporter = "promhttp" # envoy, haproxy, nginx-vts or promhttp, which is that of most Go services; default "promhttp"

      # What series are called, if not as the exporter has it. Empty leaves a
      # matcher out.
      labels   = { code = "status" }   # of pool, service, node and code; default as the exporter has them
      selector = "job=\"${service}\""  # more matchers; default none
      metric   = "shop_requests_total" # counter of requests; default as the exporter has it

      allowed  = 1.2             # times the live pool's share above which it has regressed, 1 to 1000; default 1.1
      margin   = 0.3             # how much worse it may be and still be no worse, 0.01 to 1000, 0.5 is 50 %; default 0.5
      harmless = 0.0005          # share that is never a regression, 0 to 1; default 0.001
      require  = "no_regression" # to pass: "no_worse" is to be shown, or "no_regression" was found in a time; default is "no_worse"
      after    = "15m"           # that time; required with "no_regression", default none
      weight   = 2               # part of alpha, in units of the other metrics', 0.001 to 1000; default 1
    }

    # Ready-made: the share of requests slower than some edges. It takes what
    # errors takes, without the code.
    latency {
      edges = ["100ms", "300ms", "1s"] # bounds of the histogram's buckets, at most 64, rising; default none: chosen from the history
    }

    # Ready-made: processor time a node. It takes what errors takes, or a query.
    # With the larger part of the traffic the new version would be at a
    # disadvantage, so that weights above 50 are refused.
    saturation {
      query = "avg(app_workers_busy{service=\"${service}\", pool=\"${pool}\"})" # one value a pool, above 0; default by the exporter
    }

    # Any PromQL, ${pool} is the pool in question. A metric asks for one of: query,
    # a value; bad and total, counters; buckets, a histogram; queries, for an
    # expression. It takes what its judge knows.
    metric "logins" {
      judge = "sequential"                                                           # sequential, threshold, mannwhitney or expr; default by what is asked
      bad   = "logins_total{service=\"${service}\", pool=\"${pool}\", ok=\"false\"}" # selector of counters, without rate() or increase(); required with total, default none
      total = "logins_total{service=\"${service}\", pool=\"${pool}\"}"               # required with bad, default none
      node  = "node"                                                                 # the label that tells nodes apart; default "instance"
    }
    metric "search" {
      buckets = "search_ms_bucket{service=\"${service}\", pool=\"${pool}\"}" # selector of a histogram's counters; default none
      unit    = "ms"                                                         # of its buckets, "s" or "ms"; default "s"
      edges   = ["50ms", 500]                                                # durations, or numbers in that unit; default none: chosen from the history
    }

    # A value against bounds. Where nothing has failed yet there is no series of
    # failures: without "or vector(0)" the answer would be "no data", which
    # decides nothing.
    metric "share" {
      judge = "threshold" # default by what is asked
      # PromQL that gives one value; required. ${window} is the interval, and
      # ${rate_interval} a window that rate() has enough scrapes in.
      query = <<-Q
        (sum(rate(http_requests_total{service="${service}", pool="${pool}", code=~"5.."}[${rate_interval}])) or vector(0))
          / sum(rate(http_requests_total{service="${service}", pool="${pool}"}[${rate_interval}]))
      Q

      min      = 0    # least value that passes; default none, but one of min and max is required
      max      = 0.01 # largest value that passes; default none, but one of min and max is required
      fail_min = -1   # a look fails below it, and is inconclusive from there to min; default none: as min
      fail_max = 0.05 # a look fails above it, and is inconclusive from max to there; default none: as max

      failure_limit      = 1      # failed looks that are forgiven, 0 to 10000; default 0
      inconclusive_limit = 5      # inconclusive ones that are, 0 to 10000; default none: any number
      error_limit        = 4      # looks in a row without an answer that are, 0 to 10000; default none: any number
      missing            = "fail" # what a look without an answer is: "unknown" or "fail"; default "unknown"

      # PromQL for the requests behind the value; default none. A look with
      # fewer than min_traffic decides nothing; the two come together.
      traffic     = "sum(increase(http_requests_total{service=\"${service}\", pool=\"${pool}\"}[${rate_interval}]))"
      min_traffic = 20 # requests; default none
    }

    # Kayenta's judge, by its words.
    metric "orders" {
      query = "sum(rate(orders_total{service=\"${service}\", pool=\"${pool}\"}[${rate_interval}]))" # required
      mannwhitney {
        direction      = "decrease" # the change that is bad: "increase", "decrease", "either"; default "either"
        nan            = "replace"  # by zero, or "remove"; default "remove"
        outliers       = "remove"   # or "keep"; default "keep"
        outlier_factor = 2          # interquartile ranges from the quartiles, 0.01 to 1000; default 3
        critical       = true       # whether it fails the release by itself; default false
        must_have_data = true       # whether a side without data fails; default false
        tolerance      = 0.1        # share of the shift that its interval must be beyond, 0 to 100; default 0.25
        confidence     = 0.99       # of that interval, 0.5 to 0.9999; default 0.98
        measure        = "cles"     # of the effect, "meanRatio" or "cles"; default "meanRatio"
        group          = "sales"    # that it counts in; default is "others"

        # Effects that matter from there on; default none: 1 of meanRatio, 0.5 of
        # cles, so that each does.
        allowed_increase  = 0.7
        allowed_decrease  = 0.3
        critical_increase = 0.9
        critical_decrease = 0.1
      }
    }

    # An expression that holds if all is well: a name is the new version's value,
    # live.NAME the live one's. It takes the limits of threshold.
    metric "queue" {
      queries = { # PromQL by name; required with expr, default none
        depth = "sum(queue_depth{service=\"${service}\", pool=\"${pool}\"})"
        age   = "max(queue_age_seconds{service=\"${service}\", pool=\"${pool}\"})"
      }
      expr = "depth < 100 || age < max(30, 2 * live.age)" # required with queries, default none
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

  # The same switch for clients in Consul's service mesh, which don't ask DNS:
  # see docs/MESH.md. It may also stand alone.
  switch "resolver" {
    service  = "shop"  # the name in Consul that they ask for; default "web", the service's name
    protocol = "http2" # tcp, http, http2 or grpc; default "http" if there are weights, and else none: it is left to others
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
