package fleet_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"testing"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/server/internal/roomtest"
	"github.com/strongroom/strongroom/shared/credential"
)

// strangersFleet is one without a token, whom nobody can join.
func strangersFleet(f *testing.F) *fleet.Fleet {
	f.Helper()
	r, clock := roomtest.Open(f), roomtest.NewClock()
	err := r.Log.Change(context.Background(), r.Barrier, audit.Entry{Actor: "system", Action: "vault.create", Outcome: audit.Allowed},
		func(tx *barrier.Tx) error { return fleet.Create(tx, "example.org", clock.Now()) })
	if err != nil {
		f.Fatal(err)
	}
	out, err := fleet.Open(r.Barrier, r.Log, roomtest.Vault, clock.Now)
	if err != nil {
		f.Fatal(err)
	}
	out.JudgeJoins(roomtest.AnyLabels)
	return out
}

func certificateRequest(f *testing.F) []byte {
	f.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		f.Fatal(err)
	}
	return der
}

func noAdmission(t *testing.T) func(context.Context) error {
	return func(context.Context) error {
		t.Error("a stranger was found good")
		return errors.New("no")
	}
}

func uniform(t *testing.T, err, refusal error) {
	t.Helper()
	if !errors.Is(err, refusal) && !errors.Is(err, credential.ErrInvalid) {
		t.Errorf("%v, want a refusal or what is wrong with the request", err)
	}
}

// FuzzJoin: whatever a stranger brings, it is one of two answers and no host.
func FuzzJoin(f *testing.F) {
	room, csr := strangersFleet(f), certificateRequest(f)
	f.Add("srj_aaaaaaaaaaaaaaaaaaaaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaa", csr, "runner1")
	f.Add("srj_x_y", csr[:len(csr)-1], "\x00")
	f.Fuzz(func(t *testing.T, token string, request []byte, name string) {
		_, err := room.Join(t.Context(), fleet.JoinRequest{Token: token, Certificate: request, Name: name, OS: name, Version: name, Admit: noAdmission(t)})
		uniform(t, err, fleet.ErrJoin)
		if len(room.List()) != 0 {
			t.Error("there is a host")
		}
	})
}

// FuzzRecover: likewise for one who brings a certificate and a proof.
func FuzzRecover(f *testing.F) {
	room, csr := strangersFleet(f), certificateRequest(f)
	f.Add([]byte{0x30, 0x03, 0x02, 0x01, 0x01}, csr, []byte("proof"))
	f.Add([]byte{}, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, certificate, request, proof []byte) {
		_, err := room.Recover(t.Context(), fleet.RecoverRequest{Certificate: certificate, Request: request, Signature: proof, Admit: noAdmission(t)})
		uniform(t, err, fleet.ErrRecover)
	})
}
