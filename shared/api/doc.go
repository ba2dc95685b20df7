// Package api is the REST API as both of its ends see it: the bodies of
// requests and answers, and the client that the command line and admins'
// programs use. It decides nothing, keeps nothing, and knows neither the
// server's rooms nor the library that serves it; the tags doc, enum, example
// and maxLength are there for the server's OpenAPI document.
//
// Values of credentials travel in envelopes only (shared/envelope): the members
// secrets, variables, masked and key_file hold ciphertext that is good for one
// request on one TLS connection.
package api

// Limits of the API, in bytes, that both ends enforce.
const (
	MaxRequest = 4 << 20  // the body of a request
	MaxAnswer  = 32 << 20 // the body of an answer
	maxProblem = 64 << 10 // the body of a refusal
)
