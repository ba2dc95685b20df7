package catalogue

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/strongroom/strongroom/shared/credential"
)

// errWrong is said of a member of a file: its name, then what is wrong and what is accepted.
func errWrong(member, format string, args ...any) error {
	return fmt.Errorf("%s: %s", member, fmt.Sprintf(format, args...))
}

// check holds an application against everything that its form alone does not say.
func (a Application) check() error {
	if err := credential.ValidName("name", a.Name); err != nil {
		return err
	}
	if err := a.checkCounts(); err != nil {
		return err
	}
	if a.Title == "" || a.Category == "" || len(a.Auth) == 0 {
		return errors.New("title, category and auth_types are required")
	}
	if err := credential.ValidName("category", a.Category); err != nil {
		return err
	}
	for i, link := range a.Docs {
		if u, err := url.Parse(link); err != nil || u.Scheme != "https" || u.Host == "" {
			return errWrong(fmt.Sprintf("docs[%d]", i), "it must be an https link")
		}
	}
	known := fieldsByType{}
	for i, auth := range a.Auth {
		at := fmt.Sprintf("auth_types[%d]", i)
		if auth.Type.Fields() == nil {
			return errWrong(at+".type", "%q is not known; there is: %v", auth.Type, credential.AuthTypes())
		}
		if slices.Index(a.AuthTypes, auth.Type) != i {
			return errWrong(at+".type", "%s stands there twice", auth.Type)
		}
		fields, err := a.Fields(auth.Type)
		if err != nil {
			return err
		}
		known[auth.Type] = fields
		if err := a.checkAuth(at, auth, known); err != nil {
			return err
		}
	}
	for i, template := range a.OriginTemplates {
		types := slices.DeleteFunc(slices.Clone(a.AuthTypes), func(t credential.AuthType) bool { return len(a.auth(t).Origins) > 0 })
		if err := known.checkURL(fmt.Sprintf("origins[%d]", i), template, types...); err != nil {
			return err
		}
	}
	for i, f := range a.Files {
		if err := a.checkFile(fmt.Sprintf("files[%d]", i), f, known); err != nil {
			return err
		}
	}
	if err := a.checkOAuth2(known); err != nil {
		return err
	}
	if err := a.PasswordPolicy.Valid(); err != nil {
		return fmt.Errorf("password_policy: %w", err)
	}
	types := slices.DeleteFunc(slices.Clone(a.AuthTypes), func(t credential.AuthType) bool {
		return a.auth(t).Validate != nil || t == credential.SSHKey || t == credential.WebhookSecret
	})
	return a.checkRequest("validate", a.Validate, known, types...)
}

// fieldsByType has the fields of each auth type. They are put together once: to do so takes the square of their number.
type fieldsByType map[credential.AuthType][]credential.Field

func (a Application) checkAuth(at string, auth Auth, known fieldsByType) error {
	fields := known[auth.Type]
	for i, f := range slices.Concat(auth.Own, a.Own) {
		where := fmt.Sprintf("%s.fields[%d]", at, i)
		if i >= len(auth.Own) {
			where = fmt.Sprintf("fields[%d]", i-len(auth.Own))
		}
		if err := f.check(where, auth.Type); err != nil {
			return err
		}
	}
	for variable, field := range auth.Env {
		if err := credential.ValidField(variable); err != nil || strings.ContainsAny(variable, ".-") {
			return errWrong(at+".env", "%q is no name of a variable", variable)
		}
		switch i := indexOf(fields, field); {
		case i < 0:
			return errWrong(at+".env."+variable, "%s has no field %q", auth.Type, field)
		case fields[i].ServerOnly || fields[i].ImportOnly:
			return errWrong(at+".env."+variable, "%s never leaves the server", field)
		}
	}
	if err := checkInjection(at+".inject", auth.Inject, fields); err != nil {
		return err
	}
	for i, template := range auth.Origins {
		if err := known.checkURL(fmt.Sprintf("%s.origins[%d]", at, i), template, auth.Type); err != nil {
			return err
		}
	}
	if auth.ExpiresDays < 0 || auth.ExpiresDays > maxExpiresDays {
		return errWrong(at+".expires_days", "from 0 to %d", maxExpiresDays)
	}
	return a.checkRequest(at+".validate", auth.Validate, known, auth.Type)
}

