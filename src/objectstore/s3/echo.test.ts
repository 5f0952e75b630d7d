import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test, vi } from 'vitest'
import { errorMessage } from '../../util/errors.ts'
import { openObjectStore } from '../stores/open.ts'

const SECRETS = {
  AWS_ACCESS_KEY_ID: 'ASIACANARYOFTHEKEY77',
  AWS_SECRET_ACCESS_KEY: 'canary-of-the-secret-key-31f0',
  AWS_SESSION_TOKEN: 'canary-of-the-session+token/5b6a==',
}

afterEach(() => void vi.unstubAllEnvs())

const xml = (text: string) => text.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`)

test.each([400, 403, 500])(
  'a store that answers %i with the request itself gets no credential into an error',
  async (status) => {
    for (const [name, value] of Object.entries(SECRETS)) vi.stubEnv(name, value)
    let repeated = ''
    const server = createServer((request, response) => {
      request.resume()
      repeated = xml(`${JSON.stringify(request.headers)} ${encodeURIComponent(SECRETS.AWS_SESSION_TOKEN)}`)
      response.writeHead(status, { 'content-type': 'application/xml' })
      response.end(`<Error><Code>${repeated.slice(0, 3000)}</Code><Message>${repeated}</Message></Error>`)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    const store = openObjectStore(`s3://bucket/x?endpoint=http://127.0.0.1:${port}&forcePathStyle=true`)
    try {
      const calls = [
        () => store.put('k', new Uint8Array(1)),
        () => store.get('k'),
        () => store.delete(['k']),
        () => store.list('')[Symbol.asyncIterator]().next(),
      ]
      for (const call of calls) {
        const error: unknown = await call().then(
          () => undefined,
          (thrown: unknown) => thrown,
        )
        const shown = errorMessage(error) + errorMessage((error as Error).cause) + JSON.stringify(error)
        expect(repeated).toMatch(/Credential=ASIACANARY/)
        expect(shown).not.toMatch(/canary|ASIACANARY|[0-9a-f]{64}(?!")/i)
      }
    } finally {
      await store.close()
      server.close()
    }
  },
)
