package dnsflip

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"switchd/dnssec"
	"switchd/spec"
	"switchd/zone"
)

// The errors of Publish, besides those of View.Validate.
var (
	// ErrOldSerial: the view is older than the one that is served, which
	// stays.
	ErrOldSerial = errors.New("serial is older")
	// ErrNotSaved: the view is served but the last-known file could not be
	// written: a server that restarts without Consul would not know it.
	ErrNotSaved = errors.New("served but not saved")
)

// Publish makes the server answer from the view: every reply is made wholly
// from one view, and by UDP none of an older one leaves after the first of the
// new one. Pools that have become empty are carried: they keep the addresses
// that they had. The view is written to disk first, so that a restart never
// goes back, and has reached the disk when Publish returns; if the answers are
// the same and only At has changed, it is not written: after a restart, At is
// the time of the last change, and the age that is reported is an upper bound.
//
// A view that is invalid or has an older serial (ErrOldSerial) changes
// nothing. If the file can't be written the view is served nevertheless,
// since a full disk must not hold up a rollback, and the error is
// ErrNotSaved.
func (s *Server) Publish(v View) error {
	if err := v.Validate(); err != nil {
		return fmt.Errorf("publish view: %w", err)
	}
	v = v.normal()
	s.publish.Lock()
	defer s.publish.Unlock()
	old := s.current.Load()
	if old.view != nil {
		if old.view.Zone.Name == v.Zone.Name && older(v.Serial, old.view.Serial) {
			return fmt.Errorf("publish view of zone %s: %w: %d, while %d is served; "+
				"if Consul was restored from a backup, raise the serial above it or remove the last-known file %q and %q, and restart",
				v.Zone.Name, ErrOldSerial, v.Serial, old.view.Serial, s.cfg.File, next(s.cfg.File))
		}
		v = carry(*old.view, v)
		if sameAnswers(*old.view, v) {
			return s.swap(&snapshot{view: &v, zones: old.zones, only: old.only})
		}
	}
	next, err := s.compile(&v)
	if err != nil {
		return fmt.Errorf("publish view of zone %s: %w", v.Zone.Name, err)
	}
	s.saved = false
	return s.swap(next)
}

// compile makes the snapshot of a valid view in its normal form.
func (s *Server) compile(v *View) (*snapshot, error) {
	origin, err := zone.ParseName(v.Zone.Name)
	if err != nil {
		return nil, err
	}
	var signer *dnssec.Signer
	var keys []dns.RR
	if v.Zone.DNSSEC {
		if signer, err = s.signer(origin); err != nil {
			return nil, err
		}
		if signer == nil {
			return nil, fmt.Errorf("the spec says that zone %s is signed, but this replica has no key of it: give it one with --dnssec-key", v.Zone.Name)
		}
		keys = signer.DNSKEY()
	}
	who, err := peersOf(v.Zone)
	if err != nil {
		return nil, err
	}
	z, renewed, err := s.builder.build(v, keys)
	if err != nil {
		return nil, err
	}
	next := s.newServed(z, signer, !renewed)
	next.peers = who
	return newSnapshot(v, next), nil
}

// newServed makes a zone ready to be served. If lasting is set, answers that
// were made of the version before may be used further.
func (s *Server) newServed(z *zone.Zone, signer *dnssec.Signer, lasting bool) *served {
	s.stamps += 2
	next := &served{zone: z, serial: z.Serial(), signer: signer, stable: s.stamps, fresh: s.stamps + 1, kept: new(atomic.Int64)}
	if last := s.current.Load().zones[string(z.Origin())]; last != nil {
		next.history = last.history
		if lasting {
			next.stable = last.stable
		}
		if last.zone.Same(z) {
			next.kept = last.kept
		}
	}
	next.history = next.history.with(z)
	if signer != nil {
		// What is signed now is not signed at the first query, and a flip
		// stays one publish. What can't be signed now can't be later either;
		// that is told to who asks for it.
		if err := signer.Prepare(z, slices.Collect(maps.Values(z.Overlay())), time.Now()); err != nil {
			s.cfg.Log.Error("answers can't be signed", "zone", z.Origin(), "error", err)
		}
	}
	return next
}