func (f Field) check(at string, t credential.AuthType) error {
	if err := credential.ValidField(f.Name); err != nil {
		return fmt.Errorf("%s.name: %w", at, err)
	}
	own := slices.IndexFunc(t.Fields(), func(g credential.Field) bool { return g.Name == f.Name })
	formats := []credential.Format{"", credential.FormatText, credential.FormatURL, credential.FormatPEM, credential.FormatNumber,
		credential.FormatPort, credential.FormatHost, credential.FormatTime, credential.FormatChoice}
	switch {
	case own >= 0 && (f.Secret && !t.Fields()[own].Secret || f.ServerOnly && !t.Fields()[own].ServerOnly):
		return errWrong(at+".secret", "the auth type decides that of its own field %s", f.Name)
	case f.Password && !f.Secret && (own < 0 || !t.Fields()[own].Secret):
		return errWrong(at+".password", "%s must be secret", f.Name)
	case own < 0 && f.Help == "":
		return errWrong(at+".help", "%s needs one", f.Name)
	case !slices.Contains(formats, f.Format):
		return errWrong(at+".format", "%q is not known; there is: %v", f.Format, formats[1:])
	case (f.Format == credential.FormatChoice) != (len(f.Choices) > 0):
		return errWrong(at+".choices", "they and the format choice go together")
	case f.Secret && (f.Default != "" || f.Origin):
		return errWrong(at+".secret", "a secret has neither default nor origin")
	case f.Origin && f.Format != "" && f.Format != credential.FormatURL:
		return errWrong(at+".origin", "only a URL has one")
	case f.ServerOnly && !f.Secret:
		return errWrong(at+".server_only", "only a secret is")
	}
	if f.Default != "" {
		g := credential.Field{Name: f.Name, Format: f.Format, Choices: f.Choices}
		if err := credential.CheckFields([]credential.Field{g}, map[string]string{f.Name: f.Default}, nil); err != nil {
			return fmt.Errorf("%s.default: %w", at, err)
		}
	}
	return nil
}

func checkInjection(at string, in credential.Injection, fields []credential.Field) error {
	places := 0
	for _, place := range []string{in.Header, in.Query, in.Cookie, in.Basic} {
		if place != "" {
			places++
		}
	}
	switch {
	case places > 1:
		return errWrong(at, "one place for the secret: header, query, cookie or basic")
	case in.None && places > 0:
		return errWrong(at+".none", "it excludes a place")
	case in.Header != "" && !credential.ValidToken(in.Header):
		return errWrong(at+".header", "it must be a header's name")
	case in.Cookie != "" && !credential.ValidToken(in.Cookie):
		return errWrong(at+".cookie", "it must be a cookie's name")
	case in.Basic != "" && !strings.Contains(in.Basic, ":"):
		return errWrong(at+".basic", "it must have a colon between name and password")
	}
	if err := checkLength(at+".basic", in.Basic, maxURL); err != nil {
		return err
	}
	if err := namesFields(at+".basic", in.Basic, fields, true); err != nil {
		return err
	}
	for name, template := range in.Headers {
		if !credential.ValidToken(name) {
			return errWrong(at+".headers", "%q is no name of a header", name)
		}
		if err := checkLength(at+".headers."+name, template, maxURL); err != nil {
			return err
		}
		if err := namesFields(at+".headers."+name, template, fields, false); err != nil {
			return err
		}
	}
	return nil
}

