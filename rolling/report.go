package rolling

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"switchd/consul"
	"switchd/rollout"
)

// report says in Consul where this node is with a version. The key is bound to
// the agent's session: a dead agent's report goes away with it.
func (a *Agent) report(ctx context.Context, session *consul.Session, service, version, reason string, state rollout.ReportState, why string) error {
	value, err := json.Marshal(rollout.Report{Rollout: reason, State: state, Why: why, At: time.Now().UTC()})
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	key := a.Keys.Staging(service, version, a.Node)
	ok, err := session.Acquire(ctx, key, value)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("report to %s: it is held by another session, probably a former one of this node", key)
	}
	return nil
}
