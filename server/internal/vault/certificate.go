package vault

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/secret"
)

const (
	usualCertificateDays = 90
	maxCertificateDays   = 825
)

// IssueWith names the certificate authority by which certificates are made. It is called before serving starts; without
// it none are.
func (v *Vault) IssueWith(f *fleet.Fleet) { v.authority = f }

// overlayCertificate makes a certificate with its key where that is asked for. The plain field days marks those that
// the vault made itself: it renews them, which it does not do to one that was given.
func (v *Vault) overlayCertificate(d *draft, ch Change) error {
	for _, name := range ch.Generate {
		if name != "certificate" {
			return fmt.Errorf("%w generate: certificate alone, which makes both the certificate and its key", credential.ErrInvalid)
		}
		if ch.Fields["certificate"] != "" || ch.Value["private_key"] != nil || ch.Value["passphrase"] != nil {
			return errTwoWays(name)
		}
	}
	if len(ch.Generate) > 0 {
		return v.issue(d)
	}
	for _, name := range []string{"common_name", "days"} {
		if ch.Fields[name] != "" {
			return fmt.Errorf("%w field %s: it is for a certificate that the vault makes: generate certificate as well", credential.ErrInvalid, name)
		}
		if ch.Fields["certificate"] != "" || d.old.Fields[name] == "" { // or it is but a default of the application's
			delete(d.fields, name)
		}
	}
	return nil
}

// issue puts a new key and a certificate for it into the draft.
func (v *Vault) issue(d *draft) error {
	if v.authority == nil {
		return errors.New("the vault has no issuer of certificates")
	}
	if d.fields["days"] == "" {
		d.fields["days"] = strconv.Itoa(usualCertificateDays)
	}
	if d.fields["common_name"] == "" {
		d.fields["common_name"] = d.credential.Name
	}
	days, err := strconv.Atoi(d.fields["days"])
	if err != nil || days < 1 || days > maxCertificateDays {
		return fmt.Errorf("%w field days: from 1 to %d", credential.ErrInvalid, maxCertificateDays)
	}
	if err := credential.ValidText("field common_name", d.fields["common_name"], fleet.MaxCommonName); err != nil {
		return err
	}
	key, public, err := v.newCertificateKey()
	if err != nil {
		return err
	}
	d.put("private_key", key)
	chain, err := v.authority.IssueClient(d.credential.ID, d.fields["common_name"], public, time.Duration(days)*24*time.Hour)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	for _, cert := range chain {
		if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}); err != nil {
			return err
		}
	}
	d.fields["certificate"] = text.String()
	return nil
}

// newCertificateKey makes a P-256 key as PKCS#8 in PEM. It crosses ordinary memory, as crypto/ecdsa has it there.
func (v *Vault) newCertificateKey() (stored *secret.Buffer, public *ecdsa.PublicKey, err error) {
	secret.Do(func() {
		var key *ecdsa.PrivateKey
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return
		}
		var der []byte
		if der, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
			return
		}
		defer secret.Wipe(der)
		stored, err = v.arena.From(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		public = &key.PublicKey
	})
	return stored, public, err
}

// Renew makes the next version of each certificate of the vault's own making that has lived two thirds of its life. One
// that cannot be renewed is in the error and does not hold up the others. It says how many were.
func (v *Vault) Renew(ctx context.Context) (renewed int, err error) {
	for _, id := range v.agedCertificates() {
		did, failed := v.renew(ctx, id)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("renewing the certificate of credential %s: %w", id, failed))
		}
		if did {
			renewed++
		}
		if ctx.Err() != nil {
			break
		}
	}
	return renewed, err
}

// agedCertificates are the IDs of the credentials whose certificate has lived two thirds of its life.
func (v *Vault) agedCertificates() (ids []string) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for c := range v.credentials.all() {
		if v.aged(*c) {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

func (v *Vault) aged(c credential.Metadata) bool {
	return c.AuthType == credential.ClientCertificate && !c.ValueEnds.IsZero() &&
		!v.now().Before(c.ValueSince.Add(c.ValueEnds.Sub(c.ValueSince)*2/3))
}

func (v *Vault) renew(ctx context.Context, id string) (bool, error) {
	v.changing.Lock()
	defer v.changing.Unlock()
	c, ok := v.Get(id)
	if !ok || !v.aged(c) {
		return false, nil
	}
	var newest credential.Version
	err := v.barrier.View(func(tx *barrier.Tx) (err error) {
		newest, err = getVersion(tx, id, c.Version)
		return err
	})
	if err != nil || newest.Fields["days"] == "" {
		return false, err
	}
	system := grant.Person{Name: "system"}
	next, err := v.newVersion(system, c, Change{Generate: []string{"certificate"}, renewal: true})
	if err != nil {
		return false, err
	}
	defer next.encoded.Wipe()
	_, err = v.write(ctx, system, c, next, audit.Entry{
		Actor: system.Name, Action: "credential.renew", Target: targetOf(c.Name, c, true),
		Reason: "its certificate lasts until " + next.Ends.UTC().Format(time.RFC3339),
	})
	return err == nil, err
}
