// An HTTP server that lets a request through where its OAuth 1.0 signature is good. What is signed, and the HMACs, are
// worked out by the package oauth-sign; an RSA signature is verified with the public key, which is all that a server has.
//
// It prints its port, and takes what it knows from a JSON file: consumer_key, consumer_secret, token, token_secret,
// public_key. What it refuses it answers with 401 and, in X-Refused, with what was not right.
'use strict'

const crypto = require('node:crypto')
const fs = require('node:fs')
const http = require('node:http')
const oauth = require('oauth-sign')

const known = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'))
const maxAge = 300 // seconds that a client's clock may be off
const seen = new Set() // the nonces of good requests

class Refused extends Error {}

function refuse (why) { throw new Refused(why) }

// same compares in a time that does not depend on what is compared.
function same (a, b) {
  const digest = (text) => crypto.createHash('sha256').update(text).digest()
  return crypto.timingSafeEqual(digest(a), digest(b))
}

function decoded (text) {
  try {
    return decodeURIComponent(text)
  } catch {
    return refuse('escape')
  }
}

// credentials reads the Authorization header, RFC 5849 section 3.5.1.
function credentials (header) {
  const list = /^OAuth ((?:[^=\s]+="(?:[^"\\]|\\.)*"(?:, |$))+)$/.exec(header ?? '') ?? refuse('header')
  const own = new Map()
  for (const [, name, value] of list[1].matchAll(/([^=\s]+)="((?:[^"\\]|\\.)*)"/g)) {
    if (name === 'realm') continue
    if (own.has(decoded(name))) refuse('parameter given twice')
    own.set(decoded(name), decoded(value))
  }
  return own
}

// addForm adds the parameters of a query or a form, RFC 5849 section 3.4.1.3.1.
function addForm (parameters, text) {
  for (const pair of text.split('&')) {
    if (pair === '') continue
    const [name, ...value] = pair.split('=')
    const plain = (part) => decoded(part.replaceAll('+', ' '))
    add(parameters, plain(name), plain(value.join('=')))
  }
}

function add (parameters, name, value) {
  parameters[name] = [...(parameters[name] ?? []), value]
}

function check (request, body) {
  const own = credentials(request.headers.authorization)
  for (const name of ['oauth_consumer_key', 'oauth_token']) {
    if (!same(own.get(name) ?? '', known[name.slice('oauth_'.length)])) refuse(name)
  }
  if ((own.get('oauth_version') ?? '1.0') !== '1.0') refuse('oauth_version')
  const timestamp = own.get('oauth_timestamp') ?? ''
  if (!/^[1-9][0-9]*$/.test(timestamp) || Math.abs(Date.now() / 1000 - timestamp) > maxAge) refuse('oauth_timestamp')

  const [path, ...query] = request.url.split('?')
  const parameters = Object.create(null)
  addForm(parameters, query.join('?'))
  if (/^application\/x-www-form-urlencoded *(;|$)/.test(request.headers['content-type'] ?? '')) addForm(parameters, body)
  for (const [name, value] of own) {
    if (name !== 'oauth_signature') add(parameters, name, value)
  }
  const url = 'http://' + request.headers.host.toLowerCase() + path
  const method = own.get('oauth_signature_method')
  const given = own.get('oauth_signature') ?? ''
  let good = false
  if (method === 'RSA-SHA1') {
    const base = oauth.generateBase(request.method, url, parameters)
    good = crypto.verify('RSA-SHA1', Buffer.from(base), known.public_key, Buffer.from(given, 'base64'))
  } else if (method === 'HMAC-SHA1' || method === 'HMAC-SHA256') {
    good = same(given, oauth.sign(method, request.method, url, parameters, known.consumer_secret, known.token_secret))
  } else {
    refuse('oauth_signature_method')
  }
  if (!good) refuse('oauth_signature')

  const nonce = JSON.stringify([timestamp, own.get('oauth_nonce') ?? refuse('oauth_nonce')])
  if (seen.has(nonce)) refuse('oauth_nonce')
  seen.add(nonce)
}

const server = http.createServer(async (request, response) => {
  let body = ''
  request.setEncoding('latin1')
  for await (const part of request) body += part
  try {
    check(request, body)
    response.statusCode = 200
  } catch (err) {
    if (!(err instanceof Refused)) console.error(err)
    response.statusCode = err instanceof Refused ? 401 : 500
    response.setHeader('X-Refused', err.message)
  }
  response.end()
})
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
