package credential

import "time"

// Health is how a credential stands, as far as is known.
type Health string

// What is known from times alone.
const (
	HealthUnknown  Health = "unknown"
	HealthExpiring Health = "expiring"
	HealthExpired  Health = "expired"
)

// warnBefore is how long before its end a credential is expiring, where a fifth of its life is not less.
const warnBefore = 30 * 24 * time.Hour

// Ends is when the credential ends: at the time that was given, or when its newest version ends by itself, whichever
// comes first. Zero: never.
func (m Metadata) Ends() time.Time {
	if m.Expires.IsZero() || !m.ValueEnds.IsZero() && m.ValueEnds.Before(m.Expires) {
		return m.ValueEnds
	}
	return m.Expires
}

// Health is how the credential stands by its end.
func (m Metadata) Health(now time.Time) Health {
	ends, since := m.Ends(), m.ValueSince
	if since.IsZero() {
		since = m.Created
	}
	switch {
	case ends.IsZero():
		return HealthUnknown
	case !now.Before(ends):
		return HealthExpired
	case ends.Sub(now) <= min(warnBefore, ends.Sub(since)/5):
		return HealthExpiring
	}
	return HealthUnknown
}
