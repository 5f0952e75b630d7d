import { Agent, request } from 'node:http'

/** One JSON request over a kept-alive connection, with a time-out. */

const TIMEOUT_MS = 5_000
const agent = new Agent({ keepAlive: true, maxSockets: 16 })

export interface JsonAnswer {
  readonly status: number
  readonly body: unknown
}

/** Rejects without a complete answer: connection refused or reset, timeout, or no JSON. */
export function requestJson(method: 'GET' | 'POST', url: string, body?: unknown): Promise<JsonAnswer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method, agent, timeout: TIMEOUT_MS }, (incoming) => {
      const chunks: Buffer[] = []
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
      incoming.on('error', reject)
      incoming.on('end', () => {
        try {
          const text = Buffer.concat(chunks).toString('utf8')
          resolve({ status: incoming.statusCode ?? 0, body: JSON.parse(text) })
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)))
        }
      })
    })
    outgoing.on('timeout', () => outgoing.destroy(new Error(`${url}: no answer within ${TIMEOUT_MS} ms`)))
    outgoing.on('error', reject)
    outgoing.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

/** The body of a successful GET. */
export async function getJson<T>(url: string): Promise<T> {
  const answer = await requestJson('GET', url)
  if (answer.status !== 200) throw new Error(`${url} answered ${answer.status}`)
  return answer.body as T
}
