package api

import "time"

// Host is a machine with an agent.
type Host struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Labels    map[string]string `json:"labels"`
	OS        string            `json:"os" example:"linux"`
	Version   string            `json:"version" doc:"the agent's version"`
	Enrolled  time.Time         `json:"enrolled"`
	LastSeen  *time.Time        `json:"last_seen" doc:"null: not yet"`
	Connected bool              `json:"connected"`
	Revoked   bool              `json:"revoked"`
	Frozen    bool              `json:"frozen" doc:"two machines used this host's identity: revoke it and enrol anew"`
	Revision  uint64            `json:"revision" doc:"for If-Match, in double quotes"`
}

// HostLabel is the body of PATCH /v1/hosts/{id}.
type HostLabel struct {
	Labels map[string]string `json:"labels" maxProperties:"64" doc:"laid over what there is; an empty text removes a label"`
}

// HostLabelled answers it.
type HostLabelled struct {
	Host
	AccessAdded []Access `json:"access_added,omitempty" doc:"what the host gained by this change, up to 100"`
}

// HostList answers GET /v1/hosts.
type HostList struct {
	Items []Host `json:"items"`
}

// HostRevoked answers DELETE /v1/hosts/{id}.
type HostRevoked struct {
	Host         string        `json:"host" doc:"the host's ID"`
	VersionsHeld []VersionHeld `json:"versions_held" doc:"what was leased to it: a hostile host does not wipe, so change these"`
	PrivateHeld  bool          `json:"private_held,omitempty" doc:"whether that was not all: it held credentials that are private to others, or deleted, which are listed to those who may read the log"`
}

// VersionHeld is a version that a host had in memory.
type VersionHeld struct {
	Credential string `json:"credential" doc:"the credential's name; of one that is private to somebody else, or deleted, the ID, as the log has it"`
	Version    uint64 `json:"version"`
}

// JoinTokenAdd is the body of POST /v1/hosts/join-tokens.
type JoinTokenAdd struct {
	Labels map[string]string `json:"labels,omitempty" maxProperties:"64" doc:"labels of each host that joins with it"`
	TTL    Duration          `json:"ttl,omitempty" pattern:"^(0|([0-9]+d)?([0-9.]+(h|m|s|ms|us|ns))*)$" patternDescription:"a duration such as 90d, 12h or 15m" doc:"how long it is good; 1h where absent" example:"1h"`
	Uses   int               `json:"uses,omitempty" minimum:"0" doc:"how many hosts may join; 1 where absent"`
}

// JoinToken answers it, once: the server keeps no copy of the text.
type JoinToken struct {
	Token   string    `json:"token" doc:"the join token; it is shown this once"`
	Join    string    `json:"join" doc:"server, fingerprint and token in one string"`
	Expires time.Time `json:"expires"`
}
