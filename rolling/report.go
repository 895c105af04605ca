package rolling

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"switchd/consul"
	"switchd/rollout"
)

// say reports to the engine, where it waits for that, when there is something
// new to say.
func (u *unit) say(ctx context.Context, session *consul.Session, want Want, state rollout.ReportState, why string) {
	u.tellEngine(ctx, session, want, rollout.Report{State: state, Why: why})
}

// sayProgress reports how far a fetch is, and tells when to do it again.
func (u *unit) sayProgress(ctx context.Context, session *consul.Session, want Want, progress rollout.Progress) time.Duration {
	if wait := progressReport - time.Since(u.saidAt); wait > 0 {
		return wait
	}
	u.tellEngine(ctx, session, want, rollout.Report{State: rollout.Fetching, Progress: &progress})
	return progressReport
}

// reportOp is a report as one operation of a transaction; false: nobody waits
// for it.
func (u *unit) reportOp(session *consul.Session, want Want, state rollout.ReportState, why string) (consul.Op, bool, error) {
	if !want.Report {
		return consul.Op{}, false, nil
	}
	value, err := u.reportValue(want, rollout.Report{State: state, Why: why})
	if err != nil {
		return consul.Op{}, false, err
	}
	return session.Lock(u.reportKey(want), value), true, nil
}

// told notes what was reported along with something else.
func (u *unit) told(session *consul.Session, want Want, state rollout.ReportState, why string) {
	if want.Report {
		u.reported, u.said, u.saidAt = u.reportKey(want), saidText(session, want, rollout.Report{State: state, Why: why}), time.Now()
	}
}

func (u *unit) reportKey(want Want) string {
	return u.agent.Keys.Staging(u.service, want.Version, u.agent.Node)
}

func (u *unit) reportValue(want Want, r rollout.Report) ([]byte, error) {
	r.Rollout, r.Pool, r.At = want.Reason, u.pool, time.Now().UTC()
	value, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("write the report: %w", err)
	}
	return value, nil
}

// saidText tells two reports apart.
func saidText(session *consul.Session, want Want, r rollout.Report) string {
	text := session.ID() + " " + want.Reason + " " + string(r.State) + " " + r.Why
	if r.Progress != nil {
		text += fmt.Sprint(*r.Progress)
	}
	return text
}

// tellEngine writes the report. Its key is bound to the agent's session: a dead
// agent's report goes away with it.
func (u *unit) tellEngine(ctx context.Context, session *consul.Session, want Want, r rollout.Report) {
	if !want.Report {
		u.retract(ctx)
		u.waits(ctx, want, r)
		return
	}
	key, text := u.reportKey(want), saidText(session, want, r)
	if u.reported == key && u.said == text {
		return
	}
	// What is waited for can change with every other node that goes. Those who
	// read it need not see each of these changes, and each is a write.
	former := saidText(session, want, rollout.Report{State: rollout.Waiting})
	if u.reported == key && r.State == rollout.Waiting && strings.HasPrefix(u.said, former) && time.Since(u.saidAt) < progressReport {
		return
	}
	if u.reported != key {
		u.retract(ctx) // of a former rollout
	}
	value, err := u.reportValue(want, r)
	if err == nil {
		var ok bool
		ok, err = session.Acquire(ctx, key, value)
		if err == nil && !ok {
			err = fmt.Errorf("%s is held by another session, probably a former one of this node", key)
		}
	}
	if err != nil {
		u.log.WarnContext(ctx, "report", "error", err)
		return
	}
	u.reported, u.said, u.saidAt = key, text, time.Now()
}

// waits notes, for whoever looks at this node, what is waited for where no
// engine is told.
func (u *unit) waits(ctx context.Context, want Want, r rollout.Report) {
	text := r.Why
	if text != "" && want.Version != "" {
		text = fmt.Sprintf("%s, because %s: %s", want.Version, want.Reason, r.Why)
	}
	if u.state.Waits == text {
		return
	}
	u.state.Waits = text
	u.save()
	if text != "" {
		u.log.InfoContext(ctx, "waiting", "for", text)
	}
}

// retract takes the last report back when nobody waits for it any more.
func (u *unit) retract(ctx context.Context) {
	if u.reported == "" {
		return
	}
	if err := u.agent.Consul.Delete(ctx, u.reported); err != nil {
		u.log.WarnContext(ctx, "retract the report", "error", err)
		return
	}
	u.reported, u.said = "", ""
}