// namesFields checks that a template names fields that exist, and secret ones only where it may.
func namesFields(at, template string, fields []credential.Field, secrets bool) error {
	_, err := credential.Expand(template, func(name string) (string, bool) {
		i := indexOf(fields, name)
		return "", i >= 0 && (secrets || !fields[i].Secret)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	return nil
}

// checkURL checks a template of a URL for the auth types that use it.
func (known fieldsByType) checkURL(at, template string, types ...credential.AuthType) error {
	if err := checkLength(at, template, maxURL); err != nil {
		return err
	}
	for _, t := range types {
		if _, err := sample(template, known[t]); err != nil {
			return fmt.Errorf("%s: with %s: %w", at, t, err)
		}
	}
	return nil
}

func (a Application) checkOAuth2(known fieldsByType) error {
	if a.OAuth2 == nil {
		return nil
	}
	o := a.OAuth2
	if !slices.Contains(a.AuthTypes, credential.OAuth2) {
		return errWrong("oauth2", "auth_types does not have it")
	}
	for name, link := range map[string]string{"authorize_url": o.AuthorizeURL, "token_url": o.TokenURL, "device_url": o.DeviceURL, "revoke_url": o.RevokeURL} {
		if link == "" && name != "token_url" {
			continue
		}
		if err := known.checkURL("oauth2."+name, link, credential.OAuth2); err != nil {
			return err
		}
		if !strings.HasPrefix(link, "https://") && !strings.HasPrefix(link, "{") {
			return errWrong("oauth2."+name, "it must be an https URL")
		}
	}
	grants := []string{credential.GrantCode, credential.GrantClient, credential.GrantDevice, credential.GrantJWT}
	for i, g := range o.Grants {
		if !slices.Contains(grants, g) {
			return errWrong(fmt.Sprintf("oauth2.grants[%d]", i), "%q is not known; there is: %v", g, grants)
		}
	}
	switch {
	case len(o.Grants) == 0:
		return errWrong("oauth2.grants", "at least one is required")
	case slices.Contains(o.Grants, credential.GrantCode) && o.AuthorizeURL == "":
		return errWrong("oauth2.authorize_url", "authorization_code needs it")
	case slices.Contains(o.Grants, credential.GrantDevice) && o.DeviceURL == "":
		return errWrong("oauth2.device_url", "device_code needs it")
	case o.ClientAuth != "" && o.ClientAuth != "basic" && o.ClientAuth != "post":
		return errWrong("oauth2.client_auth", "it must be basic or post")
	}
	r := o.Refresh
	if min(r.LeewayMinutes, r.AccessMinutes, r.IdleDays, r.MaxDays) < 0 {
		return errWrong("oauth2.refresh", "its times must not be negative")
	}
	return nil
}

func (a Application) checkRequest(at string, r *Request, known fieldsByType, types ...credential.AuthType) error {
	if r == nil {
		return nil
	}
	if !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodPost}, r.Method) {
		return errWrong(at+".method", "it must be GET, HEAD or POST")
	}
	if len(r.Status) == 0 || slices.ContainsFunc(r.Status, func(s int) bool { return s < 100 || s > 599 }) {
		return errWrong(at+".status", "it must be a list of statuses from 100 to 599")
	}
	for name := range r.Headers {
		if !credential.ValidToken(name) {
			return errWrong(at+".headers", "%q is no name of a header", name)
		}
	}
	if err := known.checkURL(at+".url", r.URL, types...); err != nil {
		return err
	}
	for _, t := range types {
		if err := a.checkReach(at+".url", r.URL, t, known[t]); err != nil {
			return err
		}
	}
	return nil
}

// checkReach sees to it that a request goes where the credential may be sent.
func (a Application) checkReach(at, template string, t credential.AuthType, fields []credential.Field) error {
	url, err := sample(template, fields)
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	origins, err := a.Origins(t, samples(fields))
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	if o, err := credential.OriginOfAny(at, url); err != nil || !slices.Contains(origins, o) {
		return errWrong(at, "it is outside the origins, so that a credential of %s may not be sent there", t)
	}
	return nil
}

func (a Application) checkFile(at string, f File, known fieldsByType) error {
	fields, ok := known[f.Type]
	if !ok {
		return errWrong(at+".type", "there is no auth type %q; %s takes %v", f.Type, a.Name, a.AuthTypes)
	}
	if f.Path == "" || f.Template == "" {
		return errWrong(at, "path and template are required")
	}
	if err := checkLength(at+".template", f.Template, maxTemplate); err != nil {
		return err
	}
	return namesFields(at+".template", f.Template, fields, true)
}
