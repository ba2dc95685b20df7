package helper

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
)

const kubectlGroup = "client.authentication.k8s.io/"

// KubectlQuestion is what kubectl asks of a credential plugin.
type KubectlQuestion struct {
	version string
	server  *place // nil: it does not say
}

// ReadKubectl reads what kubectl and client-go put into KUBERNETES_EXEC_INFO; an empty text stands for the newest version
// of the protocol. The versions are v1 and v1beta1.
func ReadKubectl(info string) (KubectlQuestion, error) {
	if info == "" {
		return KubectlQuestion{version: "v1"}, nil
	}
	if len(info) > MaxInput {
		return KubectlQuestion{}, fmt.Errorf("%w: KUBERNETES_EXEC_INFO is longer than %d bytes", ErrInput, MaxInput)
	}
	var asked struct {
		APIVersion string
		Kind       string
		Spec       struct{ Cluster *struct{ Server string } }
	}
	if err := json.Unmarshal([]byte(info), &asked); err != nil || asked.Kind != "ExecCredential" {
		return KubectlQuestion{}, fmt.Errorf("%w: KUBERNETES_EXEC_INFO holds no ExecCredential", ErrInput)
	}
	q := KubectlQuestion{version: strings.TrimPrefix(asked.APIVersion, kubectlGroup)}
	if !strings.HasPrefix(asked.APIVersion, kubectlGroup) || q.version != "v1" && q.version != "v1beta1" {
		return KubectlQuestion{}, fmt.Errorf("%w: the apiVersion must be %sv1 or %sv1beta1; set it in the kubeconfig", ErrInput, kubectlGroup, kubectlGroup)
	}
	if asked.Spec.Cluster != nil {
		u, err := url.Parse(asked.Spec.Cluster.Server)
		if err != nil {
			return KubectlQuestion{}, fmt.Errorf("%w: the cluster's server is no URL", ErrInput)
		}
		server, err := placeOf(u.Scheme, u.Host)
		if err != nil {
			return KubectlQuestion{}, err
		}
		q.server = &server
	}
	return q, nil
}

// Kubectl answers with a token (of an access_token or oauth2 credential) or a client certificate. Where kubectl says
// which server it is for (provideClusterInfo), the credential must be for that: see Git for host.
func (c Credential) Kubectl(q KubectlQuestion, host string) ([]byte, error) {
	if q.server != nil {
		if err := c.isFor(*q.server, host); err != nil {
			return nil, err
		}
	}
	type status struct {
		ExpirationTimestamp   string `json:"expirationTimestamp,omitempty"`
		Token                 string `json:"token,omitempty"`
		ClientCertificateData string `json:"clientCertificateData,omitempty"`
		ClientKeyData         string `json:"clientKeyData,omitempty"`
	}
	s := status{ExpirationTimestamp: c.ends()}
	var err error
	switch {
	case c.optional("token") != "":
		s.Token, err = c.text("token")
	case c.optional("access_token") != "":
		s.Token, err = c.text("access_token")
	case c.optional("certificate") != "":
		if s.ClientCertificateData, err = c.text("certificate"); err == nil {
			s.ClientKeyData, err = c.text("private_key")
		}
	default:
		err = fmt.Errorf("%w: %s has none of the fields token, access_token, certificate", ErrCredential, c.Reference)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Status     status `json:"status"`
	}{kubectlGroup + q.version, "ExecCredential", s})
}
