package main

import (
	"time"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/cli"
)

var (
	errTime     = cli.Usagef("wanted is a time such as 2027-01-31T12:00:00Z, a date such as 2027-01-31, or a duration such as 90d or 12h")
	errEnd      = cli.Usagef("wanted is a time such as 2027-01-31T12:00:00Z, a date such as 2027-01-31, a duration such as 90d or 12h, or never")
	errDuration = cli.Usagef("wanted is a duration such as 90d, 12h or 15m")
)

// parseTime reads RFC 3339, a date (its beginning, in now's time zone), or a
// duration that is counted from now: backwards where back is set.
func parseTime(text string, now time.Time, back bool) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, text, now.Location()); err == nil {
		return t, nil
	}
	d, err := api.ParseDuration(text)
	if err != nil {
		return time.Time{}, errTime
	}
	if back {
		d = -d
	}
	return now.Add(time.Duration(d)), nil
}

// timeFlag is a flag that takes a time; nil where it was not given.
type timeFlag struct {
	at    *time.Time
	back  bool
	never bool // it takes the word never, which is the zero time
}

func (f *timeFlag) Type() string { return "time" }

func (f *timeFlag) String() string {
	if f.at == nil {
		return ""
	}
	return f.at.Format(time.RFC3339)
}

func (f *timeFlag) Set(text string) error {
	if f.never && text == "never" {
		f.at = &time.Time{}
		return nil
	}
	t, err := parseTime(text, time.Now(), f.back)
	if err != nil && f.never {
		return errEnd
	}
	if err != nil {
		return err
	}
	f.at = &t
	return nil
}

// durationFlag is a flag that takes a duration.
type durationFlag struct{ d *api.Duration }

func (f durationFlag) Type() string { return "duration" }

func (f durationFlag) String() string {
	if f.d == nil || *f.d == 0 {
		return ""
	}
	return f.d.String()
}

func (f durationFlag) Set(text string) error {
	d, err := api.ParseDuration(text)
	if err != nil {
		return errDuration
	}
	*f.d = d
	return nil
}
