# What the platform team asks of services that others write. Blocks of the same
# service in several files become one. Two files that set the same value must
# agree; if not, both places are shown.

owner = "platform"

service "web" {
  # How a pool is replaced, node by node.
  roll {
    quorum           = env.name == "prod" ? 2 : 1 # passing nodes that must stay, 0 to nodes - max_unavailable; default 1
    max_unavailable  = 1                          # nodes down at the same time, at least 1; default 1
    min_healthy_time = "20s"                      # how long a new node must pass; default "10s"
    healthy_deadline = "2m"                       # when one that doesn't has failed; default "5m"
  }

  # A named consent before the switch; default none. There may be many.
  approval "release-owner" {}

  # The longest each phase may take, and what happens then: "halt" or
  # "rollback", and for draining "continue" too.
  #
  #   queued 1h     staging 15m   rolling 30m    smoke 5m       warmup 10m
  #   canary 1h     approval 24h  switching 5m   draining 15m   converging 1h
  deadline "canary" {
    after = "2h"       # default "1h", see above
    then  = "rollback" # default "halt", for draining "continue"
  }
}
