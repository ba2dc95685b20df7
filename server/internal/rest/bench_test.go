package rest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/configs"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/catalogue"
	"github.com/strongroom/strongroom/server/internal/roomtest"
	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/secret"
)

const benchCredentials = 100_000

// BenchmarkHundredThousand measures what the benchmark of that name in vault does, as people meet it: through their own
// client, TLS and the routes, with 100,000 credentials. The client runs in the same process, on the same processors. Its
// p50 and p99 are in microseconds.
func BenchmarkHundredThousand(b *testing.B) {
	s := newSite(b)
	s.fill(b)
	known := must(catalogue.Load(configs.Applications))(b)
	s.rooms.Vault = must(vault.Open(s.barrier, s.rooms.Audit, s.arena, known, s.rooms.Settings, time.Now))(b)
	s.rest.Open(s.rooms)
	c := s.client(s.token)
	list := func(b *testing.B, q api.CredentialQuery) []api.Credential {
		return must(c.Credentials(b.Context(), q))(b).Items
	}
	b.Run("list a page", func(b *testing.B) {
		roomtest.Measure(b, func(n int) {
			after := cursor(benchName(n * 7919 % (benchCredentials - 200)))
			if page := list(b, api.CredentialQuery{Cursor: after}); len(page) != 100 {
				b.Fatal(len(page))
			}
		})
	})
	b.Run("search by name", func(b *testing.B) {
		roomtest.Measure(b, func(n int) {
			want := benchName(n * 7919 % benchCredentials)
			page := list(b, api.CredentialQuery{Search: want[3:]})
			if !slices.ContainsFunc(page, func(c api.Credential) bool { return c.Name == want }) {
				b.Fatal(len(page))
			}
		})
	})
	b.Run("search by tag", func(b *testing.B) {
		roomtest.Measure(b, func(n int) {
			if page := list(b, api.CredentialQuery{Tag: fmt.Sprintf("team=t%d", n%500)}); len(page) != 100 {
				b.Fatal(len(page))
			}
		})
	})
	b.Run("add one", func(b *testing.B) {
		token := s.secret("token")
		defer token.Wipe()
		roomtest.Measure(b, func(int) {
			in := api.CredentialAdd{
				Name: credential.NewID(), Application: "generic-rest", AuthType: "access_token", Tags: map[string]string{"team": "new"},
			}
			_, err := c.AddCredential(b.Context(), in, api.Values{Secrets: map[string]*secret.Buffer{"token": token}})
			check(b, err)
		})
	})
}

func benchName(n int) string { return fmt.Sprintf("credential-%05d-%c", n, 'a'+n%26) }

// fill writes what the vault would have stored, values apart, in large transactions.
func (s *site) fill(b *testing.B) {
	b.Helper()
	const perCommit = 40
	for first := 0; first < benchCredentials; first += perCommit {
		check(b, s.barrier.Update(func(tx *barrier.Tx) error {
			for n := first; n < min(first+perCommit, benchCredentials); n++ {
				m := credential.Metadata{
					ID: credential.NewID(), Kind: credential.App, Name: benchName(n), Application: "generic-rest",
					AuthType: credential.AccessToken, Owner: "alice", OwnerID: "1", Version: 1, Revision: 1,
					Description: strings.Repeat("what it is for ", 3),
					Tags:        map[string]string{"team": fmt.Sprintf("t%d", n%500), "env": []string{"prod", "test"}[n%2]},
				}
				if err := tx.PutJSON("credential", m.ID, m); err != nil {
					return err
				}
				if err := tx.Claim("credential", m.Name, m.ID); err != nil {
					return err
				}
			}
			return nil
		}))
	}
}
