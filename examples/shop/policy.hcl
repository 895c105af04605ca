# What the platform team asks of services that others write. Blocks of the same
# service in several files become one. Two files that set the same value must
# agree; if not, both places are shown.

owner = "platform"

service "web" {
  # How a pool is replaced, node by node.
  roll {
    quorum           = env.name == "prod" ? 2 : 1 # passing nodes that must stay, 0 to nodes - max_unavailable, or a part such as "60%", rounded up; default 1
    max_unavailable  = "25%"                      # nodes down at the same time, at least 1, or a part of the pool, rounded down to 1 at least; default 1
    min_healthy_time = "20s"                      # how long a new node must pass; default "10s"
    healthy_deadline = "2m"                       # when one that doesn't has failed; default "5m"
    canary_nodes     = 1                          # nodes that are replaced one by one before the others may begin, 0 to 10000; default 0
    stagger          = "5s"                       # least time from one node that goes down to the next, 0s to 720h; default "0s"
    max_failures     = 1                          # nodes that may fail and keep their former version before the roll is given up, 0 to 10000; default 0
    drain_timeout    = "30s"                      # longest wait for a node's connections to end if users are on it, 0s to 720h; default "10s"
  }

  # A named consent before the switch; default none. There may be many.
  approval "release-owner" {}

  # Alerts that halt a rollout. There may be many; without one, those halt that
  # have the label service = "web" and, if they have labels environment or
  # severity, this environment there and "critical" or "page".
  alert "page" {
    # Matchers as Alertmanager writes them, all of which an alert must meet. They
    # may use ${service}, and ${pool}, ${other_pool} and ${version} of the rollout.
    match                = ["service=${service}", "severity=~critical|page"] # required
    then                 = "rollback"                                        # "halt" or "rollback", once users are on the new version; default "halt"
    resume_when_resolved = env.name == "prod"                                # go on by itself when the alert that has halted it is resolved, which needs the environment's alerts block; default false
  }

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
