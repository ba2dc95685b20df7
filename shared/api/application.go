package api

import "github.com/strongroom/strongroom/shared/credential"

// Application is an entry of the catalogue as it is listed.
type Application struct {
	Name      string   `json:"name" example:"salesforce"`
	Title     string   `json:"title" example:"Salesforce"`
	Category  string   `json:"category" example:"crm"`
	AuthTypes []string `json:"auth_types"`
}

// ApplicationList answers GET /v1/applications.
type ApplicationList struct {
	Items []Application `json:"items"`
}

// ApplicationDetail answers GET /v1/applications/{name}.
type ApplicationDetail struct {
	Application
	Fields         map[string][]credential.Field `json:"fields" doc:"for each auth type the fields that a credential has"`
	PasswordPolicy credential.Policy             `json:"password_policy" doc:"what the application asks of passwords"`
}
