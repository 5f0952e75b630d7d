/** How a node rejects a stream over HTTP. */

import type { IncomingMessage, ServerResponse } from 'node:http'
import { z } from 'zod'
import type { NodeAddress } from '../../util/node-address.ts'
import { StreamLostError, StreamRejectedError } from './errors.ts'

const MAX_ANSWER_BYTES = 64 * 1024
/** Our own messages are shorter. They are logged once for each attempt to connect. */
const MAX_MESSAGE = 500
const message = z.string().transform((text) => text.slice(0, MAX_MESSAGE).toWellFormed())
const answer = z.object({ error: z.object({ code: z.string().max(64), message }) })

/** Answers 409, with an error in the API's form. */
export function sendRejection(
  response: ServerResponse,
  { rule, message }: StreamRejectedError,
  primary?: NodeAddress,
): void {
  const error = { code: rule, message, ...(primary !== undefined && { primary }) }
  const body = Buffer.from(JSON.stringify({ error }) + '\n')
  const headers = { 'content-type': 'application/json', 'content-length': body.length, connection: 'close' }
  response.writeHead(409, headers).end(body)
}

/** The error in an answer that is no stream. */
export async function readRejection(response: IncomingMessage): Promise<Error> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > MAX_ANSWER_BYTES) break
    chunks.push(chunk)
  }
  const status = response.statusCode ?? 0
  try {
    const { error } = answer.parse(JSON.parse(Buffer.concat(chunks).toString('utf8')))
    return status === 409
      ? new StreamRejectedError(error.code, error.message)
      : new StreamLostError(`the primary answered ${status}: ${error.message}`)
  } catch {
    return new StreamLostError(`the server at the primary's address is no ltxd node (status ${status})`)
  }
}
