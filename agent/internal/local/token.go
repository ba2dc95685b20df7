package local

import (
	"context"
	"net/http"
)

// tokenHeader is where a job shows a token of its CI system. It does so with
// each request: what was found in it before is for nobody else.
const tokenHeader = "X-Strongroom-Job-Token"

// maxHeaders has room for a token beside what else a request has.
const maxHeaders = 24 << 10

// verified adds the claims of the token that the caller shows, if he shows one.
func (l *Local) verified(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, err := l.tokens.Of(r.Context(), r.Header.Get(tokenHeader), jobOf(callerOf(r)))
		if err != nil {
			l.fail(w, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), claimsKey{}, claims)))
	})
}

type claimsKey struct{}

// claimsOf are those of the token that came with a request.
func claimsOf(ctx context.Context) []string {
	claims, _ := ctx.Value(claimsKey{}).([]string)
	return claims
}
