package vault

import (
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/catalogue"
	"github.com/strongroom/strongroom/server/internal/setting"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/secret"
)

// passwordPolicy is what the settings ask of the passwords of an application's credentials, within what the application
// itself allows: it is the application that has to take them.
func (v *Vault) passwordPolicy(app catalogue.Application) credential.Policy {
	p := app.PasswordPolicy
	p.MinLength = max(p.MinLength, v.settings.Count(setting.SecretMin))
	p.MinClasses = max(p.MinClasses, v.settings.Count(setting.SecretClasses))
	if p.MaxLength > 0 {
		p.MinLength = min(p.MinLength, p.MaxLength)
	}
	p.History = max(p.History, v.settings.Count(setting.SecretHistory))
	p.Banned = append(v.settings.Words(setting.SecretBanned), p.Banned...)
	return p
}

// generatingPolicy asks for all classes, which costs a password that nobody types nothing and pleases most systems.
func generatingPolicy(p credential.Policy) credential.Policy {
	all := p
	if all.MinClasses = 4; all.Valid() == nil {
		return all
	}
	return p
}

// checkPasswords holds the passwords among the fields that were given to the policy, and against those of the newest
// versions. Generated ones satisfy the policy and repeat nothing. Errors name the rule and never the value.
func (v *Vault) checkPasswords(d *draft, given credential.Value) error {
	policy := v.passwordPolicy(d.app)
	for _, f := range d.known {
		password := given[f.Name]
		if !f.Password || password == nil {
			continue
		}
		if err := policy.Check(password); err != nil {
			return fmt.Errorf("field %s: %w", f.Name, err)
		}
		if err := v.checkHistory(d.credential, f.Name, password, uint64(policy.History)); err != nil {
			return err
		}
	}
	return nil
}

var errReused = errors.New("reused")

func (v *Vault) checkHistory(c credential.Metadata, field string, password *secret.Buffer, n uint64) error {
	err := v.barrier.View(func(tx *barrier.Tx) error {
		for number := c.Version; number >= oldest(c.Version) && number > 0 && c.Version-number < n; number-- {
			encoded, err := tx.GetSecret(kindValue, versionID(c.ID, number))
			if err != nil {
				return err
			}
			before, err := credential.DecodeValue(v.arena, encoded)
			encoded.Wipe()
			if err != nil {
				return err
			}
			same := 0
			secret.Do(func() { same = subtle.ConstantTimeCompare(before[field].Reveal(), password.Reveal()) })
			before.Wipe()
			if same == 1 {
				return errReused
			}
		}
		return nil
	})
	if errors.Is(err, errReused) {
		return fmt.Errorf("%w field %s: it is one of the last %d that this credential had; choose another", credential.ErrInvalid, field, n)
	}
	return err
}
