package ledger_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"switchd/consul"
	"switchd/ledger"
	"switchd/spec"
	"switchd/testenv/devconsul"
)

// many are n services that one author wants, sorted by name.
func many(n int, author string) *spec.Desired {
	d := desired()
	d.Environment.Vars = map[string]string{"author": author}
	for i := range n {
		d.Services = append(d.Services, spec.Service{Name: fmt.Sprintf("s%03d", i), Owner: author})
	}
	return d
}

func TestApply_WritesWhatDiffersAndRemovesWhatIsGone(t *testing.T) {
	t.Parallel()
	client := devconsul.Start(t, nil).Client()
	w := world{&ledger.Ledger{Consul: client, Keys: consul.Keys{Env: "prod"}}, client}
	if have, err := w.Desired(t.Context()); have != nil || err != nil {
		t.Fatalf("before the first apply: %+v, %v", have, err)
	}
	// More than one transaction takes, fewer, other ones, and the same.
	other := many(70, "b")
	other.Services = append(other.Services[:20], other.Services[30:]...)
	for i, want := range []*spec.Desired{many(100, "a"), other, many(3, "b"), many(3, "b")} {
		before := w.everything(t)
		if err := w.Apply(t.Context(), "test", want); err != nil {
			t.Fatalf("apply %d: %v", i, err)
		}
		got, err := w.Desired(t.Context())
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("apply %d: got %+v (%v)", i, got, err)
		}
		if changed, same := w.everything(t) != before, i == 3; changed == same {
			t.Errorf("apply %d: changed is %t", i, changed)
		}
	}
	// What is the same isn't written again.
	index := func() uint64 {
		entry, err := client.Get(t.Context(), w.Keys.Spec("s000"))
		if err != nil {
			t.Fatal(err)
		}
		return entry.Index
	}
	before := index()
	if err := w.Apply(t.Context(), "test", many(5, "b")); err != nil {
		t.Fatal(err)
	}
	if index() != before {
		t.Error("a service that is as before was written again")
	}
	envs, err := ledger.Environments(t.Context(), client)
	if err != nil || len(envs) != 1 || envs[0] != "prod" {
		t.Errorf("environments: %v (%v)", envs, err)
	}
	left, err := client.List(t.Context(), w.Keys.Operators())
	if err != nil || len(left) != 0 {
		t.Errorf("leases are left behind: %v (%v)", left, err)
	}
}

func TestApply_NeverMixesTwoAuthors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mu sync.Mutex
	won := 0
	var applying sync.WaitGroup
	for i := range 8 {
		applying.Go(func() {
			author := fmt.Sprintf("author %d", i)
			err := w.Apply(t.Context(), author, many(80+i, author))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won++
			case !errors.Is(err, consul.ErrConflict), !strings.Contains(err.Error(), "another one is under way"):
				t.Errorf("%s: %v", author, err)
			}
		})
	}
	applying.Wait()
	if won == 0 {
		t.Fatal("nobody could apply")
	}
	got, err := w.Desired(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	author := got.Environment.Vars["author"]
	if want := many(len(got.Services), author); !reflect.DeepEqual(got, want) {
		t.Errorf("the environment is %s's, but not all of it", author)
	}
	if want := "author " + fmt.Sprint(len(got.Services)-80); author != want {
		t.Errorf("the environment is %s's, its services are %s's", author, want)
	}
}

func TestPublish_NeverChangesARelease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	digits := "0123456789abcdef"
	var mu sync.Mutex
	var winner string
	var publishing sync.WaitGroup
	for i := range len(digits) {
		publishing.Go(func() {
			digit := digits[i : i+1]
			err := w.Publish(t.Context(), manifest("2.0.0", digit))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && winner == "":
				winner = digit
			case err == nil:
				t.Errorf("%s and %s were published as the same version", winner, digit)
			case !errors.Is(err, ledger.ErrPublished), !strings.Contains(err.Error(), "web 2.0.0"), !strings.Contains(err.Error(), "another version"):
				t.Errorf("%s: %v", digit, err)
			}
		})
	}
	publishing.Wait()
	before := w.everything(t)
	if err := w.Publish(t.Context(), manifest("2.0.0", winner)); err != nil {
		t.Errorf("the same bytes again: %v", err)
	}
	if now := w.everything(t); now != before {
		t.Error("the same bytes again changed something")
	}
	if err := w.Publish(t.Context(), manifest("1.5.0", "a")); err != nil {
		t.Fatal(err)
	}
	releases, err := w.Releases(t.Context(), "web")
	if err != nil || len(releases) != 2 || releases[0].Version != "2.0.0" || releases[0].SHA256 != strings.Repeat(winner, 64) || releases[1].Version != "1.5.0" {
		t.Errorf("releases, the oldest first: %v (%v)", releases, err)
	}
	if _, err := w.Release(t.Context(), "web", "9"); !errors.Is(err, ledger.ErrUnknownRelease) {
		t.Errorf("a release that isn't there: %v", err)
	}
}
