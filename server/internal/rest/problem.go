package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/catalogue"
	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/server/internal/people"
	"github.com/strongroom/strongroom/server/internal/seal"
	"github.com/strongroom/strongroom/server/internal/setting"
	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/envelope"
	"github.com/strongroom/strongroom/shared/secret"
)

var errNotJSON = errors.New("expected JSON, of the types that this route takes")

const problemType = "application/problem+json"

// problem is an api.Problem as huma sends it.
type problem struct {
	api.Problem
	wait int // seconds until the same may be asked again; 0: not known
}

// GetStatus is huma's.
func (p *problem) GetStatus() int { return p.Status }

// GetHeaders is huma's.
func (p *problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.wait > 0 {
		h.Set("Retry-After", strconv.Itoa(p.wait))
	}
	return h
}

// ContentType is huma's.
func (p *problem) ContentType(string) string { return problemType }

func refusal(status int, code, detail string) *problem {
	return &problem{Problem: api.Problem{Title: http.StatusText(status), Status: status, Code: code, Detail: detail}}
}

// usage is about one member of the request, which it names and does not repeat.
func usage(member, mend string) *problem {
	return refusal(http.StatusUnprocessableEntity, api.CodeUsage, member+": "+mend)
}

// inMember names the member that says what is not there, if that is what err is about.
func inMember(member string, err, absent error) error {
	if !errors.Is(err, absent) {
		return err
	}
	return refusal(http.StatusNotFound, api.CodeNotFound, member+": "+absent.Error())
}

func failed() *problem {
	return refusal(http.StatusInternalServerError, api.CodeFailed, "the server could not do it; its log says why")
}

// busy says what there was too much of, and when to ask again.
func busy(what string, wait time.Duration) *problem {
	seconds := int(math.Ceil(wait.Seconds()))
	p := refusal(http.StatusTooManyRequests, api.CodeRefused, fmt.Sprintf("%s: try again in %v", what, time.Duration(seconds)*time.Second))
	p.wait = seconds
	return p
}

func tooLarge(limit int64) string {
	return fmt.Sprintf("the request's body is too large: at most %d bytes are allowed", limit)
}

// write answers without huma.
func write(w http.ResponseWriter, p *problem) {
	w.Header().Set("Content-Type", problemType)
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // nobody is left to tell
}

// problem is the one place where errors become answers. What it does not know
// is internal: the log gets it, the client does not. Texts that may repeat what
// was sent are replaced by that of their sentinel.
func (r *REST) problem(c *call, route string, err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	if p = known(err); p != nil {
		return p
	}
	if c.unsealed != nil && c.unsealed.ending.Err() != nil {
		return refusal(http.StatusServiceUnavailable, api.CodeSealed, "the vault was sealed meanwhile")
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return refusal(http.StatusServiceUnavailable, api.CodeFailed, "it took too long: try again")
	}
	r.log.Error("a request failed", "route", route, "error", err)
	return failed()
}

// sentinels have their status and code here, and their own text as the detail.
var sentinels = []struct {
	is     error
	status int
	code   string
}{
	{people.ErrUnauthenticated, http.StatusUnauthorized, api.CodeUnauthenticated},
	{people.ErrLogin, http.StatusUnauthorized, api.CodeUnauthenticated},
	{people.ErrNotFound, http.StatusNotFound, api.CodeNotFound},
	{people.ErrNoUser, http.StatusNotFound, api.CodeNotFound},
	{people.ErrNoRole, http.StatusNotFound, api.CodeNotFound},
	{people.ErrTaken, http.StatusConflict, api.CodeConflict},
	{people.ErrChanged, http.StatusPreconditionFailed, api.CodeChanged},
	{people.ErrCode, http.StatusUnauthorized, api.CodeSecondFactor},
	{people.ErrBusy, http.StatusTooManyRequests, api.CodeRefused},
	{vault.ErrNotFound, http.StatusNotFound, api.CodeNotFound},
	{vault.ErrNoGrant, http.StatusNotFound, api.CodeNotFound},
	{vault.ErrNoRequest, http.StatusNotFound, api.CodeNotFound},
	{vault.ErrTaken, http.StatusConflict, api.CodeConflict},
	{vault.ErrChanged, http.StatusPreconditionFailed, api.CodeChanged},
	{fleet.ErrNotFound, http.StatusNotFound, api.CodeNotFound},
	{fleet.ErrChanged, http.StatusPreconditionFailed, api.CodeChanged},
	{fleet.ErrRevoked, http.StatusConflict, api.CodeConflict},
	{catalogue.ErrUnknown, http.StatusNotFound, api.CodeNotFound},
	{audit.ErrNoEntry, http.StatusNotFound, api.CodeNotFound},
	{audit.ErrPruned, http.StatusNotFound, api.CodeNotFound},
	{audit.ErrNoSpace, http.StatusInsufficientStorage, api.CodeFailed},
	{setting.ErrUnknown, http.StatusNotFound, api.CodeNotFound},
	{seal.ErrSlotID, http.StatusNotFound, api.CodeNotFound},
	{seal.ErrLastSlot, http.StatusConflict, api.CodeConflict},
	{seal.ErrSecondSet, http.StatusConflict, api.CodeConflict},
	{seal.ErrSlots, http.StatusConflict, api.CodeConflict},
}

