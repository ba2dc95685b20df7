package kit

import (
	"strings"
	"testing"
)

// Login logs the admin in again, where the session of NewServer is of no more use.
func (s *Server) Login(t testing.TB) {
	t.Helper()
	for _, variable := range s.Admin.Env {
		if token, is := strings.CutPrefix(variable, "STRONGROOM_TOKEN_FILE="); is {
			s.Admin.Run(t, "login", "--user", "admin", "--password", "@"+File(t, s.password), "--token-out", token).Want(t, 0)
		}
	}
}
