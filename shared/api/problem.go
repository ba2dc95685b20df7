package api

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// The codes of a problem. Each has one sentinel error below; CodeEnvelope is
// for this package's client, which answers it by starting over.
const (
	CodeUsage           = "usage"           // 400, 413, 422
	CodeUnauthenticated = "unauthenticated" // 401
	CodeSecondFactor    = "second_factor"   // 401: the password is right, and a code is wanted as well
	CodeRefused         = "refused"         // 403; also "not there", to somebody who may not list
	CodeNotFound        = "not_found"       // 404
	CodeConflict        = "conflict"        // 409
	CodeChanged         = "changed"         // 412, 428: it is not as the request's If-Match says, or that is missing
	CodeEnvelope        = "envelope"        // 409: no envelope was opened on this connection
	CodeSealed          = "sealed"          // 503
	CodeFailed          = "failed"          // 500
)

// What a call can end with, beside the context's own errors. Every error of the
// client wraps exactly one of them, or is about an argument and wraps ErrUsage.
var (
	ErrUsage           = errors.New("wrong usage")
	ErrUnauthenticated = errors.New("not logged in")
	ErrSecondFactor    = errors.New("a code of the second factor is needed")
	ErrRefused         = errors.New("refused")
	ErrNotFound        = errors.New("not found")
	ErrConflict        = errors.New("conflict")
	ErrChanged         = errors.New("changed meanwhile")
	ErrSealed          = errors.New("the server is sealed")
	ErrFailed          = errors.New("the server failed")
	ErrNotReachable    = errors.New("the server cannot be reached")
)

var sentinels = map[string]error{
	CodeUsage: ErrUsage, CodeUnauthenticated: ErrUnauthenticated, CodeSecondFactor: ErrSecondFactor, CodeRefused: ErrRefused,
	CodeNotFound: ErrNotFound, CodeConflict: ErrConflict, CodeChanged: ErrChanged, CodeEnvelope: ErrConflict,
	CodeSealed: ErrSealed, CodeFailed: ErrFailed,
}

// Problem is the body of every answer that is not a success: RFC 9457 with a
// code. It never repeats a value that was sent.
type Problem struct {
	Title  string          `json:"title" doc:"the status in words" example:"Conflict"`
	Status int             `json:"status" doc:"the HTTP status" example:"409"`
	Detail string          `json:"detail,omitempty" doc:"what happened and what to do next"`
	Code   string          `json:"code" enum:"usage,unauthenticated,second_factor,refused,not_found,conflict,changed,envelope,sealed,failed" doc:"what programs branch on"`
	Errors []ProblemDetail `json:"errors,omitempty" doc:"what is wrong with single members of the request"`
}

// ProblemDetail says what is wrong with one member of the request.
type ProblemDetail struct {
	Location string `json:"location,omitempty" doc:"where in the request" example:"body.name"`
	Message  string `json:"message" doc:"what is wrong there"`
}

// Error gives the detail, with what is wrong with single members.
func (p *Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	for _, e := range p.Errors {
		text += "; " + strings.TrimPrefix(e.Location+": ", ": ") + e.Message
	}
	return text
}

// Unwrap gives the sentinel of the problem's code.
func (p *Problem) Unwrap() error { return sentinels[p.Code] }

// problemOf makes a problem of any refusal, also of one that something between
// the client and the server wrote: then the status alone decides.
func problemOf(p Problem, status int) *Problem {
	p.Status = status
	if p.Title == "" {
		p.Title = http.StatusText(status)
	}
	if sentinels[p.Code] == nil {
		p.Code = codeOf(status)
	}
	if p.Detail == "" {
		p.Detail = fmt.Sprintf("the server answered %d %s", status, http.StatusText(status))
	}
	return &p
}

func codeOf(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return CodeUnauthenticated
	case http.StatusForbidden:
		return CodeRefused
	case http.StatusNotFound:
		return CodeNotFound
	case http.StatusConflict:
		return CodeConflict
	case http.StatusPreconditionFailed, http.StatusPreconditionRequired:
		return CodeChanged
	}
	if status >= 400 && status < 500 && status != http.StatusTooManyRequests {
		return CodeUsage
	}
	return CodeFailed
}
