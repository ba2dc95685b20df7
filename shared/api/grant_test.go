package api_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/strongroom/strongroom/shared/api"
)

func TestDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		d    time.Duration
		text string
	}{
		"0s":     {0, "0s"},
		"15m":    {15 * time.Minute, "15m"},
		"90m":    {90 * time.Minute, "1h30m"},
		"60m":    {time.Hour, "1h"},
		"90d":    {90 * 24 * time.Hour, "90d"},
		"1d12h":  {36 * time.Hour, "1d12h"},
		"48h":    {48 * time.Hour, "2d"},
		"1.5h":   {90 * time.Minute, "1h30m"},
		"500ms":  {500 * time.Millisecond, "500ms"},
		"10m30s": {10*time.Minute + 30*time.Second, "10m30s"},
		"36500d": {36500 * 24 * time.Hour, "36500d"},
	} {
		d, err := api.ParseDuration(text)
		if err != nil || time.Duration(d) != want.d || d.String() != want.text {
			t.Errorf("%q: got %v %s, %v", text, time.Duration(d), d, err)
		}
	}
	for _, text := range []string{"", "d", "-1h", "-1d", "1", "1w", "1d-12h", "1d 1h", "36501d", "36500d1s", "99999999999999999999d", "1dd", "h1d", "0x1d", "+1d"} {
		if d, err := api.ParseDuration(text); err == nil {
			t.Errorf("%q was read as %s", text, d)
		}
	}
}

func FuzzDuration(f *testing.F) {
	f.Add("90d")
	f.Add("1d12h0m1ns")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := api.ParseDuration(text)
		if err != nil {
			return
		}
		if again, err := api.ParseDuration(d.String()); err != nil || again != d {
			t.Errorf("%q gives %s, which gives %s, %v", text, d, again, err)
		}
	})
}

func TestGrantAsJSON(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(api.GrantRule{Name: "n", Credentials: []string{"crm"}, TTL: api.Duration(15 * time.Minute)})
	const want = `{"name":"n","credentials":["crm"],"applications":null,"tags":null,"hosts":null,"host_labels":null,"any_host":false,"ttl":"15m","offline":"0s","until":null}`
	if err != nil || string(text) != want {
		t.Errorf("got %s, %v", text, err)
	}
	var back api.GrantRule
	if err := json.Unmarshal([]byte(`{"name":"n","ttl":"1d"}`), &back); err != nil || time.Duration(back.TTL) != 24*time.Hour {
		t.Errorf("got %v, %v", back.TTL, err)
	}
	if err := json.Unmarshal([]byte(`{"name":"n","ttl":"-1d"}`), &back); err == nil {
		t.Error("a negative ttl was read")
	}
}
