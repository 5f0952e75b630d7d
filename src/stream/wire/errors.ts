import { LtxdError } from '../../util/errors.ts'

/** The bytes of a stream break the protocol: a foreign program, a broken network device, or a defect sent them. */
export class StreamProtocolError extends LtxdError {
  constructor(problem: string, options?: ErrorOptions) {
    super(
      'STREAM_PROTOCOL',
      `the stream between two nodes broke the protocol: ${problem}. It is closed and begins again; ` +
        'if this goes on, check that both ends run a supported version of ltxd and that nothing in between changes bytes',
      1,
      options,
    )
  }
}

/** One of two nodes rejects streaming with the other. */
export class StreamRejectedError extends LtxdError {
  /** The rule, as the wire names it: NOT_PRIMARY, CLUSTER_MISMATCH, TERM_BEHIND and others. */
  readonly rule: string

  constructor(rule: string, message: string) {
    super('STREAM_REFUSED', message)
    this.rule = rule
  }
}

/** The connection ended: by the network, by silence, or by the other node with a reason. */
export class StreamLostError extends LtxdError {
  constructor(message: string, options?: ErrorOptions) {
    super('STREAM_LOST', message, 1, options)
  }
}

/** A transaction or a snapshot was aborted before its end. Another one follows. */
export class StreamAbortedError extends LtxdError {
  constructor(database: string, reason: string) {
    super('STREAM_ABORTED', `a transaction or snapshot of database ${database} was aborted: ${reason}`)
  }
}

/** The connection's failure, unless a node gave a reason. */
export function connectionLost(error: Error): Error {
  if (error instanceof StreamRejectedError) return error
  return new StreamLostError(`the connection to the primary failed: ${error.message}`, { cause: error })
}
