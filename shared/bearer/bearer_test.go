package bearer

import (
	"strings"
	"testing"
)

func TestTokens(t *testing.T) {
	t.Parallel()
	text, hash := New("srt_", "abc")
	id, random, ok := Parse("srt_", text)
	if !ok || id != "abc" || len(random) < 26 || !Matches(random, hash) || strings.Contains(string(hash), random) {
		t.Errorf("%s: %s, %s, %t", text, id, random, ok)
	}
	if again, _ := New("srt_", "abc"); again == text {
		t.Error("two tokens are the same")
	}
	for _, other := range []string{"", random[:len(random)-1], random + "x", strings.ToUpper(random)} {
		if Matches(other, hash) {
			t.Errorf("%q matches", other)
		}
	}
	for _, bad := range []string{
		"", "srt_", "srt__", "srt_abc", "srj_abc_def", "abc_def", "srt_../x_y", "srt_A_y", "srt_" + strings.Repeat("a", 64) + "_y",
		"srt_a_" + strings.Repeat("y", 256),
	} {
		if _, _, ok := Parse("srt_", bad); ok {
			t.Errorf("%q is taken for a token", bad)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("srt_abc_def")
	f.Fuzz(func(t *testing.T, s string) {
		if id, random, ok := Parse("srt_", s); ok && "srt_"+id+"_"+random != s {
			t.Errorf("%q is read as %q and %q", s, id, random)
		}
	})
}
