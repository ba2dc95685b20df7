package helper

import "encoding/json"

// AWS is what AWS's tools read from a credential_process: the fields access_key_id, key and, of temporary keys,
// session_token, as the catalogue's application aws has them. The tools ask again when the lease is over.
func (c Credential) AWS() ([]byte, error) {
	id, err := c.text("access_key_id")
	if err != nil {
		return nil, err
	}
	key, err := c.text("key")
	if err != nil {
		return nil, err
	}
	answer := struct {
		Version         int
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string
		SessionToken    string `json:",omitempty"`
		Expiration      string
	}{Version: 1, AccessKeyID: id, SecretAccessKey: key, Expiration: c.ends()}
	if c.optional("session_token") != "" {
		if answer.SessionToken, err = c.text("session_token"); err != nil {
			return nil, err
		}
	}
	return json.Marshal(answer)
}
