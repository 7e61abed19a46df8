// Objects in a bucket of Google's, reached past the server under test (see stored-objects.mjs for what this offers).

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
      const page = await this.#ask(`${this.#base}?${new URLSearchParams({ prefix: `${this.#prefix}/objects/`, pageToken })}`)
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

  cut = async (name, size) => this.#write(name, (await this.#read(name)).subarray(0, size))

  async change(name, how) {
    const content = await this.#read(name)
    how(content)
    await this.#write(name, content)
  }

  #read = async (name) => Buffer.from(await (await this.#ask(`${this.#url(name)}?alt=media`)).arrayBuffer())

  async #write(name, body) {
    const url = `${this.#upload}?${new URLSearchParams({ uploadType: 'media', name })}`
    await this.#ask(url, { method: 'POST', body })
  }

  #url = (name) => `${this.#base}/${encodeURIComponent(name)}`

  async #ask(url, options) {
    const answer = await fetch(url, options)
    if (!answer.ok) throw new Error(`${options?.method ?? 'GET'} ${url}: ${answer.status} ${await answer.text()}`)
    return answer
  }
}
