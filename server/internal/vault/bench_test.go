package vault_test

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
	"github.com/strongroom/strongroom/server/internal/setting"
	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

const benchCredentials = 100_000

// BenchmarkHundredThousand measures what people and hosts do to a vault of 100,000 credentials with 1,000 grants. Its
// p50 and p99 are in microseconds.
func BenchmarkHundredThousand(b *testing.B) {
	r := roomtest.Open(b)
	fill(b, r)
	settings, err := setting.Open(r.Barrier, r.Log)
	if err != nil {
		b.Fatal(err)
	}
	known, err := catalogue.Load(configs.Applications)
	if err != nil {
		b.Fatal(err)
	}
	v, err := vault.Open(r.Barrier, r.Log, r.Arena, known, settings, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	if err := v.Tidy(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Run("list a page", func(b *testing.B) {
		roomtest.Measure(b, func(n int) {
			page, more := v.List(alice, vault.Filter{After: nameOf(n * 7919 % (benchCredentials - 200)), Limit: 100})
			if len(page) != 100 || !more {
				b.Fatalf("%d, %t", len(page), more)
			}
		})
	})
	b.Run("search by name", func(b *testing.B) {
		roomtest.Measure(b, func(n int) {
			want := nameOf(n * 7919 % benchCredentials)
			page, _ := v.List(alice, vault.Filter{Search: want[3:], Limit: 100})
			if !slices.ContainsFunc(page, func(c credential.Metadata) bool { return c.Name == want }) {
				b.Fatal(len(page))
			}
		})
	})
	b.Run("search by tag", func(b *testing.B) {
		roomtest.Measure(b, func(n int) {
			page, _ := v.List(alice, vault.Filter{Tag: fmt.Sprintf("team=t%d", n%500), Limit: 100})
			if len(page) != 100 {
				b.Fatal(len(page))
			}
		})
	})
	b.Run("what a host may have", func(b *testing.B) {
		roomtest.Measure(b, func(n int) {
			if got := v.Leasable(grant.Host{ID: fmt.Sprintf("h%d", n%1000)}); len(got) != 200 {
				b.Fatal(len(got))
			}
		})
	})
	b.Run("decide", func(b *testing.B) {
		roomtest.Measure(b, func(n int) {
			n = n * 7919 % benchCredentials
			if d := v.Explain(alice, grant.Host{ID: fmt.Sprintf("h%d", n%500)}, nameOf(n), etl); !d.Allowed {
				b.Fatal(d.Reason)
			}
		})
	})
	b.Run("add one", func(b *testing.B) {
		token, err := r.Arena.From([]byte("token"))
		if err != nil {
			b.Fatal(err)
		}
		defer token.Wipe()
		roomtest.Measure(b, func(n int) {
			_, err := v.Add(b.Context(), alice, credential.NewID(), vault.Change{
				Application: "generic-rest", AuthType: credential.AccessToken, Value: credential.Value{"token": token},
				Tags: map[string]string{"team": "new"},
			})
			if err != nil {
				b.Fatal(err)
			}
		})
	})
}

func nameOf(n int) string { return fmt.Sprintf("credential-%05d-%c", n, 'a'+n%26) }

// fill writes what the vault would have stored, values apart, in large transactions.
func fill(b *testing.B, r *roomtest.Rooms) {
	b.Helper()
	const perCommit = 40
	for first := 0; first < benchCredentials; first += perCommit {
		err := r.Barrier.Update(func(tx *barrier.Tx) error {
			for n := first; n < min(first+perCommit, benchCredentials); n++ {
				c := credential.Metadata{
					ID: credential.NewID(), Kind: credential.App, Name: nameOf(n), Application: "generic-rest", AuthType: credential.AccessToken,
					Owner: "alice", OwnerID: alice.ID, Version: 1, Revision: 1, Description: strings.Repeat("what it is for ", 3),
					Tags: map[string]string{"team": fmt.Sprintf("t%d", n%500), "env": []string{"prod", "test"}[n%2]},
				}
				if err := tx.PutJSON("credential", c.ID, c); err != nil {
					return err
				}
				if err := tx.Claim("credential", c.Name, c.ID); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	for first := 0; first < 1000; first += 90 {
		err := r.Barrier.Update(func(tx *barrier.Tx) error {
			for n := first; n < min(first+90, 1000); n++ {
				g := grant.Grant{
					ID: credential.NewID(), Name: fmt.Sprintf("g%d", n), Tags: []string{fmt.Sprintf("team=t%d", n%500)},
					Hosts: []string{fmt.Sprintf("h%d", n)}, Conditions: grant.Conditions{Access: grant.Read, TTL: time.Minute}, Revision: 1,
				}
				if err := tx.PutJSON("grant", g.ID, g); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
