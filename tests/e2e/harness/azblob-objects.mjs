// Blobs in a container of Azure's, reached past the server under test (see stored-objects.mjs for what this offers).
import { ContainerClient } from '@azure/storage-blob'

export class AzblobObjects {
  #container
  #prefix

  constructor({ connectionString, container, prefix }) {
    this.#container = new ContainerClient(connectionString, container)
    this.#prefix = prefix
  }

  async list() {
    const names = []
    for await (const { name } of this.#container.listBlobsFlat({ prefix: `${this.#prefix}/objects/` })) names.push(name)
    return names
  }

  size = async (name) => (await this.#container.getBlobClient(name).getProperties()).contentLength

  async remove(names) {
    for (const name of names) await this.#container.deleteBlob(name)
  }

  async cut(name, size) {
    const start = size === 0 ? Buffer.alloc(0) : await this.#container.getBlobClient(name).downloadToBuffer(0, size)
    await this.#container.getBlockBlobClient(name).upload(start, size)
  }

  async change(name, how) {
    const content = await this.#container.getBlobClient(name).downloadToBuffer()
    how(content)
    await this.#container.getBlockBlobClient(name).upload(content, content.length)
  }
}
