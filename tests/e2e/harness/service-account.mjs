// A service account of Google's, as far as a server under test can tell: a key, and the place where tokens are had for it. It also
// knows which URLs were signed with the key, by the service's own rules ("V4 signing process").
import { createHash, generateKeyPairSync, randomUUID, verify } from 'node:crypto'
import http from 'node:http'
import { listen } from './processes.mjs'

const EMAIL = 'larder@tests.iam.gserviceaccount.example'
const GRANT = 'urn:ietf:params:oauth:grant-type:jwt-bearer'

export class ServiceAccount {
  /** How many tokens were handed out. */
  tokens = 0
  #pair = generateKeyPairSync('rsa', { modulusLength: 2048 })
  #server = http.createServer((request, response) => this.#answer(request, response))

  /** Starts the place where tokens are had; returns the key: the JSON that Google gives out. */
  async start() {
    return JSON.stringify({
      type: 'service_account',
      project_id: 'tests',
      private_key_id: randomUUID(),
      private_key: this.#pair.privateKey.export({ type: 'pkcs8', format: 'pem' }),
      client_email: EMAIL,
      token_uri: `http://127.0.0.1:${await listen(this.#server)}/token`,
    })
  }

  stop = () => new Promise((resolve) => this.#server.close(resolve) && this.#server.closeAllConnections())

  /** Whether the URL, as it is, was signed with the key, for `GET` by anybody. */
  hasSigned(url) {
    const { host, pathname, search } = new URL(url)
    const query = search.slice(1).split('&')
    const signed = query.filter((pair) => !pair.startsWith('X-Goog-Signature=')).sort()
    const value = (name) => decodeURIComponent(query.find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1) ?? '')
    const [account, ...scope] = value('X-Goog-Credential').split('/')
    const canonical = ['GET', pathname, signed.join('&'), `host:${host}`, '', 'host', 'UNSIGNED-PAYLOAD'].join('\n')
    const digest = createHash('sha256').update(canonical).digest('hex')
    const text = ['GOOG4-RSA-SHA256', value('X-Goog-Date'), scope.join('/'), digest].join('\n')
    return account === EMAIL && this.#isOurs(text, Buffer.from(value('X-Goog-Signature'), 'hex'))
  }

  #isOurs = (text, signature) => verify('RSA-SHA256', Buffer.from(text), this.#pair.publicKey, signature)

  async #answer(request, response) {
    let body = ''
    for await (const piece of request.setEncoding('utf8')) body += piece
    const form = new URLSearchParams(body)
    const [head, claims, signature] = (form.get('assertion') ?? '').split('.')
    const good = form.get('grant_type') === GRANT && this.#isOurs(`${head}.${claims}`, Buffer.from(signature ?? '', 'base64url'))
    this.tokens += good ? 1 : 0
    response.writeHead(good ? 200 : 400, { 'content-type': 'application/json' })
    response.end(JSON.stringify(good ? { access_token: randomUUID(), token_type: 'Bearer', expires_in: 3600 } : { error: 'invalid_grant' }))
  }
}