// signer returns the signer of a zone, nil if there is no key of it.
func (s *Server) signer(origin zone.Name) (*dnssec.Signer, error) {
	if signer := s.signers[origin]; signer != nil {
		return signer, nil
	}
	var keys []dnssec.Key
	for _, key := range s.cfg.Keys {
		if key.Zone == origin {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, nil //nolint:nilnil // an unsigned zone
	}
	signer, err := dnssec.New(origin, keys, dnssec.Options{})
	if err != nil {
		return nil, err
	}
	s.signers[origin] = signer
	return signer, nil
}

// Serve makes the server answer from plain zones, without any view. Zones for
// which it has keys are signed. It may be called again with newer ones.
func (s *Server) Serve(zones ...*zone.Zone) error {
	s.publish.Lock()
	defer s.publish.Unlock()
	var all []*served
	for _, z := range zones {
		signer, err := s.signer(z.Origin())
		if err != nil {
			return fmt.Errorf("serve zone %s: %w", z.Origin(), err)
		}
		if signer != nil {
			if z, err = signed(z, signer); err != nil {
				return fmt.Errorf("serve zone %s: %w", z.Origin(), err)
			}
		}
		next := s.newServed(z, signer, false)
		next.peers = newPeers(s.cfg.Transfers, s.cfg.Secondaries)
		all = append(all, next)
	}
	s.answerFrom(newSnapshot(nil, all...))
	return nil
}

// answerFrom has a snapshot answered from, and tells the secondaries. The
// caller holds s.publish.
func (s *Server) answerFrom(next *snapshot) {
	s.turnover.Lock()
	s.current.Store(next)
	s.turnover.Unlock()
	notifier := s.notifier.Load() // nil: Start tells them
	for _, z := range next.zones {
		if notifier != nil && z.signer == nil {
			notifier.tell(z.zone, z.peers.secondaries)
		}
		z.sweep()
	}
}

// signed lays the keys of a zone over its apex.
func signed(z *zone.Zone, signer *dnssec.Signer) (*zone.Zone, error) {
	apex := z.Node([]byte(z.Origin()))
	n := &zone.Node{Name: apex.Name, Unit: apexUnit, Sets: withKeys(apex.Sets, signer.DNSKEY())}
	return z.With(z.Serial(), []*zone.Node{n})
}

// swap answers from a snapshot once it is staged, and settles it.
func (s *Server) swap(next *snapshot) error {
	if s.cfg.File == "" || s.saved {
		s.answerFrom(next)
		return nil
	}
	err := s.stage(*next.view)
	s.answerFrom(next)
	if err == nil {
		err = s.settle(*next.view)
	}
	if err != nil {
		return fmt.Errorf("save last-known file: %w: %w", ErrNotSaved, err)
	}
	s.saved = true
	return nil
}

// stage writes what must survive the process, with the zone file that belongs
// to it; that one changes rarely.
func (s *Server) stage(v View) error {
	if hashOf(v.Zone.File) != s.savedAs {
		if err := saveZoneFile(s.cfg.File, v); err != nil {
			return err
		}
	}
	return stage(s.cfg.File, v)
}

func (s *Server) settle(v View) error {
	if err := settle(s.cfg.File); err != nil {
		return err
	}
	if as := hashOf(v.Zone.File); as != s.savedAs {
		s.savedAs = as
		return removeZoneFiles(s.cfg.File, v)
	}
	return nil
}

// hashOf is the hash of a zone file, empty without one.
func hashOf(z *spec.ZoneFile) string {
	if z == nil {
		return ""
	}
	return z.SHA256
}

// Restore makes the server answer from the last-known file and returns the
// view. The error is os.ErrNotExist if there is none. A corrupt file is
// renamed to end in ".corrupt", and the error names it. A view that was
// published before stays.
func (s *Server) Restore() (View, error) {
	if s.cfg.File == "" {
		return View{}, fmt.Errorf("restore view: no last-known file is configured: %w", os.ErrNotExist)
	}
	s.publish.Lock()
	defer s.publish.Unlock()
	if s.current.Load().view != nil {
		return View{}, errors.New("restore view: one has been published already")
	}
	v, err := load(s.cfg.File)
	if err != nil {
		return View{}, fmt.Errorf("restore view: %w", err)
	}
	next, err := s.compile(&v)
	if err != nil {
		return View{}, fmt.Errorf("restore view: %w", err)
	}
	s.saved = true
	return v.normal(), s.swap(next)
}

// View returns the view that answers are made from, nil if there is none. It
// must not be changed.
func (s *Server) View() *View { return s.current.Load().view }
