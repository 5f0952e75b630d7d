import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { fetchStatus, requestPromotion } from './client.ts'

const servers: { close(): void }[] = []

afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  servers.push({
    close() {
      server.closeAllConnections()
      server.close()
    },
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('I10: an answer without end is not read to the end, and its connection is closed', async () => {
  let sentBytes = 0
  let closed = () => {}
  const isClosed = new Promise<void>((resolve) => (closed = resolve))
  const url = await serve((_, response) => {
    const chunk = Buffer.alloc(1 << 20, ' ')
    const more = () => {
      do sentBytes += chunk.length
      while (response.write(chunk))
    }
    response.on('drain', more).on('close', closed)
    more()
  })
  await expect(fetchStatus(url)).rejects.toThrow(/answered with something else, expected a status/)
  await isClosed
  expect(sentBytes).toBeLessThan(128 << 20)
})

test('an answer that is no JSON, and one of another program, name the URL', async () => {
  for (const body of ['{', 'null', '[]', '{"nodeId": 1}']) {
    const url = await serve((_, response) => response.end(body))
    await expect(fetchStatus(url)).rejects.toThrow(`${url} answered with something else`)
    await expect(requestPromotion(url)).rejects.toThrow('name the API of an ltxd node')
  }
})

test('a redirection is not followed', async () => {
  const url = await serve((_, response) => response.writeHead(302, { location: 'http://127.0.0.1:1/status' }).end())
  await expect(fetchStatus(url)).rejects.toThrow(/no node answers/)
})
