// An issuer of OpenID Connect with the package oidc-provider, as a CI system is one: each of its clients is a job, which
// gets an access token that is a JSON Web Token by its client credentials (RFC 9068).
//
// It prints its port, and takes what it knows from a JSON file: packages (the folder of npm's), certificate, key, and
// jobs: by ID their secret, audience, claims and, where it is not an hour, the seconds until their tokens' end.
'use strict'

const crypto = require('node:crypto')
const fs = require('node:fs')
const https = require('node:https')
const path = require('node:path')
const { pathToFileURL } = require('node:url')

const known = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'))

function privateKey (type, options, more) {
  return { ...crypto.generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), ...more }
}

async function main () {
  const entry = path.join(known.packages, 'oidc-provider', 'lib', 'index.js')
  const { default: Provider } = await import(pathToFileURL(entry))
  const server = https.createServer({ cert: known.certificate, key: known.key })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  const provider = new Provider(`https://127.0.0.1:${port}`, {
    jwks: {
      keys: [
        privateKey('rsa', { modulusLength: 2048 }, { alg: 'RS256', use: 'sig' }),
        privateKey('ec', { namedCurve: 'P-256' }, { alg: 'ES256', use: 'sig' })
      ]
    },
    clients: Object.entries(known.jobs).map(([id, job]) => ({
      client_id: id, client_secret: job.secret, grant_types: ['client_credentials'], redirect_uris: [], response_types: []
    })),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, __, client) => ({
          scope: '',
          audience: known.jobs[client.clientId].audience,
          accessTokenTTL: 3600,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: known.jobs[client.clientId].algorithm } }
        })
      }
    },
    extraTokenClaims: (_, token) => known.jobs[token.clientId].claims,
    formats: {
      customizers: {
        jwt: (_, token, jwt) => {
          const { ends } = known.jobs[token.clientId]
          if (ends !== undefined) jwt.payload.exp = Math.floor(Date.now() / 1000) + ends
        }
      }
    }
  })
  server.on('request', provider.callback())
  process.stdout.write(`${port}\n`)
}

main()
