import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { createLogger } from '../../util/log.ts'
import { ConsulClient } from './consul-client.ts'

const TOKEN = 'canary-of-consul-94d0'

test.each([403, 500, 418])(
  'a server that answers %i with the token gets it into no error and no log line',
  async (status) => {
    let asked = ''
    const server = createServer((request, response) => {
      asked = String(request.headers['x-consul-token'])
      response.writeHead(status, { 'content-type': 'text/plain' })
      response.end(`no: ${asked}\u001b[31m\nERROR forged`)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const client = new ConsulClient(`http://:${TOKEN}@127.0.0.1:${(server.address() as AddressInfo).port}`)
    const lines: string[] = []
    try {
      const error: unknown = await client.read('k', { timeoutMs: 5000 }).catch((thrown: unknown) => thrown)
      for (const format of ['json', 'text'] as const) {
        createLogger({ level: 'info', format, write: (line) => lines.push(line) }).error({ err: error }, 'no lease')
      }
      expect(asked).toBe(TOKEN)
      expect(lines[1]).toMatch(/\[redacted\]/)
      // eslint-disable-next-line no-control-regex -- they are what must not be there
      expect(lines.join('').trimEnd()).not.toMatch(/canary|\u001b/)
    } finally {
      client.close()
      server.close()
    }
  },
)

test('I10: an endless answer ends the request', async () => {
  const chunk = Buffer.alloc(1 << 20, ' ')
  let sentBytes = 0
  const server = createServer((_, response) => {
    const more = () => {
      while (!response.destroyed && sentBytes < 400 << 20) {
        sentBytes += chunk.length
        if (!response.write(chunk)) return void response.once('drain', more)
      }
      response.end()
    }
    response.writeHead(200, { 'content-type': 'application/json' })
    more()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const client = new ConsulClient(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  try {
    await expect(client.list('k', { timeoutMs: 300_000 })).rejects.toThrow(/more than 16 MiB/)
    expect(sentBytes).toBeLessThan(200 << 20)
  } finally {
    client.close()
    server.closeAllConnections()
    server.close()
  }
})
