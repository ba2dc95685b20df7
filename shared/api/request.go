package api

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// RequestMake is the body of POST /v1/requests.
type RequestMake struct {
	Credential string `json:"credential" maxLength:"127" doc:"OWNER/NAME" example:"alice/payroll"`
	Reason     string `json:"reason" maxLength:"4096"`
	Access     string `json:"access" enum:"use,read"`
	Host       string `json:"host,omitempty" maxLength:"63" doc:"the ID of the host whose jobs shall have it; empty: the caller wants to see it"`
	Jobs
}

// Request is somebody's wish for a custom credential of somebody else.
type Request struct {
	Number     uint64 `json:"number"`
	Credential string `json:"credential"`
	Requester  string `json:"requester"`
	Reason     string `json:"reason"`
	Access     string `json:"access"`
	Host       string `json:"host"`
	Jobs
	Status  string     `json:"status" enum:"pending,approved,denied,revoked,expired"`
	Created time.Time  `json:"created"`
	Decided *time.Time `json:"decided"`
	Until   *time.Time `json:"until" doc:"the end of the access"`
}

// RequestList answers GET /v1/requests, the newest first.
type RequestList struct {
	Items []Request `json:"items"`
}

// RequestApprove is the body of POST /v1/requests/{number}/approve.
type RequestApprove struct {
	Until *time.Time `json:"until,omitempty" doc:"the end of the access; absent: in a day"`
}

// MakeRequest asks for a credential.
func (c *Client) MakeRequest(ctx context.Context, in RequestMake) (*Request, error) {
	return send[Request](ctx, c, http.MethodPost, in, "requests")
}

// Requests lists those that the caller made or is to answer.
func (c *Client) Requests(ctx context.Context) (*RequestList, error) {
	return get[RequestList](ctx, c, nil, "requests")
}

// Approve gives what a request asks for.
func (c *Client) Approve(ctx context.Context, number uint64, until *time.Time) (*Request, error) {
	return send[Request](ctx, c, http.MethodPost, RequestApprove{Until: until}, "requests", strconv.FormatUint(number, 10), "approve")
}

// Deny refuses a request.
func (c *Client) Deny(ctx context.Context, number uint64) (*Request, error) {
	return send[Request](ctx, c, http.MethodPost, nil, "requests", strconv.FormatUint(number, 10), "deny")
}

// RevokeRequest takes an approval back, or a request of one's own.
func (c *Client) RevokeRequest(ctx context.Context, number uint64) (*Request, error) {
	return send[Request](ctx, c, http.MethodPost, nil, "requests", strconv.FormatUint(number, 10), "revoke")
}
