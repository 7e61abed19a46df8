// nginx in front, with the configuration that operators are given (examples/nginx.conf), on free ports and with a certificate of its own.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { makeCertificate } from './tls-front.mjs'
import { freePort, keepRunning, untilReady } from './processes.mjs'

const START_LIMIT_MS = 10_000
const example = fileURLToPath(new URL('../../../examples/nginx.conf', import.meta.url))

/** The example with other ports and files; fails where a piece of it is not to be found. */
function configured(port, target, { keyFile, certificateFile }) {
  const pieces = [
    [/listen\s+(\[::\]:)?443\b/g, `listen 127.0.0.1:${port}`],
    [/server_name\s+[^;]+;/g, 'server_name localhost;'],
    [/ssl_certificate\s+[^;]+;/g, `ssl_certificate ${certificateFile};`],
    [/ssl_certificate_key\s+[^;]+;/g, `ssl_certificate_key ${keyFile};`],
    [/127\.0\.0\.1:3000/g, target],
  ]
  return pieces.reduce((configuration, [piece, other]) => {
    if (!configuration.match(piece)) throw new Error(`the example has no ${piece}`)
    return configuration.replace(piece, other)
  }, readFileSync(example, 'utf8'))
}

/** Starts nginx before the server at `url`; `{ url, certificateFile, log, stop }`. */
export async function startNginx({ host: target }) {
  const home = mkdtempSync(path.join(tmpdir(), 'larder-e2e-nginx-'))
  const certificate = await makeCertificate(home)
  const port = await freePort()
  const log = path.join(home, 'log')
  mkdirSync(path.join(home, 'tmp'))
  const places = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${home}/tmp/${kind};`)
  writeFileSync(path.join(home, 'nginx.conf'), `daemon off; master_process off; pid ${home}/pid; error_log stderr warn;
events { worker_connections 512; }
http {
  access_log off;
  ${places.join('\n  ')}
  ${configured(port, target, certificate)}
}
`)
  const nginx = keepRunning('nginx', ['-p', home, '-e', 'stderr', '-c', path.join(home, 'nginx.conf')], log)
  const said = () => readFileSync(log, 'utf8')
  const stop = async () => {
    await nginx.stop()
    rmSync(home, { recursive: true, force: true })
  }
  try {
    await untilReady(START_LIMIT_MS, 'nginx', nginx, () => accepts(port))
  } catch (error) {
    error.message += `\n${said()}`
    await stop()
    throw error
  }
  return { url: `https://localhost:${port}`, certificateFile: certificate.certificateFile, log: said, stop }
}

const accepts = (port) =>
  new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(socket.destroy() && true))
    socket.once('error', () => resolve(false))
  })