func known(err error) *problem {
	switch {
	case errors.Is(err, credential.ErrInvalid) && errors.Is(err, catalogue.ErrUnknown):
		return usage("application", "there is no such one; strongroom application list shows those that there are")
	case errors.Is(err, credential.ErrInvalid):
		return refusal(http.StatusUnprocessableEntity, api.CodeUsage, err.Error())
	case errors.Is(err, vault.ErrRefused), errors.Is(err, people.ErrRefused), errors.Is(err, setting.ErrRefused):
		return refusal(http.StatusForbidden, api.CodeRefused, err.Error())
	case errors.Is(err, audit.ErrCursor):
		return usage("cursor", "take it from the next of the page before")
	case errors.Is(err, envelope.ErrEnvelope):
		return refusal(http.StatusConflict, api.CodeEnvelope, "the envelope does not open: ask for a new key on this connection and seal to it")
	case errors.Is(err, seal.ErrWrongKey):
		return refusal(http.StatusForbidden, api.CodeRefused, "this does not open the vault: it is another vault's, or mistyped")
	case errors.Is(err, seal.ErrShare), errors.Is(err, seal.ErrNoSlot):
		return refusal(http.StatusForbidden, api.CodeRefused, err.Error())
	case errors.Is(err, seal.ErrShareText):
		return refusal(http.StatusUnprocessableEntity, api.CodeUsage, "share: "+err.Error())
	case errors.Is(err, seal.ErrPassphrase), errors.Is(err, seal.ErrShareCount):
		return refusal(http.StatusUnprocessableEntity, api.CodeUsage, err.Error())
	case errors.Is(err, seal.ErrKeyFile):
		return usage("key_file", "send the whole key file as strongroom-server init wrote it")
	case errors.Is(err, secret.ErrFull):
		return refusal(http.StatusServiceUnavailable, api.CodeFailed, "the server's locked memory is full: try again, or run the server with a larger --locked-memory")
	}
	var delay *people.DelayError
	if errors.As(err, &delay) {
		return busy(delay.Error(), delay.Wait)
	}
	if errors.Is(err, people.ErrInUse) || errors.Is(err, vault.ErrInUse) {
		return refusal(http.StatusConflict, api.CodeConflict, err.Error())
	}
	for _, s := range sentinels {
		if errors.Is(err, s.is) {
			return refusal(s.status, s.code, s.is.Error())
		}
	}
	return nil
}

// scrub turns huma's own refusals into problems that repeat nothing.
func (r *REST) scrub(ctx huma.Context, _ string, body any) (any, error) {
	model, ok := body.(*huma.ErrorModel)
	if !ok {
		return body, nil
	}
	details := map[int]string{
		http.StatusBadRequest:            "the request's body must be JSON",
		http.StatusRequestTimeout:        "the request's body did not arrive in time",
		http.StatusRequestEntityTooLarge: tooLarge(ctx.Operation().MaxBodyBytes),
		http.StatusUnsupportedMediaType:  "the request's body must be application/json",
		http.StatusUnprocessableEntity:   "the request is not as it must be",
		http.StatusInternalServerError:   "the request's body could not be read",
	}
	p := refusal(model.Status, api.CodeUsage, details[model.Status])
	for _, e := range model.Errors {
		d := api.ProblemDetail{Location: r.location(e.Location), Message: message(e.Message)}
		switch e.Message {
		case validation.MsgUnexpectedProperty:
			d = r.unknownMember(ctx.Operation(), e.Location)
		case unknownParameter:
			d = api.ProblemDetail{Location: "query", Message: "unknown parameter; " + takes(parameters(ctx.Operation()))}
		}
		if !slices.Contains(p.Errors, d) { // as of two that are unknown
			p.Errors = append(p.Errors, d)
		}
	}
	return p, nil
}

const unknownParameter = "unknown query parameter" // in huma's words

// unknownMember says of the object in the body that has it which members it takes. The unknown name may be anything, dots
// included, so that the object is as deep as members of the API lead.
func (r *REST) unknownMember(op *huma.Operation, where string) api.ProblemDetail {
	at, object := "body", r.resolved(op.RequestBody.Content["application/json"].Schema)
	path, schema := at, object
	for part := range strings.SplitSeq(strings.TrimPrefix(where, "body."), ".") {
		name, _, listed := strings.Cut(part, "[")
		if schema = r.resolved(schema.Properties[name]); schema == nil || !indices.MatchString(part[len(name):]) {
			break
		}
		if path += "." + part; listed {
			schema = r.resolved(schema.Items)
		}
		if schema == nil { // the member is no list
			break
		}
		if schema.Properties != nil {
			at, object = path, schema
		}
	}
	return api.ProblemDetail{Location: at, Message: "unknown member; " + takes(slices.Sorted(maps.Keys(object.Properties)))}
}

func (r *REST) resolved(s *huma.Schema) *huma.Schema {
	if s != nil && s.Ref != "" {
		return r.schemas.SchemaFromRef(s.Ref)
	}
	return s
}

func parameters(op *huma.Operation) (names []string) {
	for _, p := range op.Parameters {
		if p.In == "query" {
			names = append(names, p.Name)
		}
	}
	return names
}

func takes(names []string) string {
	if len(names) == 0 {
		return "it takes none"
	}
	return "it takes " + strings.Join(names, ", ")
}

var indices = regexp.MustCompile(`^(\[[0-9]+\])*$`)

// location keeps of a path into the request what leads through members that the
// API has. Other names came from the client: they may be a secret in the wrong
// place.
func (r *REST) location(where string) string {
	root, rest, _ := strings.Cut(where, ".")
	kept := root
	for part := range strings.SplitSeq(rest, ".") {
		name, _, _ := strings.Cut(part, "[")
		if !r.members[name] || !indices.MatchString(part[len(name):]) {
			break
		}
		kept += "." + part
	}
	return kept
}

// message lets huma's fixed texts through, which name what the API wants and
// not what it got.
func message(text string) string {
	for _, begin := range []string{"expected ", "required ", "invalid integer", "invalid date/time"} {
		if strings.HasPrefix(text, begin) {
			return text
		}
	}
	return "not valid"
}
