package api

import "time"

// AuditEntry is one entry of the log.
type AuditEntry struct {
	Seq     uint64    `json:"seq"`
	Time    time.Time `json:"time"`
	Actor   string    `json:"actor" example:"alice"`
	Action  string    `json:"action" doc:"noun.verb" example:"credential.read"`
	Target  string    `json:"target" example:"salesforce-prod"`
	Host    string    `json:"host"`
	Job     string    `json:"job" doc:"as the agent claims it"`
	Outcome string    `json:"outcome" enum:"allowed,refused,failed"`
	Reason  string    `json:"reason"`
	From    string    `json:"from" doc:"the network address of the person or host that asked; empty: nobody did, or it is not known"`
}

// AuditList answers GET /v1/audit, newest first.
type AuditList struct {
	Items []AuditEntry `json:"items"`
	Next  string       `json:"next" doc:"the cursor of the next, older page; empty: there is none"`
}

// AuditQuery narrows GET /v1/audit; empty members do not.
type AuditQuery struct {
	Since      time.Time // no older entries
	Until      time.Time // no newer entries
	Actor      string
	Action     string
	Credential string
	Host       string
	Outcome    string // allowed, refused or failed
	Cursor     string // the Next of the page before
	Limit      int    // entries a page; 0: the server's default
}

// AuditCheck answers GET /v1/audit/verify.
type AuditCheck struct {
	OK      bool   `json:"ok"`
	Size    uint64 `json:"size" doc:"entries that were checked"`
	Root    string `json:"root" doc:"the tree's root hash, base64"`
	Pruned  uint64 `json:"pruned" doc:"of these, from the first on, there are the hashes only, by the setting audit-retention"`
	Problem string `json:"problem" doc:"the first bad entry; empty where ok"`
}
