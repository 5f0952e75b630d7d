import { LtxdError } from '../../util/errors.ts'

/** What came over a stream is not what the protocol says: a foreign program, a broken network device, or a defect. */
export class StreamProtocolError extends LtxdError {
  constructor(problem: string, options?: ErrorOptions) {
    super(
      'STREAM_PROTOCOL',
      `the stream between two nodes broke the protocol: ${problem}. It is closed and begun anew; ` +
        'if this goes on, check that both ends run a supported version of ltxd and that nothing in between changes bytes',
      1,
      options,
    )
  }
}

/** The other node will not stream with this one, or this one not with it. */
export class StreamRefusedError extends LtxdError {
  /** Which rule it was, as the wire has it: NOT_PRIMARY, CLUSTER_MISMATCH, TERM_BEHIND … */
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

/** A transaction or a snapshot was broken off before its end; another follows. */
export class StreamAbortedError extends LtxdError {
  constructor(database: string, reason: string) {
    super('STREAM_ABORTED', `what was being received of database ${database} was broken off: ${reason}`)
  }
}
