package local

// tokenHeader is where a job shows a token of its CI system. It does so with
// each request: what was found in it before is for nobody else.
const tokenHeader = "X-Strongroom-Job-Token"

// maxHeaders has room for a token beside what else a request has.
const maxHeaders = 24 << 10
