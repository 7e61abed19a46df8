// Objects in a bucket, reached by its own interface, past the server under test (see stored-objects.mjs for what these offer).
import {
  DeleteObjectCommand, GetObjectCommand, HeadObjectCommand, paginateListObjectsV2, PutObjectCommand, S3Client,
} from '@aws-sdk/client-s3'

export class S3Objects {
  #client
  #bucket
  #prefix

  constructor({ endpoint, region, bucket, accessKeyId, secretAccessKey, prefix }) {
    this.#client = new S3Client({ endpoint, region, forcePathStyle: true, credentials: { accessKeyId, secretAccessKey } })
    this.#bucket = bucket
    this.#prefix = prefix
  }

  async list() {
    const pages = paginateListObjectsV2({ client: this.#client }, { Bucket: this.#bucket, Prefix: `${this.#prefix}/` })
    const names = []
    for await (const { Contents } of pages) names.push(...(Contents ?? []).map(({ Key }) => Key))
    return names
  }

  size = async (name) => (await this.#send(HeadObjectCommand, name)).ContentLength

  async remove(names) {
    for (const name of names) await this.#send(DeleteObjectCommand, name)
  }

  async cut(name, size) {
    const Body = size === 0 ? Buffer.alloc(0) : await this.#start(name, size)
    await this.#send(PutObjectCommand, name, { Body })
  }

  async #start(name, size) {
    const { Body } = await this.#send(GetObjectCommand, name, { Range: `bytes=0-${size - 1}` })
    return Buffer.from(await Body.transformToByteArray())
  }

  #send = (Command, name, more = {}) => this.#client.send(new Command({ Bucket: this.#bucket, Key: name, ...more }))
}

/** Google's JSON interface, without credentials, as its emulator takes it. */
export class GcsObjects {
  #base
  #upload
  #prefix

  constructor({ endpoint, bucket, prefix }) {
    this.#base = `${endpoint}/storage/v1/b/${bucket}/o`
    this.#upload = `${endpoint}/upload/storage/v1/b/${bucket}/o`
    this.#prefix = prefix
  }

  async list() {
    const names = []
    let pageToken = ''
    do {
      const page = await this.#ask(`${this.#base}?${new URLSearchParams({ prefix: `${this.#prefix}/`, pageToken })}`)
      const { items, nextPageToken } = await page.json()
      names.push(...(items ?? []).map(({ name }) => name))
      pageToken = nextPageToken ?? ''
    } while (pageToken)
    return names
  }

  size = async (name) => Number((await (await this.#ask(this.#url(name))).json()).size)

  async remove(names) {
    for (const name of names) await this.#ask(this.#url(name), { method: 'DELETE' })
  }

  async cut(name, size) {
    const content = await (await this.#ask(`${this.#url(name)}?alt=media`)).arrayBuffer()
    const url = `${this.#upload}?${new URLSearchParams({ uploadType: 'media', name })}`
    await this.#ask(url, { method: 'POST', body: content.slice(0, size) })
  }

  #url = (name) => `${this.#base}/${encodeURIComponent(name)}`

  async #ask(url, options) {
    const answer = await fetch(url, options)
    if (!answer.ok) throw new Error(`${options?.method ?? 'GET'} ${url}: ${answer.status} ${await answer.text()}`)
    return answer
  }
}
