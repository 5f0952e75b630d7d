/**
 * The node's HTTP API on loopback: GET /status, /health, /ready, /metrics; POST /promote, /handoff; additional routes.
 */

import fastify, { type FastifyError, type FastifyInstance } from 'fastify'
import type { HttpConfig } from '../config/config.ts'
import { errorCode, LtxdError } from '../util/errors.ts'
import { type Files, nodeFiles } from '../util/files.ts'
import type { Logger } from '../util/log.ts'
import { removeAddress, writeAddress } from './address-file.ts'
import { Connections } from './connections.ts'
import { isLoopbackHost } from './host-check.ts'
import { Metrics } from './metrics.ts'
import { registerRoleCommands, type RoleCommands } from './role-commands.ts'

/** The node behind the API. `status` and `unready` are called for each request and must be cheap. */
export interface ApiSource extends RoleCommands {
  /** Why the node is not ready; undefined while it is. */
  unready(): string | undefined
  /** Why databases are not served, or not led, by their names. Absent: all are. */
  unserved?(): Readonly<Record<string, string>>
}

export interface ApiOptions {
  readonly http: HttpConfig
  /** Where `api.json` is written, by which `ltxd status --data` finds the node. Must exist. */
  readonly dataDir: string
  /** Makes and removes `api.json`. */
  readonly files?: Files
  readonly source: ApiSource
  /** Registers additional routes. Their Host header is checked as well. */
  readonly routes?: (server: FastifyInstance) => void | Promise<void>
  readonly logger: Logger
  /** For tests. */
  readonly maxConnections?: number
}

export interface Api {
  /** `http://127.0.0.1:20202`, with the actual port. */
  readonly url: string
  /** Also closes open connections. */
  close(): Promise<void>
}

/** Starts listening, and writes the address file. Throws LtxdError API_PORT_BUSY or API_ADDRESS_UNAVAILABLE. */
export async function startApi(options: ApiOptions): Promise<Api> {
  const { dataDir, files = nodeFiles, logger } = options
  const server = createServer(options)
  await options.routes?.(server)
  const url = await listen(server, options.http)
  try {
    writeAddress(files, dataDir, { url, pid: process.pid })
  } catch (error) {
    await server.close()
    throw error
  }
  logger.info({ url }, 'the API listens')
  return {
    url,
    async close() {
      removeAddress(files, dataDir)
      await server.close()
    },
  }
}

function createServer({ source, logger, maxConnections }: ApiOptions): FastifyInstance {
  const server = fastify({ forceCloseConnections: true, bodyLimit: 64 * 1024 })
  const metrics = new Metrics()
  const connections = new Connections(server.server, maxConnections)

  server.addHook('onRequest', async (request, reply) => {
    if (isLoopbackHost(request.headers.host)) return
    const message = `this API accepts loopback names only, and the Host header is "${request.headers.host ?? ''}"`
    return reply.code(421).send({ error: { code: 'HOST_REFUSED', message } })
  })
  server.addHook('preHandler', (request, reply, done) => {
    if (request.routeOptions.config.lasting === true) connections.exempt(request.raw.socket, reply.raw)
    done()
  })
  server.get('/status', () => source.status())
  server.get('/health', () => ({ status: 'ok' }))
  server.get('/ready', async (_, reply) => {
    const reason = source.unready()
    if (reason !== undefined) return reply.code(503).send({ status: 'unready', reason })
    const unserved = source.unserved?.() ?? {}
    return { status: 'ready', ...(Object.keys(unserved).length > 0 && { unserved }) }
  })
  server.get('/metrics', async (_, reply) => {
    return reply.type(metrics.contentType).send(await metrics.render(source.status()))
  })
  registerRoleCommands(server, source)
  server.setNotFoundHandler(async (request, reply) => {
    const message = `no route ${request.method} ${request.url}`
    return reply.code(404).send({ error: { code: 'NOT_FOUND', message } })
  })
  server.setErrorHandler<FastifyError>(async (error, request, reply) => {
    const status = error.statusCode ?? 500
    if (status >= 500) logger.error({ err: error, method: request.method, path: request.url }, 'a request failed')
    const message = status >= 500 ? 'the request failed inside the node: see its log' : error.message
    return reply.code(status).send({ error: { code: error.code, message } })
  })
  return server
}

/**
 * `localhost` may mean two addresses, and with port 0 those would get two different ports: use the first address only.
 */
async function listen(server: FastifyInstance, { host, port }: HttpConfig): Promise<string> {
  try {
    return await server.listen({ host: host === 'localhost' ? '127.0.0.1' : host, port })
  } catch (error) {
    const address = `${host.includes(':') ? `[${host}]` : host}:${port}`
    if (errorCode(error) === 'EADDRINUSE') {
      const message =
        `port ${port} (http.addr ${address}) is in use by another program, maybe another ltxd: ` +
        `stop that program, or choose another port with --http; --http 127.0.0.1:0 takes a free one`
      throw new LtxdError('API_PORT_BUSY', message, 1, { cause: error })
    }
    const reason = error instanceof Error ? error.message : String(error)
    const message = `cannot listen on http.addr ${address}: ${reason}`
    throw new LtxdError('API_ADDRESS_UNAVAILABLE', message, 1, { cause: error })
  }
}
