package artifact

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"strconv"
	"time"
)

// ManifestHeader carries the manifest of an upload: its JSON in base64
// (RFC 4648 section 4).
const ManifestHeader = "Switchd-Manifest"

// artifactsPath is the path of the artifacts of a store, each by its digest.
const artifactsPath = "/v1/artifacts/"

// Policy says what a store takes over HTTP.
type Policy struct {
	// Keys are those that a manifest must be signed by.
	Keys TrustedKeys
	// AllowUnsigned lets in any valid manifest, whoever signed it or not.
	// Agents still run nothing unsigned.
	AllowUnsigned bool
	// MaxSize bounds an archive, in bytes; 0 means DefaultMaxSize.
	MaxSize int64
	// Stall is how long an upload may bring nothing until it is cut off; 0
	// means 20 s.
	Stall time.Duration
}

// DefaultMaxSize bounds an archive, in bytes.
const DefaultMaxSize int64 = 16 << 30

// A transfer may take a minute and as long as its archive needs at 64 KiB a
// second; then it is cut off.
const (
	patience = time.Minute
	minRate  = 64 << 10
)

// defaultStall is how long an upload may bring nothing.
const defaultStall = 20 * time.Second

// OffsetHeader says at which byte an upload is to go on, as the field of that
// name in draft-ietf-httpbis-resumable-upload section 4.1.2.
const OffsetHeader = "Upload-Offset"

// NewHandler serves a store:
//
//	GET, HEAD /v1/artifacts/{sha256}  the archive, with ranges (RFC 9110 section 14)
//	PUT       /v1/artifacts/{sha256}  takes one, with its manifest in ManifestHeader
//
// A PUT is refused before its body is read if the policy does not let it in.
// It may go on where another one broke off, also one that the store's former
// process took. Content-Range says what it brings (RFC 9110 section 14.5):
//
//	without it              the whole archive
//	bytes FIRST-LAST/SIZE   the rest; LAST is the archive's last byte
//	bytes */SIZE            nothing, it asks
//
// and it is answered:
//
//	200  the archive was here already
//	201  it is here now: whole, verified, durable
//	202  to one that asks: go on at OffsetHeader; with Retry-After somebody else
//	     uploads the archive at the moment
//	409  this is not where to go on, or somebody else uploads it; ask again
//	422  it is not what the manifest describes, and all of it is thrown away
//	507  the disk is full
func NewHandler(store *Store, policy Policy, log *slog.Logger) http.Handler {
	if policy.MaxSize <= 0 {
		policy.MaxSize = DefaultMaxSize
	}
	if policy.Stall <= 0 {
		policy.Stall = defaultStall
	}
	h := &handler{store: store, policy: policy, log: log}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+artifactsPath+"{sha256}", h.get)
	mux.HandleFunc("PUT "+artifactsPath+"{sha256}", h.put)
	return mux
}

type handler struct {
	store  *Store
	policy Policy
	log    *slog.Logger
}

func (h *handler) get(w http.ResponseWriter, r *http.Request) {
	digest := r.PathValue("sha256")
	f, err := h.store.Open(digest)
	if errors.Is(err, fs.ErrNotExist) {
		http.Error(w, "no such artifact", http.StatusNotFound)
		return
	}
	if err != nil {
		h.fail(w, r, http.StatusInternalServerError, err)
		return
	}
	defer f.Close() //nolint:errcheck // Opened for reading.
	info, err := f.Stat()
	if err != nil {
		h.fail(w, r, http.StatusInternalServerError, err)
		return
	}
	conn := http.NewResponseController(w)
	if err := conn.SetWriteDeadline(Allowance(info.Size())); err != nil {
		h.fail(w, r, http.StatusInternalServerError, fmt.Errorf("bound the download: %w", err))
		return
	}
	// The connection may serve others after this.
	defer conn.SetWriteDeadline(time.Time{}) //nolint:errcheck // Then the connection is gone.
	header := w.Header()
	header.Set("Content-Type", "application/zstd") // RFC 8878 section 7.1
	header.Set("Etag", `"`+digest+`"`)
	header.Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, "", time.Time{}, f)
}

