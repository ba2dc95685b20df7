package credential

import (
	"encoding/pem"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strongroom/strongroom/shared/secret"
)

// CheckFields holds the fields of a credential against those that are known: nothing required is missing, nothing is
// there that is not known, secrets are secret and plain fields plain, and each has its format. An error names the
// field and what is accepted.
func CheckFields(known []Field, plain map[string]string, value Value) error {
	for _, f := range known {
		text, given := plain[f.Name]
		switch hidden := value[f.Name]; {
		case given && f.Secret:
			return fmt.Errorf("%w field %s: it is secret: give it with --secret", ErrInvalid, f.Name)
		case hidden != nil && !f.Secret:
			return fmt.Errorf("%w field %s: it is not secret: give it with --field", ErrInvalid, f.Name)
		case f.Required && text == "" && hidden.Len() == 0:
			return fmt.Errorf("%w field %s: it is missing (%s)", ErrInvalid, f.Name, f.Help)
		case text != "":
			if err := f.check(text); err != nil {
				return err
			}
		case hidden.Len() > 0 && f.Format == FormatPEM:
			if err := f.checkPEM(hidden); err != nil {
				return err
			}
		}
	}
	for name := range plain {
		if err := isKnown(known, name); err != nil {
			return err
		}
	}
	for _, name := range value.Names() {
		if err := isKnown(known, name); err != nil {
			return err
		}
	}
	return nil
}

func isKnown(known []Field, name string) error {
	if slices.ContainsFunc(known, func(f Field) bool { return f.Name == name }) {
		return nil
	}
	names := make([]string, 0, len(known))
	for _, f := range known {
		names = append(names, f.Name)
	}
	return fmt.Errorf("%w field %s: there is no such field; there is: %s", ErrInvalid, name, strings.Join(names, ", "))
}

// check holds a plain field's text against its format.
func (f Field) check(text string) error {
	switch f.Format {
	case FormatURL:
		_, err := OriginOf(f.Name, text)
		return err
	case FormatNumber:
		if _, err := strconv.ParseUint(text, 10, 63); err != nil {
			return f.wrong("a number in decimal digits")
		}
	case FormatPort:
		if n, err := strconv.ParseUint(text, 10, 16); err != nil || n == 0 {
			return f.wrong("a port from 1 to 65535")
		}
	case FormatHost:
		if !validHost(text) {
			return f.wrong("a host name or address, without scheme, port and path")
		}
	case FormatTime:
		if _, err := time.Parse(time.RFC3339, text); err != nil {
			return f.wrong("a time such as 2027-01-31T12:00:00Z")
		}
	case FormatChoice:
		if !slices.Contains(f.Choices, text) {
			return f.wrong("one of " + strings.Join(f.Choices, ", "))
		}
	case FormatPEM:
		if block, _ := pem.Decode([]byte(text)); block == nil {
			return f.wrong("PEM text, which begins with -----BEGIN")
		}
	}
	return nil
}

func (f Field) checkPEM(b *secret.Buffer) error {
	var found bool
	secret.Do(func() {
		block, _ := pem.Decode(b.Reveal())
		found = block != nil
	})
	if !found {
		return f.wrong("PEM text, which begins with -----BEGIN")
	}
	return nil
}

func (f Field) wrong(accepted string) error {
	return fmt.Errorf("%w field %s: it must be %s", ErrInvalid, f.Name, accepted)
}

// validHost accepts host names of letters, digits, hyphens and dots, and IP addresses.
func validHost(s string) bool {
	if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return true
	}
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if !validLabel(label) {
			return false
		}
	}
	return true
}

func validLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
