// Objects in an S3 bucket, reached past the server under test (see stored-objects.mjs for what this offers).
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
    const pages = paginateListObjectsV2({ client: this.#client }, { Bucket: this.#bucket, Prefix: `${this.#prefix}/objects/` })
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

  async change(name, how) {
    const Body = await this.#start(name, await this.size(name))
    how(Body)
    await this.#send(PutObjectCommand, name, { Body })
  }

  async #start(name, size) {
    const { Body } = await this.#send(GetObjectCommand, name, { Range: `bytes=0-${size - 1}` })
    return Buffer.from(await Body.transformToByteArray())
  }

  #send = (Command, name, more = {}) => this.#client.send(new Command({ Bucket: this.#bucket, Key: name, ...more }))
}