func (h *handler) put(w http.ResponseWriter, r *http.Request) {
	m, status, err := h.admit(r)
	if err != nil {
		h.fail(w, r, status, err)
		return
	}
	brings, err := bringing(r, m)
	if err != nil {
		h.fail(w, r, http.StatusBadRequest, err)
		return
	}
	if h.store.touch(m.SHA256) {
		w.WriteHeader(http.StatusOK)
		return
	}
	if brings.asks {
		h.tell(w, m)
		w.WriteHeader(http.StatusAccepted)
		return
	}
	body := &bodyReader{r: r.Body, conn: http.NewResponseController(w), stall: h.policy.Stall, end: Allowance(m.Size - brings.offset)}
	switch err := h.store.Receive(r.Context(), m, brings.offset, body); {
	case errors.Is(err, ErrOffset), errors.Is(err, ErrBusy):
		h.tell(w, m)
		h.fail(w, r, http.StatusConflict, err)
	case errors.Is(err, errBody):
		h.fail(w, r, http.StatusBadRequest, err)
	case errors.Is(err, ErrNoRoom):
		h.fail(w, r, http.StatusInsufficientStorage, err)
	case errors.Is(err, ErrDigest):
		h.fail(w, r, http.StatusUnprocessableEntity, err)
	case err != nil:
		h.fail(w, r, http.StatusInternalServerError, err)
	default:
		h.log.InfoContext(r.Context(), "artifact stored", "service", m.Service, "version", m.Version,
			"sha256", m.SHA256, "bytes", m.Size, "from", brings.offset, "by", m.By)
		w.WriteHeader(http.StatusCreated)
	}
}

// tell adds where an upload is to go on, and whether it had better wait.
func (h *handler) tell(w http.ResponseWriter, m Manifest) {
	offset, busy := h.store.Incoming(m)
	w.Header().Set(OffsetHeader, strconv.FormatInt(offset, 10))
	if busy {
		w.Header().Set("Retry-After", "1")
	}
}

// bringing is what a request brings of an archive. Its length, where it says
// one, must be that.
func bringing(r *http.Request, m Manifest) (contentRange, error) {
	brings, err := parseContentRange(r.Header, m.Size)
	if err != nil {
		return brings, err
	}
	want := m.Size - brings.offset
	if brings.asks {
		want = 0
	}
	if r.ContentLength >= 0 && r.ContentLength != want {
		return brings, fmt.Errorf("the body has %d bytes, the manifest and the range say %d", r.ContentLength, want)
	}
	return brings, nil
}

// admit returns the manifest of an upload that may come in, or the status and
// the reason of the refusal.
func (h *handler) admit(r *http.Request) (Manifest, int, error) {
	encoded := r.Header.Get(ManifestHeader)
	if encoded == "" {
		return Manifest{}, http.StatusBadRequest, fmt.Errorf("header %s with the manifest is missing", ManifestHeader)
	}
	if len(encoded) > base64.StdEncoding.EncodedLen(maxManifest) {
		return Manifest{}, http.StatusRequestHeaderFieldsTooLarge, fmt.Errorf("header %s is longer than a manifest", ManifestHeader)
	}
	text, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return Manifest{}, http.StatusBadRequest, fmt.Errorf("header %s: %w", ManifestHeader, err)
	}
	m, err := ParseManifest(text)
	if err != nil {
		return Manifest{}, http.StatusBadRequest, err
	}
	if err := h.policy.Keys.Verify(m); err != nil && !h.policy.AllowUnsigned {
		return Manifest{}, http.StatusForbidden, err
	}
	if digest := r.PathValue("sha256"); digest != m.SHA256 {
		return Manifest{}, http.StatusBadRequest, fmt.Errorf("the path says %.80q, the manifest says %s", digest, m.SHA256)
	}
	if m.Size > h.policy.MaxSize {
		return Manifest{}, http.StatusRequestEntityTooLarge, fmt.Errorf("%s has %d bytes, this store takes %d", m, m.Size, h.policy.MaxSize)
	}
	return m, 0, nil
}

// errBody is the error of an upload that breaks off or is too slow: the
// client's, not this server's.
var errBody = errors.New("read the upload")

// bodyReader marks the errors of a request's body, and ends it when it stalls
// or takes too long.
type bodyReader struct {
	r     io.Reader
	conn  *http.ResponseController
	stall time.Duration
	end   time.Time
}

func (b *bodyReader) Read(p []byte) (int, error) {
	deadline := time.Now().Add(b.stall)
	if b.end.Before(deadline) {
		deadline = b.end
	}
	if err := b.conn.SetReadDeadline(deadline); err != nil {
		return 0, fmt.Errorf("bound the upload: %w", err)
	}
	n, err := b.r.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		// The server goes on to read, to learn of a client that goes away.
		// While the archive is verified, nothing has to come.
		if err := b.conn.SetReadDeadline(time.Time{}); err != nil {
			return n, fmt.Errorf("bound the upload: %w", err)
		}
	case err != nil:
		err = fmt.Errorf("%w: %w", errBody, err)
	}
	return n, err // io.EOF must stay itself.
}

// fail answers with an error, and logs those that are this server's.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, status int, err error) {
	if status >= http.StatusInternalServerError {
		h.log.ErrorContext(r.Context(), "artifact request failed", "method", r.Method, "path", r.URL.Path, "status", status, "error", err)
	}
	http.Error(w, err.Error(), status)
}

// Allowance is when a transfer of so many bytes that begins now must be over.
func Allowance(size int64) time.Time {
	return time.Now().Add(patience + time.Duration(size/minRate)*time.Second)
}
