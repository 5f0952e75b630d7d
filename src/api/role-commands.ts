/** POST /promote and POST /handoff: change the primary. */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { LtxdError } from '../util/errors.ts'
import type { NodeStatus } from './status.ts'

/** Commands to a node with peers. Both throw LtxdError when the node rejects them. */
export interface RoleCommands {
  status(): NodeStatus
  /**
   * Resolves when this node leads. Aborted when the client disconnects. `force`: even without the transactions that
   * only other nodes have.
   */
  promote?(signal: AbortSignal, options: { readonly force: boolean }): Promise<void>
  /** Resolves when the replica with this id or hostname leads instead of this node. Called on a primary only. */
  handoff?(node: string): Promise<void>
}

const promoteBody = z.object({ force: z.boolean().default(false) })
const handoffBody = z.object({ node: z.string().min(1).max(255) })

/** The response to both. */
export interface RoleAnswer {
  readonly nodeId: string
  readonly role: NodeStatus['role']
  /** Decimal digits; absent on a node without peers. */
  readonly term?: string
}

export function registerRoleCommands(server: FastifyInstance, source: RoleCommands): void {
  const route = { onRequest: requireJson }

  server.post('/promote', route, (request, reply) => {
    const body = promoteBody.safeParse(request.body)
    if (!body.success) {
      const message = 'expected {} or {"force": true}'
      return reply.code(400).send({ error: { code: 'BODY_INVALID', message } })
    }
    return answer(reply, source, async () => {
      if (source.status().role === 'primary') return
      if (source.promote === undefined) throw noCluster()
      await source.promote(goneSignal(reply), body.data)
      if (source.status().role === 'primary') return
      throw new LtxdError(
        'NOT_LEADING',
        'the primary released the lease, but this node does not lead: "ltxd status" shows which node does',
      )
    })
  })

  server.post('/handoff', route, (request, reply) => {
    const body = handoffBody.safeParse(request.body)
    if (!body.success) {
      const message = 'expected {"node": …} with the id or the hostname of the replica that is to lead'
      return reply.code(400).send({ error: { code: 'BODY_INVALID', message } })
    }
    return answer(reply, source, async () => {
      if (source.handoff === undefined) throw noCluster()
      const status = source.status()
      if (status.role !== 'primary') throw notPrimary(status)
      await source.handoff(body.data.node)
    })
  })
}

/** A web page can make a browser send a form here, but not JSON. */
async function requireJson(request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  if (/^application\/json *(;|$)/i.test(request.headers['content-type'] ?? '')) return
  const message = 'expected a body of type application/json, such as {}'
  return reply.code(415).send({ error: { code: 'JSON_REQUIRED', message } })
}

async function answer(reply: FastifyReply, source: RoleCommands, act: () => Promise<void>): Promise<unknown> {
  try {
    await act()
  } catch (error) {
    if (!(error instanceof LtxdError)) throw error
    return reply.code(409).send({ error: { code: error.code, message: error.message } })
  }
  const { nodeId, role, cluster } = source.status()
  return { nodeId, role, ...(cluster && { term: cluster.term }) } satisfies RoleAnswer
}

function goneSignal({ raw }: FastifyReply): AbortSignal {
  const controller = new AbortController()
  raw.once('close', () => controller.abort(new LtxdError('GONE', 'the client has disconnected')))
  return controller.signal
}

function noCluster(): LtxdError {
  return new LtxdError('NO_CLUSTER', 'this node is in no cluster: set lease.type, or name a Consul with --consul')
}

function notPrimary({ cluster }: NodeStatus): LtxdError {
  const primary = cluster?.primary
  const advice =
    primary === undefined ? 'no primary is known' : `send the request to ${primary.hostname} at ${primary.url}`
  return new LtxdError('NOT_PRIMARY', `this node is not the primary: ${advice}`)
}
