package catalogue

import (
	"fmt"
	"maps"
	"slices"

	"github.com/strongroom/strongroom/shared/credential"
)

// Limits of what is in a file. The length of the file alone bounds no work: that is with the product of these, and an
// alias makes a long list of few bytes.
const (
	maxList     = 16 // members of a list that no other limit is for
	maxFields   = 64 // of one list
	maxOrigins  = 32 // of one list
	maxChoices  = 64
	maxScopes   = 64
	maxURL      = 1024 // bytes of a URL's template, and of one that goes on a request
	maxTemplate = 8192 // bytes of a file's template

	maxExpiresDays = 36500
)

// checkCounts bounds every list, before anything is done with their members.
func (a Application) checkCounts() error {
	if err := checkCount("auth_types", len(a.Auth), maxList); err != nil {
		return err
	}
	for i, auth := range a.Auth {
		if err := auth.checkCounts(fmt.Sprintf("auth_types[%d].", i)); err != nil {
			return err
		}
	}
	if err := checkFieldCounts("fields", a.Own); err != nil {
		return err
	}
	if err := a.Validate.checkCounts("validate"); err != nil {
		return err
	}
	o := a.OAuth2
	if o == nil {
		o = new(OAuth2)
	}
	for _, list := range []struct {
		member   string
		has, may int
	}{
		{"docs", len(a.Docs), maxList},
		{"unverified", len(a.Unverified), maxList},
		{"origins", len(a.OriginTemplates), maxOrigins},
		{"files", len(a.Files), maxList},
		{"oauth2.grants", len(o.Grants), maxList},
		{"oauth2.scopes", len(o.Scopes), maxScopes},
		{"oauth2.authorize_params", len(o.AuthorizeParams), maxList},
	} {
		if err := checkCount(list.member, list.has, list.may); err != nil {
			return err
		}
	}
	return nil
}

func (auth Auth) checkCounts(at string) error {
	if err := checkFieldCounts(at+"fields", auth.Own); err != nil {
		return err
	}
	if err := checkCount(at+"origins", len(auth.Origins), maxOrigins); err != nil {
		return err
	}
	if err := checkCount(at+"env", len(auth.Env), credential.MaxVariables); err != nil {
		return err
	}
	if err := checkCount(at+"inject.headers", len(auth.Inject.Headers), maxList); err != nil {
		return err
	}
	return auth.Validate.checkCounts(at + "validate")
}

func checkFieldCounts(at string, fields []Field) error {
	if err := checkCount(at, len(fields), maxFields); err != nil {
		return err
	}
	for i, f := range fields {
		if err := checkCount(fmt.Sprintf("%s[%d].choices", at, i), len(f.Choices), maxChoices); err != nil {
			return err
		}
	}
	return nil
}

func (r *Request) checkCounts(at string) error {
	if r == nil {
		return nil
	}
	if err := checkCount(at+".status", len(r.Status), maxList); err != nil {
		return err
	}
	return checkCount(at+".headers", len(r.Headers), maxList)
}

func checkCount(member string, has, may int) error {
	if has > may {
		return errWrong(member, "there are %d, at most %d are taken", has, may)
	}
	return nil
}

func checkLength(member, text string, may int) error {
	if len(text) > may {
		return errWrong(member, "it is %d bytes long, at most %d are taken", len(text), may)
	}
	return nil
}

// checkVariables refuses variables that change how programs run.
func (a Application) checkVariables() error {
	steers := func(at, variable string) error {
		return errWrong(at, "the variable %s changes how programs run, so an imported file must not set it", variable)
	}
	for i, auth := range a.Auth {
		for _, variable := range slices.Sorted(maps.Keys(auth.Env)) {
			if credential.SteersPrograms(variable) {
				return steers(fmt.Sprintf("auth_types[%d].env.%s", i, variable), variable)
			}
		}
	}
	for i, f := range a.Files {
		if credential.SteersPrograms(f.Env) {
			return steers(fmt.Sprintf("files[%d].env", i), f.Env)
		}
	}
	return nil
}
