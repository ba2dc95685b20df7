package delivery

import (
	"encoding/base64"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/strongroom/strongroom/server/internal/claims"
	"github.com/strongroom/strongroom/server/internal/outbound"
	"github.com/strongroom/strongroom/server/internal/setting"
	"github.com/strongroom/strongroom/shared/wire"
)

func tokens(s *setting.Settings, now func() time.Time) *claims.Verifier {
	return claims.New(s, outbound.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}), slog.New(slog.DiscardHandler), now)
}

// What a token is refused for is answered and logged, and the token is in neither. One that is good needs an issuer
// whom the server trusts by the system's certificates: TestJobTokens has it.
func TestTokensThatAreNotTaken(t *testing.T) {
	t.Parallel()
	f := open(t)
	a := f.enrol()
	const trusted = "https://127.0.0.1:1" // where nobody answers
	_, err := f.settings.Set(t.Context(), alice, setting.JobIssuers, trusted)
	f.must(err)
	by := func(issuer string) string {
		encode := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
		return encode(`{"alg":"ES256","kid":"k"}`) + "." + encode(`{"iss":"`+issuer+`","sub":"canary"}`) + "." + encode(strings.Repeat("s", 64))
	}
	for _, c := range []struct {
		what, token, target, words string
		code                       codes.Code
	}{
		{"none", "", "", "token: is empty", codes.InvalidArgument},
		{"no token", "canary", "unknown", "the job's token is not taken: it is no JSON Web Token", codes.PermissionDenied},
		{"a long one", strings.Repeat("canary", 3000), "unknown", "the job's token is not taken: it is longer than 16384 bytes", codes.PermissionDenied},
		{"of an issuer that nobody trusts", by("https://canary.example.com"), "unknown", "the job's token is not taken: its issuer is none of the setting job-issuers", codes.PermissionDenied},
		{"of an issuer that does not answer", by(trusted), "", "the keys of the token's issuer cannot be had", codes.FailedPrecondition},
	} {
		before := f.Newest(t, 1)[0].Seq
		_, err := a.calls.Verify(t.Context(), &wire.VerifyRequest{Token: c.token, Job: &wire.Job{User: "etl", Uid: "1001", Pid: 7}})
		wantCode(t, c.what, err, c.code, c.words)
		e := f.Newest(t, 1)[0]
		switch {
		case c.target == "":
			if e.Seq != before {
				t.Errorf("%s: logged %+v", c.what, e)
			}
		case e.Action != "job.verify" || e.Target != c.target || e.Outcome != "refused" || !strings.HasPrefix(e.Reason, c.words) ||
			e.Host != a.id || e.Actor != "host:"+a.id || e.Job != "user=etl,pid=7":
			t.Errorf("%s: logged %+v", c.what, e)
		}
		if strings.Contains(e.Target+e.Reason+e.Job+err.Error(), "canary") {
			t.Errorf("%s: the token is in %+v or %v", c.what, e, err)
		}
	}
}

// Who asks again and again is held off as with leases.
func TestTokensCountAsCalls(t *testing.T) {
	t.Parallel()
	f := open(t)
	a := f.enrol()
	_, err := a.calls.Verify(t.Context(), &wire.VerifyRequest{Token: "x"})
	wantCode(t, "the control", err, codes.PermissionDenied, "is not taken")
	f.delivery.limitsOf(a.id).calls.SetBurst(0)
	_, err = a.calls.Verify(t.Context(), &wire.VerifyRequest{Token: "x"})
	wantCode(t, "too many", err, codes.ResourceExhausted, "too many calls at once")
}
