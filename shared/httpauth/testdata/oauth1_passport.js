// The server of oauth1_server.js with another judge: Passport's strategy passport-http-oauth reads the header, collects
// what is signed and verifies the signature; ours are only the secrets and the nonces that it asks for. It knows no RSA,
// and is wrong about a parameter that is given twice.
'use strict'

const fs = require('node:fs')
const http = require('node:http')
const querystring = require('node:querystring')
const { Passport } = require('passport')
const { TokenStrategy } = require('passport-http-oauth')

const known = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'))
const seen = new Set() // the nonces of good requests
const passport = new Passport()
passport.use(new TokenStrategy(
  (key, done) => done(null, key === known.consumer_key, known.consumer_secret),
  (token, done) => done(null, token === known.token, known.token_secret),
  (timestamp, nonce, done) => done(null, seen.size < seen.add(timestamp + ' ' + nonce).size)
))

// What oauth1_server.js calls the problems.
const why = {
  consumer_key_rejected: 'oauth_consumer_key',
  nonce_used: 'oauth_nonce',
  signature_invalid: 'oauth_signature',
  signature_method_rejected: 'oauth_signature_method',
  token_rejected: 'oauth_token'
}

const server = http.createServer(async (request, response) => {
  let body = ''
  for await (const part of request) body += part
  request.query = querystring.parse(request.url.split('?').slice(1).join('?'))
  request.body = querystring.parse(body)
  passport.authenticate('oauth', { session: false }, (err, user, challenge) => {
    if (err) console.error(err)
    response.statusCode = err ? 500 : user ? 200 : 401
    if (!user) response.setHeader('X-Refused', why[/oauth_problem="(\w+)"/.exec(challenge)?.[1]] ?? String(challenge))
    response.end()
  })(request, response)
})
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
