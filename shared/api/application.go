package api

import (
	"time"

	"github.com/strongroom/strongroom/shared/credential"
)

// Application is an entry of the catalogue as it is listed.
type Application struct {
	Name      string   `json:"name" example:"salesforce"`
	Title     string   `json:"title" example:"Salesforce"`
	Category  string   `json:"category" example:"crm"`
	AuthTypes []string `json:"auth_types"`
	Source    string   `json:"source" enum:"built-in,override,added" doc:"built-in: with the program; override: imported, in the place of the built-in one; added: imported"`
	Revision  uint64   `json:"revision" doc:"the ETag of GET /v1/applications/{name}, without its quotes"`
	Broken    string   `json:"broken,omitempty" doc:"why the imported definition is not used; the built-in one is, if there is one"`
}

// ApplicationList answers GET /v1/applications.
type ApplicationList struct {
	Items []Application `json:"items"`
}

// ApplicationDetail answers GET /v1/applications/{name}.
type ApplicationDetail struct {
	Application
	Fields         map[string][]credential.Field `json:"fields" doc:"for each auth type the fields that a credential has; one that is not given has its default"`
	ExpiresDays    map[string]int                `json:"expires_days,omitempty" doc:"for each auth type of which that is known: after how many days a secret ends, where nothing else is said when it is given"`
	PasswordPolicy credential.Policy             `json:"password_policy" doc:"what the application asks of passwords"`
	Updated        *time.Time                    `json:"updated,omitempty" doc:"when it was imported"`
	UpdatedBy      string                        `json:"updated_by,omitempty" doc:"who imported it"`
	Definition     any                           `json:"definition" doc:"the whole definition that is used, with the members of a file of the catalogue; null: there is none"`
}

// ApplicationSet is the body of PUT /v1/applications/{name}.
type ApplicationSet struct {
	YAML   string `json:"yaml" maxLength:"65536" doc:"the text of a file of the catalogue, at most 64 KiB"`
	DryRun bool   `json:"dry_run,omitempty" doc:"check and compare only, and change nothing"`
}

// ApplicationDifference is what the definitions before and after have differently of one kind.
type ApplicationDifference struct {
	What    string   `json:"what" enum:"auth types,origins,endpoints,injection,fields,env,files,passwords,texts,order"`
	Removed []string `json:"removed"`
	Added   []string `json:"added"`
}

// ApplicationChanged answers PUT and DELETE /v1/applications/{name}.
type ApplicationChanged struct {
	Name        string                  `json:"name"`
	Outcome     string                  `json:"outcome" enum:"added,changed,unchanged,deleted" doc:"changed also where the built-in one is back"`
	Source      string                  `json:"source,omitempty" enum:"built-in,override,added" doc:"where the definition that is used now comes from; none: it is gone"`
	Differences []ApplicationDifference `json:"differences"`
	DryRun      bool                    `json:"dry_run,omitempty" doc:"nothing was changed"`
}
