package sweep

// Known are the fault points that every rollout of the sweep's service comes
// by, each before and after its effect. A rollout has others, too: the words of
// a wait, or a node's health, are written as often as something changes.
func Known() []Point {
	effects := map[string][]string{
		controller: {
			"session/create",
			"acquire lease",
			"agent/service/register",
			"txn live.names live.serial",
			"txn live.pools/web live.serial",
			"txn rollouts/web=staging deploy/web",
			"txn rollouts/web=staging live/web live.serial", // armed
			"txn rollouts/web=staging",                      // at the wait
			"txn rollouts/web=rolling deploy/web",
			"txn rollouts/web=smoke",
			"txn rollouts/web=warmup",
			"txn rollouts/web=canary",
			"txn rollouts/web=canary live/web live.serial deploy/web", // a share
			"txn rollouts/web=switching",
			"txn rollouts/web=switching #2",                              // at the approval
			"txn rollouts/web=switching live/web live.serial deploy/web", // the switch
			"txn rollouts/web=draining",
			"txn rollouts/web=baking",
			"txn rollouts/web=done history/web/web-2.0.0-ID live/web live.serial deploy/web",
			"txn -approvals/ID/web/owner",
		},
		agent: {
			"session/create",
			"acquire agents/g1",
			"journal", "journal #2", "journal #3", "journal #4", "journal #5", "journal #6", "journal #7", "journal #8",
			"journal #9", "journal #10",
			"txn slots/web/green/0", // for the old version, which no rollout reports
			scripted + "start",
			"agent/service/register",
			"release slots/web/green/0",
			"acquire staging/web/g1/2.0.0",
			"txn slots/web/green/0 staging/web/g1/2.0.0", // goes down
			"agent/service/maintenance/web-green",
			scripted + "stop",
			scripted + "start #2",
			"agent/service/register #2",
			"agent/service/maintenance/web-green #2",
			"txn slots/web/green/0 staging/web/g1/2.0.0 #2", // is up again
			"agent/service/register #3",                     // as live
			"delete staging/web/g1/2.0.0",
		},
		promote: {
			"session/create",
			"txn operators/ID rollouts/web=queued deploy/web",
			"session/destroy/ID",
		},
		approve: {
			"txn approvals/ID/web/owner",
		},
		rollback: {
			"session/create",
			"txn operators/ID live/web live.serial deploy/web",
			"session/destroy/ID",
		},
	}
	var points []Point
	for _, who := range []string{controller, agent, promote, approve, rollback} {
		for _, effect := range effects[who] {
			points = append(points, Point{Who: who, Effect: effect}, Point{Who: who, Effect: effect, After: true})
		}
	}
	return points
}
