package main

import (
	"fmt"
	"os/user"
	"strings"
	"time"

	"switchd/ledger"
	"switchd/rollout"
)

type approveCmd struct {
	Service string `arg:"" help:"Service whose rollout waits."`
	Gate    string `help:"Name of the approval; needed where several are open." placeholder:"NAME"`
	Deny    bool   `help:"Say no: the rollout fails at once, or is rolled back after the switch."`
	Why     string `help:"Reason, for the history; needed with --deny." placeholder:"TEXT"`
}

func (c *approveCmd) Help() string {
	return `Writes a key of your own in Consul and nothing else. What was said before is replaced. It can be given before the rollout
comes to the gate, and by several people at once.`
}

// Validate is called by kong when the command line was read.
func (c *approveCmd) Validate() error {
	if c.Deny && strings.TrimSpace(c.Why) == "" {
		return &usageError{"--deny needs a reason: --why TEXT"}
	}
	return nil
}

func (c *approveCmd) Run(a *app) error {
	l, err := a.ledger()
	if err != nil {
		return err
	}
	// Only what an approver's token has to read, and not the pools.
	var s rollout.Situation
	if s.Spec, err = l.Service(a.ctx, c.Service); err != nil {
		return err
	}
	if s.Record, err = l.Record(a.ctx, c.Service); err != nil {
		return err
	}
	if s.Consents, s.Bypasses, err = l.Consents(a.ctx, s.Spec); err != nil {
		return err
	}
	me, err := a.me(l)
	if err != nil {
		return err
	}
	now := time.Now()
	consent, approval, err := rollout.Approve(s, rollout.Consent{Gate: c.Gate, Who: me.who, By: me.by, Deny: c.Deny, Why: c.Why}, now)
	if err != nil {
		return err
	}
	if err := l.Consent(a.ctx, c.Service, consent); err != nil {
		return fmt.Errorf("%s: %w", c.Service, err)
	}
	if c.Deny {
		// The engine may have gone on between the look and the word.
		if s.Record, err = l.Record(a.ctx, c.Service); err != nil {
			return err
		}
		if s.Late(consent) {
			return &outcomeError{statusNothing, fmt.Sprintf("said too late: %s %s went past its approval %s at the same moment, and is in phase %s; `switchd halt %s` stops it, `switchd rollback %s` ends it",
				c.Service, s.Record.Version, consent.Gate, s.Record.Phase, c.Service, c.Service)}
		}
		a.printf("%s %s: %s denied by %s: %s\n", c.Service, s.Record.Version, consent.Gate, me.by, c.Why)
		return nil
	}
	a.printf("%s %s: %s approved by %s", c.Service, s.Record.Version, consent.Gate, me.by)
	if approval.MinApprovers > 1 {
		// Others may have spoken meanwhile.
		if s.Consents, s.Bypasses, err = l.Consents(a.ctx, s.Spec); err == nil {
			a.printf(", %s", s.Tally(approval, now))
		}
	}
	a.printf("\n")
	return nil
}

// speaker is who runs a command, as others can tell.
type speaker struct {
	// who is the accessor ID of the token, or the account where Consul has no
	// ACLs.
	who string
	by  string // for people
}

// me tells in whose name consents and bypasses are written.
func (a *app) me(l *ledger.Ledger) (speaker, error) {
	accessor, owner, err := l.Consul.Whose(a.ctx)
	if err != nil {
		return speaker{}, err
	}
	if accessor != "" {
		return speaker{accessor, signature(owner)}, nil
	}
	u, err := user.Current()
	if err != nil {
		return speaker{}, fmt.Errorf("find out whose account this is, since Consul has no ACLs: %w", err)
	}
	return speaker{u.Username, signature("")}, nil
}
