import { readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join, normalize } from 'node:path'

const TYPES: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.json': 'application/json',
}

/** Serves folders and generated files on a port of its own, with ranges, and receives the result of a page. */
export class FileServer implements AsyncDisposable {
  readonly #roots: Readonly<Record<string, string>>
  readonly #files: Readonly<Record<string, string | Uint8Array>>
  readonly #server = createServer((request, response) => void this.#answer(request, response))
  #tell: (body: string) => void = () => {}
  /** The body of the first POST. */
  readonly told = new Promise<string>((resolve) => (this.#tell = resolve))

  /** `roots` has folders by the first part of a path, `files` contents by path. */
  constructor(roots: Readonly<Record<string, string>>, files: Readonly<Record<string, string | Uint8Array>>) {
    this.#roots = roots
    this.#files = files
  }

  /** Starts the server and returns its URL, which ends with a slash. */
  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = normalize(new URL(request.url ?? '/', 'http://host').pathname).slice(1)
    if (request.method === 'POST') {
      let body = ''
      for await (const chunk of request.setEncoding('utf8')) body += chunk
      this.#tell(body)
      response.writeHead(204).end()
      return
    }
    const content = await this.#find(path)
    if (content === undefined) {
      response.writeHead(404).end()
      return
    }
    const type = { 'Content-Type': TYPES[extname(path)] ?? 'application/octet-stream', ETag: '"1"' }
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? []
    if (first === undefined) {
      response.writeHead(200, type).end(content)
      return
    }
    const part = content.subarray(Number(first), Number(last) + 1)
    const range = `bytes ${first}-${Number(first) + part.length - 1}/${content.length}`
    response.writeHead(206, { ...type, 'Content-Range': range }).end(part)
  }

  async #find(path: string): Promise<Uint8Array | undefined> {
    const made = this.#files[path]
    if (made !== undefined) return typeof made === 'string' ? Buffer.from(made) : made
    const [root = '', ...rest] = path.split('/')
    const folder = this.#roots[root]
    return folder === undefined ? undefined : readFile(join(folder, ...rest)).catch(() => undefined)
  }
}
