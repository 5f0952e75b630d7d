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
