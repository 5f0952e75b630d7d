import type { ConsulServer } from '../harness/consul-server.ts'

/** The holders of the lease by term, as observed by watching the key. */
export class Terms {
  readonly #consul: ConsulServer
  readonly #key: string
  readonly #holders = new Map<bigint, string>()
  readonly #abort = new AbortController()
  readonly #watched: Promise<void>
  /** Terms with two holders, which must never be. */
  readonly findings: string[] = []

  constructor(consul: ConsulServer, key = 'ltxd/primary') {
    this.#consul = consul
    this.#key = key
    this.#watched = this.#watch()
  }

  /** Hostnames by term, ascending. */
  holders(): string[] {
    const terms = Array.from(this.#holders.keys()).sort((a, b) => Number(a - b))
    return terms.map((term) => this.#holders.get(term) ?? '')
  }

  async stop(): Promise<void> {
    this.#abort.abort()
    await this.#watched
  }

  async #watch(): Promise<void> {
    let index = '0'
    while (!this.#abort.signal.aborted) {
      try {
        const url = `${this.#consul.url}/v1/kv/${this.#key}?wait=5s&index=${index}`
        const response = await fetch(url, { signal: this.#abort.signal })
        index = response.headers.get('x-consul-index') ?? '0'
        const body = (await response.json()) as { Value: string }[]
        this.#see(Buffer.from(body[0]?.Value ?? '', 'base64').toString())
      } catch {
        // Consul is away, or the key does not exist yet.
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    }
  }

  #see(text: string): void {
    const { term, holder } = JSON.parse(text) as { term: string | number; holder: { hostname: string } }
    const number = BigInt(term)
    const before = this.#holders.get(number)
    if (before !== undefined && before !== holder.hostname) {
      this.findings.push(`term ${number} was held by ${before} and by ${holder.hostname}`)
    }
    this.#holders.set(number, holder.hostname)
  }
}
