package analysis_test

import (
	"strings"
	"testing"
	"time"

	"switchd/analysis"
	"switchd/spec"
)

func TestReadEvidence_RefusesWhereThereIsNone(t *testing.T) {
	t.Parallel()
	if _, err := analysis.ReadEvidence(errorsTask()); err == nil || err.Error() != "read the evidence of an analysis: there is none" {
		t.Errorf("got %v", err)
	}
}

func TestReadEvidence_HasWhatWasJudged(t *testing.T) {
	t.Parallel()
	db := newTSDB()
	traffic(db, 50, 0.01, 0.01, never, nil)
	former := errorsTask()
	former.Share, former.Config.Fallback = 0, spec.CompareFormer
	v, _ := run(t, 2*time.Minute, former, db)
	former.State = v.State
	e, err := analysis.ReadEvidence(former)
	if err != nil {
		t.Fatal(err)
	}
	if m := e.Config.Metrics[0]; e.Compared != spec.CompareFormer || m.Allowed != 2.2 || m.Margin != 1 || former.Judged().Metrics[0].Allowed != 2.2 {
		t.Errorf("compared with %s, %+v", e.Compared, m)
	}
	if f := e.Verdict.Findings[0]; !strings.Contains(strings.Join(v.Evidence, "\n"), f.Why) || e.Backgrounds["errors"].Why == "" || len(e.Trail.Metrics["errors"]) == 0 {
		t.Errorf("%+v", e)
	}
}

func FuzzReadEvidence(f *testing.F) {
	f.Add([]byte(`{"step":1,"metrics":{"errors":{"seen":"2026-01-01T00:00:00Z","answered":true}},"prepared":true}`))
	f.Add([]byte(`{"panel":{"v":1,"metrics":{"errors":{"judge":{}}}}}`))
	f.Add([]byte(`{"backgrounds":{"errors":{"noise":[{"variance":-1}]}}}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, state []byte) {
		task := errorsTask()
		task.State = state
		e, err := analysis.ReadEvidence(task)
		if err == nil && e.Verdict.Why == "" {
			t.Error("evidence without a sentence")
		}
	})
}
