// A TLS front, as a proxy before the server would be: it ends TLS with a certificate of its own, and passes the bytes on.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import tls from 'node:tls'
import { listen, succeed } from './processes.mjs'

/** Makes a certificate of localhost in a folder; returns `{ keyFile, certificateFile }`. */
export async function makeCertificate(folder) {
  const [keyFile, certificateFile] = ['key.pem', 'certificate.pem'].map((name) => path.join(folder, name))
  await succeed('openssl', [
    'req', '-x509', '-nodes', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-days', '2', '-subj', '/CN=localhost',
    '-addext', 'subjectAltName=DNS:localhost', '-keyout', keyFile, '-out', certificateFile,
  ])
  return { keyFile, certificateFile }
}

/** Starts a front on https://localhost. Returns `{ url, certificateFile, passTo, stop }`; `passTo(url)` says where the server is. */
export async function startTlsFront() {
  const folder = mkdtempSync(path.join(tmpdir(), 'larder-e2e-tls-'))
  const { keyFile, certificateFile } = await makeCertificate(folder)
  let target
  const front = tls.createServer({ key: readFileSync(keyFile), cert: readFileSync(certificateFile) }, (client) => {
    const server = net.connect(target)
    for (const [from, to] of [[client, server], [server, client]]) from.on('error', () => to.destroy()).pipe(to)
  })
  const url = `https://localhost:${await listen(front)}`
  const passTo = (server) => {
    const { hostname, port } = new URL(server)
    target = { host: hostname, port: Number(port) }
  }
  const stop = async () => {
    rmSync(folder, { recursive: true, force: true })
    await new Promise((resolve) => front.close(resolve))
  }
  return { url, certificateFile, passTo, stop }
}
