import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { CONTENT_TYPE } from '../wire/messages.ts'

/**
 * Mounts POST /stream: the handler gets the raw request, its body untouched and without a limit, and the raw response.
 */
export async function registerStream(
  server: FastifyInstance,
  handle: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<void> {
  await server.register(async (scope) => {
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser(CONTENT_TYPE, (_request, _payload, done) => done(null))
    scope.post('/stream', { config: { lasting: true } }, (request, reply) => {
      reply.hijack()
      handle(request.raw, reply.raw)
    })
  })
}
