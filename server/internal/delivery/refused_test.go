package delivery

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// alert is what a host is told of a certificate that is refused in the handshake.
const alert = "bad certificate"

func wantCode(t *testing.T, what string, err error, code codes.Code, words string) {
	t.Helper()
	s := status.Convert(err)
	if words == alert && s.Code() == code {
		// A client of TLS 1.3 may write before it reads why it was turned away; what was logged says it then.
		for _, hung := range []string{"broken pipe", "connection reset by peer"} {
			if strings.Contains(s.Message(), hung) {
				return
			}
		}
	}
	if s.Code() != code || !strings.Contains(s.Message(), words) {
		t.Errorf("%s: %v %q, want %v with %q", what, s.Code(), s.Message(), code, words)
	}
}
