/** POST /promote and POST /handoff: who leads is changed on request. */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { LtxdError } from '../util/errors.ts'
import type { NodeStatus } from './status.ts'

/** What a node that has peers can be told. Both throw LtxdError when it cannot be. */
export interface RoleCommands {
  status(): NodeStatus
  /** Resolves when this node leads. Aborted: whoever asked has gone. `force`: even without what others have that it has not. */
  promote?(signal: AbortSignal, options: { readonly force: boolean }): Promise<void>
  /** Resolves when this node has ceased to lead, for the replica of that id or hostname. Called on a primary only. */
  handoff?(node: string): Promise<void>
}

const promoteBody = z.object({ force: z.boolean().default(false) })
const handoffBody = z.object({ node: z.string().min(1).max(255) })

/** What both answer with. */
export interface RoleAnswer {
  readonly nodeId: string
  readonly role: NodeStatus['role']
  /** Decimal digits; absent on a node of its own. */
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
        'the lead was passed on, but this node does not have it: "ltxd status" shows who does',
      )
    })
  })

  server.post('/handoff', route, (request, reply) => {
    const body = handoffBody.safeParse(request.body)
    if (!body.success) {
      const message = 'expected {"node": …}: the id or the hostname of the replica that is to lead'
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

/** A page on the web can make a browser send a form here, but not JSON. */
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
  raw.once('close', () => controller.abort(new LtxdError('GONE', 'whoever asked for it has gone')))
  return controller.signal
}

function noCluster(): LtxdError {
  return new LtxdError('NO_CLUSTER', 'this node is in no cluster: lease.type and what it needs make it part of one')
}

function notPrimary({ cluster }: NodeStatus): LtxdError {
  const primary = cluster?.primary
  const who = primary === undefined ? 'nobody is known to' : `${primary.hostname} does: ask it, at ${primary.url}`
  return new LtxdError('NOT_PRIMARY', `this node does not lead; ${who}`)
}
