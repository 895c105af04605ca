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

  # Gates: what must hold before a rollout goes on. There may be many of each
  # kind, each with a name of its own; docs/GATES.md tells more. They stand at
  # points: "roll", before nodes are replaced; "weight", before each step of the
  # weights and the switch; "switch"; and "switched", before the old pool drains.
  # When a deadline has passed, the rollout does what "then" says, "halt" or
  # "rollback"; a window has none, as it opens by itself.

  # People say yes: `switchd approve web --gate release-owner`.
  approval "release-owner" {
    at            = ["switch", "switched"] # default ["switch"]
    min_approvers = 2                      # different people, 1 to 100; default 1
    # Who may, by the accessor ID of their tokens or, where Consul has no ACLs, by
    # account; default none: all whom Consul lets.
    approvers = ["7f8b8d4e-2f0c-4d55-9a37-5b2f3f0e6c11", "c1a9f6e2-8f34-4b0d-8e0a-0d1c7c2b9a55"]
    expires   = "4h"       # how long each consent holds; default none: as long as the rollout
    deadline  = "8h"       # default none: that of deadline "approval", 24h
    then      = "rollback" # default none: that of deadline "approval", "halt"
  }

  # Something outside holds: one of key, service, url and command. They, value
  # and body may use ${service}, ${pool}, ${other_pool} and ${version}.
  wait "migration" {
    at       = ["roll"]                           # default ["switch"]
    key      = "migrations/${service}/${version}" # of Consul's KV; required unless there is one of the others
    value    = "done"                             # of the key; default none: any that isn't empty
    remind   = "1h"                               # how often its owner is told again, default none: as remind below
    deadline = "12h"                              # default "24h"
    then     = "rollback"                         # default "halt"
  }
  wait "search" {
    service = "search" # in Consul; required unless there is one of the others
    passing = 3        # instances that must, 1 to 10000; default 1
  }
  wait "partner" {
    url     = "https://partner.example.net/ready?version=${version}" # answers a GET; required unless there is one of the others
    status  = 204                                                    # that it answers with, 100 to 599; default 200
    body    = "ready|degraded"                                       # regular expression (RE2) that the answer must match; default none
    every   = "30s"                                                  # between two tries, 1s to 720h; default "10s"
    timeout = "5s"                                                   # of one try; default "10s"
  }
  wait "replicas" {
    command = ["replicas-caught-up", "${service}"] # exits with 0; a program in the directory of serve --gate-commands; required unless there is one of the others
    every   = "1m"                                 # as for a url; default "10s"
    timeout = "30s"                                # after which it is killed; default "10s"
  }

  # Times at which the rollout may go on; outside, it waits until the window
  # opens.
  window "office" {
    at        = ["roll", "switch"]           # default ["switch"]
    days      = ["mon", "tue", "wed", "thu"] # default none: all
    hours     = "09:00-16:00"                # to 24:00, or over midnight such as "22:00-04:00", which belongs to the day it begins on; default none: the whole day
    time_zone = "Europe/Berlin"              # of the IANA database; default "UTC"

    # Times at which it doesn't go on at all. There may be many.
    freeze "year-end" {
      from = "2026-12-23T18:00" # a date, with or without a time of day; required
      to   = "2027-01-02"       # a date without a time of day is that whole day; required
      why  = "stock-taking"     # for people; required
    }
  }

  # No alert fires that meets all matchers, which are as those of an alert below.
  # It needs the environment's alerts block.
  silence "calm" {
    at       = ["weight"]                          # default ["switch"]
    match    = ["team=~web|edge", "severity=page"] # required
    for      = "5m"                                # how long none may have fired, 0s to 720h; default "0s"
    deadline = "2h"                                # default "1h"
    then     = "rollback"                          # default "halt"
  }

  # Who is told, and of what.
  notify {
    to = ["web-team", "platform"] # names in the file of serve --notify-file; default none: the owner of this service, and of what is waited for
    # "begun", "waiting", "switched", "done", "halted", "failed", "rolledback";
    # default ["waiting", "done", "halted", "failed", "rolledback"]
    events = ["waiting", "switched", "done", "halted", "failed", "rolledback"]
    remind = "2h" # how often a wait is told again, 0s for never, to 720h; default "4h"
  }

  # Versions that must not be rolled out, "*" is any text; default none
  forbidden_versions = ["0.*"]

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
  #
  # While a rollout waits for a gate, its phase's time stands still: each gate has a
  # deadline of its own, and that of "approval" is the default of approvals.
  deadline "canary" {
    after = "2h"       # default "1h", see above
    then  = "rollback" # default "halt", for draining "continue"
  }
}

# What is asked of many services. A policy only tightens: it adds gates, and where
# a service says something stricter, that holds. `switchd validate` tells what each
# policy has tightened.
policy "safety" {
  services     = ["web", "media-*"] # names, "*" is any text; default ["*"], which is all
  environments = ["prod"]           # default ["staging", "prod"], which is all of them

  bake               = "90m"               # at least; default none
  min_approvers      = 2                   # at least, of each approval that a service declares itself, 1 to 100; default none
  forbidden_versions = ["1.4.*", "*-beta"] # besides those of the service; default none

  roll {
    quorum           = 1     # at least, from 1 or "1%"; default none
    max_unavailable  = 2     # at most, from 1 or "1%"; default none
    min_healthy_time = "30s" # at least; default none
    canary_nodes     = 1     # at least, 1 to 10000; default none
    stagger          = "2s"  # at least; default none
    max_failures     = 1     # at most, 0 to 10000; default none
  }

  # Gates of all kinds, as in a service. An approval that the service has too must
  # be given by both rules.
  approval "security" {}
}
