import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { LtxdError } from '../util/errors.ts'
import { createLogger } from '../util/log.ts'
import { requestHandoff, requestPromotion } from './client.ts'
import { type Api, type ApiSource, startApi } from './server.ts'
import type { NodeStatus } from './status.ts'

const JSON_TYPE = { 'content-type': 'application/json' }

let dataDir: string
let api: Api
let role: NodeStatus['role']
let promote: ApiSource['promote']
let handoff: ApiSource['handoff']

class Source implements ApiSource {
  status = status
  unready = () => undefined

  get promote() {
    return promote as NonNullable<ApiSource['promote']>
  }

  get handoff() {
    return handoff as NonNullable<ApiSource['handoff']>
  }
}

beforeEach(async () => {
  role = 'replica'
  promote = handoff = undefined
  dataDir = await mkdtemp(join(tmpdir(), 'ltxd-roles-'))
  api = await startApi({
    http: { host: '127.0.0.1', port: 0 },
    dataDir,
    source: new Source(),
    logger: createLogger({ level: 'silent', format: 'json' }),
  })
})

afterEach(async () => {
  await api.close()
  await rm(dataDir, { recursive: true })
})

function status(): NodeStatus {
  return {
    version: '1.2.3',
    nodeId: '00000000000000ab',
    pid: 1,
    startedAtMs: 0,
    role,
    cluster: {
      type: 'consul',
      term: '7',
      candidate: true,
      primary: { nodeId: '00000000000000cd', hostname: 'node-b', url: 'http://127.0.0.1:9' },
      replicas: [],
    },
    mount: { dir: '/mnt', requests: {} },
    data: { dir: '/data' },
    databases: [],
  }
}

async function post(path: string, init: RequestInit = { headers: JSON_TYPE, body: '{}' }): Promise<[number, unknown]> {
  const response = await fetch(`${api.url}${path}`, { method: 'POST', ...init })
  return [response.status, await response.json()]
}

const rejected = (code: string, message: RegExp) => ({
  error: { code, message: expect.stringMatching(message) as string },
})

describe('POST /promote', () => {
  test('forces only on request', async () => {
    const forced: boolean[] = []
    promote = async (_, { force }) => {
      forced.push(force)
      role = 'primary'
    }
    for (const body of ['{}', '{"force":true}']) {
      role = 'replica'
      expect((await post('/promote', { headers: JSON_TYPE, body }))[0]).toBe(200)
    }
    expect(forced).toEqual([false, true])
    role = 'replica'
    expect((await post('/promote', { headers: JSON_TYPE, body: '{"force":"yes"}' }))[0]).toBe(400)
  })

  test('answers when the node leads, with its term', async () => {
    promote = async () => void (role = 'primary')
    expect(await post('/promote')).toEqual([200, { nodeId: '00000000000000ab', role: 'primary', term: '7' }])
  })

  test('succeeds at once on the primary', async () => {
    role = 'primary'
    promote = () => Promise.reject(new Error('it must not be called'))
    expect((await post('/promote'))[0]).toBe(200)
  })

  test('answers 409 with the reason when the node rejects it', async () => {
    promote = () => Promise.reject(new LtxdError('NOT_A_CANDIDATE', 'this node is no candidate'))
    expect(await post('/promote')).toEqual([409, rejected('NOT_A_CANDIDATE', /no candidate/)])
    await expect(requestPromotion(api.url)).rejects.toMatchObject({ code: 'NOT_A_CANDIDATE', exitCode: 1 })
  })

  test('answers 409 when another node leads in the end', async () => {
    promote = () => Promise.resolve()
    expect(await post('/promote')).toEqual([409, rejected('NOT_LEADING', /this node does not lead/)])
  })

  test('answers 409 on a node in no cluster', async () => {
    expect(await post('/promote')).toEqual([409, rejected('NO_CLUSTER', /in no cluster/)])
  })

  test('does not reveal an unexpected error', async () => {
    promote = () => Promise.reject(new Error('secret'))
    const [code, body] = await post('/promote')
    expect(code).toBe(500)
    expect(JSON.stringify(body)).not.toContain('secret')
  })

  test('is aborted when the client disconnects', async () => {
    const called = deferred<AbortSignal>()
    promote = (signal) => {
      called.resolve(signal)
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
    }
    const controller = new AbortController()
    const request = post('/promote', { headers: JSON_TYPE, body: '{}', signal: controller.signal })
    const signal = await called.promise
    const aborted = new Promise((resolve) => signal.addEventListener('abort', resolve))
    controller.abort()
    await expect(request).rejects.toThrow()
    await aborted
  })
})

describe('POST /handoff', () => {
  test('names the node that is to lead', async () => {
    role = 'primary'
    let to: string | undefined
    handoff = async (node) => {
      to = node
      role = 'replica'
    }
    expect(await requestHandoff(api.url, 'node-b')).toEqual({ nodeId: '00000000000000ab', role: 'replica', term: '7' })
    expect(to).toBe('node-b')
  })

  test('answers 409 with the primary’s address on any other node', async () => {
    handoff = () => Promise.reject(new Error('it must not be called'))
    await expect(requestHandoff(api.url, 'node-c')).rejects.toMatchObject({
      code: 'NOT_PRIMARY',
      message: expect.stringMatching(/send the request to node-b at http:\/\/127\.0\.0\.1:9/) as string,
    })
  })

  test.each(['{}', '{"node": ""}', '{"node": 7}', '[]', '"b"', `{"node": "${'x'.repeat(256)}"}`])(
    'answers 400 without the name of a node: %.20s',
    async (body) => {
      role = 'primary'
      handoff = () => Promise.reject(new Error('it must not be called'))
      expect(await post('/handoff', { headers: JSON_TYPE, body })).toEqual([400, rejected('BODY_INVALID', /"node"/)])
    },
  )
})

describe('a web page, which can send forms and text here,', () => {
  test.each(['application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'text/plain', undefined])(
    'changes nothing: %s',
    async (type) => {
      promote = handoff = () => Promise.reject(new Error('it must not be called'))
      for (const path of ['/promote', '/handoff']) {
        const body = type === undefined ? {} : { headers: { 'content-type': type }, body: '{"node": "b"}' }
        expect(await post(path, body)).toEqual([415, rejected('JSON_REQUIRED', /application\/json/)])
      }
    },
  )
})

describe('the client', () => {
  test('reports that nothing answers', async () => {
    const { url } = api
    await api.close()
    await expect(requestPromotion(url)).rejects.toMatchObject({ code: 'NODE_UNREACHABLE' })
  })

  test('reports an unknown outcome when no answer comes', async () => {
    promote = () => new Promise(() => {})
    await expect(requestPromotion(api.url, 50)).rejects.toMatchObject({
      code: 'OUTCOME_UNKNOWN',
      message: expect.stringMatching(/no answer within 50 ms.*ltxd status/) as string,
    })
  })

  test('reports that another program answers', async () => {
    const other = createServer((_, response) => response.end('<html>')).listen(0, '127.0.0.1')
    await new Promise((resolve) => other.once('listening', resolve))
    const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}`
    await expect(requestHandoff(url, 'b')).rejects.toMatchObject({ code: 'NODE_UNREACHABLE' })
    await new Promise((resolve) => other.close(resolve))
  })
})

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => {}
  const promise = new Promise<T>((fulfil) => (resolve = fulfil))
  return { promise, resolve }
}
