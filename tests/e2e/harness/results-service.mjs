// A small stand-in for the platform's results service: the artifact calls, and the blob storage that its signed URLs point at.
import { createHash, randomUUID } from 'node:crypto'
import http from 'node:http'
import { listen } from './processes.mjs'

const SERVICE = '/twirp/github.actions.results.api.v1.ArtifactService/'
// Fields that belong to one connection, not to the call.
const OF_THE_CONNECTION = ['host', 'connection', 'keep-alive']

/**
 * Starts the service. Returns `{ url, calls, stop }`; `calls` are the artifact calls so far: method, path, headers without those of the
 * connection, and body.
 */
export async function startResultsService() {
  const service = new ResultsService()
  const server = http.createServer((request, response) => service.answer(request, response))
  service.url = `http://127.0.0.1:${await listen(server)}`
  service.stop = () => new Promise((resolve) => server.close(resolve) && server.closeAllConnections())
  return service
}

class ResultsService {
  calls = []
  #artifacts = []
  #blobs = new Map()
  #lastId = 1000

  async answer(request, response) {
    const body = await bodyOf(request)
    const url = new URL(request.url, this.url)
    if (url.pathname.startsWith(SERVICE)) return this.#call(request, url.pathname.slice(SERVICE.length), body, response)
    if (request.method === 'PUT') return this.#put(url, body, response)
    const blob = this.#blobs.get(url.pathname)
    response.writeHead(blob?.content ? 200 : 404, { 'content-type': 'application/zip', 'content-disposition': 'attachment; filename="artifact.zip"' })
    response.end(blob?.content)
  }

  #call({ method, url, headers, rawHeaders }, name, body, response) {
    const told = Object.entries(headers).filter(([field]) => !OF_THE_CONNECTION.includes(field))
    const repeated = rawHeaders.length / 2 - Object.keys(headers).length
    this.calls.push({ method, url, headers: Object.fromEntries(told), repeated, body: String(body) })
    const answer = this[name]?.(JSON.parse(body))
    response.writeHead(answer ? 200 : 404, { 'content-type': 'application/json' })
    response.end(JSON.stringify(answer ?? { code: 'not_found', msg: 'no such artifact' }))
  }

  #put(url, body, response) {
    const blob = this.#blobs.get(url.pathname)
    const kind = url.searchParams.get('comp')
    if (kind === 'block') blob.blocks.set(url.searchParams.get('blockid'), body)
    else if (kind === 'blocklist') blob.content = Buffer.concat(idsIn(body).map((id) => blob.blocks.get(id)))
    else blob.content = body
    response.writeHead(201, { 'x-ms-request-id': randomUUID() }).end()
  }

  CreateArtifact({ workflow_run_backend_id: run, workflow_job_run_backend_id: job, name }) {
    const id = String((this.#lastId += 1))
    const path = `/devstoreaccount1/artifacts/${id}.zip`
    this.#blobs.set(path, { blocks: new Map(), content: null })
    this.#artifacts.push({ run, job, name, id, path, size: null })
    return { ok: true, signed_upload_url: `${this.url}${path}?sig=${randomUUID()}` }
  }

  FinalizeArtifact({ workflow_run_backend_id: run, name, size, hash }) {
    const artifact = this.#find(run, name)
    const { content } = this.#blobs.get(artifact.path)
    const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`
    if (Number(size) !== content.length || hash !== digest) return { ok: false }
    artifact.size = size
    return { ok: true, artifact_id: artifact.id }
  }

  ListArtifacts({ workflow_run_backend_id: run, name_filter: name, id_filter: id }) {
    const wanted = (artifact) => artifact.run === run && artifact.size && [name ?? artifact.name, id ?? artifact.id].join() === [artifact.name, artifact.id].join()
    const told = ({ job, name: own, id: databaseId, size }) => ({
      workflow_run_backend_id: run, workflow_job_run_backend_id: job, database_id: databaseId, name: own, size, created_at: '2026-01-01T00:00:00Z',
    })
    return { artifacts: this.#artifacts.filter(wanted).map(told) }
  }

  GetSignedArtifactURL({ workflow_run_backend_id: run, name }) {
    return { signed_url: `${this.url}${this.#find(run, name).path}?sig=${randomUUID()}` }
  }

  DeleteArtifact({ workflow_run_backend_id: run, name }) {
    const artifact = this.#find(run, name)
    if (!artifact) return null
    this.#artifacts = this.#artifacts.filter((other) => other !== artifact)
    return { ok: true, artifact_id: artifact.id }
  }

  #find = (run, name) => this.#artifacts.find((artifact) => artifact.run === run && artifact.name === name)
}

const idsIn = (list) => [...String(list).matchAll(/<(?:Latest|Uncommitted|Committed)>([^<]+)</g)].map(([, id]) => id)

async function bodyOf(request) {
  const pieces = []
  for await (const piece of request) pieces.push(piece)
  return Buffer.concat(pieces)
}
