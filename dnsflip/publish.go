package dnsflip

import (
	"errors"
	"fmt"
	"os"
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
// from one view, and none from an older one once Publish has returned. Pools
// that have become empty are carried (see Carry). The last-known file is
// written first, so that a restart never goes back; if the answers are the
// same and only At has changed, it is not written: after a restart, At is the
// time of the last change, and the age that is reported is an upper bound.
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
	if old.view == nil {
		return s.swap(compile(&v, s.cfg.ID))
	}
	if old.view.Zone.Name == v.Zone.Name && older(v.Serial, old.view.Serial) {
		return fmt.Errorf("publish view of zone %s: %w: %d, while %d is served; "+
			"if Consul was restored from a backup, raise the serial above it or remove the last-known file %q and restart",
			v.Zone.Name, ErrOldSerial, v.Serial, old.view.Serial, s.cfg.File)
	}
	v = Carry(*old.view, v)
	if sameAnswers(*old.view, v) {
		next := *old // no need to compile the same again
		next.view = &v
		return s.swap(&next)
	}
	s.saved = false
	return s.swap(compile(&v, s.cfg.ID))
}

// swap answers from a snapshot once it is saved.
func (s *Server) swap(next *snapshot) error {
	var err error
	if s.cfg.File != "" && !s.saved {
		if err = save(s.cfg.File, *next.view); err != nil {
			err = fmt.Errorf("save last-known file: %w: %w", ErrNotSaved, err)
		}
		s.saved = err == nil
	}
	s.current.Store(next)
	return err
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
	s.saved = true
	return v.normal(), s.swap(compile(&v, s.cfg.ID))
}

// View returns the view that answers are made from, nil if there is none. It
// must not be changed.
func (s *Server) View() *View { return s.current.Load().view }
