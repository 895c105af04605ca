package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"switchd/status"
)

// problem is what the API answers when it has no document.
type problem struct {
	Error string `json:"error"`
}

// serveStatus answers with the document, of one service if one is named.
func (s *site) serveStatus(w http.ResponseWriter, r *http.Request) {
	now := s.now.read(r.Context())
	if now.err != nil {
		s.answer(w, r, http.StatusServiceUnavailable, problem{now.err.Error()})
		return
	}
	name := r.PathValue("service")
	if name == "" {
		s.answer(w, r, http.StatusOK, now.doc)
		return
	}
	i := slices.IndexFunc(now.doc.Services, func(s status.Service) bool { return s.Name == name })
	if i < 0 {
		s.answer(w, r, http.StatusNotFound, problem{fmt.Sprintf("unknown service %.80q in environment %q; /v1/status lists them all", name, now.doc.Environment)})
		return
	}
	now.doc.Services = now.doc.Services[i : i+1]
	s.answer(w, r, http.StatusOK, now.doc)
}

func (s *site) answer(w http.ResponseWriter, r *http.Request, code int, value any) {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		s.Log.ErrorContext(r.Context(), "write the status", "error", err)
		http.Error(w, "the status can't be written as JSON", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(text, '\n')) // a client that went away needs no answer
}
